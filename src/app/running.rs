//! A gateway at work: what it is told by signals, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::StartError;
use crate::audit::Recorder;
use crate::flow::{IdTokens, MasterKeyWatch, Providers, Refresh, Underway};
use crate::http::{Leaving, Serving, Tls};

/// A gateway that serves.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    pub(super) serving: Serving,
    pub(super) metrics: Option<Serving>,
    pub(super) refresh: Arc<Refresh>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) providers: Arc<Providers>,
    pub(super) id_tokens: Arc<IdTokens>,
    pub(super) master_keys: Arc<MasterKeyWatch>,
    pub(super) recorder: Recorder,
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) leaving: Arc<Leaving>,
    pub(super) underway: Underway,
    pub(super) shutdown_delay: Duration,
}

/// How long a gateway that stops waits for what is on its way at STS: longer than a call may take.
const MADE: Duration = Duration::from_secs(26);
/// And to be taken off the list of those at work, which forgets it by itself after half a minute.
const LEAVE: Duration = Duration::from_secs(2);

impl Running {
    /// Finishes what was begun, then ends: requests, then what no request waited for, with its records in the audit.
    pub async fn stop(self) {
        self.leaving.announce();
        tokio::time::sleep(self.shutdown_delay).await;
        self.serving.stop().await;
        if let Some(metrics) = self.metrics {
            metrics.stop().await;
        }
        // They would go on beginning what must be waited for.
        for task in self.tasks {
            task.abort();
        }
        finish(&self.id_tokens, &self.underway).await;
        self.recorder.settle().await;
        if timeout(LEAVE, self.master_keys.leave()).await.is_err() {
            tracing::warn!(
                event = "gateway_not_removed",
                "the store counts this gateway for half a minute more"
            );
        }
    }

    /// Serves until the process is asked to end; SIGHUP has metadata, TLS, key and secret files read, and metadata
    /// URLs, OpenID providers and the master keys' command asked again.
    pub(super) async fn until(self, mut signals: Signals) -> Result<(), StartError> {
        while let Told::HangUp = signals.next().await {
            self.refresh.at_once();
            if let Some(tls) = &self.tls {
                tls.at_once();
            }
            self.providers.at_once();
            self.master_keys.at_once();
        }
        tracing::info!(event = "stopping", "finishing what was begun");
        tokio::select! {
            () = self.stop() => Ok(()),
            () = signals.end() => Err(StartError::EndedAtOnce),
        }
    }
}

/// Waits for what no request waits for, each as long as it may take.
async fn finish(id_tokens: &IdTokens, underway: &Underway) {
    // A refresh token that the provider has rotated and nobody kept would end the sign-in.
    let refreshed = id_tokens.settle();
    // An assertion is good for five minutes and was used up.
    let made = timeout(MADE, underway.settle());
    let (refreshed, made) = tokio::join!(refreshed, made);
    // What waited for a refresh token has it now.
    let made = made.is_ok() || timeout(LEAVE, underway.settle()).await.is_ok();
    if !refreshed || !made {
        tracing::error!(
            event = "unfinished",
            tasks = underway.len(),
            "what was begun did not end in time"
        );
    }
}

/// What the process is told from outside. Listened to from the first moment on, since a SIGHUP that nobody
/// listens to ends the process; one that comes during the start is heeded after it.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            () = end(&mut self.terminate, &mut self.interrupt) => Told::End,
            _ = self.hang_up.recv() => Told::HangUp,
        }
    }

    pub(super) async fn end(&mut self) {
        end(&mut self.terminate, &mut self.interrupt).await;
    }
}

enum Told {
    End,
    HangUp,
}

async fn end(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
