//! Where documents of strangers are verified: off the async threads, one per core at a time, with a
//! deadline, so that C code stalls no other request. How many wait for their turn is bounded too: who comes
//! beyond is told to come again at once, and holds no memory meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Limit, Pressure};
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
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
    most: usize,
    pressure: Arc<Pressure>,
    took: Durations,
}

impl Verifiers {
    /// As many as there are cores, for whose turns `most` may wait.
    pub fn one_per_core(most: usize, pressure: Arc<Pressure>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::of(cores, most, pressure)
    }

    fn of(cores: usize, most: usize, pressure: Arc<Pressure>) -> Self {
        Self(Arc::new(Turns {
            cores: Arc::new(Semaphore::new(cores)),
            waiting: AtomicUsize::new(0),
            most,
            pressure,
            took: Durations::default(),
        }))
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
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
        let permit = {
            let Some(_place) = Place::take(&self.0) else {
                self.0.pressure.turn_away(Limit::Verifications);
                return Err(Busy);
            };
            let permit = Arc::clone(&self.0.cores).acquire_owned();
            let permit = tokio::time::timeout(DEADLINE, permit).await;
            permit.map_err(|_| Busy)?.map_err(|_| Busy)?
        };
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

/// A place among those who wait, given back also by who stops waiting.
struct Place<'a>(&'a Turns);

impl<'a> Place<'a> {
    fn take(turns: &'a Turns) -> Option<Self> {
        let place = Self(turns);
        let before = turns.waiting.fetch_add(1, Ordering::Relaxed);
        (before < turns.most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_wait_and_who_comes_beyond_is_told_at_once() {
        let pressure = Arc::new(Pressure::default());
        let verifiers = Verifiers::of(1, 2, Arc::clone(&pressure));
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let verifiers = verifiers.clone();
            async move { verifiers.run(move || gone.recv().is_ok()).await }
        });
        while verifiers.0.cores.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let next = || {
            let verifiers = verifiers.clone();
            tokio::spawn(async move { verifiers.run(|| true).await })
        };
        let (second, third) = (next(), next());
        while verifiers.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(verifiers.run(|| true).await.is_err());
        assert_eq!(pressure.turned_away(Limit::Verifications), 1);
        third.abort();
        let _aborted = third.await;
        assert_eq!(verifiers.waiting(), 1, "who stops waiting leaves the place");
        go.send(()).unwrap();
        assert!(first.await.unwrap().unwrap() && second.await.unwrap().unwrap());
        assert!(verifiers.run(|| true).await.unwrap());
        assert_eq!(verifiers.waiting(), 0);
        assert_eq!(verifiers.took().read().count, 3);
    }
}
