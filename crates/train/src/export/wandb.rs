//! Offline runs of Weights & Biases: a `.wandb` file that `wandb sync` uploads.
//!
//! Source: wandb 0.19 `sdk/internal/datastore.py` and `proto/wandb_internal.proto`. The file is a header of 7 bytes and then
//! LevelDB log records in blocks of 32 KiB counted from the start of the file; the checksum is CRC-32 (IEEE) of the type
//! byte and the data. Offline runs cannot be resumed, so every attempt is a file of its own with the same run id.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use records::ContentHash;
use serde_json::Value;

use super::proto::Message;
use crate::{Error, Plan, Result};

/// `:W&B`, the magic number 0xBEE1, version 0.
const HEADER: [u8; 7] = [b':', b'W', b'&', b'B', 0xe1, 0xbe, 0];
const BLOCK_BYTES: usize = 32 * 1024;
/// Checksum, length, type.
const RECORD_HEADER_BYTES: usize = 7;
/// Oldest client that may read the file, as wandb 0.19 writes it.
const CONSUMER_MIN: &str = "0.9.0";
/// Version of the client whose format is written.
const PRODUCER: &str = "0.19.11";

/// Types of LevelDB log records.
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// One offline run.
#[derive(Debug)]
pub(super) struct WandbFile {
    path: PathBuf,
    file: File,
    /// Bytes of the file.
    len: usize,
    /// Number of the next record.
    number: u64,
    started: Duration,
}

impl WandbFile {
    /// A new `offline-run-<time>-<id>/run-<id>.wandb` in `dir`.
    pub fn create(dir: &Path, plan: &Plan, step: u64, now: Duration) -> Result<Self> {
        let id = run_id(plan);
        let folder = dir.join(format!("offline-run-{}-{id}", date_time(now)));
        // Two attempts within a second get folders of their own.
        let path = match folder.exists() {
            false => folder,
            true => dir.join(format!("offline-run-{}-{id}-{step}-{}", date_time(now), std::process::id())),
        };
        let path = path.join(format!("run-{id}.wandb"));
        let mut run = Self { file: super::create(&path)?, path, len: 0, number: 1, started: now };
        run.append(&HEADER)?;
        let versions = Message::default().text(1, PRODUCER).text(2, CONSUMER_MIN);
        run.write(Message::default().message(21, &Message::default().message(1, &versions)))?;
        run.write(Message::default().message(17, &description(plan, &id, step, now)))?;
        Ok(run)
    }

    /// A row of the run's history, and the summary with the newest values.
    pub fn history(&mut self, step: u64, metrics: &[(String, f64)], now: Duration) -> Result<()> {
        let own = [
            ("_step".to_owned(), step as f64),
            ("_runtime".to_owned(), now.saturating_sub(self.started).as_secs_f64()),
            ("_timestamp".to_owned(), now.as_secs_f64()),
        ];
        let mut history = Message::default();
        let mut summary = Message::default();
        for (name, value) in metrics.iter().chain(&own) {
            let value = if name == "_step" { Value::from(step) } else { Value::from(*value) };
            let item = item(name, &value);
            history = history.message(1, &item);
            summary = summary.message(1, &item);
        }
        let history = history.message(2, &Message::default().integer(1, step));
        self.write(Message::default().message(2, &history))?;
        self.write(Message::default().message(3, &summary))
    }

    /// The last record.
    pub fn exit(&mut self, exit_code: u64, now: Duration) -> Result<()> {
        let runtime_s = now.saturating_sub(self.started).as_secs();
        self.write(Message::default().message(18, &Message::default().integer(1, exit_code).integer(2, runtime_s)))
    }

    /// Numbers a record and cuts it at the boundaries of blocks.
    fn write(&mut self, record: Message) -> Result<()> {
        let mut numbered = Message::default().integer(1, self.number);
        numbered.bytes.extend_from_slice(&record.bytes);
        self.number += 1;
        let out = framed(&numbered.bytes, self.len);
        self.append(&out)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io(&self.path, "write", e))?;
        self.len += bytes.len();
        Ok(())
    }
}

/// The bytes of a record that begins `at` bytes into the file.
fn framed(data: &[u8], at: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 2 * RECORD_HEADER_BYTES);
    let (mut rest, mut begun) = (data, false);
    loop {
        let left = BLOCK_BYTES - (at + out.len()) % BLOCK_BYTES;
        if left < RECORD_HEADER_BYTES {
            out.resize(out.len() + left, 0);
            continue;
        }
        let (piece, after) = rest.split_at(rest.len().min(left - RECORD_HEADER_BYTES));
        let kind = match (begun, after.is_empty()) {
            (false, true) => FULL,
            (false, false) => FIRST,
            (true, false) => MIDDLE,
            (true, true) => LAST,
        };
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&[kind]);
        checksum.update(piece);
        out.extend_from_slice(&checksum.finalize().to_le_bytes());
        out.extend_from_slice(&(piece.len() as u16).to_le_bytes());
        out.push(kind);
        out.extend_from_slice(piece);
        (rest, begun) = (after, true);
        if matches!(kind, FULL | LAST) {
            return out;
        }
    }
}

/// The run record: who it is, what it was asked.
fn description(plan: &Plan, id: &str, step: u64, now: Duration) -> Message {
    let mut config = Message::default();
    if let Ok(Value::Object(fields)) = serde_json::to_value(&plan.recipe) {
        for (name, value) in &fields {
            config = config.message(1, &item(name, value));
        }
    }
    let name = if plan.experiment_name.is_empty() { id } else { &plan.experiment_name };
    let time = Message::default().integer(1, now.as_secs()).integer(2, u64::from(now.subsec_nanos()));
    let mut run = Message::default().text(1, id).text(3, &plan.project_name).message(4, &config);
    if !plan.group_name.is_empty() {
        run = run.text(6, &plan.group_name);
    }
    run = run.text(8, name);
    if step > 0 {
        run = run.integer(14, step);
    }
    run.message(17, &time)
}

fn item(name: &str, value: &Value) -> Message {
    Message::default().text(1, name).text(16, &value.to_string())
}

/// Eight letters that are the same for every attempt at a run: of its folder and its recipe.
fn run_id(plan: &Plan) -> String {
    let folder = plan.output_dir.canonicalize().unwrap_or_else(|_| plan.output_dir.clone());
    let hash = ContentHash::of_text(&format!("{}\n{}", folder.display(), plan.recipe.hash()));
    hash.as_str().chars().take(8).collect()
}

/// `20261122_183000`, UTC.
fn date_time(now: Duration) -> String {
    let (days, second) = (now.as_secs() / 86_400, now.as_secs() % 86_400);
    // Days since 0000-03-01 into eras of 400 years (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}_{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts records together again, as the reader does.
    fn unframed(mut bytes: &[u8], mut at: usize) -> Vec<Vec<u8>> {
        let (mut records, mut open) = (Vec::new(), Vec::new());
        while !bytes.is_empty() {
            let left = BLOCK_BYTES - at % BLOCK_BYTES;
            if left < RECORD_HEADER_BYTES {
                assert!(bytes[..left].iter().all(|b| *b == 0));
                (bytes, at) = (&bytes[left..], at + left);
                continue;
            }
            let len = u16::from_le_bytes([bytes[4], bytes[5]]) as usize;
            assert!(RECORD_HEADER_BYTES + len <= left, "a piece reaches over the end of its block");
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&bytes[6..7 + len]);
            assert_eq!(checksum.finalize().to_le_bytes(), bytes[..4]);
            open.extend_from_slice(&bytes[7..7 + len]);
            if matches!(bytes[6], FULL | LAST) {
                records.push(std::mem::take(&mut open));
            }
            (bytes, at) = (&bytes[7 + len..], at + 7 + len);
        }
        records
    }

    proptest::proptest! {
        #[test]
        fn records_of_any_length_come_back(lengths in proptest::collection::vec(0usize..70_000, 1..8), at in 7usize..40_000) {
            let records: Vec<Vec<u8>> = lengths.iter().map(|len| (0..*len).map(|i| i as u8).collect()).collect();
            let mut bytes = Vec::new();
            for record in &records {
                bytes.extend(framed(record, at + bytes.len()));
            }
            proptest::prop_assert!(unframed(&bytes, at) == records);
        }
    }

    #[test]
    fn dates() {
        let check = |seconds: u64, expect: &str| assert_eq!(date_time(Duration::from_secs(seconds)), expect);
        check(0, "19700101_000000");
        check(951_782_400, "20000229_000000");
        check(1_795_285_800, "20261121_183000");
        check(4_107_542_399, "21000228_235959");
    }
}
