//! How many refreshes are on their way at each provider: one that is slow keeps none of another's waiting.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::TokenProblem;
use crate::flow::Providers;
use crate::model::IdpName;

/// Refreshes on their way at once at one provider.
pub(super) const AT_ONCE: u32 = 64;

/// The turns at each provider.
pub(super) struct Turns {
    of: HashMap<IdpName, Arc<Semaphore>>,
    /// At those that stand in the configuration no more, which are not asked.
    others: Arc<Semaphore>,
    /// Whether none is given any more.
    closed: watch::Sender<bool>,
}

impl Turns {
    pub(super) fn at(providers: &Providers) -> Self {
        let all = providers.all().iter();
        Self {
            of: all
                .map(|provider| (provider.settings.name.clone(), turns()))
                .collect(),
            others: turns(),
            closed: watch::Sender::new(false),
        }
    }

    /// A turn at `idp`, given back where it is dropped; [`TokenProblem::Waiting`] where none is given any more.
    pub(super) async fn take(&self, idp: &IdpName) -> Result<OwnedSemaphorePermit, TokenProblem> {
        let turns = self.of.get(idp).unwrap_or(&self.others);
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(TokenProblem::Waiting),
            turn = Arc::clone(turns).acquire_owned() => turn.map_err(|_| TokenProblem::Waiting),
        }
    }

    /// Gives no more, also not to who waits for one already, and waits until none is taken.
    pub(super) async fn close(&self) {
        self.closed.send_replace(true);
        for turns in self.of.values().chain([&self.others]) {
            if turns.acquire_many(AT_ONCE).await.is_ok() {
                turns.close();
            }
        }
    }
}

fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(AT_ONCE).unwrap_or(1)))
}
