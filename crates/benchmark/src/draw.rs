//! Which questions a clip gets, and in which order their choices stand. Pure: seed, clip and question decide.

use records::{ContentHash, Question};

use crate::{Error, Pool, PromptForm, Result};

/// How questions are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawSettings {
    /// Questions a clip gets, the required ones included.
    pub per_clip: usize,
    /// Key of the draw.
    pub seed: u64,
    /// Form of the prompts.
    pub prompt: PromptForm,
}

impl Default for DrawSettings {
    /// The recipe's 12 a clip.
    fn default() -> Self {
        Self { per_clip: 12, seed: 42, prompt: PromptForm::default() }
    }
}

/// A question drawn for a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn<'a> {
    /// The question.
    pub question: &'a Question,
    /// For each choice shown, its place in the pool's order.
    pub permutation: [u8; 4],
}

/// Draws the questions of one clip: all that are required, then those with the smallest keyed hashes, in the order of
/// the pool. Adding or removing other clips changes nothing; so does the order of clips.
///
/// # Errors
/// [`Error::Draw`] if the pool has fewer questions than are drawn, or more required ones.
pub fn draw<'a>(pool: &'a Pool, clip: &str, settings: &DrawSettings) -> Result<Vec<Drawn<'a>>> {
    let required = pool.questions.iter().filter(|q| q.required).count();
    let wrong = |message: String| Err(Error::Draw { message });
    if settings.per_clip < required.max(1) {
        return wrong(format!(
            "{} questions a clip are fewer than the {required} required ones of pool {}; draw at least {}",
            settings.per_clip,
            pool.name,
            required.max(1)
        ));
    }
    if settings.per_clip > pool.questions.len() {
        return wrong(format!(
            "{} questions a clip are more than the {} of pool {}; draw at most that many",
            settings.per_clip,
            pool.questions.len(),
            pool.name
        ));
    }
    let key = |question: &Question| keyed_hash(settings.seed, clip, &question.id);
    let mut rest: Vec<_> =
        pool.questions.iter().enumerate().filter(|(_, q)| !q.required).map(|(at, q)| (key(q), at)).collect();
    rest.sort();
    rest.truncate(settings.per_clip - required);
    let drawn = |at: usize| rest.iter().any(|(_, chosen)| *chosen == at);
    let questions = pool.questions.iter().enumerate().filter(|(at, q)| q.required || drawn(*at));
    Ok(questions.map(|(_, question)| Drawn { question, permutation: permutation(&key(question)) }).collect())
}

/// Hash of seed, clip and question id, with lengths, so that no two triples run together.
fn keyed_hash(seed: u64, clip: &str, question: &str) -> ContentHash {
    let mut bytes = seed.to_le_bytes().to_vec();
    for part in [clip, question] {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part.as_bytes());
    }
    ContentHash::of_bytes(&bytes)
}

/// One of the 24 orders, by the last digits of the hash: the first decide which questions are drawn, so those that
/// are drawn all have small ones.
fn permutation(hash: &ContentHash) -> [u8; 4] {
    let digits = hash.as_str();
    let mut number = u64::from_str_radix(&digits[digits.len() - 16..], 16).unwrap_or_default();
    let mut order = [0, 1, 2, 3];
    for last in (1..4u8).rev() {
        let count = u64::from(last) + 1;
        order.swap(usize::from(last), (number % count) as usize);
        number /= count;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn every_clip_gets_the_required_ones_and_no_question_twice() {
        let pool = Pool::built_in().unwrap();
        let settings = DrawSettings::default();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut orders: HashMap<[u8; 4], usize> = HashMap::new();
        for clip in 0..2000 {
            let drawn = draw(&pool, &format!("clip_{clip}"), &settings).unwrap();
            assert_eq!(drawn.len(), 12);
            assert_eq!(drawn.iter().filter(|d| d.question.required).count(), 6);
            assert_eq!(drawn.iter().map(|d| &d.question.id).collect::<HashSet<_>>().len(), 12);
            for item in &drawn {
                *counts.entry(&item.question.id).or_default() += 1;
                *orders.entry(item.permutation).or_default() += 1;
            }
        }
        // 6 of 44: 273 of 2,000 clips; five standard deviations are 77. 24 orders of 24,000: 1,000 and 155.
        assert!(counts.values().all(|&n| n == 2000 || (196..350).contains(&n)), "{counts:?}");
        assert_eq!(orders.len(), 24);
        assert!(orders.values().all(|&n| (845..1155).contains(&n)), "{orders:?}");
    }

    #[test]
    fn seed_and_clip_decide_and_nothing_else() {
        let pool = Pool::built_in().unwrap();
        let ids = |clip: &str, seed| -> Vec<String> {
            let drawn = draw(&pool, clip, &DrawSettings { seed, ..DrawSettings::default() }).unwrap();
            drawn.iter().map(|d| format!("{}{:?}", d.question.id, d.permutation)).collect()
        };
        assert_eq!(ids("a", 1), ids("a", 1));
        assert_ne!(ids("a", 1), ids("b", 1));
        assert_ne!(ids("a", 1), ids("a", 2));
        let mut reversed = pool.clone();
        reversed.questions.reverse();
        let again = draw(&reversed, "a", &DrawSettings { seed: 1, ..DrawSettings::default() }).unwrap();
        let mut sorted: Vec<_> = again.iter().map(|d| format!("{}{:?}", d.question.id, d.permutation)).collect();
        let mut expect = ids("a", 1);
        sorted.sort();
        expect.sort();
        assert_eq!(sorted, expect, "the order of the pool does not matter to what is drawn");
    }

    #[test]
    fn counts_that_do_not_fit_are_errors() {
        let pool = Pool::built_in().unwrap();
        let error = |per_clip| {
            draw(&pool, "a", &DrawSettings { per_clip, seed: 1, ..DrawSettings::default() }).unwrap_err().to_string()
        };
        assert!(error(5).contains("at least 6"), "{}", error(5));
        assert!(error(51).contains("at most"), "{}", error(51));
        assert_eq!(
            draw(&pool, "a", &DrawSettings { per_clip: 50, seed: 1, ..DrawSettings::default() }).unwrap().len(),
            50
        );
    }
}
