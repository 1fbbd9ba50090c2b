//! The file of predictions: appended to while a run goes on, in the end one record a request in their order.

use crate::{Request, Result, Settings};
use records::{ContentHash, Outcome, Prediction, jsonl};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The open file, and which request has its record.
pub(crate) struct Output {
    path: PathBuf,
    writer: jsonl::Writer,
    /// Record of every request, as far as there is one.
    records: Vec<Option<Prediction>>,
    /// Whether the file has the records in the order of the requests.
    in_order: bool,
    /// Records of the file that were of no use any more.
    pub superseded: usize,
}

impl Output {
    /// Opens a file, keeps the records that answer a request as it is asked now, and moves all others to the file of
    /// superseded records. With `retry_failed`, failures are of no use either.
    pub fn open(path: &Path, requests: &[Request], hashes: &[ContentHash], settings: &Settings) -> Result<Self> {
        let place: HashMap<(&str, &ContentHash), usize> =
            requests.iter().zip(hashes).enumerate().map(|(at, (r, hash))| ((r.id.as_str(), hash), at)).collect();
        let found = if path.exists() { jsonl::read::<Prediction>(path)?.records } else { Vec::new() };
        let mut records: Vec<Option<Prediction>> = vec![None; requests.len()];
        let (mut stale, mut order) = (Vec::new(), Vec::new());
        for mut record in found {
            let failed = matches!(record.outcome, Outcome::Failed { .. });
            let slot = place.get(&(record.id.as_str(), &record.request_hash)).copied();
            match slot.filter(|at| records[*at].is_none() && !(failed && settings.retry_failed)) {
                None => stale.push(record),
                Some(at) => {
                    // Names change no answer.
                    record.media.clone_from(&requests[at].media);
                    record.model_name.clone_from(&settings.model_name);
                    record.task.clone_from(&settings.task);
                    order.push(at);
                    records[at] = Some(record);
                }
            }
        }
        if !stale.is_empty() {
            // Kept before they leave the file: a kill in between loses nothing.
            let (mut kept, _) = jsonl::Writer::append(&superseded_path(path))?;
            stale.iter().try_for_each(|record| kept.write(record))?;
            kept.sync()?;
            rewrite(path, &records)?;
        }
        let (writer, _torn) = jsonl::Writer::append(path)?;
        let in_order = order.is_sorted();
        Ok(Self { path: path.to_path_buf(), writer, records, in_order, superseded: stale.len() })
    }

    /// Whether a request has its record.
    pub fn has(&self, at: usize) -> bool {
        self.records[at].is_some()
    }

    /// Adds the record of a request; it survives a kill of this process.
    pub fn append(&mut self, at: usize, record: &Prediction) -> Result<()> {
        self.writer.write(record)?;
        self.writer.flush()?;
        self.in_order &= self.records[at..].iter().all(Option::is_none);
        self.records[at] = Some(record.clone());
        Ok(())
    }

    /// Brings the records into the order of the requests.
    pub fn finish(mut self) -> Result<()> {
        self.writer.sync()?;
        if self.in_order { Ok(()) } else { rewrite(&self.path, &self.records) }
    }
}

fn rewrite(path: &Path, records: &[Option<Prediction>]) -> Result<()> {
    let written = weights::write_file_atomic(path, |out| {
        for record in records.iter().flatten() {
            serde_json::to_writer(&mut *out, record)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    });
    Ok(written.map_err(models::Error::from)?)
}

/// Where records go that are of no use any more: `predictions.superseded.jsonl` beside `predictions.jsonl`.
pub(crate) fn superseded_path(out: &Path) -> PathBuf {
    out.with_extension("superseded.jsonl")
}
