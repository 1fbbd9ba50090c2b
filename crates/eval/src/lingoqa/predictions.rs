//! Predictions: the published CSV layout, and our own records.

use std::path::Path;

use records::ContentHash;

use crate::{Answer, Answers, Error, Result};

/// The columns of the published layout.
const COLUMNS: [&str; 3] = ["question_id", "segment_id", "answer"];

/// Reads a CSV of the published layout (by its ending, or by its header), or JSONL with `question_id` or `id`.
/// The cells `NA`, `None` and the empty cell are text here; the published scorer reads them as the word "none".
/// Returns the answers and the lines with such cells.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if a CSV lacks a column.
pub fn read_predictions(path: &Path) -> Result<(Answers, Vec<usize>)> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
    let is_csv = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"))
        || !bytes.trim_ascii_start().starts_with(b"{");
    if is_csv { read_csv(path, &bytes) } else { Ok((Answers::read(path, &["question_id", "id"])?, Vec::new())) }
}

fn read_csv(path: &Path, bytes: &[u8]) -> Result<(Answers, Vec<usize>)> {
    let bad = |message: String| Error::File { path: path.to_path_buf(), message };
    let bytes_without_mark = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes_without_mark);
    let header = reader.headers().map_err(|error| bad(error.to_string()))?.clone();
    let mut places = [0; 3];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        *place = header.iter().position(|name| name.trim() == column).ok_or_else(|| {
            bad(format!("no column {column}; the header is {:?}, question_id,segment_id,answer is expected", header))
        })?;
    }
    let mut answers = Answers::empty(path, ContentHash::of_bytes(bytes));
    let mut doubtful = Vec::new();
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                let line = error.position().map_or(0, |position| position.line() as usize);
                answers.reject(line, error.to_string());
                continue;
            }
        };
        let line = row.position().map_or(0, |position| position.line() as usize);
        let cell = |place: usize| row.get(place).filter(|_| row.len() == header.len());
        match places.map(cell) {
            [Some(question_id), Some(segment_id), Some(answer)] if !question_id.is_empty() => {
                if ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"].contains(&answer) {
                    doubtful.push(line);
                }
                let id = joined(question_id, segment_id);
                answers.add(Answer { id, outcome: Ok(answer.to_owned()), truncated: false, guided: false, line });
            }
            _ => answers.reject(line, format!("{} cells where the header has {}", row.len(), header.len())),
        }
    }
    Ok((answers, doubtful))
}

/// The id of a CSV row: both columns, as the published scorer joins on both.
pub(super) fn joined(question_id: &str, segment_id: &str) -> String {
    format!("{question_id}\u{1f}{segment_id}")
}

/// Writes predictions in the published layout; rows are question id, segment id, answer.
///
/// # Errors
/// [`Error::Records`] if the file cannot be written.
pub fn write_predictions_csv<'a>(
    path: &Path,
    rows: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
) -> Result<()> {
    let bad = |message: String| Error::File { path: path.to_path_buf(), message };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(|error| bad(error.to_string()))?;
    for (question_id, segment_id, answer) in rows {
        writer.write_record([question_id, segment_id, answer]).map_err(|error| bad(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| bad(error.to_string()))?;
    Ok(records::write_atomic(path, &bytes)?)
}
