//! What becomes of records.

use super::*;
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
