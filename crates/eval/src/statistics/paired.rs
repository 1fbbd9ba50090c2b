//! The difference of two checkpoints on the same items, by clip: interval, bootstrap, sign flips.
//!
//! Draws come from ChaCha8 with a fixed seed and one stream a block of draws: the same numbers on every machine and
//! for every number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CONFIDENCE, Clusters, Estimate, minimum_detectable, t_two_sided};

/// Draws of the bootstrap and of the sign flips.
pub const BOOTSTRAP_DRAWS: usize = 10_000;
/// Seed of all draws.
pub const SEED: u64 = 20_240_601;

/// Draws that share a stream.
const BLOCK_DRAWS: usize = 250;
/// Up to so many clips all sign flips are tried instead of drawn.
const EXACT_CLUSTERS_MAX: usize = 13;

/// A paired difference, candidate minus baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// The difference with its clustered interval by t.
    pub estimate: Estimate,
    /// 95 % interval by resampling clips (percentiles); none with fewer than two clips.
    pub ci95_bootstrap: Option<[f64; 2]>,
    /// Two-sided p of the t test; none without a standard error above 0.
    pub p_t: Option<f64>,
    /// Two-sided p of flipping the signs of clips; exact up to 13 clips.
    pub p_permutation: f64,
    /// Smallest true difference that would be found with 80 % chance; none without a standard error.
    pub minimum_detectable: Option<f64>,
}

/// The difference whose per-item values, summed by clip, are `differences`; none without items. `draws` is the number
/// of bootstrap and permutation draws.
pub fn paired_difference(differences: &Clusters, draws: usize) -> Option<PairedDifference> {
    let estimate = differences.estimate()?;
    let error = estimate.standard_error;
    Some(PairedDifference {
        estimate,
        ci95_bootstrap: (estimate.clusters > 1).then(|| bootstrap(differences, draws)),
        p_t: error
            .filter(|error| *error > 0.0)
            .map(|error| t_two_sided(estimate.mean / error, estimate.clusters as f64 - 1.0)),
        p_permutation: sign_flips(&differences.sums, draws),
        minimum_detectable: error.map(minimum_detectable),
    })
}

/// Runs `draws` draws in blocks, each with its own stream; results in order.
fn in_blocks<T: Send>(draws: usize, stream: u64, draw: impl Fn(&mut ChaCha8Rng) -> T + Sync) -> Vec<T> {
    let blocks = draws.div_ceil(BLOCK_DRAWS);
    let block = |index: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        rng.set_stream(stream + 2 * index as u64);
        let here = BLOCK_DRAWS.min(draws - index * BLOCK_DRAWS);
        (0..here).map(|_| draw(&mut rng)).collect::<Vec<_>>()
    };
    let results: Vec<Vec<T>> = (0..blocks).into_par_iter().map(block).collect();
    results.into_iter().flatten().collect()
}

/// Resamples clips with replacement; each draw is sum of sums over sum of counts.
fn bootstrap(clusters: &Clusters, draws: usize) -> [f64; 2] {
    let pairs: Vec<(f64, f64)> = clusters.sums.iter().copied().zip(clusters.counts.iter().copied()).collect();
    let n = pairs.len() as u64;
    let draw = |rng: &mut ChaCha8Rng| {
        let (mut sum, mut count) = (0.0, 0.0);
        for _ in 0..n {
            // The high half of 32 random bits times n: uniform but for a bias under n / 2^32.
            let place = ((u64::from(rng.next_u32()) * n) >> 32) as usize;
            let (s, c) = pairs.get(place).copied().unwrap_or_default();
            sum += s;
            count += c;
        }
        sum / count
    };
    let mut means = in_blocks(draws.max(1), 0, draw);
    means.sort_unstable_by(f64::total_cmp);
    [percentile(&means, 0.5 - CONFIDENCE / 2.0), percentile(&means, 0.5 + CONFIDENCE / 2.0)]
}

/// A percentile of sorted values, linear between neighbours.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() as f64 - 1.0);
    let at = |index: f64| sorted.get(index as usize).copied().unwrap_or(f64::NAN);
    at(place.floor()) + (at(place.ceil()) - at(place.floor())) * place.fract()
}

/// P of a sum at least as far from 0 when each clip's sign is flipped with chance one half.
fn sign_flips(sums: &[f64], draws: usize) -> f64 {
    let observed = sums.iter().sum::<f64>().abs();
    // Sums of the same numbers in other signs may differ in the last bit.
    let reached = |sum: f64| sum.abs() >= observed - 1e-9 * observed.max(1e-9);
    if sums.len() <= EXACT_CLUSTERS_MAX {
        let flipped = |mask: u32| {
            sums.iter().enumerate().map(|(i, sum)| if mask >> i & 1 == 1 { -sum } else { *sum }).sum::<f64>()
        };
        let all = 1u32 << sums.len();
        return (0..all).filter(|mask| reached(flipped(*mask))).count() as f64 / f64::from(all);
    }
    let draw = |rng: &mut ChaCha8Rng| {
        let mut total = 0.0;
        for chunk in sums.chunks(32) {
            let bits = rng.next_u32();
            let signed = |(i, sum): (usize, &f64)| if bits >> i & 1 == 1 { -sum } else { *sum };
            total += chunk.iter().enumerate().map(signed).sum::<f64>();
        }
        reached(total)
    };
    let hits = in_blocks(draws, 1, draw).into_iter().filter(|hit| *hit).count();
    (hits as f64 + 1.0) / (draws as f64 + 1.0)
}
