//! Keeps the providers current: each is asked on a schedule of its own, client secret files are looked at every
//! few seconds, and all at once when an admin says so.
//!
//! What comes of a look is logged here. A failure never takes anything out of force.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::secret::Look;
use super::{Provider, ProviderError, Providers};
use crate::flow::idps::schedule;

/// Files are looked at this often; they must be taken up within ten seconds.
const PERIOD: Duration = Duration::from_secs(4);
/// How long a start waits for the providers' first answers.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

impl Providers {
    /// Looks at every file and asks every provider now.
    pub fn at_once(&self) {
        self.calls
            .send_modify(|calls| *calls = calls.wrapping_add(1));
    }

    /// Starts the tasks, and waits a moment for the first answers, whatever they are. Must be called within a
    /// Tokio runtime.
    pub async fn start(self: Arc<Self>) -> Vec<JoinHandle<()>> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut tasks = vec![tokio::spawn(Arc::clone(&self).follow_files())];
        let (first, mut firsts) = mpsc::channel::<()>(1);
        for provider in self.all() {
            let following = Arc::clone(&self).follow(Arc::clone(provider), first.clone());
            tasks.push(tokio::spawn(following));
        }
        drop(first);
        // Ends when every task has had its first answer.
        let _settled = timeout(FIRST_ANSWER, firsts.recv()).await;
        tasks
    }

    async fn follow(self: Arc<Self>, provider: Arc<Provider>, first: mpsc::Sender<()>) {
        let mut calls = self.calls.subscribe();
        let mut first = Some(first);
        let mut failures: u32 = 0;
        let mut known = String::new();
        loop {
            let asked = provider.ask().await;
            let entropy = &*self.entropy;
            let wait = if let Ok(max_age) = &asked {
                failures = 0;
                schedule::within_bounds(*max_age, entropy)
            } else {
                failures = failures.saturating_add(1);
                schedule::after_failure(failures, entropy)
            };
            tell(&provider, asked.err(), &mut known);
            drop(first.take());
            tokio::select! {
                () = sleep(wait) => {}
                _ = calls.changed() => {}
            }
        }
    }

    async fn follow_files(self: Arc<Self>) {
        let mut calls = self.calls.subscribe();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = vec![String::new(); self.list.len()];
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = calls.changed() => {}
            }
            for (provider, known) in self.list.iter().zip(&mut known) {
                let mine = Arc::clone(provider);
                let look = tokio::task::spawn_blocking(move || mine.look_at_secret()).await;
                // A look that died is made again.
                if let Ok(look) = look {
                    tell_of_file(provider, look, known);
                }
            }
        }
    }
}

/// Logs an answer that is news: the first good one after trouble, or trouble of another kind.
fn tell(provider: &Provider, error: Option<ProviderError>, known: &mut String) {
    let name = &provider.settings.name;
    let text = error.map_or_else(String::new, |error| error.to_string());
    if text == *known {
        return;
    }
    if text.is_empty() {
        tracing::info!(event = "oidc_provider_answers", provider = %name, "the OpenID provider answers again");
    } else {
        let what = if provider.discovered().is_some() {
            "the metadata and keys in force are kept"
        } else {
            "the provider cannot be used until it answers"
        };
        tracing::error!(event = "oidc_provider_bad", provider = %name, error = text, "{what}");
    }
    *known = text;
}

/// Logs a changed file, and a bad one once.
fn tell_of_file(provider: &Provider, look: Result<Look, ProviderError>, known: &mut String) {
    let name = &provider.settings.name;
    match look {
        Ok(Look::Same) => known.clear(),
        Ok(Look::Taken) => {
            known.clear();
            tracing::info!(event = "oidc_secret_changed", provider = %name, "client secret taken up");
        }
        Err(error) => {
            let text = error.to_string();
            if text != *known {
                tracing::error!(event = "oidc_secret_bad", provider = %name, error = text, "the client secret in force is kept");
                *known = text;
            }
        }
    }
}
