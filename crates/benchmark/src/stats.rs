//! What a set of items is made of, and whether it can be answered without looking.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use records::{BenchmarkItem, Category};
use serde::Serialize;

/// Statistics of a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// Items.
    pub items: usize,
    /// Clips.
    pub clips: usize,
    /// Items a clip, on average.
    pub items_per_clip: f64,
    /// Areas, in the order of the recipe.
    pub categories: Vec<CategoryCount>,
    /// Questions, in order of name.
    pub questions: Vec<QuestionStats>,
    /// Whether the right letters are spread evenly.
    pub letters: LetterTest,
    /// Whether the right choice is the longest.
    pub lengths: LengthCheck,
    /// Share of items that are right if each question is always answered with its most frequent choice: what a model
    /// that sees nothing but knows the pool would score.
    pub prior_accuracy: f64,
    /// Ids of items that ask the same of the same clip as one before.
    pub duplicates: Vec<String>,
}

/// Items of an area.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CategoryCount {
    /// The area.
    pub category: Category,
    /// Items.
    pub items: usize,
    /// Different questions.
    pub questions: usize,
}

/// A question over all clips.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuestionStats {
    /// Name of the question.
    pub id: String,
    /// Its area.
    pub category: Category,
    /// Clips that have it.
    pub items: usize,
    /// How often each choice is right, in the pool's order.
    pub answers: [usize; 4],
    /// Entropy of those, in bits: 0 if the answer never changes, 2 if all four are equally frequent.
    pub entropy_bits: f64,
}

/// Chi-square test of the right letters against even spread, 3 degrees of freedom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LetterTest {
    /// How often A, B, C, D are right.
    pub counts: [usize; 4],
    /// The statistic.
    pub chi_square: f64,
    /// Chance of as large a statistic if letters were even.
    pub p_value: f64,
}

/// Lengths of right and wrong choices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LengthCheck {
    /// Share of items that "pick the longest choice, the first of equals" gets right; a quarter is chance.
    pub longest_accuracy: f64,
    /// Characters of the right choice, on average.
    pub right_chars: f64,
    /// Characters of a wrong choice, on average.
    pub wrong_chars: f64,
}

/// Statistics of items; empty sets have zeros.
pub fn stats(items: &[BenchmarkItem]) -> Stats {
    let clips: std::collections::BTreeSet<&str> = items.iter().map(|item| item.clip.as_str()).collect();
    let questions = questions(items);
    let mode: usize = questions.iter().map(|q| q.answers.iter().max().copied().unwrap_or(0)).sum();
    let categories = Category::ALL.map(|category| CategoryCount {
        category,
        items: items.iter().filter(|item| item.category == category).count(),
        questions: questions.iter().filter(|q| q.category == category).count(),
    });
    Stats {
        items: items.len(),
        clips: clips.len(),
        items_per_clip: ratio(items.len(), clips.len()),
        categories: categories.to_vec(),
        letters: letters(items),
        lengths: lengths(items),
        prior_accuracy: ratio(mode, items.len()),
        duplicates: duplicates(items),
        questions,
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn questions(items: &[BenchmarkItem]) -> Vec<QuestionStats> {
    let mut by_id: BTreeMap<&str, (Category, [usize; 4])> = BTreeMap::new();
    for item in items {
        let entry = by_id.entry(&item.question_id).or_insert((item.category, [0; 4]));
        let shown = usize::from(item.answer.min(3));
        entry.1[usize::from(item.permutation[shown].min(3))] += 1;
    }
    let of = |(id, (category, answers)): (&str, (Category, [usize; 4]))| {
        let count: usize = answers.iter().sum();
        let shares = answers.map(|n| ratio(n, count));
        let entropy_bits = shares.iter().filter(|&&share| share > 0.0).map(|share| -share * share.log2()).sum();
        QuestionStats { id: id.to_owned(), category, items: count, answers, entropy_bits }
    };
    by_id.into_iter().map(of).collect()
}

fn letters(items: &[BenchmarkItem]) -> LetterTest {
    let mut counts = [0usize; 4];
    for item in items {
        counts[usize::from(item.answer.min(3))] += 1;
    }
    let even = items.len() as f64 / 4.0;
    let chi_square =
        if items.is_empty() { 0.0 } else { counts.iter().map(|&n| (n as f64 - even).powi(2) / even).sum() };
    // Upper tail of chi-square with 3 degrees of freedom, in closed form.
    let half: f64 = chi_square / 2.0;
    let p_value = libm::erfc(half.sqrt()) + (4.0 * half / std::f64::consts::PI).sqrt() * (-half).exp();
    LetterTest { counts, chi_square, p_value: p_value.min(1.0) }
}

fn lengths(items: &[BenchmarkItem]) -> LengthCheck {
    let (mut longest_right, mut right, mut all) = (0, 0, 0);
    for item in items {
        let chars = item.options.each_ref().map(|option| option.chars().count());
        let answer = usize::from(item.answer.min(3));
        let longest = (0..4).rev().max_by_key(|&at| chars[at]).unwrap_or(0);
        longest_right += usize::from(longest == answer);
        right += chars[answer];
        all += chars.iter().sum::<usize>();
    }
    LengthCheck {
        longest_accuracy: ratio(longest_right, items.len()),
        right_chars: ratio(right, items.len()),
        wrong_chars: ratio(all - right, 3 * items.len()),
    }
}

fn duplicates(items: &[BenchmarkItem]) -> Vec<String> {
    let mut seen: HashMap<(&str, String), usize> = HashMap::new();
    let mut duplicates = Vec::new();
    for item in items {
        let count = seen.entry((&item.clip, crate::pool::fold(&item.question))).or_default();
        *count += 1;
        if *count > 1 {
            duplicates.push(item.id.clone());
        }
    }
    duplicates
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} questions about {} clips, {:.1} a clip", self.items, self.clips, self.items_per_clip)?;
        for count in &self.categories {
            writeln!(f, "  {:<28}{:>7}   of {} questions", count.category.title(), count.items, count.questions)?;
        }
        let [a, b, c, d] = self.letters.counts;
        writeln!(
            f,
            "right letters: A {a}, B {b}, C {c}, D {d}; chi-square {:.2}, p = {:.3}",
            self.letters.chi_square, self.letters.p_value
        )?;
        writeln!(
            f,
            "without looking: longest choice {:.1} %, most frequent answer of each question {:.1} %",
            100.0 * self.lengths.longest_accuracy,
            100.0 * self.prior_accuracy
        )?;
        writeln!(
            f,
            "characters: right choices {:.1}, wrong ones {:.1}",
            self.lengths.right_chars, self.lengths.wrong_chars
        )?;
        let fixed: Vec<&str> =
            self.questions.iter().filter(|q| q.items > 1 && q.entropy_bits == 0.0).map(|q| q.id.as_str()).collect();
        if !fixed.is_empty() {
            writeln!(f, "always the same answer: {}", fixed.join(", "))?;
        }
        match self.duplicates.len() {
            0 => write!(f, "no question is asked twice of a clip"),
            n => write!(f, "asked twice of a clip: {n}, first {}", self.duplicates[0]),
        }
    }
}
