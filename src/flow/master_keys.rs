//! A gateway's master keys while it serves: it says which ones it holds, follows their file or command, and seals
//! anew what is sealed under former ones.
//!
//! What is wrong with a changed file is told, and the keys from before are kept. Which key seals comes with the
//! pulse; here is what takes longer. Never changes the file.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::store::{KeySource, Stamp, Store, StoreError};

/// A key file must be read again within ten seconds of a change.
const PERIOD: Duration = Duration::from_secs(2);

/// How often a command is asked.
const ASK: Duration = Duration::from_mins(1);

/// How often the gateway says that it is at work; three times in what silence is allowed.
const WORD: Duration = Duration::from_secs(10);

/// Values that are sealed anew in one transaction.
const BATCH: u32 = 200;
/// Batches in a row, so that the store has time for others.
const BATCHES: usize = 20;

/// Who a gateway is to the others.
#[derive(Debug, Clone)]
pub struct GatewayName {
    /// Unique among those that share the store.
    pub claimant: String,
    /// The host it runs on.
    pub host: String,
}

/// The master keys of a gateway that serves.
pub struct MasterKeyWatch {
    store: Store,
    name: GatewayName,
    calls: watch::Sender<u64>,
}

/// What was last seen and told.
struct Seen {
    stamp: Option<Stamp>,
    asked: Instant,
    trouble: Option<String>,
    word: Option<Instant>,
}

impl MasterKeyWatch {
    /// Joins the gateways at work. Refused where a key is lacking that the store needs.
    pub async fn join(store: Store, name: GatewayName) -> Result<Self, StoreError> {
        let watch = Self {
            store,
            name,
            calls: watch::Sender::new(0),
        };
        watch.say_again().await?;
        Ok(watch)
    }

    /// Looks at the keys' source now.
    pub fn at_once(&self) {
        self.calls
            .send_modify(|calls| *calls = calls.wrapping_add(1));
    }

    /// Leaves the gateways at work.
    pub async fn leave(&self) {
        if let Err(error) = self.store.leave_gateways(&self.name.claimant).await {
            tracing::warn!(event = "gateway_not_removed", %error, "the store counts this gateway for half a minute more");
        }
    }

    /// Follows the source and keeps saying what is held, until the process ends.
    pub async fn follow(self: Arc<Self>) {
        let mut calls = self.calls.subscribe();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Seen {
            stamp: self.source().stamp(),
            asked: Instant::now(),
            trouble: None,
            word: Some(Instant::now()),
        };
        loop {
            let called = tokio::select! {
                _ = ticks.tick() => false,
                _ = calls.changed() => true,
            };
            self.look(&mut seen, called).await;
            if seen.word.is_none_or(|at| at.elapsed() >= WORD) && self.say(&mut seen).await {
                self.reseal().await;
            }
        }
    }

    fn source(&self) -> &KeySource {
        self.store.master_key_source()
    }

    /// Reads the keys again where they may be others than before.
    async fn look(&self, seen: &mut Seen, called: bool) {
        let stamp = self.source().stamp();
        let due = stamp.is_none() && seen.asked.elapsed() >= ASK;
        // A file may have been met half written; a command has its turn.
        let again = stamp.is_some() && seen.trouble.is_some();
        if !called && !due && !again && stamp == seen.stamp {
            return;
        }
        (seen.stamp, seen.asked) = (stamp, Instant::now());
        match self.store.reread_master_keys().await {
            Ok(changed) => {
                self.tell_unlisted(seen).await;
                if changed {
                    // The others are to hear of it without delay.
                    seen.word = None;
                    let held = self.store.held_master_keys().len();
                    tracing::info!(
                        event = "master_keys_read",
                        held,
                        "other master keys taken up"
                    );
                }
            }
            Err(error) => {
                let text = error.to_string();
                if seen.trouble.as_ref() != Some(&text) {
                    tracing::error!(event = "master_keys_unreadable", %error, "the master keys from before are kept");
                }
                seen.trouble = Some(text);
            }
        }
    }

    /// A line that went too early is told while the key is still held: without it no gateway starts again.
    async fn tell_unlisted(&self, seen: &mut Seen) {
        let is_sound = || {
            self.store
                .unlisted_master_keys()
                .is_some_and(|ids| ids.is_empty())
        };
        // The store may have retired the key a moment ago.
        if is_sound() || (self.store.refresh_master_keys().await.is_ok() && is_sound()) {
            seen.trouble = None;
            return;
        }
        let ids = self.store.unlisted_master_keys().unwrap_or_default();
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let (ids, source) = (ids.join(", "), self.source());
        let text = format!(
            "{ids} is needed and no longer among the master keys from {source}; put the line back there before this gateway ends, for none starts without it"
        );
        if seen.trouble.as_ref() != Some(&text) {
            tracing::error!(event = "master_key_line_missing", error = %text, "the key is still held in memory");
        }
        seen.trouble = Some(text);
    }

    /// Says that the gateway is at work; says whether the store heard it.
    async fn say(&self, seen: &mut Seen) -> bool {
        let claimant = &self.name.claimant;
        let said = match self.store.gateway_goes_on(claimant).await {
            Ok(true) => Ok(()),
            // Nobody counted it for a while: what happened meanwhile is proved anew.
            Ok(false) => self.say_again().await,
            Err(error) => Err(error),
        };
        match said {
            Ok(()) => {
                seen.word = Some(Instant::now());
                true
            }
            Err(StoreError::Unavailable(_)) => false,
            Err(error) => {
                seen.word = Some(Instant::now());
                tracing::error!(event = "master_key_missing", %error, "what is sealed under that key is not served here");
                false
            }
        }
    }

    async fn say_again(&self) -> Result<(), StoreError> {
        let GatewayName { claimant, host } = &self.name;
        let version = env!("CARGO_PKG_VERSION");
        self.store.join_gateways(claimant, host, version).await
    }

    /// Seals some more of what is left anew, if anything is.
    async fn reseal(&self) {
        let mut values = 0;
        for _ in 0..BATCHES {
            match self.store.reseal_step(BATCH).await {
                Ok(0) => break,
                Ok(more) => values += more,
                Err(error) => {
                    tracing::warn!(event = "reseal_failed", %error, "what is sealed under a former master key stays so for now");
                    break;
                }
            }
        }
        if values > 0 {
            tracing::info!(
                event = "resealed",
                values,
                "sealed anew under the current master key"
            );
        }
    }
}
