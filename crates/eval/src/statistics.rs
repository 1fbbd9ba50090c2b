//! How sure a number is: items of one clip are not independent, so everything here counts clips, not items.
//!
//! Formulas: the clustered standard error with C/(C-1) of Miller 2024 (arXiv 2411.00640), intervals by Student's t on
//! C-1 degrees of freedom; the paired difference is the same formula on differences.

mod cluster;
mod paired;
mod tables;

pub use cluster::{Clusters, Estimate};
pub use paired::{BOOTSTRAP_DRAWS, PairedDifference, SEED, paired_difference};
pub use tables::{
    McNemar, benjamini_hochberg, chi_square_uniform, expected_maximum, holm, mcnemar, normal_quantile, t_quantile,
    t_two_sided, wilson,
};

/// Share of true values that an interval is to hold.
pub const CONFIDENCE: f64 = 0.95;
/// Chance to see a difference that [`minimum_detectable`] is about.
pub const POWER: f64 = 0.8;

/// The smallest true difference that a two-sided test at 5 % would find with 80 % chance, given the standard error of
/// the difference.
pub fn minimum_detectable(standard_error: f64) -> f64 {
    (normal_quantile(0.5 + CONFIDENCE / 2.0) + normal_quantile(POWER)) * standard_error
}

#[cfg(test)]
mod tests;
