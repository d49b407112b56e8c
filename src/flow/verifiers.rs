//! Where documents of strangers are verified: off the async threads, one per core at a time, with a
//! deadline, so that C code stalls no other request.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// A verification that takes longer is given up on; a good one takes a millisecond.
const DEADLINE: Duration = Duration::from_secs(5);

/// All verifiers were busy for too long, or one died.
#[derive(Debug, Clone, Copy)]
pub struct Busy;

/// The turns; a clone shares them.
#[derive(Clone)]
pub struct Verifiers(Arc<Semaphore>);

impl Verifiers {
    /// As many as there are cores.
    pub fn one_per_core() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Arc::new(Semaphore::new(cores)))
    }

    /// Runs `work` when its turn comes.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let permit = Arc::clone(&self.0).acquire_owned();
        let permit = tokio::time::timeout(DEADLINE, permit).await;
        let permit = permit.map_err(|_| Busy)?.map_err(|_| Busy)?;
        // The work keeps its permit, also if nobody waits for it any longer.
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        tokio::time::timeout(DEADLINE, work)
            .await
            .map_err(|_| Busy)?
            .map_err(|_| Busy)
    }
}
