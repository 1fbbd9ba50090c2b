//! TensorBoard event files: TFRecords of `tensorflow.Event`.
//!
//! Source: `tensorboard/compat/proto/event.proto` and `summary.proto`; the frame of a record is that of TensorFlow's
//! `record_writer`: length, masked CRC-32C of the length, data, masked CRC-32C of the data.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::proto::Message;
use crate::{Error, Result};

/// One event file.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file in `dir`. Of an attempt that goes on after `step`, TensorBoard forgets what an earlier file says of
    /// later steps.
    pub fn create(dir: &Path, step: u64, now: Duration) -> Result<Self> {
        let name = format!("events.out.tfevents.{:010}.roadscribe.{}.{step}", now.as_secs(), std::process::id());
        let path = dir.join(name);
        let mut events = Self { file: super::create(&path)?, path };
        events.write(&event(0, now).text(3, "brain.Event:2"))?;
        if step > 0 {
            const START: u64 = 1;
            events.write(&event(step + 1, now).message(7, &Message::default().integer(1, START)))?;
        }
        Ok(events)
    }

    /// One event with a scalar for every metric.
    pub fn scalars(&mut self, step: u64, metrics: &[(String, f64)], now: Duration) -> Result<()> {
        let mut summary = Message::default();
        for (name, value) in metrics {
            summary = summary.message(1, &Message::default().text(1, name).float(2, *value as f32));
        }
        self.write(&event(step, now).message(5, &summary))
    }

    fn write(&mut self, event: &Message) -> Result<()> {
        let record = framed(&event.bytes);
        let written = self.file.write_all(&record);
        written.map_err(|e| Error::io(&self.path, "write", e))
    }
}

fn event(step: u64, now: Duration) -> Message {
    Message::default().double(1, now.as_secs_f64()).integer(2, step)
}

fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend_from_slice(&masked(&length).to_le_bytes());
    record.extend_from_slice(data);
    record.extend_from_slice(&masked(data).to_le_bytes());
    record
}

fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_of_a_record() {
        // TensorFlow's own writer frames the version event of a file like this.
        let event = event(0, Duration::ZERO).text(3, "brain.Event:2");
        assert_eq!(event.bytes.len(), 9 + 2 + 15);
        let record = framed(&event.bytes);
        assert_eq!(record.len(), 8 + 4 + 26 + 4);
        assert_eq!(record[..8], 26u64.to_le_bytes());
        // CRC-32C of nine digits is e3069283 (RFC 3720).
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(b"123456789"), 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }
}
