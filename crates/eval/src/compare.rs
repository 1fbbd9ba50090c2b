//! Checkpoints against a baseline, in numbers and in words that can be defended in a review.
//!
//! Paired by item, clustered by clip, corrected by Holm over all checkpoints and categories looked at.

use std::collections::HashMap;

use records::{Score, ScoredItem};
use serde::{Deserialize, Serialize};

use crate::statistics::{
    self, BOOTSTRAP_DRAWS, Clusters, Estimate, McNemar, PairedDifference, benjamini_hochberg, expected_maximum, holm,
    paired_difference,
};

/// Level of all statements about differences.
pub const LEVEL: f64 = 0.05;

/// All comparisons of one metric on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// `bleu`, `vqa_accuracy` or `lingoqa`.
    pub metric: String,
    /// The metric's definition, the same for all.
    pub signature: String,
    /// Name of the data set.
    pub dataset: String,
    /// Checkpoint that the others are compared with.
    pub baseline: String,
    /// The candidates that can be compared, in the order given.
    pub candidates: Vec<CandidateComparison>,
    /// Candidates that cannot, and why.
    pub refused: Vec<Refused>,
    /// Place in `candidates` of the highest score; of equals the first. None without candidates.
    pub best: Option<usize>,
    /// Tests that Holm's correction was made over: candidates x (categories + 1).
    pub tests: usize,
    /// How much better the best would look if all candidates were as good as the baseline; none for fewer than two.
    pub winners_curse: Option<f64>,
    /// What must be said wherever the numbers are shown.
    pub caveats: Vec<String>,
}

/// A score that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its checkpoint.
    pub checkpoint: String,
    /// Why.
    pub reason: String,
}

/// One candidate against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateComparison {
    /// Name of the checkpoint.
    pub checkpoint: String,
    /// Its training step.
    pub step: Option<u64>,
    /// Over all items.
    pub overall: Difference,
    /// By category, in the order of the candidate's groups.
    pub groups: Vec<Difference>,
    /// The overall result in words.
    pub sentence: String,
}

/// One paired difference, candidate minus baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Name of the category; `overall` for all items.
    pub name: String,
    /// Mean of the baseline over the items that both have.
    pub baseline: f64,
    /// Mean of the candidate over the same items.
    pub candidate: f64,
    /// Difference, interval, p values.
    pub paired: PairedDifference,
    /// P of the sign flips, corrected by Holm over all tests of the comparison.
    pub p_holm: f64,
    /// The same corrected by Benjamini and Hochberg.
    pub p_bh: f64,
    /// Items gained and lost, if every item is right or wrong.
    pub mcnemar: Option<McNemar>,
    /// Whether `p_holm` is at most 5 %.
    pub significant: bool,
}

/// Compares candidates with a baseline: same metric, signature, data set and references, joined on item id. What
/// cannot be compared is in `refused`; items that only one of two has are left out and told.
pub fn compare(baseline: &Score, candidates: &[Score]) -> Comparison {
    let mut comparison = Comparison {
        metric: baseline.metric.clone(),
        signature: baseline.signature.clone(),
        dataset: baseline.dataset.clone(),
        baseline: baseline.checkpoint.clone(),
        candidates: Vec::new(),
        refused: Vec::new(),
        best: None,
        tests: 0,
        winners_curse: None,
        caveats: shared_caveats(baseline, candidates),
    };
    for candidate in candidates {
        let compared = refusal(baseline, candidate).map_or_else(|| one(baseline, candidate), Err);
        match compared {
            Ok((compared, caveats)) => {
                comparison.candidates.push(compared);
                comparison.caveats.extend(caveats);
            }
            Err(reason) => comparison.refused.push(Refused { checkpoint: candidate.checkpoint.clone(), reason }),
        }
    }
    correct(&mut comparison);
    choose(&mut comparison);
    comparison
}

/// The caveats of all scores, each once: as it is if every score has it, else with the name of its checkpoint.
fn shared_caveats(baseline: &Score, candidates: &[Score]) -> Vec<String> {
    let scores = || std::iter::once(baseline).chain(candidates);
    let mut caveats: Vec<String> = Vec::new();
    for score in scores() {
        for caveat in &score.caveats {
            let shared = scores().all(|other| other.caveats.contains(caveat));
            let told = if shared { caveat.clone() } else { format!("{}: {caveat}", score.checkpoint) };
            if !caveats.contains(&told) {
                caveats.push(told);
            }
        }
    }
    caveats
}

/// Why two scores must not be compared.
fn refusal(baseline: &Score, candidate: &Score) -> Option<String> {
    let differs = |what: &str, a: &str, b: &str| (a != b).then(|| format!("its {what} is {b}, the baseline's is {a}"));
    differs("metric", &baseline.metric, &candidate.metric)
        .or_else(|| differs("signature", &baseline.signature, &candidate.signature))
        .or_else(|| differs("data set", &baseline.dataset, &candidate.dataset))
        .or_else(|| differs("references hash", baseline.references_hash.as_str(), candidate.references_hash.as_str()))
}

type Pair<'s> = (&'s ScoredItem, &'s ScoredItem);

fn one(baseline: &Score, candidate: &Score) -> Result<(CandidateComparison, Vec<String>), String> {
    let mut of_id: HashMap<&str, &ScoredItem> = baseline.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let pairs: Vec<Pair> =
        candidate.items.iter().filter_map(|item| Some((of_id.remove(item.id.as_str())?, item))).collect();
    let only_one = baseline.items.len() + candidate.items.len() - 2 * pairs.len();
    let overall = difference("overall", &pairs).ok_or("it has no item in common with the baseline")?;
    let of_group = |name: &str| -> Vec<Pair> {
        pairs.iter().copied().filter(|(_, item)| item.group.as_deref() == Some(name)).collect()
    };
    let groups = candidate.groups.iter().filter_map(|group| difference(&group.name, &of_group(&group.name))).collect();
    let mut caveats = Vec::new();
    if only_one > 0 {
        caveats.push(format!(
            "{only_one} items are in only one of {} and {} and were left out of their comparison",
            baseline.checkpoint, candidate.checkpoint
        ));
    }
    let (checkpoint, step) = (candidate.checkpoint.clone(), candidate.step);
    Ok((CandidateComparison { checkpoint, step, overall, groups, sentence: String::new() }, caveats))
}

fn difference(name: &str, pairs: &[Pair]) -> Option<Difference> {
    let differences = Clusters::of(pairs.iter().map(|(a, b)| (b.clip.as_str(), b.score - a.score)));
    let paired = paired_difference(&differences, BOOTSTRAP_DRAWS)?;
    let mean = |score: fn(&Pair) -> f64| pairs.iter().map(score).sum::<f64>() / pairs.len() as f64;
    let is_binary = |item: &ScoredItem| item.score == 0.0 || item.score == 1.0;
    let count = |change: f64| pairs.iter().filter(|(a, b)| b.score - a.score == change).count();
    let mcnemar =
        pairs.iter().all(|(a, b)| is_binary(a) && is_binary(b)).then(|| statistics::mcnemar(count(1.0), count(-1.0)));
    Some(Difference {
        name: name.to_owned(),
        baseline: mean(|(a, _)| a.score),
        candidate: mean(|(_, b)| b.score),
        paired,
        p_holm: 1.0,
        p_bh: 1.0,
        mcnemar,
        significant: false,
    })
}

/// Corrects the p values over everything that was looked at.
fn correct(comparison: &mut Comparison) {
    let all = |comparison: &mut Comparison, set: &mut dyn FnMut(&mut Difference)| {
        for candidate in &mut comparison.candidates {
            set(&mut candidate.overall);
            candidate.groups.iter_mut().for_each(&mut *set);
        }
    };
    let mut p_values = Vec::new();
    all(comparison, &mut |difference| p_values.push(difference.paired.p_permutation));
    comparison.tests = p_values.len();
    let mut corrected = holm(&p_values).into_iter().zip(benjamini_hochberg(&p_values));
    all(comparison, &mut |difference| {
        (difference.p_holm, difference.p_bh) = corrected.next().unwrap_or((1.0, 1.0));
        difference.significant = difference.p_holm <= LEVEL;
    });
}

/// Finds the best, and says what is to be said.
fn choose(comparison: &mut Comparison) {
    let words = Words { percent: comparison.metric != "bleu" };
    let (baseline, tests) = (comparison.baseline.clone(), comparison.tests);
    for candidate in &mut comparison.candidates {
        candidate.sentence = words.sentence(&candidate.checkpoint, &baseline, &candidate.overall, tests);
    }
    let mut best: Option<(usize, f64)> = None;
    for (place, candidate) in comparison.candidates.iter().enumerate() {
        if best.is_none_or(|(_, value)| candidate.overall.candidate > value) {
            best = Some((place, candidate.overall.candidate));
        }
    }
    comparison.best = best.map(|(place, _)| place);
    let count = comparison.candidates.len();
    let Some(candidate) = comparison.best.and_then(|place| comparison.candidates.get(place)).filter(|_| count > 1)
    else {
        return;
    };
    let Some(error) = candidate.overall.paired.estimate.standard_error else { return };
    // Differences share the baseline, so two of them correlate by about one half.
    let curse = expected_maximum(count) * error / std::f64::consts::SQRT_2;
    comparison.winners_curse = Some(curse);
    comparison.caveats.push(format!(
        "{} is the best of {count} checkpoints on the very set that its score is reported on. Were all of them as good as \
         {baseline}, the best would still look about {} better; score it on other clips before quoting the number.",
        candidate.checkpoint,
        words.amount(curse)
    ));
}

/// How numbers of a metric are said.
struct Words {
    /// Shares in percent; else plain numbers.
    percent: bool,
}

impl Words {
    fn value(&self, value: f64) -> String {
        if self.percent { format!("{:.1} %", 100.0 * value) } else { format!("{value:.4}") }
    }

    fn amount(&self, amount: f64) -> String {
        if self.percent { format!("{:.1} points", 100.0 * amount) } else { format!("{amount:.4}") }
    }

    fn signed(&self, amount: f64) -> String {
        if self.percent { format!("{:+.1}", 100.0 * amount) } else { format!("{amount:+.4}") }
    }

    fn sentence(&self, candidate: &str, baseline: &str, difference: &Difference, tests: usize) -> String {
        let Difference { paired, p_holm, .. } = difference;
        let estimate: &Estimate = &paired.estimate;
        let points = if self.percent { " points" } else { "" };
        let interval = estimate.ci95.map_or_else(
            || "no interval from a single clip".to_owned(),
            |[low, high]| format!("95 % interval {} to {}", self.signed(low), self.signed(high)),
        );
        let verdict = match (difference.significant, estimate.mean > 0.0, paired.minimum_detectable) {
            (true, true, _) => "It is better.".to_owned(),
            (true, false, _) => "It is worse.".to_owned(),
            (false, _, Some(least)) => {
                format!("No difference is shown; one under {} would probably not be seen.", self.amount(least))
            }
            (false, _, None) => "No difference is shown.".to_owned(),
        };
        format!(
            "{candidate} has {} where {baseline} has {}: {}{points} ({interval}, paired, {} items of {} clips; \
             p {:.4}, {p_holm:.4} corrected for {tests} tests). {verdict}",
            self.value(difference.candidate),
            self.value(difference.baseline),
            self.signed(estimate.mean),
            estimate.items,
            estimate.clusters,
            paired.p_permutation,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::{ContentHash, ItemStatus, ScoreGroup};

    fn score(checkpoint: &str, right: impl Fn(usize) -> bool) -> Score {
        let item = |i: usize| ScoredItem {
            id: format!("{}/{i}", i / 4),
            clip: (i / 4).to_string(),
            group: Some(if i.is_multiple_of(2) { "even" } else { "odd" }.to_owned()),
            status: ItemStatus::Ok,
            score: f64::from(u8::from(right(i))),
            decision: serde_json::Map::new(),
        };
        let group = |name: &str| ScoreGroup { name: name.into(), value: None, items_scored: 0, ci95: None };
        Score {
            metric: "vqa_accuracy".into(),
            signature: "s".into(),
            dataset: "AV_VQA".into(),
            model_name: "m".into(),
            checkpoint: checkpoint.into(),
            step: None,
            weight_hash: None,
            predictions_hash: ContentHash::of_text(checkpoint),
            references_hash: ContentHash::of_text("r"),
            value: None,
            items_scored: 160,
            items_expected: 160,
            clips: 40,
            standard_error: None,
            ci95: None,
            groups: vec![group("even"), group("odd")],
            details: serde_json::Map::new(),
            caveats: Vec::new(),
            items: (0..160).map(item).collect(),
        }
    }

    #[test]
    fn a_gain_in_one_category_is_found_and_a_null_is_not() {
        let baseline = score("base", |i| i % 3 == 0);
        let better = score("step_2", |i| i % 3 == 0 || i % 2 == 0);
        let same = score("step_1", |i| i % 3 == 1);
        let mut other = better.clone();
        other.signature = "t".into();
        other.caveats.push("one unread".into());
        let found = compare(&baseline, &[same, better, other]);
        assert_eq!((found.best, found.tests, found.candidates.len()), (Some(1), 6, 2));
        assert!(found.refused[0].reason.contains("signature"), "{:?}", found.refused);
        assert_eq!(found.caveats[0], "step_2: one unread");
        let step_2 = &found.candidates[1];
        assert!(step_2.overall.significant && step_2.groups[0].significant && !step_2.groups[1].significant);
        assert_eq!(step_2.overall.mcnemar.map(|m| (m.gained, m.lost)), Some((53, 0)));
        assert!(step_2.sentence.ends_with("It is better."), "{}", step_2.sentence);
        assert!(found.candidates[0].sentence.contains("No difference is shown"), "{}", found.candidates[0].sentence);
        assert!(found.winners_curse.is_some_and(|curse| curse > 0.0));
        let text = serde_json::to_string(&found).unwrap();
        let read: Comparison = serde_json::from_str(&text).unwrap();
        assert_eq!((read.candidates.len(), read.caveats), (2, found.caveats));
    }

    #[test]
    fn nothing_in_common_is_refused() {
        let baseline = score("base", |_| true);
        let mut other = score("x", |_| true);
        other.items.clear();
        let found = compare(&baseline, &[other]);
        assert_eq!((found.candidates.len(), found.refused.len(), found.best), (0, 1, None));
    }
}
