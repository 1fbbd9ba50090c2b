//! Sums by cluster, and the mean with its clustered standard error.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{CONFIDENCE, t_quantile};

/// Values summed by cluster, in order of first appearance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clusters {
    /// Sum of the values of each cluster.
    pub sums: Vec<f64>,
    /// Number of values of each cluster, 1 or more.
    pub counts: Vec<f64>,
    /// Sum of all squared values.
    squares: f64,
}

/// A mean and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean over items (not over clusters).
    pub mean: f64,
    /// Items.
    pub items: usize,
    /// Clusters.
    pub clusters: usize,
    /// Clustered standard error; none with fewer than two clusters.
    pub standard_error: Option<f64>,
    /// 95 % interval by t on clusters-1 degrees of freedom; none with fewer than two clusters.
    pub ci95: Option<[f64; 2]>,
    /// Standard error if items were independent; none with fewer than two items.
    pub naive_standard_error: Option<f64>,
    /// Squared ratio of the two: how many items are worth one; none if either is missing or zero.
    pub design_effect: Option<f64>,
}

impl Clusters {
    /// Sums pairs of cluster name and value.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let mut clusters = Self::default();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (cluster, value) in values {
            let place = *places.entry(cluster).or_insert(clusters.sums.len());
            if place == clusters.sums.len() {
                clusters.sums.push(0.0);
                clusters.counts.push(0.0);
            }
            clusters.sums[place] += value;
            clusters.counts[place] += 1.0;
            clusters.squares += value * value;
        }
        clusters
    }

    /// Mean with its uncertainty; none without values.
    pub fn estimate(&self) -> Option<Estimate> {
        let items: f64 = self.counts.iter().sum();
        let clusters = self.sums.len();
        if clusters == 0 {
            return None;
        }
        let mean = self.sums.iter().sum::<f64>() / items;
        let of_cluster = |(sum, count): (&f64, &f64)| (sum - mean * count).powi(2);
        let spread: f64 = self.sums.iter().zip(&self.counts).map(of_cluster).sum();
        let c = clusters as f64;
        let standard_error = (clusters > 1).then(|| (c / (c - 1.0) * spread).sqrt() / items);
        let deviation = (self.squares - items * mean * mean).max(0.0);
        let naive_standard_error = (items > 1.0).then(|| (deviation / (items * (items - 1.0))).sqrt());
        let half = standard_error.map(|error| error * t_quantile(0.5 + CONFIDENCE / 2.0, c - 1.0));
        let design_effect = match (standard_error, naive_standard_error) {
            (Some(clustered), Some(naive)) if naive > 0.0 && clustered > 0.0 => Some((clustered / naive).powi(2)),
            _ => None,
        };
        Some(Estimate {
            mean,
            items: items as usize,
            clusters,
            standard_error,
            ci95: half.map(|half| [mean - half, mean + half]),
            naive_standard_error,
            design_effect,
        })
    }
}
