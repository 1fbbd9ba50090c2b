//! What a checkpoint holds beyond the exported model: all that the next step depends on.

use std::collections::BTreeMap;
use std::path::Path;

use models::{Params, Vlm};
use records::ContentHash;
use serde::{Deserialize, Serialize};
use tensor::Tensor;
use weights::{Entry, SafetensorsFile};

use crate::logs::LogLengths;
use crate::mix::Drawn;
use crate::optimizer::Moments;
use crate::{Error, Result};

/// Path of the state's text in a checkpoint.
pub(super) const STATE_FILE: &str = "state/state.json";
/// Paths of the tensors: weights, first and second moments, all f32.
const PARAMS_FILE: &str = "state/params.safetensors";
const FIRST_FILE: &str = "state/first_moments.safetensors";
const SECOND_FILE: &str = "state/second_moments.safetensors";

/// Where a run stands. With the weights and moments beside it, and the recipe, it determines every later step: the
/// sample order is a function of seed and step, and nothing else is random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Steps done.
    pub step: u64,
    /// Steps whose update was made; AdamW counts these.
    pub updates: u64,
    /// Steps of the whole run.
    pub steps_total: u64,
    /// Lengths of the logs.
    pub logs: LogLengths,
    /// Samples drawn from each data set so far.
    #[serde(default)]
    pub drawn: Vec<Drawn>,
    /// Hash of the recipe; a run may be resumed under the same one only.
    pub plan_hash: ContentHash,
    /// The recipe, to say what changed when it is another.
    pub recipe: serde_json::Value,
}

/// Names and tensors of the three files.
pub(super) fn tensor_files<'a>(params: &'a Params, moments: &'a Moments) -> [(&'static str, Vec<Entry<'a>>); 3] {
    let entries = |tensors: &'a [Tensor]| params.names().zip(tensors).map(|(name, t)| Entry::new(name, t)).collect();
    [
        (PARAMS_FILE, entries(params.tensors())),
        (FIRST_FILE, entries(&moments.first)),
        (SECOND_FILE, entries(&moments.second)),
    ]
}

pub(super) fn save_tensors(dir: &Path, file: &str, entries: &[Entry]) -> Result<()> {
    weights::save_tensors(&dir.join(file), entries, &BTreeMap::new())?;
    Ok(())
}

/// Loads a verified checkpoint: the model with its exact f32 weights, the moments, and where the run stood.
///
/// # Errors
/// [`Error::Checkpoint`] if the state is not readable, [`Error::Weights`] or [`Error::Model`] if a tensor is missing or
/// has another shape.
pub fn restore(dir: &Path, vlm: &mut Vlm) -> Result<(Moments, RunState)> {
    let path = dir.join(STATE_FILE);
    let text = std::fs::read(&path).map_err(|e| Error::io(&path, "read", e))?;
    let state = serde_json::from_slice(&text)
        .map_err(|e| Error::Checkpoint { path: path.clone(), message: format!("not a training state: {e}") })?;
    let mut moments = Moments::zeros(&vlm.params);
    let names: Vec<String> = vlm.params.names().map(str::to_owned).collect();
    load(&dir.join(PARAMS_FILE), &names, vlm.params.tensors_mut())?;
    load(&dir.join(FIRST_FILE), &names, &mut moments.first)?;
    load(&dir.join(SECOND_FILE), &names, &mut moments.second)?;
    Ok((moments, state))
}

fn load(path: &Path, names: &[String], tensors: &mut [Tensor]) -> Result<()> {
    let file = SafetensorsFile::open(path)?;
    for (name, tensor) in names.iter().zip(tensors) {
        let loaded = file.load(name, &tensor.device())?;
        if loaded.shape() != tensor.shape() {
            let message = format!("{name} has shape {:?}, the model {:?}", loaded.shape(), tensor.shape());
            return Err(Error::Checkpoint { path: path.to_path_buf(), message });
        }
        *tensor = loaded;
    }
    Ok(())
}
