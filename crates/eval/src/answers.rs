//! Predictions as they come: our own records, or anybody's rows with an id and a text. A bad row is told with its
//! line, the rest goes on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use records::ContentHash;
use serde_json::Value;

use crate::{Error, Result};

/// Share of rows that may be rejected before an evaluation stops.
pub const REJECTS_ALLOWED: f64 = 0.05;

/// What a model said to one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Name of the item.
    pub id: String,
    /// The text, or why there is none.
    pub outcome: std::result::Result<String, String>,
    /// Whether the token limit cut the text.
    pub truncated: bool,
    /// Whether the text could only be one of the choices.
    pub guided: bool,
    /// Line of the file, from 1.
    pub line: usize,
}

/// A predictions file, one answer an id.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The file.
    pub path: PathBuf,
    /// Hash of its bytes.
    pub hash: ContentHash,
    /// Rows read, bad ones included.
    pub rows: usize,
    /// Answers by id.
    pub of_id: HashMap<String, Answer>,
    /// Rows that could not be used, in order of line.
    pub rejects: Vec<Reject>,
    /// Rows whose id was there already. The first row that has a text counts.
    pub duplicates: Vec<Reject>,
    /// Name of the model, if all rows that give one agree.
    pub model_name: Option<String>,
    /// Hash of the weights, if all rows that give one agree.
    pub weight_hash: Option<ContentHash>,
}

/// A row that was not used, or not first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl Answers {
    /// Reads a JSONL file; the id of a row is under the first of `keys` that it has.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    pub fn read(path: &Path, keys: &[&str]) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
        let mut answers = Self::empty(path, ContentHash::of_bytes(&bytes));
        let (mut models, mut weights) = (Vec::new(), Vec::new());
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let (line, number) = (line.trim_ascii(), index + 1);
            if line.is_empty() {
                continue;
            }
            let row: Value = match serde_json::from_slice(line) {
                Ok(row) => row,
                Err(error) => {
                    answers.reject(number, format!("not JSON: {error}"));
                    continue;
                }
            };
            collect(&mut models, &row, "model_name");
            collect(&mut weights, &row, "weight_hash");
            match parse(&row, keys, number) {
                Ok(answer) => answers.add(answer),
                Err(reason) => answers.reject(number, reason),
            }
        }
        answers.model_name = one(models);
        answers.weight_hash = one(weights).and_then(|hash| ContentHash::from_hex(&hash));
        Ok(answers)
    }

    /// A file without rows.
    pub(crate) fn empty(path: &Path, hash: ContentHash) -> Self {
        Self {
            path: path.to_path_buf(),
            hash,
            rows: 0,
            of_id: HashMap::new(),
            rejects: Vec::new(),
            duplicates: Vec::new(),
            model_name: None,
            weight_hash: None,
        }
    }

    /// Takes one more answer.
    pub(crate) fn add(&mut self, answer: Answer) {
        self.rows += 1;
        match self.of_id.get_mut(&answer.id) {
            None => {
                self.of_id.insert(answer.id.clone(), answer);
            }
            Some(first) => {
                let reason = format!("{:?} is there already, in line {}", answer.id, first.line);
                self.duplicates.push(Reject { line: answer.line, reason });
                if first.outcome.is_err() && answer.outcome.is_ok() {
                    *first = answer;
                }
            }
        }
    }

    /// Counts a row that cannot be used.
    pub(crate) fn reject(&mut self, line: usize, reason: String) {
        self.rows += 1;
        self.rejects.push(Reject { line, reason });
    }

    /// Rejects the answers to items that `is_known` does not know.
    pub(crate) fn keep_known(&mut self, is_known: impl Fn(&str) -> bool, what: &str) {
        let mut unknown: Vec<Reject> = Vec::new();
        self.of_id.retain(|id, answer| {
            let known = is_known(id);
            if !known {
                unknown.push(Reject { line: answer.line, reason: format!("{id:?} is no {what} of the references") });
            }
            known
        });
        self.rejects.extend(unknown);
        self.rejects.sort_by_key(|reject| reject.line);
    }

    /// Stops if more than `allowed` of the rows were rejected.
    ///
    /// # Errors
    /// [`Error::TooManyRejects`].
    pub fn check_rejects(&self, allowed: f64) -> Result<()> {
        match self.rejects.first() {
            Some(first) if self.rejects.len() as f64 > allowed * self.rows as f64 => Err(Error::TooManyRejects {
                path: self.path.clone(),
                rejected: self.rejects.len(),
                rows: self.rows,
                allowed,
                first: first.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

fn collect(values: &mut Vec<String>, row: &Value, key: &str) {
    if let Some(value) = row.get(key).and_then(Value::as_str)
        && !values.iter().any(|other| other == value)
    {
        values.push(value.to_owned());
    }
}

fn one(mut values: Vec<String>) -> Option<String> {
    values.pop().filter(|_| values.is_empty())
}

fn parse(row: &Value, keys: &[&str], line: usize) -> std::result::Result<Answer, String> {
    let row = row.as_object().ok_or("not a JSON object")?;
    let id = match keys.iter().find_map(|key| row.get(*key)) {
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        Some(_) => return Err(format!("{} is no text", keys.join(" or "))),
        None => return Err(format!("no {}", keys.join(" or "))),
    };
    let failed = row.get("status").and_then(Value::as_str) == Some("failed");
    let text = row.get("text").or_else(|| row.get("answer"));
    let outcome = match text {
        _ if failed => Err(row.get("error").and_then(Value::as_str).unwrap_or("the request failed").to_owned()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Null) | None => Err("the row has no text".to_owned()),
        Some(_) => return Err("text is not a text".to_owned()),
    };
    let truncated = row.get("finish_reason").and_then(Value::as_str) == Some("length");
    let guided = row.get("sampling").and_then(|sampling| sampling.get("guided")) == Some(&Value::from("choice"));
    Ok(Answer { id, outcome, truncated, guided, line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_rows_are_told_and_the_rest_goes_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "{\"clip\":\"a\",\"text\":\"x\"}\n{broken\n\n{\"id\":\"b\",\"status\":\"failed\",\"error\":\"no frames\"}\n\
            {\"id\":\"b\",\"text\":\"second\",\"finish_reason\":\"length\",\"model_name\":\"m\"}\n[1]\n{\"text\":\"y\"}\n\
            {\"id\":3,\"text\":null}\n{\"id\":\"c\",\"text\":5}\n{\"id\"";
        std::fs::write(file.path(), text).unwrap();
        let mut answers = Answers::read(file.path(), &["clip", "id"]).unwrap();
        assert_eq!(answers.rejects.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 6, 7, 9, 10]);
        assert_eq!(answers.duplicates.len(), 1);
        assert_eq!(answers.of_id["b"].outcome, Ok("second".to_owned()));
        assert!(answers.of_id["b"].truncated && answers.of_id["3"].outcome.is_err());
        assert_eq!(answers.model_name.as_deref(), Some("m"));
        answers.keep_known(|id| id == "a", "clip");
        assert_eq!((answers.of_id.len(), answers.rejects.len()), (1, 7));
        let error = answers.check_rejects(0.05).unwrap_err().to_string();
        assert!(error.contains("7 of 9 rows") && error.contains("line 2"), "{error}");
        assert!(answers.check_rejects(1.0).is_ok());
    }
}
