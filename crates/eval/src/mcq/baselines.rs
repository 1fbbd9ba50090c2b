//! What is reached without looking: every accuracy is worth only what it is above these.

use std::collections::{BTreeMap, HashMap};

use records::BenchmarkItem;
use serde_json::{Value, json};

use crate::statistics::chi_square_uniform;

/// The baselines of a set, and whether its right letters are spread evenly.
pub(super) fn baselines(items: &[BenchmarkItem]) -> Value {
    let share = |right: usize| if items.is_empty() { 0.0 } else { right as f64 / items.len() as f64 };
    let mut letters = [0usize; 4];
    for item in items {
        if let Some(count) = letters.get_mut(usize::from(item.answer)) {
            *count += 1;
        }
    }
    let majority = (0..4).rev().max_by_key(|place| letters[*place]).unwrap_or(0);
    let longest = items.iter().filter(|item| longest_option(item) == usize::from(item.answer)).count();
    let chi_square = chi_square_uniform(&letters).map(|(value, p)| json!({"chi_square": value, "p": p}));
    json!({
        "chance": 0.25,
        "majority_letter": {"letter": BenchmarkItem::letter(majority as u8).to_string(), "accuracy": share(letters[majority])},
        "longest_option": {"accuracy": share(longest)},
        "prior": {
            "accuracy": share(prior(items)),
            "note": "the most frequent right answer of each question, counted on this very set: an upper bound of what the question alone tells"
        },
        "gold_letters": {"A": letters[0], "B": letters[1], "C": letters[2], "D": letters[3], "uniform": chi_square},
    })
}

/// Place of the longest option in characters; of equals the first.
fn longest_option(item: &BenchmarkItem) -> usize {
    (0..4).rev().max_by_key(|place| item.options[*place].chars().count()).unwrap_or(0)
}

/// Right answers if each question always gets its most frequent answer.
fn prior(items: &[BenchmarkItem]) -> usize {
    let mut counts: HashMap<&str, BTreeMap<&str, usize>> = HashMap::new();
    for item in items {
        if let Some(text) = item.options.get(usize::from(item.answer)) {
            *counts.entry(&item.question_id).or_default().entry(text).or_default() += 1;
        }
    }
    counts.values().filter_map(|answers| answers.values().max()).sum()
}
