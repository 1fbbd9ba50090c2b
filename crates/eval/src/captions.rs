//! BLEU of captions: predictions against references, clip by clip.

use std::collections::HashMap;
use std::path::Path;

use records::{ContentHash, ItemStatus, Score, ScoredItem};
use serde_json::{Map, Value, json};

use crate::bleu::{NgramCounts, Nltk, NltkCounts, Settings};
use crate::scores::{Frame, Label, assemble};
use crate::{Answers, Error, Reject, Result};

/// Which BLEU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Definition {
    /// sacrebleu's.
    Sacrebleu(Settings),
    /// NLTK's, on words that white space separates.
    Nltk(Nltk),
}

/// Reference captions, several a clip allowed, in order of the file.
#[derive(Clone, Debug)]
pub struct References {
    /// Hash of the file.
    pub hash: ContentHash,
    /// Clips in order of first appearance, each with its captions.
    pub clips: Vec<(String, Vec<String>)>,
    /// Rows that could not be used.
    pub rejects: Vec<Reject>,
}

/// BLEU of a set of captions.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptionScore {
    /// BLEU of the summed counts, 0 to 1.
    pub corpus: f64,
    /// Mean over clips of the BLEU of each, 0 to 1.
    pub sentence_mean: f64,
    /// Definition of `corpus`, as sacrebleu prints it.
    pub signature: String,
    /// Definition of `sentence_mean`.
    pub sentence_signature: String,
    /// Clips, each with its status and its BLEU.
    pub clips: Vec<ScoredItem>,
}

impl References {
    /// Reads JSONL rows with `clip` and `text`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] if no row can be used.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
        let mut references = Self { hash: ContentHash::of_bytes(&bytes), clips: Vec::new(), rejects: Vec::new() };
        let mut places: HashMap<String, usize> = HashMap::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match parse(line) {
                Ok((clip, text)) => {
                    let place = *places.entry(clip.clone()).or_insert(references.clips.len());
                    match references.clips.get_mut(place) {
                        Some((_, texts)) => texts.push(text),
                        None => references.clips.push((clip, vec![text])),
                    }
                }
                Err(reason) => references.rejects.push(Reject { line: index + 1, reason }),
            }
        }
        if references.clips.is_empty() {
            let message = "no row with a clip and a text".to_owned();
            return Err(Error::File { path: path.to_path_buf(), message });
        }
        Ok(references)
    }
}

fn parse(line: &[u8]) -> std::result::Result<(String, String), String> {
    let row: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
    let text_of = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
    let clip = text_of("clip").or_else(|| text_of("id")).filter(|clip| !clip.is_empty()).ok_or("no clip")?;
    let text = text_of("text").ok_or("no text")?;
    // An empty reference would make every prediction of the clip worth nothing.
    if text.trim().is_empty() { Err("the text is empty".into()) } else { Ok((clip, text)) }
}

impl Definition {
    /// Scores every clip of the references. A clip whose prediction failed or is missing has the empty caption.
    pub fn score(&self, references: &References, answers: &Answers) -> CaptionScore {
        let texts: Vec<(&str, Vec<&str>)> = references
            .clips
            .iter()
            .map(|(clip, texts)| {
                let answer = answers.of_id.get(clip).and_then(|answer| answer.outcome.as_deref().ok());
                (answer.unwrap_or_default(), texts.iter().map(String::as_str).collect())
            })
            .collect();
        let (corpus, sentences) = self.corpus_and_sentences(&texts);
        let first = references.clips.first().map(|(_, texts)| texts.len());
        let nrefs = first.filter(|n| references.clips.iter().all(|(_, texts)| texts.len() == *n));
        let (signature, sentence_signature) = match self {
            Self::Sacrebleu(settings) => (settings.signature(nrefs, false), settings.signature(nrefs, true)),
            Self::Nltk(method) => (method.signature(nrefs), method.signature(nrefs)),
        };
        let clips = references.clips.iter().zip(&sentences).map(|((clip, _), bleu)| scored(clip, *bleu, answers));
        let sentence_mean = sentences.iter().sum::<f64>() / sentences.len().max(1) as f64;
        CaptionScore { corpus, sentence_mean, signature, sentence_signature, clips: clips.collect() }
    }

    fn corpus_and_sentences(&self, texts: &[(&str, Vec<&str>)]) -> (f64, Vec<f64>) {
        match self {
            Self::Sacrebleu(settings) => {
                let mut sum = NgramCounts::zero(settings.max_order);
                let one = |(prediction, references): &(&str, Vec<&str>)| {
                    let counts = settings.counts(prediction, references);
                    sum.add(&counts);
                    settings.sentence(&counts)
                };
                let sentences = texts.iter().map(one).collect();
                (settings.corpus(&sum), sentences)
            }
            Self::Nltk(method) => {
                let mut sum = NltkCounts::zero();
                let one = |(prediction, references): &(&str, Vec<&str>)| {
                    let counts = Nltk::counts(prediction, references);
                    sum.add(&counts);
                    method.score(&counts)
                };
                let sentences = texts.iter().map(one).collect();
                (method.score(&sum), sentences)
            }
        }
    }
}

fn scored(clip: &str, bleu: f64, answers: &Answers) -> ScoredItem {
    let (status, reason) = match answers.of_id.get(clip).map(|answer| (&answer.outcome, answer.truncated)) {
        None => (ItemStatus::Failed, Some("no prediction".to_owned())),
        Some((Err(reason), _)) => (ItemStatus::Failed, Some(reason.clone())),
        Some((Ok(_), true)) => (ItemStatus::Truncated, None),
        Some((Ok(_), false)) => (ItemStatus::Ok, None),
    };
    let decision = reason.map(|reason| ("reason".to_owned(), json!(reason))).into_iter().collect();
    ScoredItem { id: clip.to_owned(), clip: clip.to_owned(), group: None, status, score: bleu, decision }
}

/// The score file of a BLEU: its value is the mean over clips, as the recipe compares "for each video"; the corpus
/// BLEU is among the details. The answers come back with those to unknown clips among their rejects.
pub fn score(definition: Definition, references: &References, mut answers: Answers, label: &Label) -> (Score, Answers) {
    let clips: std::collections::HashSet<&str> = references.clips.iter().map(|(clip, _)| clip.as_str()).collect();
    answers.keep_known(|clip| clips.contains(clip), "clip");
    let scored = definition.score(references, &answers);
    let count = |status: ItemStatus| scored.clips.iter().filter(|item| item.status == status).count();
    let (failed, truncated) = (count(ItemStatus::Failed), count(ItemStatus::Truncated));
    let mut caveats = vec![
        "BLEU counts words in common; definitions of it differ threefold on the same text. Compare only equal signatures.".to_owned(),
    ];
    if failed > 0 {
        caveats.push(format!("{failed} clips have no caption (failed or missing) and are scored as the empty text."));
    }
    if truncated > 0 {
        caveats.push(format!("{truncated} captions were cut at the token limit."));
    }
    let details = Map::from_iter([
        ("corpus".to_owned(), json!(scored.corpus)),
        ("corpus_signature".to_owned(), json!(scored.signature)),
        ("sentence_signature".to_owned(), json!(scored.sentence_signature)),
        ("failed".to_owned(), json!(failed)),
        ("truncated".to_owned(), json!(truncated)),
        ("rejected_rows".to_owned(), json!(answers.rejects.len())),
        ("duplicate_rows".to_owned(), json!(answers.duplicates.len())),
    ]);
    let frame = Frame {
        metric: "bleu",
        signature: format!("sentence-mean|{}", scored.sentence_signature),
        label,
        predictions_hash: answers.hash.clone(),
        references_hash: references.hash.clone(),
        items_expected: references.clips.len(),
        groups: Vec::new(),
    };
    (assemble(frame, scored.clips, details, caveats), answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_without_a_caption_count_as_empty() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let references = write(
            "r.jsonl",
            "{\"clip\":\"a\",\"text\":\"a car turns left here\"}\n{\"clip\":\"b\",\"text\":\"a bus stops\"}\n{\"clip\":\"c\",\"text\":\"\"}\n\
             {\"clip\":\"a\",\"text\":\"one car turns left now\"}\n",
        );
        let predictions =
            write("p.jsonl", "{\"clip\":\"a\",\"text\":\"a car turns left here\"}\n{\"clip\":\"x\",\"text\":\"y\"}\n");
        let references = References::read(&references).unwrap();
        assert_eq!(references.rejects, [Reject { line: 3, reason: "the text is empty".into() }]);
        let answers = Answers::read(&predictions, &["clip", "id"]).unwrap();
        let label = Label {
            dataset: "AV_CAPTION".into(),
            model_name: "m".into(),
            checkpoint: "m".into(),
            step: None,
            weight_hash: None,
        };
        let (score, _) = score(Definition::Sacrebleu(Settings::default()), &references, answers, &label);
        assert!((score.value.unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(score.signature, "sentence-mean|nrefs:var|case:mixed|eff:yes|tok:13a|smooth:exp|version:2.6.0");
        assert_eq!((score.items[1].status, score.details["rejected_rows"].as_u64()), (ItemStatus::Failed, Some(1)));
    }
}
