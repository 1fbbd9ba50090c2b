//! Quantiles, exact tests and corrections for having looked many times.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::{beta, gamma};

/// Quantile of the standard normal distribution; `share` inside 0..1.
pub fn normal_quantile(share: f64) -> f64 {
    Normal::standard().inverse_cdf(share)
}

/// Quantile of Student's t; NaN if `degrees` is not above 0.
pub fn t_quantile(share: f64, degrees: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees).map_or(f64::NAN, |t| t.inverse_cdf(share))
}

/// Two-sided p of a t value; NaN if `degrees` is not above 0.
pub fn t_two_sided(t: f64, degrees: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees).map_or(f64::NAN, |d| (2.0 * d.cdf(-t.abs())).min(1.0))
}

/// Items that changed between two checkpoints, right or wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Wrong before, right now.
    pub gained: usize,
    /// Right before, wrong now.
    pub lost: usize,
    /// Exact two-sided binomial p. It takes items as independent, which items of one clip are not.
    pub p: f64,
}

/// McNemar's exact test.
pub fn mcnemar(gained: usize, lost: usize) -> McNemar {
    let (n, least) = ((gained + lost) as f64, gained.min(lost) as f64);
    // P(X <= k) of Binomial(n, 1/2) is the regularised incomplete beta I_{1/2}(n-k, k+1).
    let p = if n == 0.0 { 1.0 } else { (2.0 * beta::beta_reg(n - least, least + 1.0, 0.5)).min(1.0) };
    McNemar { gained, lost, p }
}

/// Wilson's 95 % interval of a share; none of no trials.
pub fn wilson(hits: usize, trials: usize) -> Option<[f64; 2]> {
    let (n, z) = (trials as f64, normal_quantile(0.975));
    let p = hits as f64 / n;
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let (middle, scale) = (p + z * z / (2.0 * n), 1.0 + z * z / n);
    (trials > 0).then(|| [((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0)])
}

/// P values corrected by Holm: the chance of any false finding stays at the level.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let mut adjusted = vec![1.0; m];
    let mut least: f64 = 0.0;
    for (rank, index) in ascending(p_values).into_iter().enumerate() {
        least = least.max((p_values[index] * (m - rank) as f64).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

/// P values corrected by Benjamini and Hochberg: the share of false findings among the findings stays at the level.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let mut adjusted = vec![1.0; m];
    let mut most: f64 = 1.0;
    for (rank, index) in ascending(p_values).into_iter().enumerate().rev() {
        most = most.min(p_values[index] * m as f64 / (rank + 1) as f64);
        adjusted[index] = most;
    }
    adjusted
}

fn ascending(p_values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    order
}

/// Chi-square of counts against equal shares, and its p; none with fewer than two cells or no counts.
pub fn chi_square_uniform(counts: &[usize]) -> Option<(f64, f64)> {
    let total: usize = counts.iter().sum();
    let expected = total as f64 / counts.len() as f64;
    if counts.len() < 2 || total == 0 {
        return None;
    }
    let chi: f64 = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    let degrees = (counts.len() - 1) as f64;
    Some((chi, if chi > 0.0 { gamma::gamma_ur(degrees / 2.0, chi / 2.0) } else { 1.0 }))
}

/// Mean of the largest of `k` independent standard normal values: how good the best of k equals looks.
pub fn expected_maximum(k: usize) -> f64 {
    if k < 2 {
        return 0.0;
    }
    let normal = Normal::standard();
    // E[max] is the integral of 1 - F^k above zero minus F^k below.
    let step = 1e-3;
    let at = |x: f64| {
        let f = normal.cdf(x).powf(k as f64);
        if x >= 0.0 { 1.0 - f } else { -f }
    };
    (-8000..8000).map(|i| at((f64::from(i) + 0.5) * step) * step).sum()
}
