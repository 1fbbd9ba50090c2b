//! Orders: complete, reproducible, resumable, as probable as asked.

use std::collections::HashSet;

use super::*;
use crate::plan::tests::recipe_with;

fn order(weights: &[Option<f64>], sizes: &[usize], shuffle: bool) -> Order {
    Order::new(&recipe_with(weights, shuffle), sizes)
}

#[test]
fn an_epoch_sees_every_sample_once() {
    let check = |sizes: &[usize], shuffle: bool| {
        let total: usize = sizes.iter().sum();
        let all: Vec<SampleRef> = order(&vec![None; sizes.len()], sizes, shuffle).take(3 * total).collect();
        let epochs: Vec<&[SampleRef]> = all.chunks(total).collect();
        for epoch in &epochs {
            assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), total, "{sizes:?}");
        }
        assert_eq!(epochs[0] == epochs[1], !shuffle, "{sizes:?}: epochs differ exactly if shuffled");
    };
    check(&[100], true);
    check(&[100], false);
    check(&[30, 0, 50], true);
}

#[test]
fn skipping_is_the_same_as_walking() {
    for weights in [vec![None, None], vec![Some(0.25), Some(0.75)], vec![Some(0.0), Some(1.0)]] {
        let walked: Vec<_> = order(&weights, &[7, 11], true).take(100).collect();
        for start in [0, 1, 17, 18, 36, 99] {
            let mut skipped = order(&weights, &[7, 11], true);
            skipped.skip_to(start as u64);
            assert_eq!(skipped.take(100 - start).collect::<Vec<_>>(), walked[start..], "from {start}");
        }
    }
}

/// How far every source is from its weight, at worst over all prefixes of `epochs` virtual epochs of `epoch` draws.
fn worst_deviation(weights: &[f64], sizes: &[usize], epoch: u64, epochs: u64) -> f64 {
    let given: Vec<Option<f64>> = weights.iter().copied().map(Some).collect();
    let recipe = Recipe { epoch_samples: Some(epoch), ..recipe_with(&given, true) };
    let sum: f64 = weights.iter().zip(sizes).filter(|(_, size)| **size > 0).map(|(weight, _)| weight).sum();
    let mut order = Order::new(&recipe, sizes);
    let mut worst = 0f64;
    for _ in 0..epochs {
        let mut drawn = vec![0u64; weights.len()];
        for n in 1..=epoch {
            drawn[order.next().unwrap().dataset] += 1;
            for ((weight, drawn), _) in weights.iter().zip(&drawn).zip(sizes).filter(|(_, size)| **size > 0) {
                worst = worst.max((weight / sum * n as f64 - *drawn as f64).abs());
            }
        }
    }
    worst
}

#[test]
fn the_mix_is_within_one_sample_of_the_weights() {
    for epoch in [1, 7, 10, 256, 1000, 1111] {
        let worst = worst_deviation(&[0.3, 0.5, 0.2], &[1000, 10, 100], epoch, 3);
        assert!(worst < 1.0, "{epoch}: {worst}");
    }
    let drawn: Vec<_> = order(&[Some(0.3), Some(0.5), Some(0.2)], &[1000, 10, 100], true).take(2000).collect();
    // Every pass over the small set is complete before the next begins.
    let small: Vec<_> = drawn.iter().filter(|s| s.dataset == 1).collect();
    assert!(small.chunks_exact(10).all(|pass| pass.iter().collect::<HashSet<_>>().len() == 10));
}

#[test]
fn effective_epochs_of_the_recipe() {
    // The seed's sizes: half of the draws from 10,000 clips are 56 passes over each in one epoch.
    let weights = [Some(0.3), Some(0.5), Some(0.2)];
    let recipe = Recipe { global_batch: 256, epochs: 3, ..recipe_with(&weights, true) };
    let sizes = [1_000_000, 10_000, 110_000];
    let timeline = Timeline::new(&recipe, &sizes);
    let mix = mix(&recipe, &sizes, &timeline);
    assert_eq!(mix.iter().map(|m| m.epoch_draws).collect::<Vec<_>>(), [336_000, 560_000, 224_000]);
    assert_eq!(mix.iter().map(|m| m.draws).sum::<u64>(), 3 * 1_120_000);
    assert!((mix[1].effective_epochs - 168.0).abs() < 1e-9, "{mix:?}");
    // Without weights every sample is drawn once an epoch.
    let plain = recipe_with(&[None, None], true);
    let counted =
        super::mix(&plain, &[7, 13], &Timeline::new(&Recipe { max_num_steps: Some(2), ..plain.clone() }, &[7, 13]));
    assert_eq!(counted.iter().map(|m| m.draws).sum::<u64>(), 8);
    assert_eq!(counted.iter().map(|m| m.epoch_draws).collect::<Vec<_>>(), [7, 13]);
}

proptest::proptest! {
    #[test]
    fn any_weights_are_met_within_one_sample(
        weights in proptest::collection::vec(0.001f64..1.0, 1..7),
        size in 1usize..50,
        epoch in 1u64..400,
    ) {
        let worst = worst_deviation(&weights, &vec![size; weights.len()], epoch, 2);
        proptest::prop_assert!(worst < 1.0 + 1e-6, "{worst}");
    }

    #[test]
    fn any_skip_is_a_walk(
        weights in proptest::collection::vec(0.0f64..1.0, 1..5),
        epoch in 1u64..60,
        start in 0usize..200,
    ) {
        proptest::prop_assume!(weights.iter().sum::<f64>() > 0.0);
        let given: Vec<Option<f64>> = weights.iter().copied().map(Some).collect();
        let recipe = Recipe { epoch_samples: Some(epoch), ..recipe_with(&given, true) };
        let sizes = vec![5; weights.len()];
        let walked: Vec<_> = Order::new(&recipe, &sizes).skip(start).take(20).collect();
        let mut skipped = Order::new(&recipe, &sizes);
        skipped.skip_to(start as u64 / 2);
        skipped.skip_to(start as u64);
        proptest::prop_assert_eq!(skipped.take(20).collect::<Vec<_>>(), walked);
    }
}

#[test]
fn empty_sets_are_never_drawn() {
    assert!(order(&[Some(0.9), Some(0.1)], &[0, 3], true).take(50).all(|s| s.dataset == 1));
    assert_eq!(order(&[None], &[0], true).next(), None);
}

/// A change of these numbers breaks the resumption of runs begun by older programs.
#[test]
fn the_order_is_pinned() {
    let drawn: Vec<usize> = order(&[None], &[8], true).take(16).map(|s| s.sample).collect();
    assert_eq!(drawn, [1, 2, 3, 7, 6, 4, 0, 5, 2, 3, 7, 0, 5, 6, 1, 4]);
}

#[test]
fn timeline() {
    let recipe = |epochs, max_num_steps| crate::Recipe { epochs, max_num_steps, ..recipe_with(&[None], true) };
    let check = |recipe: &crate::Recipe, size: usize, steps: u64, step: u64, positions: std::ops::Range<u64>| {
        let timeline = Timeline::new(recipe, &[size]);
        assert_eq!(timeline.steps_total, steps);
        assert_eq!(timeline.positions(step), positions);
    };
    // Batches of 4 over 10 samples: 4, 4, 2.
    check(&recipe(2, None), 10, 6, 0, 0..4);
    check(&recipe(2, None), 10, 6, 2, 8..10);
    check(&recipe(2, None), 10, 6, 3, 10..14);
    check(&recipe(2, None), 10, 6, 5, 18..20);
    check(&recipe(2, Some(5)), 10, 5, 4, 14..18);
    check(&recipe(1, None), 3, 1, 0, 0..3);
    // cosmos-reason2's published log: 23,240 samples in batches of 128 are 182 steps.
    let timeline = Timeline::new(&crate::Recipe { global_batch: 128, ..recipe(1, None) }, &[23_240]);
    assert_eq!(timeline.steps_total, 182);
}
