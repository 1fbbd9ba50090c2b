//! The logs of a run: one line a step, cut back to the checkpoint that a resumed run goes on from.

use std::path::Path;

use records::jsonl::Writer;
use serde::{Deserialize, Serialize};

use crate::{Result, StepMetrics, StepTiming, ValidationMetrics};

/// Name of the log of validation losses.
pub const VALIDATION_FILE: &str = "validation.jsonl";

/// The log files of a run.
#[derive(Debug)]
pub struct Logs {
    metrics: Writer,
    samples: Writer,
    rejects: Writer,
    timing: Writer,
    validation: Writer,
}

/// Lengths of the logs in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLengths {
    metrics: u64,
    samples: u64,
    rejects: u64,
    timing: u64,
    #[serde(default)]
    validation: u64,
}

/// A line of samples.jsonl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRow {
    /// Step, from 1.
    pub step: u64,
    /// Ids of the samples used, in order.
    pub samples: Vec<String>,
}

/// A line of rejects.jsonl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectRow {
    /// Step, from 1.
    pub step: u64,
    /// Id of the sample.
    pub id: String,
    /// Why it was left out.
    pub reason: String,
}

impl Logs {
    /// Opens the logs of a folder behind what they held at a checkpoint; all zeros empties them.
    ///
    /// # Errors
    /// [`crate::Error::Record`] if a file cannot be written or is shorter than it was at the checkpoint.
    pub fn open(dir: &Path, at: LogLengths) -> Result<Self> {
        Ok(Self {
            metrics: Writer::append_at(&dir.join("metrics.jsonl"), at.metrics)?,
            samples: Writer::append_at(&dir.join("samples.jsonl"), at.samples)?,
            rejects: Writer::append_at(&dir.join("rejects.jsonl"), at.rejects)?,
            timing: Writer::append_at(&dir.join("timing.jsonl"), at.timing)?,
            validation: Writer::append_at(&dir.join(VALIDATION_FILE), at.validation)?,
        })
    }

    /// Records a step; the lines survive a kill of the process.
    ///
    /// # Errors
    /// [`crate::Error::Record`].
    pub fn record(
        &mut self,
        metrics: &StepMetrics,
        timing: &StepTiming,
        samples: Vec<String>,
        rejects: &[RejectRow],
    ) -> Result<()> {
        self.metrics.write(metrics)?;
        self.timing.write(timing)?;
        self.samples.write(&SampleRow { step: metrics.step, samples })?;
        for reject in rejects {
            self.rejects.write(reject)?;
        }
        for log in self.all() {
            log.flush()?;
        }
        Ok(())
    }

    /// Records a measurement of the validation loss.
    ///
    /// # Errors
    /// [`crate::Error::Record`].
    pub fn record_validation(&mut self, metrics: &ValidationMetrics) -> Result<()> {
        self.validation.write(metrics)?;
        Ok(self.validation.flush()?)
    }

    /// Waits until the logs are on the disk; their lengths belong into the checkpoint that follows.
    ///
    /// # Errors
    /// [`crate::Error::Record`].
    pub fn sync(&mut self) -> Result<LogLengths> {
        for log in self.all() {
            log.sync()?;
        }
        Ok(LogLengths {
            metrics: self.metrics.len_bytes(),
            samples: self.samples.len_bytes(),
            rejects: self.rejects.len_bytes(),
            timing: self.timing.len_bytes(),
            validation: self.validation.len_bytes(),
        })
    }

    fn all(&mut self) -> [&mut Writer; 5] {
        [&mut self.metrics, &mut self.samples, &mut self.rejects, &mut self.timing, &mut self.validation]
    }
}
