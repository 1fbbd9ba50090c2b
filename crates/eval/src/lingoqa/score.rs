//! The score: the largest logit over the references, above 0, over all questions.

use std::collections::HashMap;

use records::{ItemStatus, Score, ScoredItem};
use serde_json::{Map, Value, json};

use super::predictions::joined;
use super::question_type::TYPES;
use super::{
    Judge, JudgeInput, Judged, LICENCE_NOTICE, PUBLISHED_QUESTIONS, QUESTION_TYPES_VERSION, Question, References,
    question_type,
};
use crate::scores::{Frame, Label, assemble};
use crate::{Answer, Answers, Error, Result};

/// A logit nearer to 0 than this may change its sign with the arithmetic.
const CLOSE: f64 = 0.05;
/// Pairs that are judged at once.
const BATCH_PAIRS: usize = 32;

/// What is scored.
#[derive(Debug)]
pub struct LingoInput<'a> {
    /// The questions.
    pub references: &'a References,
    /// The answers.
    pub answers: Answers,
    /// Lines whose answer is an empty cell or a word for nothing.
    pub doubtful_lines: Vec<usize>,
    /// Whether a part of the questions may be scored.
    pub subset: bool,
}

/// Scores answers; they come back with those to unknown questions among their rejects. `progress` hears how many pairs of how many are judged.
///
/// # Errors
/// [`Error::Incomplete`] if a question has no prediction, or several, and `subset` is not set; [`Error::Judge`].
pub fn score(
    mut input: LingoInput<'_>,
    judge: &mut dyn Judge,
    label: &Label,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Score, Answers)> {
    let questions = &input.references.questions;
    let by_question: HashMap<String, String> =
        questions.iter().map(|q| (q.question_id.clone(), joined(&q.question_id, &q.segment_id))).collect();
    rename(&mut input.answers, &by_question);
    let known: std::collections::HashSet<&String> = by_question.values().collect();
    input.answers.keep_known(|id| known.contains(&id.to_owned()), "question (id and segment)");
    let chosen = choose(&input)?;
    let judged = judge_all(&chosen, judge, progress)?;
    let items: Vec<ScoredItem> =
        chosen.iter().zip(&judged).map(|((question, answer), judged)| scored(question, answer, judged)).collect();
    let complete = chosen.len() == questions.len();
    let set = if complete { format!("n:{}", questions.len()) } else { format!("subset n={}", chosen.len()) };
    let frame = Frame {
        metric: "lingoqa",
        signature: format!("{}|aggregate:max|threshold:>0|{set}", judge.signature()),
        label,
        predictions_hash: input.answers.hash.clone(),
        references_hash: input.references.hash.clone(),
        items_expected: questions.len(),
        groups: TYPES.map(str::to_owned).to_vec(),
    };
    let details = details(&input, &chosen, &items, &judged);
    let caveats = caveats(&input, judge, &chosen, &judged);
    Ok((assemble(frame, items, details, caveats), input.answers))
}

/// Our own records name a question alone; a CSV names question and segment.
fn rename(answers: &mut Answers, by_question: &HashMap<String, String>) {
    let old = std::mem::take(&mut answers.of_id);
    for (id, answer) in old {
        let id = by_question.get(&id).cloned().unwrap_or(id);
        answers.of_id.insert(id.clone(), Answer { id, ..answer });
    }
}

type Chosen<'a> = Vec<(&'a Question, &'a Answer)>;

/// Questions with their answers; all of them, unless a subset is allowed.
fn choose<'a>(input: &'a LingoInput<'a>) -> Result<Chosen<'a>> {
    let questions = &input.references.questions;
    let answer_of = |q: &Question| input.answers.of_id.get(&joined(&q.question_id, &q.segment_id));
    let chosen: Chosen = questions.iter().filter_map(|q| Some((q, answer_of(q)?))).collect();
    let missing: Vec<&str> =
        questions.iter().filter(|q| answer_of(q).is_none()).map(|q| q.question_id.as_str()).collect();
    let (duplicates, rejects) = (&input.answers.duplicates, &input.answers.rejects);
    if !input.subset && !(missing.is_empty() && duplicates.is_empty() && rejects.is_empty()) {
        let mut detail = String::new();
        if let Some(first) = missing.first() {
            detail += &format!("; {} have no prediction, the first is {first:?}", missing.len());
        }
        if let Some(first) = duplicates.first() {
            detail += &format!("; {} rows are duplicates, the first: {first}", duplicates.len());
        }
        if let Some(first) = rejects.first() {
            detail += &format!("; {} rows cannot be used, the first: {first}", rejects.len());
        }
        let (path, expected) = (input.answers.path.clone(), questions.len());
        return Err(Error::Incomplete { path, matched: chosen.len(), expected, detail });
    }
    Ok(chosen)
}

/// Judges every answer against every reference of its question; a failed answer is not judged.
fn judge_all(
    chosen: &Chosen<'_>,
    judge: &mut dyn Judge,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Vec<Judged>>> {
    let mut pairs = Vec::new();
    for (place, (question, answer)) in chosen.iter().enumerate() {
        if let Ok(prediction) = &answer.outcome {
            let pair = |reference| (place, JudgeInput { question: &question.question, reference, prediction });
            pairs.extend(question.answers.iter().map(|reference| pair(reference.as_str())));
        }
    }
    let mut judged = vec![Vec::new(); chosen.len()];
    for (batch, of_batch) in pairs.chunks(BATCH_PAIRS).enumerate() {
        let inputs: Vec<JudgeInput> = of_batch.iter().map(|(_, pair)| *pair).collect();
        let logits = judge.logits(&inputs)?;
        if logits.len() != inputs.len() || logits.iter().any(|one| !one.logit.is_finite()) {
            return Err(Error::Judge("it gave no number for a pair; its weights may be damaged".into()));
        }
        for ((place, _), one) in of_batch.iter().zip(logits) {
            judged[*place].push(one);
        }
        progress((batch * BATCH_PAIRS + of_batch.len()).min(pairs.len()), pairs.len());
    }
    Ok(judged)
}

fn best(judged: &[Judged]) -> Option<f64> {
    judged.iter().map(|one| one.logit).max_by(f64::total_cmp)
}

fn scored(question: &Question, answer: &Answer, judged: &[Judged]) -> ScoredItem {
    let logit = best(judged);
    let (status, decision) = match (&answer.outcome, logit) {
        (Ok(_), Some(logit)) => {
            let status = if answer.truncated { ItemStatus::Truncated } else { ItemStatus::Ok };
            let decision = json!({
                "logit": logit,
                "logits": judged.iter().map(|one| one.logit).collect::<Vec<_>>(),
                "tokens": judged.iter().map(|one| one.tokens).collect::<Vec<_>>(),
                "dropped_tokens": judged.iter().map(|one| one.dropped_tokens).collect::<Vec<_>>(),
                "special_tokens": judged.iter().map(|one| one.special_tokens).max(),
            });
            (status, decision)
        }
        (Err(reason), _) => (ItemStatus::Failed, json!({"reason": reason})),
        (Ok(_), None) => (ItemStatus::Failed, json!({"reason": "the question has no reference"})),
    };
    let decision = if let Value::Object(decision) = decision { decision } else { Map::new() };
    ScoredItem {
        id: question.question_id.clone(),
        clip: question.segment_id.clone(),
        group: Some(question_type(&question.question).to_owned()),
        status,
        score: f64::from(u8::from(logit.is_some_and(|logit| logit > 0.0))),
        decision,
    }
}

fn details(
    input: &LingoInput<'_>,
    chosen: &Chosen<'_>,
    items: &[ScoredItem],
    judged: &[Vec<Judged>],
) -> Map<String, Value> {
    let all: Vec<&Judged> = judged.iter().flatten().collect();
    let truncated = all.iter().filter(|one| one.truncated).count();
    let is_close = |judged: &[Judged]| best(judged).is_some_and(|logit| logit.abs() < CLOSE);
    let close: Vec<&str> =
        items.iter().zip(judged).filter(|(_, judged)| is_close(judged)).map(|(item, _)| item.id.as_str()).collect();
    let words = |text: &str| text.split_whitespace().count() as f64;
    let answers: Vec<f64> =
        chosen.iter().filter_map(|(_, answer)| answer.outcome.as_ref().ok()).map(|text| words(text)).collect();
    let references: Vec<f64> = chosen.iter().flat_map(|(q, _)| &q.answers).map(|text| words(text)).collect();
    let value = json!({
        "questions": chosen.len(),
        "failed": items.iter().filter(|item| item.status == ItemStatus::Failed).count(),
        "pairs_judged": all.len(),
        "pairs_truncated": truncated,
        "truncation_rate": if all.is_empty() { 0.0 } else { truncated as f64 / all.len() as f64 },
        "close_to_zero": close,
        "answer_words": lengths(answers),
        "reference_words": lengths(references),
        "question_types": QUESTION_TYPES_VERSION,
        "empty_or_none_lines": input.doubtful_lines,
        "rejected_rows": input.answers.rejects.len(),
        "duplicate_rows": input.answers.duplicates.len(),
        "licence": LICENCE_NOTICE,
    });
    if let Value::Object(details) = value { details } else { Map::new() }
}

fn lengths(mut words: Vec<f64>) -> Value {
    words.sort_by(f64::total_cmp);
    let count = words.len();
    if count == 0 {
        return Value::Null;
    }
    json!({
        "mean": words.iter().sum::<f64>() / count as f64,
        "median": words.get(count / 2),
        "longest": words.last(),
    })
}

fn caveats(input: &LingoInput<'_>, judge: &dyn Judge, chosen: &Chosen<'_>, judged: &[Vec<Judged>]) -> Vec<String> {
    let mut caveats = judge.caveats();
    let expected = input.references.questions.len();
    if chosen.len() != expected {
        caveats.push(format!(
            "subset n={}: not all {expected} questions are scored, so this is not the benchmark's score.",
            chosen.len()
        ));
    } else if expected != PUBLISHED_QUESTIONS {
        caveats.push(format!(
            "These are {expected} questions in the LingoQA format, not the published {PUBLISHED_QUESTIONS}."
        ));
    }
    let cut = judged.iter().filter(|judged| judged.iter().any(|one| one.truncated)).count();
    if cut > 0 {
        caveats.push(format!("{cut} answers are longer than the judge reads and were judged by their beginning."));
    }
    let forged = judged.iter().filter(|judged| judged.iter().any(|one| one.special_tokens > 0)).count();
    if forged > 0 {
        caveats
            .push(format!("{forged} pairs contain the text of a special token, which the judge reads as that token."));
    }
    if !input.doubtful_lines.is_empty() {
        caveats.push(format!(
            "{} answers are empty or a word for nothing (NA, None); the published scorer reads them as \"none\".",
            input.doubtful_lines.len()
        ));
    }
    caveats
}
