//! JSON as annotation tools really write it, and typed access that knows where it is.

use serde_json::Value;

use crate::reason::{Problem, Reason};

/// What stands for `NaN`, `Infinity` and `-Infinity`, which Python writes and JSON does not have.
const NOT_FINITE: &str = "\u{fffd}not finite\u{fffd}";

/// Parses one JSON text; numbers that are not finite survive as a mark that [`At::number`] knows.
/// A failure is the message and the line in the text, from 1.
pub(crate) fn parse(text: &str) -> Result<Value, (String, usize)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let told = |e: &serde_json::Error| (e.to_string(), e.line().max(1));
    match without_nan(text) {
        Some(mended) => serde_json::from_str(&mended).map_err(|_| told(&first)),
        None => Err(told(&first)),
    }
}

/// The text with every number that is not finite replaced; `None` if there is none outside strings.
fn without_nan(text: &str) -> Option<String> {
    let mut mended = String::with_capacity(text.len());
    let (mut rest, mut found) = (text, false);
    while let Some(next) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| rest.starts_with(word));
        let len = match (next, word) {
            ('"', _) => string_len(rest),
            (_, Some(word)) => {
                found = true;
                mended.push_str(&format!("\"{NOT_FINITE}\""));
                rest = &rest[word.len()..];
                continue;
            }
            _ => next.len_utf8(),
        };
        mended.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    found.then_some(mended)
}

/// Length in bytes of the string literal that `text` begins with, quotes included.
fn string_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The elements of a JSON list with the line each begins at, unparsed, so that a broken one does not spoil the others.
/// `None` if the text is no list.
pub(crate) fn list_elements(text: &str) -> Option<Vec<(&str, usize)>> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut elements = Vec::new();
    let mut at = body.find(|c: char| !c.is_whitespace()).filter(|&at| body.as_bytes()[at] == b'[')? + 1;
    let mut line = 1 + newlines(&body[..at]);
    let (mut begin, mut begin_line, mut depth) = (at, line, 0usize);
    let bytes = body.as_bytes();
    let mut push = |begin: usize, end: usize, line: usize| {
        let element = body.get(begin..end).unwrap_or_default();
        let head = element.len() - element.trim_start().len();
        if !element.trim().is_empty() {
            elements.push((element.trim(), line + newlines(&element[..head])));
        }
    };
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let len = string_len(&body[at..]);
                line += newlines(&body[at..at + len]);
                at += len;
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' if depth == 0 => break,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                push(begin, at, begin_line);
                (begin, begin_line) = (at + 1, line);
            }
            b'\n' => line += 1,
            _ => {}
        }
        at += 1;
    }
    push(begin, at.min(bytes.len()), begin_line);
    Some(elements)
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|&b| b == b'\n').count()
}

/// Line of the last key of a JSON pointer in a text, from 1; 1 if it is not there.
pub(crate) fn line_of(text: &str, pointer: &str) -> usize {
    let keys = pointer.split('/').skip(1).filter(|key| key.parse::<usize>().is_err());
    let mut at = 0;
    for key in keys {
        match text[at..].find(&format!("\"{key}\"")) {
            Some(found) => at += found,
            None => break,
        }
    }
    1 + newlines(&text[..at])
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct At<'v> {
    pub value: &'v Value,
    pub pointer: String,
}

impl<'v> At<'v> {
    pub fn root(value: &'v Value) -> Self {
        Self { value, pointer: String::new() }
    }

    pub fn problem(&self, reason: Reason, message: impl Into<String>) -> Problem {
        Problem::at(reason, &self.pointer, message)
    }

    fn wrong_type(&self, wanted: &str) -> Problem {
        let got = match self.value {
            Value::String(text) if text == NOT_FINITE => "a number that is not finite",
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.problem(Reason::WrongType, format!("expected {wanted}, got {got}"))
    }

    /// Fields of an object, in order.
    pub fn fields(&self) -> Result<impl Iterator<Item = (&'v String, Self)> + use<'_, 'v>, Problem> {
        let object = self.value.as_object().ok_or_else(|| self.wrong_type("an object"))?;
        Ok(object.iter().map(|(key, value)| (key, Self { value, pointer: format!("{}/{key}", self.pointer) })))
    }

    /// A field that may be absent; null is absent.
    pub fn optional(&self, key: &str) -> Result<Option<Self>, Problem> {
        let object = self.value.as_object().ok_or_else(|| self.wrong_type("an object"))?;
        let value = object.get(key).filter(|value| !value.is_null());
        Ok(value.map(|value| Self { value, pointer: format!("{}/{key}", self.pointer) }))
    }

    /// A field that must be there and not be null.
    pub fn required(&self, key: &str) -> Result<Self, Problem> {
        let missing = || Problem::at(Reason::MissingField, &format!("{}/{key}", self.pointer), "is missing");
        self.optional(key)?.ok_or_else(missing)
    }

    /// Elements of a list.
    pub fn elements(&self) -> Result<Vec<Self>, Problem> {
        let list = self.value.as_array().ok_or_else(|| self.wrong_type("a list"))?;
        let element = |(i, value)| Self { value, pointer: format!("{}/{i}", self.pointer) };
        Ok(list.iter().enumerate().map(element).collect())
    }

    /// A text without the white space around it.
    pub fn text(&self) -> Result<String, Problem> {
        match self.value {
            Value::String(text) if text != NOT_FINITE => Ok(text.trim().to_owned()),
            _ => Err(self.wrong_type("a text")),
        }
    }

    /// A whole number; `2.0` is one.
    pub fn integer(&self) -> Result<i64, Problem> {
        let whole = |x: f64| (x.fract() == 0.0 && x.abs() < 9e15).then_some(x as i64);
        let number = self.value.as_i64().or_else(|| self.value.as_f64().and_then(whole));
        number.ok_or_else(|| self.wrong_type("a whole number"))
    }

    /// A whole number in a range.
    pub fn integer_in(&self, low: i64, high: i64) -> Result<i64, Problem> {
        match self.integer()? {
            number if (low..=high).contains(&number) => Ok(number),
            number => Err(self.problem(Reason::OutOfRange, format!("{number} is outside {low} to {high}"))),
        }
    }

    /// A number of a box; one that is not finite has its own reason.
    pub fn number(&self) -> Result<f64, Problem> {
        match self.value {
            Value::String(text) if text == NOT_FINITE => Err(self.problem(Reason::NanBox, "is NaN or infinite")),
            value => value.as_f64().ok_or_else(|| self.wrong_type("a number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_that_are_not_finite_are_marked() {
        let check = |text: &str, ok: bool| assert_eq!(parse(text).is_ok(), ok, "{text}");
        check(r#"{"x1": NaN, "a": [-Infinity, Infinity]}"#, true);
        check(r#"{"text": "NaN is \" not", "x": 1}"#, true);
        check(r#"{"x": nan}"#, false);
        check(r#"{"x": NaN"#, false);
        let value = parse(r#"{"x1": NaN, "t": "NaN"}"#).unwrap();
        let at = At::root(&value);
        assert_eq!(at.required("x1").unwrap().number().unwrap_err().reason, Reason::NanBox);
        assert_eq!(at.required("x1").unwrap().integer().unwrap_err().reason, Reason::WrongType);
        assert_eq!(at.required("t").unwrap().text().unwrap(), "NaN");
    }

    #[test]
    fn lists_are_cut_into_elements() {
        let check = |text: &str, expect: &[(&str, usize)]| assert_eq!(list_elements(text).unwrap(), expect, "{text}");
        check("[]", &[]);
        check("[1, 2]", &[("1", 1), ("2", 1)]);
        check("[\n {\"a\": [1, 2]},\n {\"b\": \"],{\"}\n]", &[("{\"a\": [1, 2]}", 2), ("{\"b\": \"],{\"}", 3)]);
        check("[\n{\"a\": },\n{\"b\": 1}]", &[("{\"a\": }", 2), ("{\"b\": 1}", 3)]);
        check("[{\"a\": 1", &[("{\"a\": 1", 1)]);
        assert!(list_elements("{\"a\": 1}").is_none());
    }

    #[test]
    fn lines_of_pointers() {
        let text = "{\n \"a\": 1,\n \"b\": [\n {\"x\": 2}]}";
        let check = |pointer: &str, line: usize| assert_eq!(line_of(text, pointer), line, "{pointer}");
        check("", 1);
        check("/a", 2);
        check("/b/0/x", 4);
        check("/none", 1);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]{},:\"\\\\a-zN\\n é1I-]{0,60}") {
            let _ = parse(&text);
            let _ = list_elements(&text);
            let _ = without_nan(&text);
        }

        #[test]
        fn elements_of_a_written_list_come_back(list in proptest::collection::vec(".{0,12}", 0..6)) {
            let text = serde_json::to_string_pretty(&list).unwrap();
            let elements = list_elements(&text).unwrap();
            let back: Vec<String> = elements.iter().map(|(e, _)| serde_json::from_str(e).unwrap()).collect();
            prop_assert_eq!(back, list);
        }
    }
}
