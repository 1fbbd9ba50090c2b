//! The pool of questions: the built-in one, or the user's.

use std::collections::HashSet;
use std::path::Path;

use records::{ContentHash, Question};
use serde::Deserialize;

use crate::{Error, Result};

const BUILT_IN: &str = include_str!("../pool/av_vqa.toml");

/// A pool of questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Name, such as `av_vqa`.
    pub name: String,
    /// Version; a changed text is a new version.
    pub version: String,
    /// Questions, in the order of the file.
    pub questions: Vec<Question>,
    /// Which words of the scope table are covered by which question; may be empty.
    pub scope: Vec<Scope>,
    /// Hash of the file.
    pub hash: ContentHash,
}

/// A word of the scope table and the question that covers it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The words.
    pub term: String,
    /// Id of the question.
    pub question: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: Version,
    question: Vec<Question>,
    #[serde(default)]
    scope: Vec<Scope>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Version {
    Number(i64),
    Text(String),
}

impl Pool {
    /// The pool that comes with the program: 50 questions in six areas, six of them for every clip.
    ///
    /// # Errors
    /// [`Error::Pool`], which a test rules out.
    pub fn built_in() -> Result<Self> {
        Self::parse(BUILT_IN, "built-in pool")
    }

    /// Reads a pool from a TOML file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Pool`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses a pool; `place` is its name in messages.
    ///
    /// # Errors
    /// [`Error::Pool`] for text that is no pool, ids or texts used twice, and options that are empty or not distinct.
    pub fn parse(text: &str, place: &str) -> Result<Self> {
        let wrong = |message: String| Error::Pool { place: place.to_owned(), message };
        let file: File = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let mut ids = HashSet::new();
        let mut texts = HashSet::new();
        for question in &file.question {
            check(question).map_err(&wrong)?;
            if !ids.insert(question.id.as_str()) {
                return Err(wrong(format!("question `{}`: the id was used before; ids must be unique", question.id)));
            }
            if !texts.insert(fold(&question.text)) {
                return Err(wrong(format!("question `{}`: the same text was asked before", question.id)));
            }
        }
        if let Some(scope) = file.scope.iter().find(|s| !ids.contains(s.question.as_str())) {
            return Err(wrong(format!("scope `{}`: there is no question `{}`", scope.term, scope.question)));
        }
        let version = match file.version {
            Version::Number(number) => number.to_string(),
            Version::Text(text) => text,
        };
        let hash = ContentHash::of_text(text);
        Ok(Self { name: file.name, version, questions: file.question, scope: file.scope, hash })
    }
}

fn check(question: &Question) -> std::result::Result<(), String> {
    let of = format!("question `{}`", question.id);
    if question.id.is_empty() || !question.id.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
        return Err(format!("{of}: an id is letters, digits, `_`, `-` and `.`"));
    }
    if question.text.trim().is_empty() || question.text.contains('\n') {
        return Err(format!("{of}: text must be one line that is not empty"));
    }
    for (at, option) in question.options.iter().enumerate() {
        if option.trim().is_empty() || option.contains('\n') {
            return Err(format!("{of}: option {} must be one line that is not empty", at + 1));
        }
        if question.options[..at].iter().any(|other| fold(other) == fold(option)) {
            return Err(format!("{of}: option `{option}` is there twice; the four must differ in more than case"));
        }
    }
    Ok(())
}

/// A text as it is compared: case, spaces around and between words do not count.
pub(crate) fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Category;

    #[test]
    fn built_in_pool_has_the_counts_of_the_recipe() {
        let pool = Pool::built_in().unwrap();
        let count = |category| pool.questions.iter().filter(|q| q.category == category).count();
        assert_eq!(Category::ALL.map(count), [13, 10, 6, 8, 7, 6]);
        assert_eq!(pool.questions.iter().filter(|q| q.required).count(), 6);
        for question in &pool.questions {
            for option in &question.options {
                let words = option.split_whitespace().count();
                assert!((1..=6).contains(&words), "{}: {option}", question.id);
            }
        }
    }

    #[test]
    fn built_in_pool_covers_the_scope_table() {
        let pool = Pool::built_in().unwrap();
        assert!(pool.scope.len() >= 50, "{} terms", pool.scope.len());
        let unscoped: Vec<_> =
            pool.questions.iter().filter(|q| !pool.scope.iter().any(|s| s.question == q.id)).map(|q| &q.id).collect();
        assert!(unscoped.is_empty(), "no word of the table asks for {unscoped:?}");
    }

    #[test]
    fn wrong_pools_say_what_is_wrong() {
        let question = |id: &str, text: &str, options: &str| {
            format!("[[question]]\nid = \"{id}\"\ncategory = \"key_objects\"\ntext = \"{text}\"\noptions = {options}\n")
        };
        let head = "name = \"p\"\nversion = 2\n";
        let good = question("q1", "What?", r#"["a", "b", "c", "d"]"#);
        assert_eq!(Pool::parse(&format!("{head}{good}"), "p.toml").unwrap().version, "2");
        let check = |body: String, expect: &str| {
            let error = Pool::parse(&format!("{head}{body}"), "p.toml").unwrap_err().to_string();
            assert!(error.contains("p.toml") && error.contains(expect), "{error} lacks {expect:?}");
        };
        check(format!("{good}{}", question("q1", "Where?", r#"["a", "b", "c", "d"]"#)), "`q1`: the id was used before");
        check(format!("{good}{}", question("q2", "what? ", r#"["a", "b", "c", "d"]"#)), "`q2`: the same text");
        check(question("q1", "What?", r#"["a", "B", "b ", "d"]"#), "`b ` is there twice");
        check(question("q1", "What?", r#"["a", "b", "c"]"#), "4");
        check(question("q1", "", r#"["a", "b", "c", "d"]"#), "text must be");
        check(question("q/1", "What?", r#"["a", "b", "c", "d"]"#), "an id is");
        check(question("q1", "What?", r#"["a", "b", "", "d"]"#), "option 3");
        check(good.replace("key_objects", "objects"), "unknown variant");
        check(format!("{good}colour = 1\n"), "colour");
        check(format!("{good}[[scope]]\nterm = \"t\"\nquestion = \"q9\"\n"), "there is no question `q9`");
    }
}
