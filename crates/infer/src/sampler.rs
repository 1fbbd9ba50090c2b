//! The choice of the next token from logits.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use records::Sampling;

/// Chooses tokens for one request; its draws depend on the request's seed alone.
///
/// Order of operations as in vLLM 0.22 and HF's logits processors: repetition penalty over prompt and answer, presence
/// penalty over the answer, temperature, top-k, top-p. Ties go to the smaller token id.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
    /// How each token was met: bit 0 in the prompt or the answer, bit 1 in the answer.
    seen: Vec<u8>,
}

const IN_CONTEXT: u8 = 1;
const IN_ANSWER: u8 = 2;

impl Sampler {
    /// A sampler for a prompt of known tokens.
    pub fn new(sampling: Sampling, vocab_size: usize, prompt_ids: &[u32]) -> Self {
        let mut seen = vec![0u8; vocab_size];
        for id in prompt_ids {
            if let Some(flags) = seen.get_mut(*id as usize) {
                *flags |= IN_CONTEXT;
            }
        }
        Self { rng: ChaCha8Rng::seed_from_u64(sampling.seed), sampling, seen }
    }

    /// The next token, or `None` if no logit is a number.
    pub fn next(&mut self, mut logits: Vec<f32>) -> Option<u32> {
        self.penalise(&mut logits);
        let chosen = match self.sampling.temperature <= 0.0 {
            true => argmax(&logits),
            false => self.draw(&logits),
        }?;
        if let Some(flags) = self.seen.get_mut(chosen as usize) {
            *flags |= IN_CONTEXT | IN_ANSWER;
        }
        Some(chosen)
    }

    fn penalise(&self, logits: &mut [f32]) {
        let (repetition, presence) = (self.sampling.repetition_penalty as f32, self.sampling.presence_penalty as f32);
        if repetition == 1.0 && presence == 0.0 {
            return;
        }
        for (logit, flags) in logits.iter_mut().zip(&self.seen) {
            if flags & IN_CONTEXT != 0 {
                *logit = if *logit > 0.0 { *logit / repetition } else { *logit * repetition };
            }
            if flags & IN_ANSWER != 0 {
                *logit -= presence;
            }
        }
    }

    fn draw(&mut self, logits: &[f32]) -> Option<u32> {
        let mut order: Vec<u32> = (0..logits.len() as u32).filter(|i| logits[*i as usize].is_finite()).collect();
        order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
        if self.sampling.top_k > 0 {
            order.truncate(self.sampling.top_k as usize);
        }
        let best = f64::from(logits[*order.first()? as usize]);
        let weights: Vec<f64> =
            order.iter().map(|i| ((f64::from(logits[*i as usize]) - best) / self.sampling.temperature).exp()).collect();
        // The smallest set of best tokens whose mass reaches top_p; the best one always stays.
        let limit = self.sampling.top_p * weights.iter().sum::<f64>();
        let mut kept = 0;
        let mut mass = 0.0;
        while kept < weights.len() && (kept == 0 || mass < limit) {
            mass += weights[kept];
            kept += 1;
        }
        let mut point = self.rng.random::<f64>() * mass;
        for (token, weight) in order.iter().zip(&weights).take(kept) {
            point -= weight;
            if point < 0.0 {
                return Some(*token);
            }
        }
        order.get(kept - 1).copied()
    }
}

fn argmax(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (i, logit) in logits.iter().enumerate() {
        if !logit.is_nan() && best.is_none_or(|(_, b)| *logit > b) {
            best = Some((i as u32, *logit));
        }
    }
    best.map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEDY: Sampling = Sampling {
        guided: records::Guided::Free,
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        repetition_penalty: 1.0,
        presence_penalty: 0.0,
        max_new_tokens: 8,
        seed: 1,
    };

    fn check(sampling: Sampling, prompt: &[u32], logits: &[f32], expect: &[u32]) {
        let mut sampler = Sampler::new(sampling, logits.len(), prompt);
        let drawn: Vec<u32> = expect.iter().filter_map(|_| sampler.next(logits.to_vec())).collect();
        assert_eq!(drawn, expect, "{sampling:?}");
    }

    #[test]
    fn greedy_and_penalties() {
        check(GREEDY, &[], &[0.1, 0.9, 0.9, f32::NAN], &[1, 1]);
        check(Sampling { repetition_penalty: 2.0, ..GREEDY }, &[1], &[0.5, 0.9, 0.4], &[0, 1, 1]);
        check(Sampling { repetition_penalty: 2.0, ..GREEDY }, &[1], &[-0.9, -0.5, -1.5], &[0, 1]);
        check(Sampling { presence_penalty: 0.5, ..GREEDY }, &[1], &[0.5, 0.9, 0.2], &[1, 0, 1]);
        check(GREEDY, &[], &[f32::NAN], &[]);
    }

    #[test]
    fn filters_and_seeds() {
        let hot = Sampling { temperature: 1.0, ..GREEDY };
        check(Sampling { top_k: 1, ..hot }, &[], &[0.0, 3.0, 2.9], &[1, 1, 1]);
        check(Sampling { top_p: 0.01, ..hot }, &[], &[0.0, 3.0, 2.9], &[1, 1, 1]);
        let logits = vec![0.0, 1.0, 2.0, 0.5];
        let draw = |seed| {
            let mut sampler = Sampler::new(Sampling { seed, ..hot }, 4, &[]);
            (0..2000).filter_map(|_| sampler.next(logits.clone())).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        let total: f64 = logits.iter().map(|l: &f32| f64::from(*l).exp()).sum();
        for (token, logit) in logits.iter().enumerate() {
            let share = draw(5).iter().filter(|t| **t == token as u32).count() as f64 / 2000.0;
            assert!((share - f64::from(*logit).exp() / total).abs() < 0.03, "token {token}: {share}");
        }
    }
}
