//! Tasks that no request waits for and that must end before the process does: what was begun for somebody who
//! was told that it is done.
//!
//! They run where this was made: each worker of the server has a runtime of its own, and what was spawned there ends
//! with the worker, in the middle of a call. Whoever spawns here bounds how many; this counts them alone.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

/// Requests whose work is seen through at once: each may have gone away while its work goes on.
const SEEN_THROUGH: usize = 4096;

/// The tasks under way; a clone counts the same.
#[derive(Clone, Debug)]
pub struct Underway {
    count: watch::Sender<usize>,
    runtime: Handle,
    turns: Arc<Semaphore>,
}

impl Underway {
    /// On the runtime of whoever calls. Must be called within one.
    pub fn here() -> Self {
        Self {
            count: watch::Sender::new(0),
            runtime: Handle::current(),
            turns: Arc::new(Semaphore::new(SEEN_THROUGH)),
        }
    }

    /// Does `work` to its end, also where whoever waits for it goes away: what is committed is told to the audit
    /// too. The server drops a request's own future when its client resets the connection.
    pub async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        // Nobody closes the semaphore.
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let work = async move {
            let _turn = turn;
            work.await
        };
        let work = self.spawn(work.in_current_span());
        match work.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends, and with it who waits.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }

    /// Spawns `work`, counted until it has ended, also by a panic.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let counted = self.count();
        self.runtime.spawn(async move {
            let _counted = counted;
            work.await
        })
    }

    /// Counts until what it gives is dropped.
    pub fn count(&self) -> Counted {
        self.count
            .send_modify(|count| *count = count.saturating_add(1));
        Counted(self.count.clone())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        *self.count.borrow()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until there is none.
    pub async fn settle(&self) {
        // The sender is this one's own, so that it is never gone.
        let mut counts = self.count.subscribe();
        let _none = counts.wait_for(|count| *count == 0).await;
    }
}

/// One of the tasks under way.
#[derive(Debug)]
pub struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_task_outlives_the_runtime_that_it_was_spawned_from() {
        let main = tokio::runtime::Runtime::new().unwrap();
        let underway = main.block_on(async { Underway::here() });
        let worker = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let work = {
            let _here = worker.enter();
            underway.spawn(async move { ended.await.is_ok() })
        };
        drop(worker);
        assert_eq!(underway.len(), 1);
        end.send(()).unwrap();
        main.block_on(underway.settle());
        assert!(main.block_on(work).unwrap());
    }

    #[tokio::test]
    async fn work_is_seen_through_though_nobody_waits_for_it_any_more() {
        let underway = Underway::here();
        assert_eq!(underway.see_through(async { 7 }).await, 7);
        let (begun, has_begun) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel::<bool>();
        let work = underway.see_through(async move {
            begun.send(()).unwrap();
            tell.send(ended.await.is_ok()).unwrap();
        });
        tokio::select! {
            () = work => panic!("it has not ended"),
            begun = has_begun => begun.unwrap(),
        }
        assert_eq!(underway.len(), 1);
        end.send(()).unwrap();
        assert!(told.await.unwrap());
        underway.settle().await;
    }

    #[tokio::test]
    async fn whoever_waits_is_told_when_the_last_has_ended() {
        let underway = Underway::here();
        underway.settle().await;
        let (end, ended) = oneshot::channel::<()>();
        let work = underway.spawn(async move { ended.await.is_ok() });
        let dying = underway.clone().spawn(async { panic!("it dies") });
        assert!(dying.await.is_err());
        assert_eq!(underway.len(), 1);
        let early = tokio::time::timeout(Duration::from_millis(50), underway.settle());
        assert!(early.await.is_err(), "one is under way");
        end.send(()).unwrap();
        underway.settle().await;
        assert!(work.await.unwrap() && underway.is_empty());
    }
}
