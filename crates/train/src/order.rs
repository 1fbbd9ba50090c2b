//! Which sample comes when: a function of the seed alone, whatever the number of threads.

use serde::{Deserialize, Serialize};

use crate::Recipe;

/// A sample, by data set and place in its meta file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SampleRef {
    /// Index of the data set in the recipe.
    pub dataset: usize,
    /// Index of the sample in the data set.
    pub sample: usize,
}

/// How many steps a run has, and which positions of the order each covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Positions of an epoch: `custom.dataset.epoch_samples`, or the samples of all data sets together.
    pub epoch_samples: u64,
    /// Steps of an epoch; the last may be short.
    pub epoch_steps: u64,
    /// Steps of the run.
    pub steps_total: u64,
    global_batch: u64,
}

impl Timeline {
    /// The timeline of a recipe over data sets of the given sizes.
    ///
    /// The short last batch of an epoch is kept, as cosmos-rl 0.3.9 does (0.4.4 drops it).
    pub fn new(recipe: &Recipe, dataset_sizes: &[usize]) -> Self {
        let epoch_samples =
            if dataset_sizes.iter().all(|&size| size == 0) { 0 } else { epoch_samples(recipe, dataset_sizes) };
        let epoch_steps = epoch_samples.div_ceil(recipe.global_batch);
        let steps = epoch_steps.saturating_mul(recipe.epochs);
        let steps_total = recipe.max_num_steps.map_or(steps, |most| most.min(steps));
        Self { epoch_samples, epoch_steps, steps_total, global_batch: recipe.global_batch }
    }

    /// Epoch, from 0, of a step, from 0.
    pub fn epoch(&self, step: u64) -> u64 {
        step.checked_div(self.epoch_steps).unwrap_or(0)
    }

    /// Positions of the order that a step, from 0, covers.
    pub fn positions(&self, step: u64) -> std::ops::Range<u64> {
        let epoch_start = self.epoch(step) * self.epoch_samples;
        let within = (step - self.epoch(step) * self.epoch_steps) * self.global_batch;
        let end = (within + self.global_batch).min(self.epoch_samples);
        epoch_start + within..epoch_start + end
    }
}

/// The endless order of samples; an iterator.
///
/// Samples lie in pools: one pool for each data set where the recipe gives weights, else one pool for all. Which pool a
/// position draws from is not left to chance: in every prefix of an epoch every pool has been drawn from within one of its
/// weight times the length of the prefix (see [`Blend`]), and every epoch draws alike. A pool gives the next sample of its
/// own shuffled pass, so that none is seen twice before all of the pool are seen once; passes go on across epochs. A
/// single pool is a plain shuffle per pass.
#[derive(Clone, Debug)]
pub struct Order {
    seed: u64,
    shuffle: bool,
    epoch_samples: u64,
    position: u64,
    blend: Blend,
    pools: Vec<Pool>,
}

#[derive(Clone, Debug)]
struct Pool {
    /// Data sets with their sizes.
    members: Vec<(usize, usize)>,
    size: usize,
    drawn: u64,
    /// Places in the pool, in the order of the current pass.
    pass: Vec<u32>,
}

impl Order {
    /// The order of a recipe over data sets of the given sizes, from its start; empty pools are never drawn.
    pub fn new(recipe: &Recipe, dataset_sizes: &[usize]) -> Self {
        let members: Vec<(usize, usize)> = dataset_sizes.iter().copied().enumerate().collect();
        let weights: Option<Vec<f64>> = recipe.datasets.iter().map(|dataset| dataset.weight).collect();
        let grouped: Vec<(f64, Vec<(usize, usize)>)> = match weights {
            Some(weights) => weights.into_iter().zip(members.into_iter().map(|member| vec![member])).collect(),
            None => vec![(1.0, members)],
        };
        let (mut pools, mut shares) = (Vec::new(), Vec::new());
        for (weight, members) in grouped {
            let size: usize = members.iter().map(|(_, size)| size).sum();
            shares.push(if size > 0 { weight } else { 0.0 });
            pools.push(Pool { members, size, drawn: 0, pass: Vec::new() });
        }
        let epoch_samples = epoch_samples(recipe, dataset_sizes);
        Self {
            seed: recipe.seed,
            shuffle: recipe.shuffle,
            epoch_samples,
            position: 0,
            blend: Blend::new(&shares),
            pools,
        }
    }

    /// Goes on to `position` without handing out what lies before it: arithmetic on the counts of one epoch, no file is
    /// touched.
    pub fn skip_to(&mut self, position: u64) {
        self.pools.iter_mut().for_each(|pool| pool.pass.clear());
        if self.blend.shares.iter().all(|share| *share <= 0.0) || position <= self.position {
            return;
        }
        let epochs_apart = position / self.epoch_samples.max(1) - self.position / self.epoch_samples.max(1);
        if epochs_apart > 0 {
            // To the end of this epoch, then whole epochs at once: all of them draw alike.
            self.walk_to((self.position / self.epoch_samples + 1) * self.epoch_samples);
            if epochs_apart > 1 {
                let mut whole = Blend::new(&self.blend.shares);
                for _ in 0..self.epoch_samples {
                    whole.draw();
                }
                for (pool, drawn) in self.pools.iter_mut().zip(&whole.drawn) {
                    pool.drawn += drawn * (epochs_apart - 1);
                }
                self.position += (epochs_apart - 1) * self.epoch_samples;
            }
        }
        self.walk_to(position);
    }

    fn walk_to(&mut self, position: u64) {
        while self.position < position {
            let pool = self.draw();
            self.pools[pool].drawn += 1;
        }
    }

    /// The pool of the current position; advances it.
    fn draw(&mut self) -> usize {
        if self.position.is_multiple_of(self.epoch_samples.max(1)) {
            self.blend.restart();
        }
        self.position += 1;
        self.blend.draw()
    }
}

impl Iterator for Order {
    type Item = SampleRef;

    fn next(&mut self) -> Option<SampleRef> {
        if self.blend.shares.iter().all(|share| *share <= 0.0) {
            return None;
        }
        let index = self.draw();
        let (seed, shuffle) = (self.seed, self.shuffle);
        let pool = &mut self.pools[index];
        let (pass, within) = (pool.drawn / pool.size as u64, (pool.drawn % pool.size as u64) as usize);
        if pool.pass.is_empty() || within == 0 {
            let plain = || (0..pool.size as u32).collect();
            pool.pass = if shuffle { permutation(seed, index, pass, pool.size) } else { plain() };
        }
        pool.drawn += 1;
        let mut place = pool.pass[within] as usize;
        for &(dataset, size) in &pool.members {
            if place < size {
                return Some(SampleRef { dataset, sample: place });
            }
            place -= size;
        }
        None
    }
}

/// Positions of an epoch: as the recipe says, or the samples of all data sets together.
fn epoch_samples(recipe: &Recipe, dataset_sizes: &[usize]) -> u64 {
    recipe.epoch_samples.unwrap_or_else(|| dataset_sizes.iter().map(|&size| size as u64).sum())
}

/// Draws from several pools so that after `n` draws pool `i` has been drawn from within one of `n` times its share, for
/// every `n`.
///
/// Among the pools that are at least `1 / (2k - 2)` draws behind, counting the draw to come, the one is drawn that could
/// wait least. Source: Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980), whose bound is
/// `1 - 1 / (2k - 2)` for `k` pools.
#[derive(Clone, Debug)]
struct Blend {
    /// Shares of the pools; their sum is 1.
    shares: Vec<f64>,
    drawn: Vec<u64>,
    draws: u64,
    slack: f64,
}

impl Blend {
    fn new(weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        let shares: Vec<f64> = weights.iter().map(|weight| if sum > 0.0 { weight / sum } else { 0.0 }).collect();
        let filled = shares.iter().filter(|share| **share > 0.0).count();
        let slack = if filled < 2 { 1.0 } else { 1.0 / (2 * filled - 2) as f64 };
        Self { drawn: vec![0; shares.len()], shares, draws: 0, slack }
    }

    fn restart(&mut self) {
        self.draws = 0;
        self.drawn.fill(0);
    }

    fn draw(&mut self) -> usize {
        self.draws += 1;
        let (mut chosen, mut earliest, mut most_behind) = (0, f64::INFINITY, f64::NEG_INFINITY);
        for (index, (share, drawn)) in self.shares.iter().zip(&self.drawn).enumerate().filter(|(_, (s, _))| **s > 0.0) {
            let behind = share * self.draws as f64 - *drawn as f64;
            // Draws until it would be too far behind; rounding aside, some pool is always behind enough.
            let wait = (1.0 - self.slack - behind) / share;
            let eligible = behind >= self.slack - 1e-9;
            if (eligible && wait < earliest) || (earliest.is_infinite() && behind > most_behind) {
                chosen = index;
                if eligible {
                    earliest = wait;
                }
            }
            most_behind = most_behind.max(behind);
        }
        self.drawn[chosen] += 1;
        chosen
    }
}

/// How often each data set is drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceMix {
    /// Name of the folder; empty for the root itself.
    pub name: String,
    /// Samples it holds.
    pub size: u64,
    /// Share that the recipe asks for; none is by number of samples.
    pub weight: Option<f64>,
    /// Draws in one virtual epoch, the first.
    pub epoch_draws: u64,
    /// Draws in the whole run.
    pub draws: u64,
    /// Passes over its samples in the whole run: draws / size.
    pub effective_epochs: f64,
}

/// The mix of a run, from the first position to the last of its timeline.
pub fn mix(recipe: &Recipe, dataset_sizes: &[usize], timeline: &Timeline) -> Vec<SourceMix> {
    let end = timeline.steps_total.checked_sub(1).map_or(0, |last| timeline.positions(last).end);
    let epoch = drawn_until(recipe, dataset_sizes, timeline.epoch_samples);
    let all = drawn_until(recipe, dataset_sizes, end);
    let source = |(index, dataset): (usize, &crate::DatasetPlan)| {
        let (size, draws) = (dataset_sizes[index] as u64, all[index]);
        SourceMix {
            name: dataset.name.clone(),
            size,
            weight: dataset.weight,
            epoch_draws: epoch[index],
            draws,
            effective_epochs: if size > 0 { draws as f64 / size as f64 } else { 0.0 },
        }
    };
    recipe.datasets.iter().enumerate().map(source).collect()
}

/// Draws from every data set in the first `positions` positions.
fn drawn_until(recipe: &Recipe, dataset_sizes: &[usize], positions: u64) -> Vec<u64> {
    let mut order = Order::new(recipe, dataset_sizes);
    order.skip_to(positions);
    if order.pools.len() == dataset_sizes.len() && recipe.datasets.iter().all(|dataset| dataset.weight.is_some()) {
        return order.pools.iter().map(|pool| pool.drawn).collect();
    }
    // One pool: whole passes draw every sample once; what is left of the last is counted.
    let total: u64 = dataset_sizes.iter().map(|&size| size as u64).sum();
    let passes = positions.checked_div(total).unwrap_or(0);
    let mut drawn: Vec<u64> = dataset_sizes.iter().map(|&size| size as u64 * passes).collect();
    let mut order = Order::new(recipe, dataset_sizes);
    order.skip_to(passes * total);
    for sample in order.take((positions - passes * total) as usize) {
        drawn[sample.dataset] += 1;
    }
    drawn
}

/// Places of a pool in the order of a keyed hash of each.
fn permutation(seed: u64, pool: usize, pass: u64, size: usize) -> Vec<u32> {
    let key = keyed(seed, "pass", pool as u64, pass);
    let mut keys: Vec<(u64, u32)> = (0..size as u32).map(|i| (keyed(key, "sample", 0, u64::from(i)), i)).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, index)| index).collect()
}

/// 64 bits that depend on all arguments.
fn keyed(seed: u64, domain: &str, a: u64, b: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(domain.as_bytes());
    for word in [seed, a, b] {
        hasher.update(&word.to_le_bytes());
    }
    let mut word = [0; 8];
    hasher.finalize_xof().fill(&mut word);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests;
