//! The questions: the published parquet layout, one row an answer, and JSONL of the same fields.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::{Field, Row};
use parquet::schema::parser::parse_message_type;
use records::ContentHash;
use serde_json::{Value, json};

use crate::{Error, Reject, Result};

/// The columns, as pandas writes them for the published set.
const SCHEMA: &str = "message schema {
    optional binary question_id (utf8);
    optional binary segment_id (utf8);
    optional group images (list) { repeated group list { optional binary element (utf8); } }
    optional binary question (utf8);
    optional binary answer (utf8);
}";

/// A question with its reference answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Name of the question.
    pub question_id: String,
    /// Name of the video; questions of one are one cluster.
    pub segment_id: String,
    /// Paths of the frames, relative to the set.
    pub images: Vec<String>,
    /// The question.
    pub question: String,
    /// Reference answers, in order of the file; the published set has two.
    pub answers: Vec<String>,
}

/// All questions of a set.
#[derive(Clone, Debug)]
pub struct References {
    /// Hash of the file.
    pub hash: ContentHash,
    /// Questions in order of first appearance.
    pub questions: Vec<Question>,
    /// Rows that could not be used; `line` counts rows of the file from 1.
    pub rejects: Vec<Reject>,
}

impl References {
    /// Reads a parquet or JSONL file, told apart by its first bytes. Rows of one question id, segment and question are
    /// its answers.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] if it is no such file or no row can be used.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
        let mut references = Self { hash: ContentHash::of_bytes(&bytes), questions: Vec::new(), rejects: Vec::new() };
        let rows = if bytes.starts_with(b"PAR1") { parquet_rows(path)? } else { jsonl_rows(&bytes) };
        let mut places: HashMap<(String, String, String), usize> = HashMap::new();
        for (index, row) in rows {
            match row {
                Ok(row) => {
                    let key = (row.question_id.clone(), row.segment_id.clone(), row.question.clone());
                    let place = *places.entry(key).or_insert(references.questions.len());
                    match references.questions.get_mut(place) {
                        Some(question) => question.answers.extend(row.answers),
                        None => references.questions.push(row),
                    }
                }
                Err(reason) => references.rejects.push(Reject { line: index, reason }),
            }
        }
        if references.questions.is_empty() {
            let message = "no row with question_id, segment_id, question and answer".to_owned();
            return Err(Error::File { path: path.to_path_buf(), message });
        }
        Ok(references)
    }
}

type NumberedRows = Vec<(usize, std::result::Result<Question, String>)>;

fn jsonl_rows(bytes: &[u8]) -> NumberedRows {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let parse = |line: &[u8]| {
        let row: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
        question_of(&row)
    };
    lines.filter(|(_, line)| !line.is_empty()).map(|(index, line)| (index + 1, parse(line))).collect()
}

fn parquet_rows(path: &Path) -> Result<NumberedRows> {
    let bad = |error: ParquetError| Error::File { path: path.to_path_buf(), message: error.to_string() };
    let file = File::open(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
    let reader = SerializedFileReader::new(file).map_err(bad)?;
    let mut rows = Vec::new();
    for (index, row) in reader.get_row_iter(None).map_err(bad)?.enumerate() {
        rows.push((index + 1, question_of(&to_json(&row.map_err(bad)?))));
    }
    Ok(rows)
}

/// A row as the JSON of the same fields; what is no text or list of texts becomes null.
fn to_json(row: &Row) -> Value {
    let text = |field: &Field| match field {
        Field::Str(text) => json!(text),
        Field::Bytes(bytes) => json!(String::from_utf8_lossy(bytes.data())),
        Field::Int(number) => json!(number.to_string()),
        Field::Long(number) => json!(number.to_string()),
        _ => Value::Null,
    };
    let value = |field: &Field| match field {
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(text).collect()),
        other => text(other),
    };
    Value::Object(row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect())
}

fn question_of(row: &Value) -> std::result::Result<Question, String> {
    let text = |key: &str| {
        row.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("{key} is missing or no text"))
    };
    let list = |key: &str| -> Vec<String> {
        let values = row.get(key).and_then(Value::as_array);
        values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let answers = match list("answers") {
        answers if answers.is_empty() => vec![text("answer")?],
        answers => answers,
    };
    let question_id = text("question_id").or_else(|error| text("id").map_err(|_| error))?;
    Ok(Question {
        question_id,
        segment_id: text("segment_id")?,
        images: list("images"),
        question: text("question")?,
        answers,
    })
}

/// Writes questions in the published parquet layout: one row an answer, Snappy.
///
/// # Errors
/// [`Error::File`] if a question has no answer; [`Error::Records`] if the file cannot be written.
pub fn write_references(path: &Path, questions: &[Question]) -> Result<()> {
    let bad = |message: String| Error::File { path: path.to_path_buf(), message };
    if let Some(question) = questions.iter().find(|question| question.answers.is_empty()) {
        return Err(bad(format!("question {:?} has no answer", question.question_id)));
    }
    let bytes = to_parquet(questions).map_err(|error| bad(error.to_string()))?;
    Ok(records::write_atomic(path, &bytes)?)
}

/// One column with its definition and repetition levels.
type Column = (Vec<ByteArray>, Vec<i16>, Option<Vec<i16>>);

fn to_parquet(questions: &[Question]) -> std::result::Result<Vec<u8>, ParquetError> {
    let rows: Vec<(&Question, &String)> =
        questions.iter().flat_map(|question| question.answers.iter().map(move |answer| (question, answer))).collect();
    let plain = |text: &dyn Fn(&(&Question, &String)) -> String| -> Column {
        (rows.iter().map(|row| ByteArray::from(text(row).as_str())).collect(), vec![1; rows.len()], None)
    };
    let columns = [
        plain(&|(question, _)| question.question_id.clone()),
        plain(&|(question, _)| question.segment_id.clone()),
        images(&rows),
        plain(&|(question, _)| question.question.clone()),
        plain(&|(_, answer)| (*answer).clone()),
    ];
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (values, definition, repetition) in &columns {
        if let Some(mut column) = group.next_column()? {
            column.typed::<ByteArrayType>().write_batch(values, Some(definition), repetition.as_deref())?;
            column.close()?;
        }
    }
    group.close()?;
    writer.into_inner()
}

/// The list column: definition 3 is an element, 1 an empty list; repetition 0 begins a row.
fn images(rows: &[(&Question, &String)]) -> Column {
    let (mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
    for (question, _) in rows {
        if question.images.is_empty() {
            definition.push(1);
            repetition.push(0);
        }
        for (index, image) in question.images.iter().enumerate() {
            values.push(ByteArray::from(image.as_str()));
            definition.push(3);
            repetition.push(i16::from(index > 0));
        }
    }
    (values, definition, Some(repetition))
}
