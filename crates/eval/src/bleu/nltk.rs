//! BLEU as NLTK 3.10 computes it on words that white space separates: what many scripts call "BLEU from 0 to 1".

use super::{NgramCounts, brevity_penalty, tokenize};

/// Epsilon of method 1.
const EPSILON: f64 = 0.1;
/// K of method 4.
const K: f64 = 5.0;
/// Orders that count; 5 is counted too, for methods 5 and 7.
const ORDERS: usize = 4;

/// A smoothing method of NLTK's `SmoothingFunction`, with its default parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nltk {
    /// A precision of zero becomes the smallest float: the default of NLTK.
    Method0,
    /// 0.1 matches where there are none.
    Method1,
    /// One more match and one more n-gram, from bigrams on.
    Method2,
    /// 1/2, 1/4, ... matches where there are none.
    Method3,
    /// As method 3, scaled by the length of the prediction.
    Method4,
    /// The mean of the orders below, at and above.
    Method5,
    /// Method 4, then 5.
    Method7,
}

/// The counts that NLTK's methods need: up to 5-grams.
#[derive(Clone, Debug, PartialEq)]
pub struct NltkCounts {
    sum: NgramCounts,
    /// Precision of the 5-grams of the last segment added, which is what NLTK uses for a corpus too.
    last_fifth: f64,
}

impl Nltk {
    /// All of them, by NLTK's names.
    pub const ALL: [(&str, Self); 7] = [
        ("method0", Self::Method0),
        ("method1", Self::Method1),
        ("method2", Self::Method2),
        ("method3", Self::Method3),
        ("method4", Self::Method4),
        ("method5", Self::Method5),
        ("method7", Self::Method7),
    ];

    /// The method of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(other, _)| *other == name).map(|(_, method)| *method)
    }

    /// What identifies the definition; NLTK itself has no signatures.
    pub fn signature(self, references: Option<usize>) -> String {
        let nrefs = references.map_or("var".into(), |count| count.to_string());
        let name = Self::ALL.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name);
        format!("nltk|nrefs:{nrefs}|case:mixed|tok:split|smooth:{name}|version:3.10.4")
    }

    /// The n-grams of one prediction against its references.
    pub fn counts(prediction: &str, references: &[&str]) -> NltkCounts {
        let prediction: Vec<&str> = tokenize::words(prediction).collect();
        let references: Vec<Vec<&str>> = references.iter().map(|text| tokenize::words(text).collect()).collect();
        let mut sum = NgramCounts::of_words(&prediction, &references, ORDERS + 1);
        // Per segment, as NLTK does it: a segment too short for an order counts one n-gram of it.
        for total in &mut sum.total {
            *total = (*total).max(1);
        }
        let last_fifth = sum.correct[ORDERS] as f64 / sum.total[ORDERS] as f64;
        NltkCounts { sum, last_fifth }
    }

    /// BLEU, 0 to 1, of one segment's counts or of a sum.
    pub fn score(self, counts: &NltkCounts) -> f64 {
        let sum = &counts.sum;
        if sum.correct.first().is_none_or(|count| *count == 0) {
            return 0.0;
        }
        let orders = || sum.correct.iter().zip(&sum.total).take(ORDERS).map(|(c, t)| (*c as f64, *t as f64));
        let mut p: Vec<f64> = orders().map(|(correct, total)| correct / total).collect();
        let zeros = |p: &mut [f64], value: &mut dyn FnMut(f64) -> f64| {
            for (p, (_, total)) in p.iter_mut().zip(orders()).filter(|(_, (correct, _))| *correct == 0.0) {
                *p = value(total);
            }
        };
        match self {
            Self::Method0 => zeros(&mut p, &mut |_| f64::MIN_POSITIVE),
            Self::Method1 => zeros(&mut p, &mut |total| EPSILON / total),
            Self::Method2 => {
                for (p, (correct, total)) in p.iter_mut().zip(orders()).skip(1) {
                    *p = (correct + 1.0) / (total + 1.0);
                }
            }
            Self::Method3 => {
                let mut halved = 1.0;
                zeros(&mut p, &mut |total| {
                    halved *= 2.0;
                    1.0 / (halved * total)
                });
            }
            Self::Method5 => average_neighbours(&mut p, counts.last_fifth),
            Self::Method4 | Self::Method7 => {
                let mut halved = 1.0;
                // The logarithm of one word's length is zero; NLTK leaves such a precision at zero, and out.
                if sum.sys_len > 1 {
                    zeros(&mut p, &mut |total| {
                        halved *= 2.0;
                        (sum.sys_len as f64).ln() / (halved * K) / total
                    });
                }
                if self == Self::Method7 {
                    average_neighbours(&mut p, counts.last_fifth);
                }
            }
        }
        let log_mean = p.iter().filter(|p| **p > 0.0).map(|p| p.ln() / ORDERS as f64).sum::<f64>();
        brevity_penalty(sum) * log_mean.exp()
    }
}

impl NltkCounts {
    /// Nothing counted.
    pub fn zero() -> Self {
        Self { sum: NgramCounts::zero(ORDERS + 1), last_fifth: 0.0 }
    }

    /// Adds another segment's.
    pub fn add(&mut self, other: &Self) {
        self.sum.add(&other.sum);
        self.last_fifth = other.last_fifth;
    }
}

/// Each precision becomes the mean of the new one below, itself, and the old one above.
fn average_neighbours(p: &mut [f64], fifth: f64) {
    let old = p.to_vec();
    let mut below = old.first().map_or(0.0, |first| first + 1.0);
    for (index, p) in p.iter_mut().enumerate() {
        let above = old.get(index + 1).copied().unwrap_or(fifth);
        *p = (below + *p + above) / 3.0;
        below = *p;
    }
}
