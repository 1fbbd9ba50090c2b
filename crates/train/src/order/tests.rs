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

#[test]
fn weights_are_probabilities() {
    let drawn: Vec<_> = order(&[Some(0.3), Some(0.5), Some(0.2)], &[1000, 10, 100], true).take(20_000).collect();
    for (dataset, weight) in [0.3, 0.5, 0.2].into_iter().enumerate() {
        let share = drawn.iter().filter(|s| s.dataset == dataset).count() as f64 / 20_000.0;
        // Five standard errors.
        assert!((share - weight).abs() < 5.0 * (weight * (1.0 - weight) / 20_000.0).sqrt(), "{dataset}: {share}");
    }
    // Every pass over the small set is complete before the next begins.
    let small: Vec<_> = drawn.iter().filter(|s| s.dataset == 1).collect();
    assert!(small.chunks_exact(10).all(|pass| pass.iter().collect::<HashSet<_>>().len() == 10));
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
