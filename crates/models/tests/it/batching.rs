//! Loss and gradients do not depend on how samples are put together; cached decoding equals a whole pass.

use super::{qwen3_vl, samples};
use models::{Grads, Remat, Vlm};
use processor::{VlmInput, pack};

/// Loss and gradients of all samples in packed micro-batches of `size`.
fn accumulate(model: &Vlm, samples: &[VlmInput], size: usize) -> (f64, Grads) {
    let labelled: usize = samples.iter().map(|s| s.labels.iter().filter(|l| **l >= 0).count()).sum();
    let mut grads = model.params.zero_grads();
    let mut loss = 0.0;
    for batch in samples.chunks(size) {
        let packed = pack(&batch.iter().collect::<Vec<_>>());
        loss += model.forward_backward(&packed, 1.0 / labelled as f32, &mut grads).unwrap().loss;
    }
    (loss / labelled as f64, grads)
}

fn largest_relative_difference(a: &Grads, b: &Grads) -> f64 {
    let norm = |values: Vec<f64>| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let whole = norm(b.tensors().iter().flat_map(|t| t.to_vec()).map(f64::from).collect());
    let pairs = a.tensors().iter().zip(b.tensors()).map(|(x, y)| {
        let (x, y) = (x.to_vec(), y.to_vec());
        let difference = norm(x.iter().zip(&y).map(|(a, b)| f64::from(a - b)).collect());
        difference / norm(y.into_iter().map(f64::from).collect()).max(1e-6 * whole)
    });
    pairs.fold(0.0, f64::max)
}

#[test]
fn micro_batches_and_packing_do_not_change_loss_or_gradients() {
    let model = qwen3_vl();
    let samples = samples(&model);
    let (loss, grads) = accumulate(&model, &samples, 1);
    for size in [2, 4, 8] {
        let (other_loss, other_grads) = accumulate(&model, &samples, size);
        let difference = largest_relative_difference(&other_grads, &grads);
        assert!((other_loss - loss).abs() <= 1e-5 * loss, "micro-batch {size}: loss {other_loss}, alone {loss}");
        assert!(difference <= 1e-5, "micro-batch {size}: gradients differ by {difference}");
    }
}

#[test]
fn recomputation_does_not_change_a_bit() {
    let mut model = qwen3_vl();
    let samples = samples(&model);
    let (loss, grads) = accumulate(&model, &samples, 3);
    model.remat = Remat::Full;
    let (other_loss, other_grads) = accumulate(&model, &samples, 3);
    assert_eq!(loss.to_bits(), other_loss.to_bits());
    for (a, b) in grads.tensors().iter().zip(other_grads.tensors()) {
        assert!(a.to_vec().iter().zip(b.to_vec()).all(|(x, y)| x.to_bits() == y.to_bits()));
    }
}

#[test]
fn loss_alone_equals_loss_with_gradients() {
    let model = qwen3_vl();
    let samples = samples(&model);
    let packed = pack(&samples.iter().collect::<Vec<_>>());
    let alone = model.loss(&packed).unwrap();
    let with_gradients = model.forward_backward(&packed, 1.0, &mut model.params.zero_grads()).unwrap();
    assert_eq!(alone.tokens, with_gradients.tokens);
    assert!((alone.loss - with_gradients.loss).abs() <= 1e-9 * alone.loss);
}

#[test]
fn cached_decoding_equals_a_whole_pass() {
    let model = qwen3_vl();
    for sample in samples(&model) {
        let prompt_len = sample.input_ids.len() - 4;
        let mut prompt = sample.clone();
        prompt.input_ids.truncate(prompt_len);
        prompt.labels.truncate(prompt_len);
        prompt.position_ids.iter_mut().for_each(|axis| axis.truncate(prompt_len));
        // The samples end in words, so the offset of a longer text holds for its beginning too.
        let (mut logits, mut cache) = model.prefill(&prompt, 4).unwrap();
        let rows: Vec<u32> = (prompt_len as u32 - 1..sample.input_ids.len() as u32 - 1).collect();
        let whole = model.logits(&pack(&[&sample]), &rows).unwrap().to_vec();
        for (i, expected) in whole.chunks(logits.len()).enumerate() {
            let worst = logits.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-5, "token {i}: {worst}");
            logits = model.decode(sample.input_ids[prompt_len + i], &mut cache).unwrap();
        }
        assert_eq!(cache.len(), cache.capacity());
        assert!(model.decode(5, &mut cache).is_err(), "a full cache is an error");
    }
}

#[test]
fn input_that_does_not_fit_is_an_error() {
    let model = qwen3_vl();
    let good = samples(&model).remove(1);
    let check = |what: &str, change: fn(&mut VlmInput)| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = model.logits(&pack(&[&bad]), &[0]).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(what), "{what}: {error}");
    };
    check("visual placeholders", |s| s.grid_thw[0].t = 1);
    check("pixel values", |s| s.pixel_values.truncate(96));
    check("outside the vocabulary", |s| s.input_ids[0] = 4000);
    check("multiple of the merge size", |s| (s.grid_thw[0].h, s.grid_thw[0].w) = (3, 8));
    check("positions", |s| s.position_ids[1].truncate(2));
    let mut bad = good.clone();
    bad.labels[5] = 4000;
    assert!(model.loss(&pack(&[&bad])).is_err());
    assert!(model.logits(&pack(&[]), &[0]).is_err());
}

#[test]
fn a_shared_beginning_changes_no_answer() {
    let model = qwen3_vl();
    for sample in samples(&model) {
        // The same clip with another last word: both go on from one beginning.
        let mut other = sample.clone();
        *other.input_ids.last_mut().unwrap() -= 1;
        let shared = model.prefill_prefix(&sample).unwrap();
        assert!(shared.len() < sample.input_ids.len() && shared.begins(&other.input_ids));
        for prompt in [&sample, &other] {
            let greedy = |logits: &[f32]| {
                (0..logits.len() as u32)
                    .reduce(|a, b| if logits[b as usize] > logits[a as usize] { b } else { a })
                    .unwrap()
            };
            let answer = |(mut logits, mut cache): (Vec<f32>, models::KvCache)| {
                let mut trace = vec![logits.clone()];
                let mut ids = Vec::new();
                for _ in 0..6 {
                    ids.push(greedy(&logits));
                    logits = model.decode(ids[ids.len() - 1], &mut cache).unwrap();
                    trace.push(logits.clone());
                }
                (ids, trace)
            };
            let (shared_ids, shared_logits) = answer(model.prefill_after(&shared, prompt, 6).unwrap());
            let alone = model.prefill_prefix(prompt).unwrap();
            let (alone_ids, alone_logits) = answer(model.prefill_after(&alone, prompt, 6).unwrap());
            let (whole_ids, whole_logits) = answer(model.prefill(prompt, 6).unwrap());
            assert_eq!((&shared_ids, &shared_logits), (&alone_ids, &alone_logits), "bit for bit");
            assert_eq!(shared_ids, whole_ids);
            for (a, b) in shared_logits.iter().flatten().zip(whole_logits.iter().flatten()) {
                assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }
}
