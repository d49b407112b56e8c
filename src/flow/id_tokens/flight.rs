//! One task for a session, however many wait for its ID token; nobody who gives up waiting stops it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::Instrument;

use super::TokenProblem;
use crate::model::{IdToken, SessionId, TRACES};

type Outcome = Result<IdToken, TokenProblem>;
type Tower = watch::Receiver<Option<Outcome>>;

/// The tasks on their way.
#[derive(Clone)]
pub(super) struct Flights {
    flying: Arc<Mutex<HashMap<SessionId, Tower>>>,
    /// A worker of the server has one of its own, which ends with it.
    runtime: Handle,
}

impl Flights {
    /// On the runtime of whoever calls. Must be called within one.
    pub(super) fn new() -> Self {
        Self {
            flying: Arc::default(),
            runtime: Handle::current(),
        }
    }

    /// Joins the task of `session`, or starts `work`; what is returned waits for it.
    pub(super) fn join<W, F>(
        &self,
        session: &SessionId,
        work: W,
    ) -> impl Future<Output = Outcome> + use<W, F>
    where
        W: FnOnce(SessionId) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut flying = self.locked();
        let mut tower = if let Some(tower) = flying.get(session) {
            tower.clone()
        } else {
            let (sender, tower) = watch::channel(None);
            flying.insert(session.clone(), tower.clone());
            let landing = Landing {
                flights: self.clone(),
                session: session.clone(),
            };
            let span = tracing::info_span!(target: TRACES, "id_token");
            let work = work(session.clone()).instrument(span);
            self.runtime.spawn(async move {
                let outcome = work.await;
                // Off the list first: who comes after this looks for himself.
                drop(landing);
                sender.send_replace(Some(outcome));
            });
            tower
        };
        drop(flying);
        async move {
            match tower.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or(Err(TokenProblem::Waiting)),
                // The task is gone without a word; the next one to ask starts another.
                Err(_) => Err(TokenProblem::Waiting),
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<SessionId, Tower>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a task off the list, also where it did not come to its end.
struct Landing {
    flights: Flights,
    session: SessionId,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.locked().remove(&self.session);
    }
}
