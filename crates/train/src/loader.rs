//! Samples ahead of need: threads decode while the model computes, and the order does not depend on them.
//!
//! Thread `i` of `n` prepares positions `i`, `i + n`, `i + 2n`, ... into a queue of its own, and the reader takes from
//! the queues in turn. So the order is that of the positions, for any number of threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use crate::{Order, SampleRef};

/// A sample, prepared or rejected with a reason.
#[derive(Debug)]
pub struct Loaded<T> {
    /// Which sample.
    pub sample: SampleRef,
    /// Its input, or why there is none.
    pub outcome: Result<T, String>,
}

/// The reading end.
#[derive(Debug)]
pub struct Loader<T> {
    lanes: Vec<Receiver<Loaded<T>>>,
    next_lane: usize,
}

impl<T: Send> Loader<T> {
    /// Starts `threads` threads that prepare the positions from where `order` stands up to `end`, at most `prefetch`
    /// samples ahead each. They end when the loader is dropped. A panic of `encode` rejects its sample.
    pub fn start<'scope, 'env, F>(
        scope: &'scope Scope<'scope, 'env>,
        order: &Order,
        samples: u64,
        (threads, prefetch): (usize, usize),
        encode: F,
    ) -> Self
    where
        F: Fn(SampleRef) -> Result<T, String> + Clone + Send + 'scope,
        T: 'scope,
    {
        let lanes = (0..threads).map(|lane| {
            let (sender, receiver) = sync_channel(prefetch);
            let (order, encode) = (order.clone(), encode.clone());
            let share = order.zip(0..samples).map(|(sample, _)| sample).skip(lane).step_by(threads);
            scope.spawn(move || fill(share, &encode, &sender));
            receiver
        });
        Self { lanes: lanes.collect(), next_lane: 0 }
    }

    /// The sample of the next position; none when all are through, or a thread died.
    pub fn next(&mut self) -> Option<Loaded<T>> {
        let loaded = self.lanes.get(self.next_lane)?.recv().ok();
        self.next_lane = (self.next_lane + 1) % self.lanes.len();
        loaded
    }
}

fn fill<T>(
    samples: impl Iterator<Item = SampleRef>,
    encode: &impl Fn(SampleRef) -> Result<T, String>,
    queue: &SyncSender<Loaded<T>>,
) {
    for sample in samples {
        let outcome = catch_unwind(AssertUnwindSafe(|| encode(sample)))
            .unwrap_or_else(|_| Err("the decoder panicked on this sample; please report the clip".into()));
        if queue.send(Loaded { sample, outcome }).is_err() {
            return; // the loader was dropped
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::tests::recipe_with;

    #[test]
    fn order_is_that_of_the_positions() {
        let order = Order::new(&recipe_with(&[None], true), &[10]);
        let expect: Vec<SampleRef> = order.clone().take(25).collect();
        for (threads, prefetch) in [(1, 1), (2, 1), (3, 4), (16, 2), (40, 1)] {
            let encode = |sample: SampleRef| {
                std::thread::sleep(Duration::from_micros(100 * (sample.sample as u64 % 3)));
                Ok(sample.sample)
            };
            let got: Vec<Loaded<usize>> = std::thread::scope(|scope| {
                let mut loader = Loader::start(scope, &order, 25, (threads, prefetch), encode);
                (0..25).map_while(|_| loader.next()).collect()
            });
            assert_eq!(got.iter().map(|loaded| loaded.sample).collect::<Vec<_>>(), expect, "{threads} threads");
            assert!(got.iter().all(|loaded| loaded.outcome == Ok(loaded.sample.sample)));
        }
    }

    #[test]
    fn a_panic_rejects_its_sample_only() {
        let order = Order::new(&recipe_with(&[None], false), &[4]);
        let encode = |sample: SampleRef| if sample.sample == 2 { panic!("bad clip") } else { Ok(sample.sample) };
        let outcomes: Vec<bool> = std::thread::scope(|scope| {
            let mut loader = Loader::start(scope, &order, 4, (2, 1), encode);
            std::iter::from_fn(|| loader.next()).map(|loaded| loaded.outcome.is_ok()).collect()
        });
        assert_eq!(outcomes, [true, true, false, true]);
    }

    #[test]
    fn dropping_the_loader_ends_its_threads() {
        let order = Order::new(&recipe_with(&[None], true), &[4]);
        std::thread::scope(|scope| {
            let mut loader = Loader::start(scope, &order, u64::MAX, (2, 1), |sample| Ok(sample.sample));
            assert!(loader.next().is_some());
        });
    }
}
