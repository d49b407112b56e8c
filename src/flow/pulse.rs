//! Notices what other processes changed in the store, and when the store was last heard from.
//!
//! A gateway that has not heard from its store for five seconds cannot know what was revoked, so it
//! must hand out no secret: [`Pulse::is_current`] says whether it may.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{AllowList, Fetch, Holds, RelayKeys, ServiceKeys};
use crate::store::{ChangeVersions, Store, StoreError};

/// An edit by another process must show within a second.
const PERIOD: Duration = Duration::from_millis(250);

/// How long a ring of the store's bell waits for more.
const BREATH: Duration = Duration::from_millis(20);

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
    relay_keys: Arc<RelayKeys>,
    holds: Arc<Holds>,
}

/// How far the news of the store were heard.
#[derive(Clone, Copy)]
struct News {
    arrivals: i64,
    revoked: i64,
}

impl Watched {
    /// Forgets the sessions of those who signed in anew, and the leases that were revoked, here or elsewhere.
    async fn welcome(&self, after: Option<News>) -> Result<News, StoreError> {
        let Some(after) = after else {
            return Ok(News {
                arrivals: self.store.last_arrival().await?,
                revoked: self.store.last_revoked_lease().await?,
            });
        };
        let revoked = self.store.revoked_leases(after.revoked).await?;
        match revoked.tokens {
            Some(tokens) => {
                for token in &tokens {
                    self.fetch.forget_lease(token).await;
                }
            }
            None => self.fetch.forget(),
        }
        let arrivals = self.store.arrivals(after.arrivals).await?;
        match arrivals.persons {
            Some(persons) => {
                for person in &persons {
                    self.fetch.forget_person(person).await;
                }
            }
            None => self.fetch.forget(),
        }
        Ok(News {
            arrivals: arrivals.position,
            revoked: revoked.position,
        })
    }
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
        self.silence() < SILENCE
    }

    /// How long ago the store was heard from.
    pub fn silence(&self) -> Duration {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.elapsed()
    }

    pub(super) fn beat(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Asks the store for changes until the process ends.
    pub async fn watch(
        self: Arc<Self>,
        store: Store,
        allow_list: Arc<AllowList>,
        fetch: Arc<Fetch>,
        keys: Arc<ServiceKeys>,
        relay_keys: Arc<RelayKeys>,
        holds: Arc<Holds>,
    ) {
        let watched = Watched {
            store,
            allow_list,
            fetch,
            keys,
            relay_keys,
            holds,
        };
        let mut ring = Box::pin(watched.store.bell().rung());
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen: Option<ChangeVersions> = None;
        let mut arrived: Option<News> = None;
        let mut away = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                bell = &mut ring => {
                    ring = Box::pin(bell.rung());
                    // Many changes at once are looked at together.
                    sleep(BREATH).await;
                }
            }
            match self.look(&watched, seen.as_ref(), &mut arrived).await {
                Ok(now) => {
                    seen = Some(now);
                    if std::mem::take(&mut away) {
                        // What happened meanwhile may be more than the store can tell.
                        watched.fetch.forget();
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
        arrived: &mut Option<News>,
    ) -> Result<ChangeVersions, StoreError> {
        // Asked before anything is served: a session that is kept in memory is never older than this.
        *arrived = Some(watched.welcome(*arrived).await?);
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
            watched.relay_keys.refresh().await?;
        }
        if seen.is_none_or(|seen| seen.sealing != now.sealing) {
            match watched.store.refresh_master_keys().await {
                Ok(missing) => {
                    for id in missing {
                        tracing::error!(event = "master_key_missing", %id, "what is sealed under that key is not served here");
                    }
                }
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(event = "master_keys_forged", %error, "the master key of before seals on");
                }
                Err(error) => return Err(error),
            }
        }
        if !self.is_current() {
            // This process stood still, or nobody answered: what the store told meanwhile may be gone from it again.
            watched.fetch.forget();
        }
        self.beat();
        Ok(now)
    }
}
