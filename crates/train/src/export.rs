//! Metrics for other people's tools: TensorBoard event files and offline runs of Weights & Biases.
//!
//! metrics.jsonl stays the source of truth. An attempt at a run (a start, or a resumption) writes files of its own, so that
//! nothing written before is touched; every record is handed to the operating system at once, so that a tool can read
//! along and a kill loses nothing.

mod proto;
mod tensorboard;
mod wandb;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

use crate::{Logger, Plan, Result};
use tensorboard::EventFile;
use wandb::WandbFile;

/// The open files of this attempt.
#[derive(Debug, Default)]
pub struct Exports {
    tensorboard: Option<EventFile>,
    wandb: Option<WandbFile>,
    /// Metrics of a step that is to be completed by a further record of it.
    held: Vec<(String, f64)>,
}

impl Exports {
    /// Opens what the plan asks for, for an attempt that goes on after `step` steps.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if a file cannot be made.
    pub fn open(plan: &Plan, step: u64) -> Result<Self> {
        let now = since_epoch();
        let dir = &plan.output_dir;
        Ok(Self {
            tensorboard: match plan.loggers.contains(&Logger::Tensorboard) {
                true => Some(EventFile::create(&dir.join("tensorboard"), step, now)?),
                false => None,
            },
            wandb: match plan.loggers.contains(&Logger::Wandb) {
                true => Some(WandbFile::create(&dir.join("wandb"), plan, step, now)?),
                false => None,
            },
            held: Vec::new(),
        })
    }

    /// Keeps the numbers of a step for the [`Exports::record`] of the same step that follows: W&B takes one row a step and
    /// moves a second one to the next.
    pub fn hold(&mut self, rows: &[&dyn Row]) {
        self.held.extend(rows.iter().flat_map(|row| row.metrics()));
    }

    /// Adds the numbers of a step, with those that were held; `rows` are flat records whose numbers are the metrics.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn record(&mut self, step: u64, rows: &[&dyn Row]) -> Result<()> {
        let mut metrics = std::mem::take(&mut self.held);
        metrics.extend(rows.iter().flat_map(|row| row.metrics()));
        let now = since_epoch();
        if let Some(file) = &mut self.tensorboard {
            file.scalars(step, &metrics, now)?;
        }
        if let Some(file) = &mut self.wandb {
            file.history(step, &metrics, now)?;
        }
        Ok(())
    }

    /// Ends the attempt; the exit code is 0 where all went well.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn finish(&mut self, exit_code: u64) -> Result<()> {
        let now = since_epoch();
        match &mut self.wandb {
            Some(file) => file.exit(exit_code, now),
            None => Ok(()),
        }
    }
}

/// A record of numbers.
pub trait Row {
    /// Names and values of its finite numbers; a truth value is 0 or 1; the step is not one of them.
    fn metrics(&self) -> Vec<(String, f64)>;
}

impl<T: Serialize> Row for T {
    fn metrics(&self) -> Vec<(String, f64)> {
        let Ok(Value::Object(fields)) = serde_json::to_value(self) else { return Vec::new() };
        let number = |value: Value| match value {
            Value::Number(number) => number.as_f64(),
            Value::Bool(is) => Some(f64::from(u8::from(is))),
            _ => None,
        };
        let named = fields.into_iter().filter(|(name, _)| name != "step");
        named.filter_map(|(name, value)| Some((name, number(value)?))).collect()
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A file that is appended to and flushed after every record.
fn create(path: &Path) -> Result<std::fs::File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| crate::Error::io(folder, "create", e))?;
    }
    std::fs::File::create(path).map_err(|e| crate::Error::io(path, "create", e))
}

#[cfg(test)]
mod tests;
