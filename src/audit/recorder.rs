//! Recording: what `record` acknowledged is on disk.
//!
//! One task writes. Events that come while it waits for the disk go into the next transaction
//! together, so that a hundred sign-ins cost one wait and not a hundred. Refusals that anybody can cause are handed
//! over without waiting, and beyond a measure, or while the store is away, they are counted.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::Instrument;

use super::copy::{CopyCounts, CopyTo, Copying};
use super::flood::{self, Flood};
use super::reading::Record;
use super::{AuditCounts, Event, EventKind, chain};
use crate::model::{Clock, TRACES};
use crate::store::{AuditPutBack, Store, StoreError};

/// How many events may wait; who comes after waits for room.
const QUEUE: usize = 1024;
/// How many go into one transaction.
const BATCH: usize = 256;
/// How often it is looked whether counted refusals are to be recorded.
const LOOK: Duration = Duration::from_secs(5);
/// How long a process that ends waits for what was handed over and counted: one try where the store is away.
const WRITE: Duration = Duration::from_secs(6);
/// And then for the copy.
const COPY: Duration = Duration::from_secs(2);

/// The way into the audit chain; a clone leads to the same task.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Waiting>,
    parts: Arc<Parts>,
}

struct Parts {
    store: Store,
    clock: Arc<dyn Clock>,
    counts: AuditCounts,
    flood: Flood,
    signed: Flood,
    copying: Option<Copying>,
}

impl Parts {
    /// The events of refusals that were counted.
    fn due(&self, now: DateTime<Utc>, all: bool) -> Vec<Event> {
        let mut due = self.flood.due(now, all);
        due.extend(self.signed.due(now, all));
        due
    }

    /// Has what nobody waits for and could not be written counted, to be told of once it can be.
    fn count_lost(&self, batch: &[Waiting]) {
        let unheard = batch.iter().filter(|waiting| waiting.written.is_none());
        for waiting in unheard {
            if let Some(event) = &waiting.event {
                self.flood.lost(event, waiting.at);
            }
        }
    }
}

struct Waiting {
    /// None where somebody only waits for those before.
    event: Option<Event>,
    at: DateTime<Utc>,
    /// Who waits for the answer; nobody does for a refusal.
    written: Option<oneshot::Sender<Result<(), StoreError>>>,
}

impl Waiting {
    fn unheard(event: Event, at: DateTime<Utc>) -> Self {
        Self {
            event: Some(event),
            at,
            written: None,
        }
    }
}

impl Recorder {
    /// Starts the writing task, which ends with the last clone. Must be called within a Tokio runtime.
    pub fn start(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self::start_with(store, clock, None)
    }

    /// As [`Recorder::start`], with a copy of what is recorded.
    pub fn start_with(store: Store, clock: Arc<dyn Clock>, copy: Option<CopyTo>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let parts = Arc::new(Parts {
            flood: Flood::new(flood::ANYBODYS, clock.now()),
            signed: Flood::new(flood::SIGNED, clock.now()),
            copying: copy.map(|to| Copying::start(store.clone(), to)),
            store,
            clock,
            counts: AuditCounts::default(),
        });
        tokio::spawn(write(Arc::clone(&parts), waiting));
        Self { queue, parts }
    }

    /// What was written so far, by this recorder and its clones.
    pub fn counts(&self) -> &AuditCounts {
        &self.parts.counts
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
            event: Some(event),
            at: self.now(),
            written: Some(written),
        };
        let recorded = async {
            self.queue.send(waiting).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        let span = tracing::info_span!(target: TRACES, "audit.record");
        recorded.instrument(span).await
    }

    /// Appends the refusal `event`, without waiting; or counts it, where the same sender was refused often within
    /// the minute for the reason `code`. For what anybody can cause at will.
    pub fn note(&self, event: Event, code: &'static str) {
        if self.parts.flood.admits(&event, code, self.now()) {
            self.hand_over(event);
        }
    }

    /// As [`Recorder::note`], for what a provider signed: each is worth a record, but whoever has one such document
    /// can send it again and again.
    pub fn note_signed(&self, event: Event, code: &'static str) {
        if self.parts.signed.admits(&event, code, self.now()) {
            self.hand_over(event);
        }
    }

    /// Appends the refusal `event`, without waiting.
    fn hand_over(&self, event: Event) {
        let at = self.now();
        let full = self.queue.try_send(Waiting::unheard(event, at));
        let Err(full) = full else { return };
        if let Some(event) = &full.into_inner().event {
            self.parts.flood.lost(event, at);
        }
        tracing::error!(
            event = "audit_overrun",
            "more refusals than the audit takes; they are counted"
        );
    }

    /// Waits until what was handed over is written, records what was counted so far, and waits a moment for the copy:
    /// before the process ends. Takes eight seconds at most.
    pub async fn settle(&self) {
        if timeout(WRITE, self.write_all()).await.is_err() {
            tracing::error!(
                event = "audit_lost",
                "what was handed over or counted was not written before the end"
            );
        }
        if let Some(copying) = &self.parts.copying {
            copying.settle(COPY).await;
        }
    }

    async fn write_all(&self) {
        self.drain().await;
        let now = self.now();
        for event in self.parts.due(now, true) {
            if self.queue.send(Waiting::unheard(event, now)).await.is_err() {
                return;
            }
        }
        self.drain().await;
    }

    /// Waits until the task has taken up what was handed over so far. What could not be written is in the log.
    async fn drain(&self) {
        let (written, answer) = oneshot::channel();
        let last = Waiting {
            event: None,
            at: self.now(),
            written: Some(written),
        };
        if self.queue.send(last).await.is_ok() {
            let _written = answer.await;
        }
    }

    /// How the copy goes; `None` where there is none.
    pub fn copy_counts(&self) -> Option<CopyCounts> {
        self.parts.copying.as_ref().map(Copying::counts)
    }

    /// Copies what was written beside the task.
    pub(super) fn copy(&self, records: &[Record]) {
        if let Some(copying) = &self.parts.copying {
            copying.take(records);
        }
    }

    /// The time that records get.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder(..)")
    }
}

async fn write(parts: Arc<Parts>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open = true;
    while open {
        tokio::select! {
            biased;
            taken = waiting.recv_many(&mut batch, BATCH) => open = taken > 0,
            _ = ticks.tick() => {}
        }
        let now = parts.clock.now();
        let due = parts.due(now, !open);
        batch.extend(due.into_iter().map(|event| Waiting::unheard(event, now)));
        if !batch.is_empty() {
            let written = append(&parts, &batch).await;
            if written.is_ok() {
                parts.counts.wrote(kinds(&batch));
            } else {
                parts.counts.lost(kinds(&batch).count());
                parts.count_lost(&batch);
            }
            answer(&mut batch, &written);
        }
    }
}

fn answer(batch: &mut Vec<Waiting>, written: &Result<(), StoreError>) {
    let mut lost = 0_u32;
    for waiting in batch.drain(..) {
        match waiting.written {
            // Who did not wait for the answer needs none.
            Some(caller) => {
                let _gone = caller.send(written.clone());
            }
            None => lost += 1,
        }
    }
    if let Err(error) = written
        && lost > 0
    {
        tracing::error!(event = "audit_lost", %error, count = lost, "refusals are not in the audit; they are counted");
    }
}

fn kinds(batch: &[Waiting]) -> impl Iterator<Item = EventKind> {
    let events = batch.iter().filter_map(|waiting| waiting.event.as_ref());
    events.map(|event| event.kind)
}

async fn append(parts: &Parts, batch: &[Waiting]) -> Result<(), StoreError> {
    if kinds(batch).next().is_none() {
        return Ok(());
    }
    let (mut copies, mut alarm) = (Vec::new(), None);
    let copying = parts.copying.as_ref();
    let link = |mut head, put_back: Option<AuditPutBack>| {
        alarm = put_back.map(|put_back| (alarm_of(&put_back), parts.clock.now()));
        let events = batch
            .iter()
            .filter_map(|waiting| Some((waiting.event.as_ref()?, waiting.at)));
        let alarm = alarm.iter().map(|(event, at)| (event, *at));
        let links = alarm.chain(events).map(|(event, at)| {
            let link = chain::link(head, event, at);
            head = link.head;
            if copying.is_some() {
                copies.push(Record::from(&link));
            }
            link
        });
        links.collect()
    };
    parts.store.append_audit(link).await?;
    if let Some((event, _)) = alarm {
        let reason = event.reason.unwrap_or_default();
        tracing::error!(event = "audit_put_back", error = %reason, "the audit is not the one that this process knew");
        parts.counts.wrote([EventKind::Alarm]);
    }
    if let Some(copying) = copying {
        copying.take(&copies);
    }
    Ok(())
}

fn alarm_of(put_back: &AuditPutBack) -> Event {
    Event {
        reason: Some(format!("audit_put_back: {put_back}")),
        ..Event::new(EventKind::Alarm)
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the audit task has stopped".to_owned())
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
