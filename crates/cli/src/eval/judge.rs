//! Lingo-Judge of `infer`, as the judge that `eval` asks for.

use ::eval::lingoqa::{Judge, JudgeInput, Judged, OfflineStandIn};
use ::infer::LingoJudge;
use std::path::Path;
use tensor::Device;

/// The judge of a folder.
struct FolderJudge(LingoJudge);

impl Judge for FolderJudge {
    fn signature(&self) -> String {
        self.0.signature()
    }

    fn logits(&mut self, pairs: &[JudgeInput<'_>]) -> ::eval::Result<Vec<Judged>> {
        let pairs: Vec<_> = pairs.iter().map(|pair| (pair.question, pair.reference, pair.prediction)).collect();
        let logits = self.0.logits(&pairs).map_err(|error| ::eval::Error::Judge(error.to_string()))?;
        let judged = logits.into_iter().map(|one| Judged {
            logit: f64::from(one.logit),
            tokens: one.tokens,
            truncated: one.dropped_tokens > 0,
            dropped_tokens: one.dropped_tokens,
            special_tokens: one.special_tokens,
        });
        Ok(judged.collect())
    }
}

/// The judge of a folder, or the labelled stand-in.
pub(super) fn open(folder: Option<&Path>) -> Result<Box<dyn Judge>, Box<dyn std::error::Error>> {
    match folder {
        Some(folder) => Ok(Box::new(FolderJudge(LingoJudge::open(folder, &Device::Cpu)?))),
        None => Ok(Box::new(OfflineStandIn)),
    }
}
