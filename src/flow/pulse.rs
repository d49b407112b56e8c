//! Notices what other processes changed in the store, and when the store was last heard from.
//!
//! A gateway that has not heard from its store for five seconds cannot know what was revoked, so it
//! must hand out no secret: [`Pulse::is_current`] says whether it may.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{AllowList, Fetch, Holds, ServiceKeys};
use crate::store::{ChangeVersions, Store, StoreError};

/// An edit by another process must show within a second.
const PERIOD: Duration = Duration::from_millis(250);

/// DESIGN.md, "Store, replicas, secrets".
const SILENCE: Duration = Duration::from_secs(5);

/// When the store last answered.
pub struct Pulse {
    heard: Mutex<Instant>,
}

/// What is read again when the store says so.
struct Watched {
    store: Store,
    allow_list: Arc<AllowList>,
    fetch: Arc<Fetch>,
    keys: Arc<ServiceKeys>,
    holds: Arc<Holds>,
}

impl Pulse {
    /// A pulse of a store that has just been opened.
    pub fn started() -> Self {
        Self {
            heard: Mutex::new(Instant::now()),
        }
    }

    /// Whether the store was heard from recently enough to hand out secrets.
    pub fn is_current(&self) -> bool {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
            < SILENCE
    }

    fn beat(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Asks the store for changes until the process ends.
    pub async fn watch(
        self: Arc<Self>,
        store: Store,
        allow_list: Arc<AllowList>,
        fetch: Arc<Fetch>,
        keys: Arc<ServiceKeys>,
        holds: Arc<Holds>,
    ) {
        let watched = Watched {
            store,
            allow_list,
            fetch,
            keys,
            holds,
        };
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen: Option<ChangeVersions> = None;
        let mut away = false;
        loop {
            ticks.tick().await;
            match self.look(&watched, seen.as_ref()).await {
                Ok(now) => {
                    seen = Some(now);
                    if std::mem::take(&mut away) {
                        tracing::info!(event = "store_back", "the store answers again");
                    }
                }
                Err(error) if !away => {
                    away = true;
                    tracing::error!(event = "store_away", %error, "the store does not answer");
                }
                Err(_) => {}
            }
        }
    }

    async fn look(
        &self,
        watched: &Watched,
        seen: Option<&ChangeVersions>,
    ) -> Result<ChangeVersions, StoreError> {
        let now = watched.store.change_versions().await?;
        if seen.is_none_or(|seen| seen.entries != now.entries) {
            watched.allow_list.refresh().await?;
        }
        let held = seen.is_none_or(|seen| seen.holds != now.holds);
        if held {
            watched.holds.refresh().await?;
        }
        // Also for a hold: a fetch under way looked for it before it was there.
        if held || seen.is_none_or(|seen| seen.access != now.access) {
            watched.fetch.forget();
        }
        if seen.is_none_or(|seen| seen.keys != now.keys) {
            watched.keys.refresh().await?;
        }
        self.beat();
        Ok(now)
    }
}
