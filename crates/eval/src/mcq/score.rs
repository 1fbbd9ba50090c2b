//! The score of a benchmark: the recipe's table, with what it leaves out.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use records::{BenchmarkItem, Category, ContentHash, ItemStatus, Score, ScoredItem};
use serde_json::{Map, Value, json};

use super::baselines::baselines;
use super::parser::{PARSER_VERSION, Reading, Verdict, read_answer};
use crate::scores::{Frame, Label, assemble};
use crate::statistics::wilson;
use crate::{Answer, Answers};

/// What is scored.
#[derive(Debug)]
pub struct McqInput<'a> {
    /// The frozen benchmark.
    pub items: &'a [BenchmarkItem],
    /// Hash of its file.
    pub references_hash: ContentHash,
    /// The answers.
    pub answers: Answers,
    /// Answers of the same model without the video, if there are.
    pub blind: Option<Answers>,
}

/// Scores answers: everything that is not the right choice is wrong, whatever the reason; the reasons are counted.
/// The answers come back with those to unknown items among their rejects.
pub fn score(mut input: McqInput<'_>, label: &Label) -> (Score, Answers) {
    let known: HashMap<&str, ()> = input.items.iter().map(|item| (item.id.as_str(), ())).collect();
    input.answers.keep_known(|id| known.contains_key(id), "item");
    let items: Vec<ScoredItem> =
        input.items.iter().map(|item| scored(item, input.answers.of_id.get(&item.id))).collect();
    let mut details = details(&input, &items);
    if let Some(blind) = &input.blind {
        let right = input.items.iter().map(|item| scored(item, blind.of_id.get(&item.id)).score).sum::<f64>();
        let accuracy = right / (input.items.len().max(1)) as f64;
        details.insert("blind".into(), json!({"accuracy": accuracy, "predictions_hash": blind.hash}));
    }
    let caveats = caveats(&input, &items);
    let frame = Frame {
        metric: "vqa_accuracy",
        signature: format!(
            "mcq-accuracy|options:4|failures:wrong|parser:{PARSER_VERSION}{}",
            if guided(&input) { "|guided-choice" } else { "" }
        ),
        label,
        predictions_hash: input.answers.hash.clone(),
        references_hash: input.references_hash.clone(),
        items_expected: input.items.len(),
        groups: Category::ALL.iter().map(|category| category.title().to_owned()).collect(),
    };
    (assemble(frame, items, details, caveats), input.answers)
}

fn scored(item: &BenchmarkItem, answer: Option<&Answer>) -> ScoredItem {
    let gold = BenchmarkItem::letter(item.answer);
    let mut decision = Map::from_iter([("gold".to_owned(), json!(gold.to_string()))]);
    let (status, score) = match answer.map(|answer| (&answer.outcome, answer)) {
        None => {
            decision.insert("reason".into(), json!("no prediction"));
            (ItemStatus::Failed, 0.0)
        }
        Some((Err(reason), _)) => {
            decision.insert("reason".into(), json!(reason));
            (ItemStatus::Failed, 0.0)
        }
        Some((Ok(text), answer)) => {
            let Reading { verdict, rule, span, note } = read_answer(text, &item.options, answer.truncated);
            decision.insert("rule".into(), json!(rule));
            decision.insert("span".into(), json!([span.start, span.end]));
            decision.extend(note.map(|note| ("note".to_owned(), json!(note))));
            match verdict {
                Verdict::Choice(place) => {
                    decision.insert("letter".into(), json!(BenchmarkItem::letter(place).to_string()));
                    let pool = item.permutation.get(usize::from(place));
                    decision.insert("pool_option".into(), json!(pool));
                    (ItemStatus::Ok, f64::from(u8::from(place == item.answer)))
                }
                Verdict::None(status) => (status, 0.0),
            }
        }
    };
    let group = Some(item.category.title().to_owned());
    ScoredItem { id: item.id.clone(), clip: item.clip.clone(), group, status, score, decision }
}

fn count(items: &[ScoredItem], status: ItemStatus) -> usize {
    items.iter().filter(|item| item.status == status).count()
}

fn ratio(part: f64, whole: usize) -> Value {
    if whole == 0 { Value::Null } else { json!(part / whole as f64) }
}

fn details(input: &McqInput<'_>, items: &[ScoredItem]) -> Map<String, Value> {
    let right = items.iter().map(|item| item.score).sum::<f64>();
    let ok = count(items, ItemStatus::Ok);
    let failed = count(items, ItemStatus::Failed);
    let unread = items.len() - ok;
    let per_video = per_video(items);
    let videos = per_video.len();
    let mean = per_video.iter().sum::<f64>() / videos.max(1) as f64;
    let spread: f64 = per_video.iter().map(|accuracy| (accuracy - mean).powi(2)).sum();
    let value = json!({
        "parser": PARSER_VERSION,
        "total_predictions": items.len() - failed,
        "videos": videos,
        "parseable_rate": ratio(ok as f64, items.len() - failed),
        "counts": {
            "ok": ok,
            "parse_error": count(items, ItemStatus::ParseError),
            "refused": count(items, ItemStatus::Refused),
            "truncated": count(items, ItemStatus::Truncated),
            "failed": failed,
        },
        "bounds": {
            "acc_low": ratio(right, items.len()),
            "acc_high": ratio(right + unread as f64, items.len()),
            "acc_valid": ratio(right, ok),
            "correct": right, "items": items.len(), "unread": unread,
        },
        "macro_by_category": macro_by_category(items),
        "mean_per_video_accuracy": mean,
        "sd_per_video_accuracy": (videos > 1).then(|| (spread / (videos - 1) as f64).sqrt()),
        "wilson95": wilson(right as usize, items.len()),
        "baselines": baselines(input.items),
        "rejected_rows": input.answers.rejects.len(),
        "duplicate_rows": input.answers.duplicates.len(),
        "letter_and_words_disagree": items.iter().filter(|item| item.decision.contains_key("note")).count(),
    });
    match value {
        Value::Object(details) => details,
        _ => Map::new(),
    }
}

/// Accuracy of each video.
fn per_video(items: &[ScoredItem]) -> Vec<f64> {
    let mut of_clip: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for item in items {
        let sums = of_clip.entry(&item.clip).or_default();
        *sums = (sums.0 + item.score, sums.1 + 1.0);
    }
    of_clip.values().map(|(right, count)| right / count).collect()
}

/// Mean of the accuracies of the categories, each with the same weight.
fn macro_by_category(items: &[ScoredItem]) -> Value {
    let mut of_group: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for item in items {
        let sums = of_group.entry(item.group.as_deref().unwrap_or_default()).or_default();
        *sums = (sums.0 + item.score, sums.1 + 1.0);
    }
    ratio(of_group.values().map(|(right, count)| right / count).sum(), of_group.len())
}

/// Whether answers were confined to the choices.
fn guided(input: &McqInput<'_>) -> bool {
    input.answers.of_id.values().any(|answer| answer.guided)
}

fn caveats(input: &McqInput<'_>, items: &[ScoredItem]) -> Vec<String> {
    let mut caveats = Vec::new();
    if guided(input) {
        caveats.push(
            "Answers could only be one of the choices shown (guided choice), so that every one can be read: the parseable rate says nothing."
                .to_owned(),
        );
    }
    let unread = items.len() - count(items, ItemStatus::Ok);
    if unread > 0 {
        caveats.push(format!(
            "{unread} of {} questions have no readable answer (parse errors {}, refused {}, truncated {}, failed {}); all count as wrong.",
            items.len(),
            count(items, ItemStatus::ParseError),
            count(items, ItemStatus::Refused),
            count(items, ItemStatus::Truncated),
            count(items, ItemStatus::Failed)
        ));
    }
    let (rejects, duplicates) = (input.answers.rejects.len(), input.answers.duplicates.len());
    if rejects + duplicates > 0 {
        caveats.push(format!("{rejects} rows of the predictions were rejected and {duplicates} are duplicates."));
    }
    if input.blind.is_none() {
        caveats.push(
            "No text-only run is given: how much the questions alone tell is not known beyond the baselines.".into(),
        );
    }
    caveats
}

/// The recipe's table as text.
pub fn table(score: &Score) -> String {
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1}%", 100.0 * value));
    let interval = |ci: Option<[f64; 2]>| {
        ci.map_or(String::new(), |[low, high]| format!("  [{:.1}, {:.1}]", 100.0 * low, 100.0 * high))
    };
    let detail = |pointer: &str| -> Option<f64> {
        let (first, rest) = pointer.split_once('/').unwrap_or((pointer, ""));
        let value = score.details.get(first)?;
        if rest.is_empty() { value.as_f64() } else { value.pointer(&format!("/{rest}"))?.as_f64() }
    };
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<34} {value}");
    };
    for group in &score.groups {
        line(&group.name, format!("{:>6}{}  n={}", percent(group.value), interval(group.ci95), group.items_scored));
    }
    line("Overall", format!("{:>6}{}  n={}", percent(score.value), interval(score.ci95), score.items_scored));
    line("Macro by category", format!("{:>6}", percent(detail("macro_by_category"))));
    line("Total predictions", format!("{:>6}", detail("total_predictions").unwrap_or(0.0)));
    line("Videos evaluated", format!("{:>6}", score.clips));
    line("Parseable rate", format!("{:>6}", percent(detail("parseable_rate"))));
    let (mean, sd) = (detail("mean_per_video_accuracy"), detail("sd_per_video_accuracy"));
    line("Mean per-video accuracy", format!("{:>6} (SD over videos {})", percent(mean), percent(sd)));
    let bounds = [detail("bounds/acc_low"), detail("bounds/acc_high"), detail("bounds/acc_valid")].map(percent);
    line("Unread as wrong / right / left out", bounds.join(" / "));
    for (name, pointer) in [
        ("Baseline: chance", "baselines/chance"),
        ("Baseline: majority letter", "baselines/majority_letter/accuracy"),
        ("Baseline: longest option", "baselines/longest_option/accuracy"),
        ("Baseline: prior of the question", "baselines/prior/accuracy"),
        ("Baseline: blind (text only)", "blind/accuracy"),
    ] {
        line(name, format!("{:>6}", percent(detail(pointer))));
    }
    text
}
