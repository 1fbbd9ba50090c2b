//! BLEU as sacrebleu 2.6 defines it, and with the smoothing of NLTK 3.10; on the 0 to 1 scale.
//!
//! The definitions differ by more than checkpoints do: on the same text they spread over a factor of three. So no
//! score leaves here without its signature. Sources: sacrebleu's `metrics/bleu.py`, NLTK's `translate/bleu_score.py`;
//! equal to both within 1e-9 (`golden/bleu.json`).

mod ngrams;
mod nltk;
mod tokenize;

pub use ngrams::NgramCounts;
pub use nltk::{Nltk, NltkCounts};
pub use tokenize::Tokenize;

/// The version whose numbers and signatures these are.
const SACREBLEU_VERSION: &str = "2.6.0";

/// What an order without a match gets, so that one does not make the whole score zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Smoothing {
    /// 1/2, 1/4, ... matches for the first, second, ... order without one: the default.
    Exp,
    /// A fixed number of matches; 0.1 by default.
    Floor(f64),
    /// That much added to matches and n-grams of all orders above 1; 1 by default.
    AddK(f64),
    /// Nothing: the score is 0.
    None,
}

impl Smoothing {
    fn signature(self) -> String {
        match self {
            Self::Exp => "exp".into(),
            Self::Floor(value) => format!("floor[{value:.2}]"),
            Self::AddK(value) => format!("add-k[{value:.2}]"),
            Self::None => "none".into(),
        }
    }
}

/// A definition of BLEU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// What a word is.
    pub tokenize: Tokenize,
    /// Whether all is made lower-case first.
    pub lowercase: bool,
    /// What an order without a match gets.
    pub smoothing: Smoothing,
    /// Longest n-gram, in words; 1 or more.
    pub max_order: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tokenize: Tokenize::V13a, lowercase: false, smoothing: Smoothing::Exp, max_order: 4 }
    }
}

impl Settings {
    /// The n-grams of one prediction against its references.
    pub fn counts(&self, prediction: &str, references: &[&str]) -> NgramCounts {
        let prepared = |text: &str| {
            let text = text.trim_end_matches(tokenize::is_space);
            let text = if self.lowercase { text.to_lowercase() } else { text.to_owned() };
            self.tokenize.spaced(&text).into_owned()
        };
        let prediction = prepared(prediction);
        let references: Vec<String> = references.iter().map(|text| prepared(text)).collect();
        let prediction: Vec<&str> = tokenize::words(&prediction).collect();
        let references: Vec<Vec<&str>> = references.iter().map(|text| tokenize::words(text).collect()).collect();
        NgramCounts::of_words(&prediction, &references, self.max_order)
    }

    /// BLEU of summed counts, 0 to 1.
    pub fn corpus(&self, counts: &NgramCounts) -> f64 {
        score(counts, self.smoothing, false)
    }

    /// BLEU of one segment, 0 to 1, over the orders that the prediction is long enough for.
    pub fn sentence(&self, counts: &NgramCounts) -> f64 {
        score(counts, self.smoothing, true)
    }

    /// The signature that sacrebleu prints. `references` is their number for each segment, none if it varies.
    pub fn signature(&self, references: Option<usize>, effective_order: bool) -> String {
        let nrefs = references.map_or("var".into(), |count| count.to_string());
        let case = if self.lowercase { "lc" } else { "mixed" };
        let eff = if effective_order { "yes" } else { "no" };
        let (tok, smooth) = (self.tokenize.name(), self.smoothing.signature());
        let order = if self.max_order == 4 { String::new() } else { format!("order:{}|", self.max_order) };
        format!("nrefs:{nrefs}|case:{case}|eff:{eff}|tok:{tok}|smooth:{smooth}|{order}version:{SACREBLEU_VERSION}")
    }
}

fn score(counts: &NgramCounts, smoothing: Smoothing, effective_order: bool) -> f64 {
    if counts.correct.iter().all(|count| *count == 0) {
        return 0.0;
    }
    let mut precisions = vec![0.0; counts.correct.len()];
    let mut orders = precisions.len();
    let mut halved = 1.0;
    for (index, precision) in precisions.iter_mut().enumerate() {
        let added = match smoothing {
            Smoothing::AddK(value) if index > 0 => value,
            _ => 0.0,
        };
        let correct = counts.correct[index] as f64 + added;
        let total = counts.total[index] as f64 + added;
        if total == 0.0 {
            break;
        }
        if effective_order {
            orders = index + 1;
        }
        *precision = match smoothing {
            _ if correct > 0.0 => correct / total,
            Smoothing::Exp => {
                halved *= 2.0;
                1.0 / (halved * total)
            }
            Smoothing::Floor(value) => value / total,
            Smoothing::AddK(_) | Smoothing::None => 0.0,
        };
    }
    let kept = &precisions[..orders];
    if kept.contains(&0.0) {
        return 0.0;
    }
    let log_mean = kept.iter().map(|precision| precision.ln()).sum::<f64>() / orders as f64;
    brevity_penalty(counts) * log_mean.exp()
}

fn brevity_penalty(counts: &NgramCounts) -> f64 {
    match counts.sys_len {
        0 => 0.0,
        sys_len if sys_len < counts.ref_len => (1.0 - counts.ref_len as f64 / sys_len as f64).exp(),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests;
