//! Which checkpoint to take, why, and what to be careful about; and what to curate next.

use std::collections::BTreeMap;

use eval::{CandidateComparison, Comparison};
use records::{BenchmarkItem, Score};
use serde::Serialize;

use crate::run::Run;
use crate::{Metric, plot::signature_note};

/// One metric over all checkpoints, with the comparison against the base model.
pub(crate) struct Evaluated<'a> {
    pub(crate) metric: Metric,
    /// The base model (if there is one), then checkpoints by step.
    pub(crate) scores: Vec<&'a Score>,
    pub(crate) comparison: Option<Comparison>,
}

impl Evaluated<'_> {
    /// Name for people of what is scored.
    pub(crate) fn title(&self) -> &'static str {
        self.metric.title_of(&self.scores)
    }

    /// The trained checkpoint with the highest number; of equals the first. None if several are all equal.
    pub(crate) fn best(&self) -> Option<&str> {
        let trained = || self.scores.iter().filter(|s| s.step.is_some() && s.value.is_some());
        let best = trained().reduce(|best, s| if s.value > best.value { s } else { best })?;
        let stands_out = trained().count() == 1 || trained().any(|s| s.value < best.value);
        stands_out.then_some(best.checkpoint.as_str())
    }

    pub(crate) fn candidate(&self, checkpoint: &str) -> Option<&CandidateComparison> {
        self.comparison.as_ref()?.candidates.iter().find(|c| c.checkpoint == checkpoint)
    }

    /// Place of a checkpoint among those trained, 1 for the highest number; equals share a place.
    fn place(&self, checkpoint: &str) -> Option<usize> {
        let value = |name: &str| self.scores.iter().find(|s| s.checkpoint == name && s.step.is_some())?.value;
        let own = value(checkpoint)?;
        Some(1 + self.scores.iter().filter(|s| s.step.is_some() && s.value.is_some_and(|v| v > own)).count())
    }
}

/// Puts scores of a run beside the base model's.
pub(crate) fn evaluate<'a>(run: &'a Run, base: Option<&str>) -> Vec<Evaluated<'a>> {
    let of = |metric: Metric| {
        let all = run.scores_of(metric);
        let baseline = all
            .iter()
            .find(|score| score.step.is_none() && base.is_some_and(|base| score.checkpoint == base))
            .or_else(|| all.iter().find(|score| score.step.is_none()).filter(|_| base.is_none()));
        let trained: Vec<Score> = all.iter().filter(|score| score.step.is_some()).cloned().collect();
        let comparison = baseline.filter(|_| !trained.is_empty()).map(|baseline| eval::compare(baseline, &trained));
        let scores = baseline.into_iter().chain(all.iter().filter(|score| score.step.is_some())).collect();
        Evaluated { metric, scores, comparison }
    };
    Metric::ALL.iter().map(|metric| of(*metric)).filter(|evaluated| !evaluated.scores.is_empty()).collect()
}

/// A checkpoint and the reasons for it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Recommendation {
    pub(crate) checkpoint: Option<String>,
    /// Its change from the base model in each metric, short.
    pub(crate) changes: Vec<String>,
    /// Whether no metric shows it to be better than the base model.
    pub(crate) unproved: bool,
    pub(crate) reasons: Vec<String>,
    /// By metric.
    pub(crate) caveats: Vec<(&'static str, Vec<String>)>,
}

/// The checkpoint for all metrics together: of those that every metric has and that none shows to be worse than the
/// base model, the one whose places in the metrics add up to least; of equals the one with the better
/// multiple-choice place, then the earlier.
pub(crate) fn recommend(evaluated: &[Evaluated]) -> Recommendation {
    let mut found = Recommendation::default();
    let mut ranked: Vec<(usize, usize, &str)> = Vec::new();
    let mut worse: Vec<&str> = Vec::new();
    let names = evaluated.iter().flat_map(|e| e.scores.iter().filter(|s| s.step.is_some()));
    let mut names: Vec<(Option<u64>, &str)> = names.map(|s| (s.step, s.checkpoint.as_str())).collect();
    names.sort();
    names.dedup();
    for (_, name) in names {
        let places: Option<Vec<usize>> = evaluated.iter().map(|e| e.place(name)).collect();
        let Some(places) = places.filter(|places| !places.is_empty()) else { continue };
        let is_worse = |e: &Evaluated| {
            e.candidate(name).is_some_and(|c| c.overall.significant && c.overall.paired.estimate.mean < 0.0)
        };
        if evaluated.iter().any(is_worse) {
            worse.push(name);
            continue;
        }
        let choice = evaluated.iter().position(|e| e.metric == Metric::VqaAccuracy);
        ranked.push((places.iter().sum(), choice.map_or(0, |at| places[at]), name));
    }
    ranked.sort_by_key(|(sum, choice, _)| (*sum, *choice));
    if !worse.is_empty() {
        found.reasons.push(format!(
            "Left out because a metric shows them to be worse than the base model: {}.",
            worse.join(", ")
        ));
    }
    let Some((_, _, name)) = ranked.first() else {
        found.reasons.push("No checkpoint is scored by every metric and not worse than the base model.".to_owned());
        return found;
    };
    found.checkpoint = Some((*name).to_owned());
    for e in evaluated {
        let trained = e.scores.iter().filter(|s| s.step.is_some()).count();
        let place = e.place(name).unwrap_or_default();
        let sentence = e.candidate(name).map(|c| c.sentence.clone()).unwrap_or_default();
        found.reasons.push(format!("{}: number {place} of {trained} checkpoints. {sentence}", e.title()));
    }
    found.changes = evaluated.iter().filter_map(|e| change(e, name)).collect();
    found.unproved = !evaluated.iter().filter_map(|e| e.candidate(name)).any(is_better);
    found.caveats = evaluated.iter().map(|e| (e.title(), caveats(e, name))).collect();
    found.caveats.retain(|(_, said)| !said.is_empty());
    found
}

fn is_better(candidate: &CandidateComparison) -> bool {
    candidate.overall.significant && candidate.overall.paired.estimate.mean > 0.0
}

/// Before and after, in a few words.
fn change(e: &Evaluated, name: &str) -> Option<String> {
    let overall = &e.candidate(name)?.overall;
    let verdict = if overall.significant { "" } else { ", within noise" };
    Some(format!(
        "{}: {} \u{2192} {} ({}{verdict})",
        e.title(),
        e.metric.value(overall.baseline),
        e.metric.value(overall.candidate),
        e.metric.difference(overall.paired.estimate.mean)
    ))
}

/// What must be said of a metric with the recommendation: of the scores that it rests on, and of the comparison.
fn caveats(e: &Evaluated, chosen: &str) -> Vec<String> {
    let mut said: Vec<String> = signature_note(&e.scores).into_iter().collect();
    if e.candidate(chosen).is_some_and(|c| !c.overall.significant) {
        said.push("The difference to the base model is within noise.".to_owned());
    }
    let concerned: Vec<&&Score> = e.scores.iter().filter(|s| s.step.is_none() || s.checkpoint == chosen).collect();
    let of = |score: &Score, caveat: &String| {
        let shared = concerned.iter().all(|other| other.caveats.contains(caveat));
        if shared { caveat.clone() } else { format!("{}: {caveat}", score.checkpoint) }
    };
    said.extend(concerned.iter().flat_map(|score| score.caveats.iter().map(|caveat| of(score, caveat))));
    match &e.comparison {
        None => said.push("There is no base model to compare with, so nothing is said about improvement.".to_owned()),
        Some(comparison) => {
            let of_a_score = |caveat: &String| e.scores.iter().any(|score| score.caveats.contains(caveat));
            said.extend(comparison.caveats.iter().filter(|caveat| !of_a_score(caveat)).cloned());
            said.extend(comparison.refused.iter().map(|r| format!("{} is not compared: {}", r.checkpoint, r.reason)));
        }
    }
    let mut seen = std::collections::HashSet::new();
    said.retain(|caveat| seen.insert(caveat.clone()));
    said
}

/// Where the next training data should come from.
#[derive(Debug, Default, Serialize)]
pub(crate) struct NextData {
    pub(crate) checkpoint: String,
    pub(crate) category: String,
    pub(crate) accuracy: String,
    /// Questions with the most wrong answers.
    pub(crate) questions: Vec<WorstQuestion>,
    /// In words.
    pub(crate) advice: Vec<String>,
}

/// A question and how it goes wrong.
#[derive(Debug, Serialize)]
pub(crate) struct WorstQuestion {
    pub(crate) text: String,
    pub(crate) wrong: usize,
    pub(crate) items: usize,
    /// What was answered instead of what, and how often.
    pub(crate) confusions: Vec<Confusion>,
}

/// One way to be wrong.
#[derive(Debug, Serialize)]
pub(crate) struct Confusion {
    pub(crate) right: String,
    pub(crate) answered: String,
    pub(crate) count: usize,
}

/// Looks at the weakest category of a checkpoint; none without categories.
pub(crate) fn next_data(run: &Run, score: &Score) -> Option<NextData> {
    let group = score
        .groups
        .iter()
        .filter(|g| g.value.is_some())
        .min_by(|a, b| a.value.unwrap_or(1.0).total_cmp(&b.value.unwrap_or(1.0)))?;
    let mut questions: BTreeMap<&str, WorstQuestion> = BTreeMap::new();
    for scored in score.items.iter().filter(|item| item.group.as_deref() == Some(group.name.as_str())) {
        let item = run.items.get(&scored.id);
        let id = item.map_or_else(|| scored.id.rsplit('/').next().unwrap_or(&scored.id), |item| &item.question_id);
        let text = item.map_or_else(|| id.to_owned(), |item| item.question.clone());
        let worst = questions.entry(id).or_insert(WorstQuestion { text, wrong: 0, items: 0, confusions: Vec::new() });
        worst.items += 1;
        if scored.score < 0.5 {
            worst.wrong += 1;
            if let Some(item) = item {
                confuse(&mut worst.confusions, item, scored.decision.get("letter").and_then(|l| l.as_str()));
            }
        }
    }
    let mut questions: Vec<WorstQuestion> = questions.into_values().filter(|q| q.wrong > 0).collect();
    questions.sort_by(|a, b| b.wrong.cmp(&a.wrong).then(a.items.cmp(&b.items)));
    questions.truncate(5);
    for question in &mut questions {
        question.confusions.sort_by(|a, b| b.count.cmp(&a.count).then(a.right.cmp(&b.right)));
        question.confusions.truncate(3);
    }
    let advice = questions.iter().take(3).filter_map(advice_for).collect();
    let accuracy = Metric::VqaAccuracy.value(group.value.unwrap_or_default());
    Some(NextData { checkpoint: score.checkpoint.clone(), category: group.name.clone(), accuracy, questions, advice })
}

fn confuse(confusions: &mut Vec<Confusion>, item: &BenchmarkItem, letter: Option<&str>) {
    let place = letter.and_then(|l| l.bytes().next()).and_then(|l| l.checked_sub(b'A')).map(usize::from);
    let answered = place.and_then(|at| item.options.get(at)).map_or("no choice", String::as_str);
    let right = item.options.get(usize::from(item.answer)).map_or("", String::as_str);
    match confusions.iter_mut().find(|c| c.right == right && c.answered == answered) {
        Some(found) => found.count += 1,
        None => confusions.push(Confusion { right: right.to_owned(), answered: answered.to_owned(), count: 1 }),
    }
}

fn advice_for(question: &WorstQuestion) -> Option<String> {
    let worst = question.confusions.first()?;
    Some(format!(
        "Clips where the answer to \u{201c}{}\u{201d} is \u{201c}{}\u{201d} (the model said \u{201c}{}\u{201d} {} times; {} of {} answers \
         to the question were wrong). Their captions should say it in so many words.",
        question.text, worst.right, worst.answered, worst.count, question.wrong, question.items
    ))
}
