//! The file of predictions: appended to while a run goes on, in the end one record a request in their order.

use crate::{Request, Result, Settings};
use records::{ContentHash, Outcome, Prediction, jsonl};
use std::collections::{HashMap, HashSet};
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
    /// superseded records, from where they come back if they are asked for again. With `retry_failed`, failures are of no
    /// use either.
    pub fn open(path: &Path, requests: &[Request], hashes: &[ContentHash], settings: &Settings) -> Result<Self> {
        let place: HashMap<(&str, &ContentHash), usize> =
            requests.iter().zip(hashes).enumerate().map(|(at, (r, hash))| ((r.id.as_str(), hash), at)).collect();
        let found = if path.exists() { jsonl::read::<Prediction>(path)?.records } else { Vec::new() };
        let mut records: Vec<Option<Prediction>> = vec![None; requests.len()];
        let (mut stale, mut order, mut renamed) = (Vec::new(), Vec::new(), false);
        for record in found {
            let failed = matches!(record.outcome, Outcome::Failed { .. });
            let slot = place.get(&(record.id.as_str(), &record.request_hash)).copied();
            match slot.filter(|at| records[*at].is_none() && !(failed && settings.retry_failed)) {
                None => stale.push(record),
                Some(at) => {
                    let record_now = named(record.clone(), &requests[at], settings);
                    renamed |= record_now != record;
                    order.push(at);
                    records[at] = Some(record_now);
                }
            }
        }
        let earlier = superseded_path(path);
        let earlier = if earlier.exists() { jsonl::read::<Prediction>(&earlier)?.records } else { Vec::new() };
        let known: HashSet<(&str, &ContentHash)> =
            earlier.iter().map(|record| (record.id.as_str(), &record.request_hash)).collect();
        let superseded = stale.len();
        stale.retain(|record| !known.contains(&(record.id.as_str(), &record.request_hash)));
        if !stale.is_empty() {
            // Kept before they leave the file: a kill in between loses nothing.
            let (mut kept, _) = jsonl::Writer::append(&superseded_path(path))?;
            stale.iter().try_for_each(|record| kept.write(record))?;
            kept.sync()?;
        }
        // What was asked before other settings were tried, and is asked again.
        let mut restored = 0;
        for record in earlier.iter().filter(|record| matches!(record.outcome, Outcome::Done { .. })) {
            let slot = place.get(&(record.id.as_str(), &record.request_hash)).copied();
            if let Some(at) = slot.filter(|at| records[*at].is_none()) {
                records[at] = Some(named(record.clone(), &requests[at], settings));
                restored += 1;
            }
        }
        let rewritten = superseded > 0 || restored > 0 || renamed;
        if rewritten {
            rewrite(path, &records)?;
        }
        let (writer, _torn) = jsonl::Writer::append(path)?;
        let in_order = rewritten || order.is_sorted();
        Ok(Self { path: path.to_path_buf(), writer, records, in_order, superseded })
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

/// A record under the names that the run gives it; they change no answer.
fn named(record: Prediction, request: &Request, settings: &Settings) -> Prediction {
    let (model_name, task) = (settings.model_name.clone(), settings.task.clone());
    Prediction { media: request.media.clone(), model_name, task, ..record }
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
