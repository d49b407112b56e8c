//! Tasks that no request waits for and that must end before the process does: what was begun for somebody who
//! was told that it is done.
//!
//! Whoever spawns here bounds how many; this counts them alone.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The tasks under way; a clone counts the same.
#[derive(Clone, Debug)]
pub struct Underway(watch::Sender<usize>);

impl Default for Underway {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Underway {
    /// Spawns `work`, counted until it has ended, also by a panic.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let counted = self.count();
        tokio::spawn(async move {
            let _counted = counted;
            work.await
        })
    }

    /// Counts until what it gives is dropped.
    pub fn count(&self) -> Counted {
        self.0.send_modify(|count| *count = count.saturating_add(1));
        Counted(self.clone())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        *self.0.borrow()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until there is none.
    pub async fn settle(&self) {
        // The sender is this one's own, so that it is never gone.
        let mut counts = self.0.subscribe();
        let _none = counts.wait_for(|count| *count == 0).await;
    }
}

/// One of the tasks under way.
#[derive(Debug)]
pub struct Counted(Underway);

impl Drop for Counted {
    fn drop(&mut self) {
        let Self(Underway(count)) = self;
        count.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_when_the_last_has_ended() {
        let underway = Underway::default();
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
