//! Example clips: what each checkpoint said, beside the reference.

use std::path::Path;

use records::Score;
use serde::Serialize;

use crate::run::Run;

/// Clips shown of each kind.
const OF_EACH: usize = 2;

/// A clip with its captions.
#[derive(Debug, Serialize)]
pub(crate) struct Example {
    pub(crate) clip: String,
    /// Why this clip is here.
    pub(crate) why: &'static str,
    /// Data URI of a strip of frames.
    pub(crate) strip: Option<String>,
    pub(crate) references: Vec<String>,
    pub(crate) captions: Vec<Caption>,
}

/// What a checkpoint said.
#[derive(Debug, Serialize)]
pub(crate) struct Caption {
    pub(crate) checkpoint: String,
    /// None if it failed or is not there.
    pub(crate) text: Option<String>,
    /// BLEU of this caption.
    pub(crate) score: Option<String>,
    /// Whether it is the base model's or the recommended one's: always in view.
    pub(crate) prominent: bool,
}

/// Chooses clips by the change of their BLEU from the base model to the recommended checkpoint: the largest gains, the
/// largest losses and the median. Without both, the first of the references.
pub(crate) fn examples(
    run: &Run,
    scores: &[&Score],
    recommended: Option<&str>,
    strip: &mut dyn FnMut(&Path) -> Option<Vec<u8>>,
) -> Vec<Example> {
    let base = scores.iter().find(|s| s.step.is_none());
    let chosen = scores.iter().find(|s| recommended == Some(s.checkpoint.as_str()));
    let captions: Vec<_> = scores.iter().map(|s| (*s, run.captions(&s.checkpoint, &s.dataset))).collect();
    let mut examples = Vec::new();
    for (clip, why) in chosen_clips(run, base.copied(), chosen.copied()) {
        let said = captions.iter().map(|(score, of_clip)| Caption {
            checkpoint: score.checkpoint.clone(),
            text: of_clip.get(&clip).cloned().flatten(),
            score: score.items.iter().find(|item| item.id == clip).map(|item| format!("{:.2}", item.score)),
            prominent: score.step.is_none() || recommended == Some(score.checkpoint.as_str()),
        });
        let request = run.caption_requests.iter().find(|request| request.id == clip);
        let video = request.map(|request| run.dir.join("benchmark").join(&request.video));
        examples.push(Example {
            why,
            strip: video.and_then(|video| strip(&video)).map(|png| crate::page::data_uri(&png)),
            references: run.references.get(&clip).cloned().unwrap_or_default(),
            captions: said.collect(),
            clip,
        });
    }
    examples
}

fn chosen_clips(run: &Run, base: Option<&Score>, chosen: Option<&Score>) -> Vec<(String, &'static str)> {
    let (Some(base), Some(chosen)) = (base, chosen) else {
        return run.references.keys().take(2 * OF_EACH).map(|clip| (clip.clone(), "one of the first")).collect();
    };
    let before = |id: &str| base.items.iter().find(|item| item.id == id).map(|item| item.score);
    let mut changes: Vec<(f64, &str)> =
        chosen.items.iter().filter_map(|item| Some((item.score - before(&item.id)?, item.id.as_str()))).collect();
    changes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let count = changes.len();
    let middle = count / 2;
    let places = (0..OF_EACH)
        .map(|at| (at, "largest gain in BLEU"))
        .chain((0..OF_EACH).map(|at| (middle + at, "median change in BLEU")))
        .chain((0..OF_EACH).rev().map(|at| (count.wrapping_sub(at + 1), "largest loss (or least gain) in BLEU")));
    let mut seen = Vec::new();
    for (at, why) in places {
        if let Some((_, clip)) = changes.get(at)
            && !seen.iter().any(|(name, _)| name == clip)
        {
            seen.push(((*clip).to_owned(), why));
        }
    }
    seen
}
