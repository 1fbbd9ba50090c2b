//! Which sample comes when: a function of the seed alone, whatever the number of threads.

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
    /// Positions of an epoch: the samples of all data sets together, also where weights draw them unevenly.
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
        let epoch_samples = dataset_sizes.iter().map(|&size| size as u64).sum::<u64>();
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
/// Samples lie in pools: one pool for each data set where the recipe gives weights, else one pool for all. At every
/// position a pool is drawn with its probability, by a hash of seed and position; it then gives the next sample of its
/// own shuffled pass, so that none is seen twice before all of the pool are seen once. A single pool is a plain
/// shuffle per epoch.
#[derive(Clone, Debug)]
pub struct Order {
    seed: u64,
    shuffle: bool,
    position: u64,
    pools: Vec<Pool>,
}

#[derive(Clone, Debug)]
struct Pool {
    /// End of its share of 0..1.
    upper: f64,
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
        let mut pools: Vec<Pool> = Vec::new();
        for (weight, members) in grouped {
            let size: usize = members.iter().map(|(_, size)| size).sum();
            let lower = pools.last().map_or(0.0, |pool| pool.upper);
            let upper = lower + if size > 0 { weight } else { 0.0 };
            pools.push(Pool { upper, members, size, drawn: 0, pass: Vec::new() });
        }
        let sum = pools.last().map_or(1.0, |pool| pool.upper);
        pools.iter_mut().for_each(|pool| pool.upper /= sum);
        Self { seed: recipe.seed, shuffle: recipe.shuffle, position: 0, pools }
    }

    /// Goes on to `position` without handing out what lies before it: a hash a position where there are several pools
    /// to draw from, nothing where there is one. No file is touched.
    pub fn skip_to(&mut self, position: u64) {
        self.pools.iter_mut().for_each(|pool| pool.pass.clear());
        let mut filled = self.pools.iter_mut().filter(|pool| pool.size > 0);
        if let (Some(only), None) = (filled.next(), filled.next()) {
            only.drawn += position.saturating_sub(self.position);
            self.position = self.position.max(position);
        }
        while self.position < position {
            let pool = self.draw();
            self.pools[pool].drawn += 1;
        }
    }

    /// The pool of the current position; advances it.
    fn draw(&mut self) -> usize {
        let at = uniform(keyed(self.seed, "pool", 0, self.position));
        self.position += 1;
        let last = self.pools.iter().rposition(|pool| pool.size > 0).unwrap_or(0);
        self.pools.iter().position(|pool| pool.size > 0 && at < pool.upper).unwrap_or(last)
    }
}

impl Iterator for Order {
    type Item = SampleRef;

    fn next(&mut self) -> Option<SampleRef> {
        if self.pools.iter().all(|pool| pool.size == 0) {
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

/// A number in 0..1 from the upper 53 bits.
fn uniform(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests;
