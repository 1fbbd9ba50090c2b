//! What is right: answers from a file or a model, attached to a draft.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use records::BenchmarkItem;
use serde::{Deserialize, Serialize};

use crate::{DraftItem, Error, Reject, Result, pool::fold, read_draft};

/// What an answerer says of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This choice: a place in the order shown, 0 to 3.
    Choice(u8),
    /// The clip does not say.
    CannotTell,
    /// There is no usable answer, for this reason.
    None(String),
}

/// Someone who knows what is right.
pub trait Answerer {
    /// Answers one item.
    ///
    /// # Errors
    /// [`Error::Answerer`] if it makes no sense to ask on.
    fn answer(&self, item: &DraftItem) -> Result<Answer>;
}

/// An item that got no answer: a line of `dropped.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Name of the item.
    pub id: String,
    /// `no_answer`, `cannot_be_determined`, or what was wrong with the answer.
    pub reason: String,
}

/// What came of attaching answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerSummary {
    /// Items with an answer.
    pub answered: usize,
    /// Items without, by reason.
    pub dropped: BTreeMap<String, usize>,
}

/// Asks `answerer` about every item of the draft in `dir` and writes `answered.jsonl` and `dropped.jsonl` there. An
/// item without an answer is left out of the benchmark, and counted.
///
/// # Errors
/// Those of [`read_draft`] and of the answerer.
pub fn attach_answers(dir: &Path, answerer: &dyn Answerer, source: &str) -> Result<AnswerSummary> {
    let (draft, items) = read_draft(dir)?;
    let mut answered: Vec<BenchmarkItem> = Vec::new();
    let mut dropped = Vec::new();
    let mut summary = AnswerSummary::default();
    for item in items {
        let reason = match answerer.answer(&item)? {
            Answer::Choice(place) if place < 4 => {
                answered.push(item.answered(place, source, draft.prompt_version));
                continue;
            }
            Answer::Choice(_) => "no_such_choice".to_owned(),
            Answer::CannotTell => "cannot_be_determined".to_owned(),
            Answer::None(reason) => reason,
        };
        *summary.dropped.entry(reason.clone()).or_default() += 1;
        dropped.push(Dropped { id: item.id, reason });
    }
    summary.answered = answered.len();
    records::write_jsonl_atomic(&dir.join("dropped.jsonl"), &dropped)?;
    records::write_jsonl_atomic(&dir.join("answered.jsonl"), &answered)?;
    Ok(summary)
}

/// Answers from JSON Lines `{"clip", "question_id", "answer"}`: a letter (of the order shown), the text of an option,
/// its place in the pool's order (a number from 0), or null or "cannot be determined". Other keys are ignored.
#[derive(Debug)]
pub struct AnswerFile {
    given: HashMap<(String, String), Vec<Given>>,
    /// Lines that are no answers.
    pub rejects: Vec<Reject>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Given {
    Place(u64),
    Text(String),
    Nothing(()),
}

#[derive(Deserialize)]
struct Line {
    clip: String,
    question_id: String,
    #[serde(default = "nothing")]
    answer: Given,
}

fn nothing() -> Given {
    Given::Nothing(())
}

impl AnswerFile {
    /// Reads a file of answers.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path, "read"))?;
        let mut file = Self { given: HashMap::new(), rejects: Vec::new() };
        for (index, line) in bytes.split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty())
        {
            match serde_json::from_slice::<Line>(line) {
                Ok(line) => file.given.entry((line.clip, line.question_id)).or_default().push(line.answer),
                Err(e) => file.rejects.push(Reject {
                    file: path.display().to_string(),
                    line: index + 1,
                    reason: e.to_string(),
                }),
            }
        }
        Ok(file)
    }

    /// Number of (clip, question) pairs that the file answers.
    pub fn len(&self) -> usize {
        self.given.len()
    }

    /// Whether it answers none.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }
}

impl Answerer for AnswerFile {
    fn answer(&self, item: &DraftItem) -> Result<Answer> {
        let Some(given) = self.given.get(&(item.clip.clone(), item.question_id.clone())) else {
            return Ok(Answer::None("no_answer".into()));
        };
        let mut answers: Vec<Answer> = Vec::new();
        for one in given {
            let answer = resolve(one, item);
            if !answers.contains(&answer) {
                answers.push(answer);
            }
        }
        Ok(match answers.as_slice() {
            [one] => one.clone(),
            _ => Answer::None("contradicting_answers".into()),
        })
    }
}

fn resolve(given: &Given, item: &DraftItem) -> Answer {
    match given {
        Given::Nothing(()) => Answer::CannotTell,
        Given::Place(place) => match item.permutation.iter().position(|&p| u64::from(p) == *place) {
            Some(shown) => Answer::Choice(shown as u8),
            None => Answer::None("no_such_choice".into()),
        },
        Given::Text(text) => of_text(text, item),
    }
}

/// The text of an option, else a letter, bare or in brackets.
pub(crate) fn of_text(text: &str, item: &DraftItem) -> Answer {
    let folded = fold(text);
    let bare = folded.trim_end_matches('.');
    let option = item.options.iter().position(|o| fold(o) == folded || fold(o) == bare);
    let letter = match bare.trim_start_matches('(').trim_end_matches([')', '.', ':']).as_bytes() {
        [letter @ b'a'..=b'd'] => Some(usize::from(letter - b'a')),
        _ => None,
    };
    let cannot: BTreeSet<&str> =
        ["", "cannot be determined", "cannot determine", "unknown", "cannot tell"].into_iter().collect();
    match option.or(letter) {
        Some(place) => Answer::Choice(place as u8),
        None if cannot.contains(bare) => Answer::CannotTell,
        None => Answer::None("no_such_choice".into()),
    }
}
