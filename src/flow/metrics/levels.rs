//! What is counted in the store, read again where somebody asks and the last look is old.
//!
//! However many ask, the store is asked once in fifteen seconds, by one of them; the others are given what was read
//! before. A store that is away leaves the last numbers, with their age.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::store::{Levels, Store};

/// How old the numbers may be before they are read again.
const AGE: Duration = Duration::from_secs(15);
/// How long who asks waits for newer ones; those that come later are there for the next who asks.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long a look may take.
const LOOK: Duration = Duration::from_secs(10);

/// The store's levels, as they were last read.
pub(in crate::flow) struct LevelsInForce {
    store: Store,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// When a look last began.
    looked: Option<Instant>,
    last: Option<(Instant, Levels)>,
}

impl LevelsInForce {
    pub(in crate::flow) fn of(store: Store) -> Self {
        Self {
            store,
            known: Arc::default(),
        }
    }

    /// The levels with their age; `None` before the store has first answered.
    pub(in crate::flow) async fn now(&self) -> Option<(Duration, Levels)> {
        if self.is_due() {
            let look = look(self.store.clone(), Arc::clone(&self.known));
            // In a task of its own: what takes longer than who asks may wait is not in vain.
            let _late = timeout(PATIENCE, tokio::spawn(look)).await;
        }
        let known = lock(&self.known);
        let last = known.last.as_ref();
        last.map(|(at, levels)| (at.elapsed(), levels.clone()))
    }

    /// Whether a look is due; who is told so begins it.
    fn is_due(&self) -> bool {
        let mut known = lock(&self.known);
        let is_due = known.looked.is_none_or(|looked| looked.elapsed() >= AGE);
        if is_due {
            known.looked = Some(Instant::now());
        }
        is_due
    }
}

async fn look(store: Store, known: Arc<Mutex<Known>>) {
    let error = match timeout(LOOK, store.levels()).await {
        Ok(Ok(levels)) => {
            lock(&known).last = Some((Instant::now(), levels));
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {} seconds", LOOK.as_secs()),
    };
    tracing::warn!(
        event = "levels_unread",
        error,
        "what the store holds is not counted"
    );
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Bench;

    /// The numbers, once there are so many sessions: a busy machine may have them later than who asks waits.
    async fn sessions(levels: &LevelsInForce, wanted: i64) -> Levels {
        for _ in 0..200 {
            if let Some((_, levels)) = levels.now().await
                && levels.sessions == wanted
            {
                return levels;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not {wanted} sessions: {:?}", levels.now().await);
    }

    #[tokio::test]
    async fn the_store_is_asked_once_in_a_while() {
        let bench = Bench::new();
        let store = bench.open().await;
        let levels = LevelsInForce::of(store.clone());
        sessions(&levels, 0).await;
        bench.session(&store, "a").await;
        for _ in 0..10 {
            assert_eq!(levels.now().await.unwrap().1.sessions, 0);
        }
        let before = Instant::now().checked_sub(AGE).unwrap();
        lock(&levels.known).looked = Some(before);
        sessions(&levels, 1).await;
        store.close().await;
        lock(&levels.known).looked = Some(before);
        let (_, kept) = levels.now().await.unwrap();
        assert_eq!(kept.sessions, 1, "the last numbers stay");
    }
}
