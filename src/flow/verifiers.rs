//! Where documents of strangers are verified: off the async threads, one per core at a time, with a
//! deadline, so that C code stalls no other request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::model::Durations;

/// A verification that takes longer is given up on; a good one takes a millisecond.
const DEADLINE: Duration = Duration::from_secs(5);

/// All verifiers were busy for too long, or one died.
#[derive(Debug, Clone, Copy)]
pub struct Busy;

/// The turns; a clone shares them.
#[derive(Clone)]
pub struct Verifiers(Arc<Turns>);

struct Turns {
    free: Arc<Semaphore>,
    waiting: AtomicU64,
    took: Durations,
}

/// One that waits for its turn, for as long as this lives.
struct InLine<'a>(&'a AtomicU64);

impl<'a> InLine<'a> {
    fn of(waiting: &'a AtomicU64) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Verifiers {
    /// As many as there are cores.
    pub fn one_per_core() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Arc::new(Turns {
            free: Arc::new(Semaphore::new(cores)),
            waiting: AtomicU64::new(0),
            took: Durations::default(),
        }))
    }

    /// How many wait for their turn.
    pub(super) fn waiting(&self) -> u64 {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// How long verifications took, once it was their turn.
    pub(super) fn took(&self) -> &Durations {
        &self.0.took
    }

    /// Runs `work` when its turn comes.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let in_line = InLine::of(&self.0.waiting);
        let permit = Arc::clone(&self.0.free).acquire_owned();
        let permit = tokio::time::timeout(DEADLINE, permit).await;
        let permit = permit.map_err(|_| Busy)?.map_err(|_| Busy)?;
        drop(in_line);
        // The work keeps its permit, also if nobody waits for it any longer.
        let turns = Arc::clone(&self.0);
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let started = Instant::now();
            let done = work();
            turns.took.observe(started.elapsed());
            done
        });
        tokio::time::timeout(DEADLINE, work)
            .await
            .map_err(|_| Busy)?
            .map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_and_how_long_it_took_are_counted() {
        let verifiers = Verifiers::one_per_core();
        let free = verifiers.0.free.available_permits();
        let all = u32::try_from(free).unwrap();
        let held = Arc::clone(&verifiers.0.free)
            .acquire_many_owned(all)
            .await
            .unwrap();
        let late = verifiers.clone();
        let late = tokio::spawn(async move { late.run(|| 1).await });
        while verifiers.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(verifiers.took().read().count, 0);
        drop(held);
        assert_eq!(late.await.unwrap().unwrap(), 1);
        assert_eq!(verifiers.waiting(), 0);
        assert_eq!(verifiers.took().read().count, 1);
    }
}
