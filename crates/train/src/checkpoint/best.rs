//! Which checkpoint has the lowest validation loss.

use std::path::Path;

use records::jsonl;
use serde::Serialize;

use super::{Checkpoints, write_json};
use crate::logs::VALIDATION_FILE;
use crate::{Result, ValidationMetrics};

/// The content of best.json.
#[derive(Debug, Serialize)]
struct Best<'a> {
    step: u64,
    /// Name of its folder.
    checkpoint: &'a str,
    metric: &'static str,
    value: f64,
}

/// The validation losses that a run has logged, by step.
///
/// # Errors
/// [`crate::Error::Record`] if the log cannot be read.
pub fn validation_losses(output_dir: &Path) -> Result<Vec<(u64, f64)>> {
    let path = output_dir.join(VALIDATION_FILE);
    let rows = if path.exists() { jsonl::read::<ValidationMetrics>(&path)?.records } else { Vec::new() };
    Ok(rows.into_iter().filter_map(|row| Some((row.step, row.avg_loss?))).collect())
}

impl Checkpoints {
    /// Finds the checkpoint with the lowest of the given losses, writes best.json, and returns its step; none if no
    /// checkpoint was measured. Of equal ones the earlier is best.
    ///
    /// # Errors
    /// [`crate::Error::Io`] or [`crate::Error::Weights`] of the file system.
    pub fn record_best(&self, losses: &[(u64, f64)]) -> Result<Option<u64>> {
        let saved = self.list()?;
        let is_saved = |step: u64| saved.iter().find(|(saved, _)| *saved == step);
        let measured = losses.iter().filter(|(_, loss)| loss.is_finite());
        let candidates = measured.filter_map(|(step, loss)| Some((is_saved(*step)?, *loss)));
        let Some(((step, dir), value)) = candidates.min_by(|(_, a), (_, b)| a.total_cmp(b)) else { return Ok(None) };
        let checkpoint = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        write_json(&self.dir.join("best.json"), &Best { step: *step, checkpoint, metric: "val/avg_loss", value })?;
        Ok(Some(*step))
    }
}
