//! One task for a key, however many wait for what comes of it; nobody who gives up waiting stops it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Underway;

/// The tasks on their way, by key.
pub(super) struct Flights<K: Eq + Hash, T> {
    flying: Flying<K, T>,
    underway: Underway,
}

type Flying<K, T> = Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>;

/// The way to what comes of a task.
pub(super) struct Flight<T>(watch::Receiver<Option<T>>);

impl<T: Clone> Flight<T> {
    /// Waits for it. `None` where the task is gone without a word; the next one to ask starts another.
    pub(super) async fn landed(mut self) -> Option<T> {
        let landed = self.0.wait_for(Option::is_some).await;
        landed.ok().and_then(|outcome| outcome.clone())
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Send + Sync + 'static,
{
    /// Counts tasks as `underway`, where they run.
    pub(super) fn new(underway: Underway) -> Self {
        Self {
            flying: Arc::default(),
            underway,
        }
    }

    /// Joins the task of `key`, or starts `work`.
    pub(super) fn join<F>(&self, key: &K, work: impl FnOnce(K) -> F) -> Flight<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        match self.join_unless(key, || None::<Infallible>, work) {
            Ok(flight) => flight,
            Err(never) => match never {},
        }
    }

    /// Joins the task of `key`, or starts `work` unless `known` says what is as good.
    pub(super) fn join_unless<F, R>(
        &self,
        key: &K,
        known: impl FnOnce() -> Option<R>,
        work: impl FnOnce(K) -> F,
    ) -> Result<Flight<T>, R>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut flying = locked(&self.flying);
        if let Some(flight) = flying.get(key) {
            return Ok(Flight(flight.clone()));
        }
        if let Some(known) = known() {
            return Err(known);
        }
        let (tower, flight) = watch::channel(None);
        flying.insert(key.clone(), flight.clone());
        drop(flying);
        let landing = Landing {
            flying: Arc::clone(&self.flying),
            key: key.clone(),
        };
        let work = work(key.clone());
        self.underway.spawn(async move {
            let outcome = work.await;
            // Off the list first: who comes after this looks for himself.
            drop(landing);
            tower.send_replace(Some(outcome));
        });
        Ok(Flight(flight))
    }

    /// One of `key` that lands when a test says so: first the second is dropped, then the first told.
    #[cfg(test)]
    pub(super) fn held(&self, key: &K) -> (watch::Sender<Option<T>>, impl Drop + use<K, T>) {
        let (tower, flight) = watch::channel(None);
        locked(&self.flying).insert(key.clone(), flight);
        let landing = Landing {
            flying: Arc::clone(&self.flying),
            key: key.clone(),
        };
        (tower, landing)
    }
}

/// Takes a task off the list, also where it did not come to its end.
struct Landing<K: Eq + Hash, T> {
    flying: Flying<K, T>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        locked(&self.flying).remove(&self.key);
    }
}

fn locked<K, T>(flying: &Flying<K, T>) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<T>>>> {
    flying.lock().unwrap_or_else(PoisonError::into_inner)
}
