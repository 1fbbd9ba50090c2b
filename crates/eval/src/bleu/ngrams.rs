//! Counting n-grams: what every definition of BLEU is made of.

use std::collections::HashMap;

/// What the n-grams of one segment, or the sum over many, come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NgramCounts {
    /// N-grams of the prediction that a reference has too, for n = 1, 2, ...
    pub correct: Vec<u64>,
    /// N-grams of the prediction.
    pub total: Vec<u64>,
    /// Words of the prediction.
    pub sys_len: u64,
    /// Words of the reference whose length is closest; of two, the shorter.
    pub ref_len: u64,
}

impl NgramCounts {
    /// Nothing counted, for n-grams up to `max_order` words.
    pub fn zero(max_order: usize) -> Self {
        Self { correct: vec![0; max_order], total: vec![0; max_order], sys_len: 0, ref_len: 0 }
    }

    /// Counts n-grams up to `max_order` words of a prediction against its references; an n-gram counts as often as the
    /// reference that has it most.
    pub fn of_words<'t>(prediction: &[&'t str], references: &[Vec<&'t str>], max_order: usize) -> Self {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut number = |words: &[&'t str]| -> Vec<u32> {
            let of_word = |word: &&'t str| {
                let next = numbers.len() as u32;
                *numbers.entry(word).or_insert(next)
            };
            words.iter().map(of_word).collect()
        };
        let prediction = number(prediction);
        let references: Vec<Vec<u32>> = references.iter().map(|reference| number(reference)).collect();
        let mut counts = Self::zero(max_order);
        counts.sys_len = prediction.len() as u64;
        let distance = |length: usize| (length.abs_diff(prediction.len()), length);
        let closest = references.iter().map(Vec::len).min_by_key(|length| distance(*length));
        counts.ref_len = closest.unwrap_or(0) as u64;
        for order in 1..=max_order {
            let own = runs(&prediction, order);
            let mut most = vec![0u64; own.len()];
            for reference in &references {
                raise(&own, &runs(reference, order), &mut most);
            }
            counts.total[order - 1] = own.iter().map(|(_, count)| count).sum();
            counts.correct[order - 1] = own.iter().zip(&most).map(|((_, count), most)| *count.min(most)).sum();
        }
        counts
    }

    /// Adds another segment's.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.correct.iter_mut().zip(&other.correct) {
            *sum += count;
        }
        for (sum, count) in self.total.iter_mut().zip(&other.total) {
            *sum += count;
        }
        self.sys_len += other.sys_len;
        self.ref_len += other.ref_len;
    }
}

/// The n-grams of a text, sorted, each with how often it is there.
fn runs(words: &[u32], order: usize) -> Vec<(&[u32], u64)> {
    let mut all: Vec<&[u32]> = words.windows(order).collect();
    all.sort_unstable();
    all.chunk_by(|a, b| a == b).filter_map(|run| run.first().map(|ngram| (*ngram, run.len() as u64))).collect()
}

/// Raises `most` to the counts of a reference; both lists are sorted.
fn raise(own: &[(&[u32], u64)], reference: &[(&[u32], u64)], most: &mut [u64]) {
    let mut rest = reference.iter().peekable();
    for ((ngram, _), most) in own.iter().zip(most) {
        while rest.next_if(|(other, _)| other < ngram).is_some() {}
        if let Some((_, count)) = rest.next_if(|(other, _)| other == ngram) {
            *most = (*most).max(*count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prediction: &str, references: &[&str], correct: [u64; 2], total: [u64; 2], ref_len: u64) {
        let split = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
        let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let references: Vec<_> = references.iter().map(|text| split(leak(text))).collect();
        let counts = NgramCounts::of_words(&split(leak(prediction)), &references, 2);
        assert_eq!((counts.correct, counts.total, counts.ref_len), (correct.to_vec(), total.to_vec(), ref_len));
    }

    #[test]
    fn counts_are_clipped_and_the_closest_length_is_taken() {
        check("the the the", &["the cat the", "a the"], [2, 0], [3, 2], 3);
        check("a b c", &["a b", "a b c d"], [3, 2], [3, 2], 2);
        check("", &["a"], [0, 0], [0, 0], 1);
        check("a", &[], [0, 0], [1, 0], 0);
    }
}
