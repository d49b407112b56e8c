//! Recording: what `record` acknowledged is on disk.
//!
//! One task writes. Events that come while it waits for the disk go into the next transaction
//! together, so that a hundred sign-ins cost one wait and not a hundred.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::{AuditCounts, Event, chain};
use crate::model::{Clock, TRACES};
use crate::store::{Store, StoreError};

/// How many events may wait; who comes after waits for room.
const QUEUE: usize = 1024;
/// How many go into one transaction.
const BATCH: usize = 256;

/// The way into the audit chain; a clone leads to the same task.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Waiting>,
    clock: Arc<dyn Clock>,
    counts: Arc<AuditCounts>,
}

struct Waiting {
    event: Event,
    at: DateTime<Utc>,
    written: oneshot::Sender<Result<(), StoreError>>,
}

impl Recorder {
    /// Starts the writing task, which ends with the last clone. Must be called within a Tokio runtime.
    pub fn start(store: Store, clock: Arc<dyn Clock>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let counts = Arc::new(AuditCounts::default());
        tokio::spawn(write(store, waiting, Arc::clone(&counts)));
        Self {
            queue,
            clock,
            counts,
        }
    }

    /// What was written so far, by this recorder and its clones.
    pub fn counts(&self) -> &AuditCounts {
        &self.counts
    }

    /// How many events wait for the disk.
    pub fn waiting(&self) -> usize {
        let (room, free) = (self.queue.max_capacity(), self.queue.capacity());
        room.saturating_sub(free)
    }

    /// Appends `event`, with the time now; returns when it is on disk. An event that was handed over
    /// is written even if the caller does not stay to hear of it.
    pub async fn record(&self, event: Event) -> Result<(), StoreError> {
        let (written, answer) = oneshot::channel();
        let waiting = Waiting {
            event,
            at: self.clock.now(),
            written,
        };
        let recorded = async {
            self.queue.send(waiting).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        let span = tracing::info_span!(target: TRACES, "audit.record");
        recorded.instrument(span).await
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder(..)")
    }
}

async fn write(store: Store, mut waiting: mpsc::Receiver<Waiting>, counts: Arc<AuditCounts>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let written = append(&store, &batch).await;
        match &written {
            Ok(()) => counts.wrote(batch.iter().map(|waiting| waiting.event.kind)),
            Err(_) => counts.lost(batch.len()),
        }
        for waiting in batch.drain(..) {
            // Who did not wait for the answer needs none.
            let _ = waiting.written.send(written.clone());
        }
    }
}

async fn append(store: &Store, batch: &[Waiting]) -> Result<(), StoreError> {
    store
        .append_audit(|mut head| {
            let links = batch.iter().map(|waiting| {
                let link = chain::link(head, &waiting.event, waiting.at);
                head = link.head;
                link
            });
            links.collect()
        })
        .await
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the audit task has stopped".to_owned())
}
