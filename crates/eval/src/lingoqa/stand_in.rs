//! A judge for machines without the judge: words in common. It is not Lingo-Judge and says so everywhere.

use super::{Judge, JudgeInput, Judged};
use crate::Result;

/// How the signature of every score of the stand-in begins.
pub const STAND_IN: &str = "OFFLINE-STAND-IN";
/// Share of words in common (F1) from which two answers count as the same.
const THRESHOLD: f64 = 0.5;
/// Spreads the F1 to the scale of a logit; only the sign matters.
const SCALE: f64 = 10.0;
/// The logit where words agree but yes/no, a negation or a number does not.
const CONTRADICTION: f64 = -5.0;

/// Compares an answer with a reference by the words in common; a contradicting yes, no, negation or number is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfflineStandIn;

impl Judge for OfflineStandIn {
    fn signature(&self) -> String {
        format!("{STAND_IN}|token-f1|threshold:{THRESHOLD:.2}|negation-and-number-check|version:1")
    }

    fn logits(&mut self, pairs: &[JudgeInput<'_>]) -> Result<Vec<Judged>> {
        Ok(pairs
            .iter()
            .map(|pair| Judged { logit: logit(pair.reference, pair.prediction), ..Judged::default() })
            .collect())
    }

    fn caveats(&self) -> Vec<String> {
        vec![
            "OFFLINE STAND-IN: this score is not Lingo-Judge. It counts words in common with the references, needs no weights, \
             and must not be compared with any LingoQA score, published or other."
                .to_owned(),
        ]
    }
}

fn logit(reference: &str, prediction: &str) -> f64 {
    let (reference, prediction) = (words(reference), words(prediction));
    let contradicts = polarity(&reference) * polarity(&prediction) < 0 || numbers(&reference) != numbers(&prediction);
    let logit = (f1(&reference, &prediction) - THRESHOLD) * SCALE;
    if contradicts { logit.min(CONTRADICTION) } else { logit }
}

/// Words in lower case, articles left out, number words as digits.
fn words(text: &str) -> Vec<String> {
    const NUMBERS: [&str; 11] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    let lower = text.to_lowercase();
    let split = lower.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty());
    let kept = split.filter(|word| !["a", "an", "the"].contains(word));
    kept.map(|word| NUMBERS.iter().position(|name| *name == word).map_or(word.to_owned(), |n| n.to_string())).collect()
}

/// 1 for an answer that says yes, -1 for one that says no or negates, 0 for neither.
fn polarity(words: &[String]) -> i32 {
    let negates =
        |word: &String| ["no", "not", "none", "never", "nobody"].contains(&word.as_str()) || word.ends_with("n't");
    match words.first().map(String::as_str) {
        Some("yes") => 1,
        _ if words.iter().any(negates) => -1,
        _ => 0,
    }
}

fn numbers(words: &[String]) -> Vec<&String> {
    let mut numbers: Vec<&String> = words.iter().filter(|word| word.bytes().all(|b| b.is_ascii_digit())).collect();
    numbers.sort();
    numbers
}

fn f1(reference: &[String], prediction: &[String]) -> f64 {
    let mut rest = reference.to_vec();
    let mut common = 0.0;
    for word in prediction {
        if let Some(place) = rest.iter().position(|other| other == word) {
            rest.swap_remove(place);
            common += 1.0;
        }
    }
    let total = reference.len() + prediction.len();
    if total == 0 { 0.0 } else { 2.0 * common / total as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reference: &str, prediction: &str, right: bool) {
        assert_eq!(logit(reference, prediction) > 0.0, right, "{reference:?} {prediction:?}");
    }

    #[test]
    fn words_in_common_and_no_contradiction() {
        check("Yes, green.", "yes green", true);
        check("Yes, green.", "No.", false);
        check("Two pedestrians", "There are 2 pedestrians", true);
        check("Two pedestrians", "3 pedestrians", false);
        check("The car stops at the light", "The car does not stop at the light", true);
        check("Yes, there is a car", "No, there is no car", false);
        check("red", "", false);
        check("", "", false);
    }
}
