//! What becomes of records.

use super::*;
use crate::ValidationMetrics;
use crate::{StepMetrics, StepTiming};

#[test]
fn numbers_of_a_record() {
    let metrics = StepMetrics {
        step: 3,
        epoch: 0,
        loss_avg: Some(0.5),
        grad_norm: None,
        lr: 2e-7,
        labelled_tokens: 10,
        tokens: 100,
        cut_tokens: 0,
        samples: 4,
        rejected: 0,
        updated: true,
    };
    let timing = StepTiming { step: 3, iteration_s: 1.5, batch_arrival_s: f64::NAN, tokens_per_s: 66.0 };
    let names = |row: &dyn Row| row.metrics().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let found = names(&metrics);
    for name in ["train/epoch", "train/loss_avg", "optimizer/lr", "updated"] {
        assert!(found.contains(&name.to_owned()), "{name}: {found:?}");
    }
    assert!(!found.contains(&"optimizer/grad_norm".to_owned()) && !found.contains(&"step".to_owned()));
    assert_eq!(names(&timing), ["train/iteration_time", "tokens_per_s"], "what is no number is left out");
}

#[test]
fn what_is_held_is_part_of_the_next_record() {
    let validation =
        ValidationMetrics { step: 2, avg_loss: Some(0.5), epoch: 0, labelled_tokens: 3, samples: 1, rejected: 0 };
    let timing = StepTiming { step: 2, iteration_s: 1.5, batch_arrival_s: 0.5, tokens_per_s: 66.0 };
    let dir = tempfile::tempdir().unwrap();
    let file = EventFile::create(dir.path(), 0, Duration::ZERO).unwrap();
    let mut exports = Exports { tensorboard: Some(file), wandb: None, held: Vec::new() };
    exports.hold(&[&timing]);
    exports.record(2, &[&validation]).unwrap();
    assert!(exports.held.is_empty());
    let path = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(path).unwrap();
    // The version, then one event with both.
    let first = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize + 16;
    let second = u64::from_le_bytes(bytes[first..first + 8].try_into().unwrap()) as usize + 16;
    assert_eq!(bytes.len(), first + second, "one event for the step");
    for name in [&b"train/iteration_time"[..], b"val/avg_loss"] {
        assert!(bytes[first..].windows(name.len()).any(|window| window == name));
    }
}
