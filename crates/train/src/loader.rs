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
