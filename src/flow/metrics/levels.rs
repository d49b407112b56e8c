//! What is counted in the store, read again where somebody asks and the last look is old.
//!
//! However many ask, the store is asked once in fifteen seconds, by one of them; the others are given what was read
//! before. A store that is away leaves the last numbers, with their age.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::store::{Levels, Store};

/// How old the numbers may be before they are read again.
const AGE: Duration = Duration::from_secs(15);
/// How long who asks waits for newer ones.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store's levels, as they were last read.
pub(in crate::flow) struct LevelsInForce {
    store: Store,
    last: Mutex<Option<(Instant, Levels)>>,
    /// Held by who reads, with the time of the last try.
    turn: tokio::sync::Mutex<Option<Instant>>,
}

impl LevelsInForce {
    pub(in crate::flow) fn of(store: Store) -> Self {
        Self {
            store,
            last: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The levels with their age; `None` before the store has first answered.
    pub(in crate::flow) async fn now(&self) -> Option<(Duration, Levels)> {
        if let Ok(mut tried) = self.turn.try_lock()
            && tried.is_none_or(|tried| tried.elapsed() >= AGE)
        {
            *tried = Some(Instant::now());
            // Who asks again before the next look is due does not wait for a store that is away.
            match timeout(PATIENCE, self.store.levels()).await {
                Ok(Ok(levels)) => *self.last() = Some((Instant::now(), levels)),
                Ok(Err(error)) => {
                    tracing::warn!(event = "levels_unread", %error, "what the store holds is not counted");
                }
                Err(_) => {
                    tracing::warn!(
                        event = "levels_unread",
                        error = "no answer in 2 seconds",
                        "what the store holds is not counted"
                    );
                }
            }
        }
        let last = self.last();
        let read = last.as_ref();
        read.map(|(at, levels)| (at.elapsed(), levels.clone()))
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Levels)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Bench;

    #[tokio::test]
    async fn the_store_is_asked_once_in_a_while() {
        let bench = Bench::new();
        let store = bench.open().await;
        let levels = LevelsInForce::of(store.clone());
        assert_eq!(levels.now().await.unwrap().1.sessions, 0);
        bench.session(&store, "a").await;
        for _ in 0..10 {
            assert_eq!(levels.now().await.unwrap().1.sessions, 0);
        }
        let before = Instant::now().checked_sub(AGE).unwrap();
        *levels.turn.lock().await = Some(before);
        assert_eq!(levels.now().await.unwrap().1.sessions, 1);
        store.close().await;
        *levels.turn.lock().await = Some(before);
        let (_, kept) = levels.now().await.unwrap();
        assert_eq!(kept.sessions, 1, "the last numbers stay");
    }
}
