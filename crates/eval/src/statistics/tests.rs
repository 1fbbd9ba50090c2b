//! Known values, and simulations of what the intervals promise.

use super::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

fn close(got: f64, expect: f64) {
    assert!((got - expect).abs() < 1e-6 * expect.abs().max(1.0), "{got} is not {expect}");
}

#[test]
fn quantiles_and_tests_have_known_values() {
    close(normal_quantile(0.975), 1.959963985);
    close(t_quantile(0.975, 9.0), 2.262157163);
    close(t_quantile(0.975, 1.0), 12.70620474);
    close(t_quantile(0.975, 454.0), 1.965203);
    close(t_two_sided(2.262157163, 9.0), 0.05);
    close(mcnemar(10, 2).p, 0.03857421875);
    close(mcnemar(0, 0).p, 1.0);
    close(mcnemar(3, 3).p, 1.0);
    let [low, high] = wilson(8, 10).unwrap();
    close(low, 0.4901624715);
    close(high, 0.9433178485);
    let (chi, p) = chi_square_uniform(&[10, 20, 30, 40]).unwrap();
    close(chi, 20.0);
    close(p, 0.000169742);
    assert_eq!(chi_square_uniform(&[5]), None);
    close(expected_maximum(2), 0.5641895835);
    close(expected_maximum(10), 1.5387527308);
    close(minimum_detectable(0.01), 0.0280158);
}

#[test]
fn corrections_have_known_values() {
    let p = [0.01, 0.04, 0.03, 0.005];
    let check = |got: Vec<f64>, expect: [f64; 4]| got.iter().zip(expect).for_each(|(g, e)| close(*g, e));
    check(holm(&p), [0.03, 0.06, 0.06, 0.02]);
    check(benjamini_hochberg(&p), [0.02, 0.04, 0.04, 0.02]);
    assert!(holm(&[]).is_empty());
}

#[test]
fn clustered_error_follows_the_formula() {
    // Two clips: sums 2 of 2 and 0 of 2; mean 0.5, deviations +1 and -1; SE^2 = 2/1 * 2 / 16.
    let estimate = Clusters::of([("a", 1.0), ("b", 0.0), ("a", 1.0), ("b", 0.0)]).estimate().unwrap();
    close(estimate.mean, 0.5);
    close(estimate.standard_error.unwrap(), 0.5);
    close(estimate.naive_standard_error.unwrap(), (1.0f64 / 12.0).sqrt());
    close(estimate.design_effect.unwrap(), 3.0);
    assert_eq!(Clusters::of([("a", 1.0)]).estimate().unwrap().ci95, None);
    assert_eq!(Clusters::of([]).estimate(), None);
}

#[test]
fn sign_flips_are_exact_for_few_clips() {
    let names: Vec<String> = (0..6).map(|i| i.to_string()).collect();
    let all_up = Clusters::of(names.iter().map(|name| (name.as_str(), 1.0)));
    let paired = paired_difference(&all_up, 100).unwrap();
    close(paired.p_permutation, 2.0 / 64.0);
    assert_eq!(paired.p_t, None, "no spread, no t");
    assert_eq!(paired.ci95_bootstrap, Some([1.0, 1.0]));
    let none = Clusters::of(names.iter().map(|name| (name.as_str(), 0.0)));
    close(paired_difference(&none, 100).unwrap().p_permutation, 1.0);
}

/// A uniform draw inside 0..1.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / 4_294_967_296.0
}

/// Two checkpoints on `clips` clips of 1 to 12 items: each clip has its own difficulty, which both share, and an own
/// liking for one of them. Returns differences by clip.
fn simulate(rng: &mut ChaCha8Rng, clips: usize, gain: f64) -> Clusters {
    let names: Vec<String> = (0..clips).map(|i| i.to_string()).collect();
    let mut values = Vec::new();
    for name in &names {
        let items = 1 + (uniform(rng) * 12.0) as usize;
        let base = 0.3 + 0.3 * uniform(rng);
        let liking = 0.3 * (uniform(rng) - 0.5);
        for _ in 0..items {
            let baseline = f64::from(u8::from(uniform(rng) < base));
            let candidate = f64::from(u8::from(uniform(rng) < base + gain + liking));
            values.push((name.as_str(), candidate - baseline));
        }
    }
    Clusters::of(values)
}

#[test]
fn intervals_cover_the_truth() {
    let (gain, runs) = (0.08, 1000);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (mut by_t, mut by_bootstrap, mut false_alarms) = (0, 0, 0);
    for _ in 0..runs {
        let paired = paired_difference(&simulate(&mut rng, 80, gain), 1000).unwrap();
        let covers = |interval: Option<[f64; 2]>| interval.is_some_and(|[low, high]| low <= gain && gain <= high);
        by_t += usize::from(covers(paired.estimate.ci95));
        by_bootstrap += usize::from(covers(paired.ci95_bootstrap));
        let same = paired_difference(&simulate(&mut rng, 40, 0.0), 200).unwrap();
        false_alarms += usize::from(same.p_permutation <= 0.05);
    }
    println!("of {runs}: t covers {by_t}, bootstrap {by_bootstrap}; sign flips find {false_alarms} that are not there");
    assert!((930..=970).contains(&by_t), "{by_t}");
    assert!((930..=970).contains(&by_bootstrap), "{by_bootstrap}");
    assert!((30..=70).contains(&false_alarms), "{false_alarms}");
}
