//! The copy of the audit for shipping: each record that this process wrote, as a line of JSON, after it is on disk.
//!
//! A thread of its own writes, so that a pipe that nobody reads or a full disk stops nobody. What could not be written
//! is owed: its numbers are remembered, not its text, and it is read from the store again once writing works. Trusts
//! the store to be what counts: the copy is not waited for, and what is between the two when the process is killed is
//! in the store alone.

mod owed;
mod target;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use self::owed::Owed;
use self::target::Thread;
use super::reading::Record;
use crate::store::{AuditFilter, Store, StoreError};

/// How many batches may wait to be written; those beyond are owed.
const QUEUE: usize = 256;
/// How often what is owed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How many owed records are read at once.
const PAGE: u32 = 200;

/// Where the copy goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyTo {
    /// Standard output; the log goes to standard error.
    Stdout,
    /// A file that is appended to, made with mode 0600, and opened anew where it was moved away.
    File(PathBuf),
}

/// How the copy goes, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyCounts {
    /// Records written.
    pub written: u64,
    /// Writes that failed.
    pub failed: u64,
    /// Records that are still to be written.
    pub pending: u64,
}

/// Records that stand one behind the other, as lines.
struct Lines {
    first: i64,
    last: i64,
    text: String,
}

impl Lines {
    fn of(records: &[Record]) -> Option<Self> {
        let (first, last) = (records.first()?, records.last()?);
        let mut text = String::new();
        for record in records {
            text.push_str(&record.line());
            text.push('\n');
        }
        Some(Self {
            first: first.seq,
            last: last.seq,
            text,
        })
    }
}

/// The way into the copy.
pub(super) struct Copying {
    queue: mpsc::Sender<Lines>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    owed: Mutex<Owed>,
    given: AtomicU64,
    written: AtomicU64,
    failed: AtomicU64,
    failing: AtomicBool,
}

impl State {
    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> u64 {
        let given = self.given.load(Ordering::Relaxed);
        given.saturating_sub(self.written.load(Ordering::Relaxed))
    }
}

impl Copying {
    /// Starts the copy, which ends with this value. Must be called within a Tokio runtime.
    pub(super) fn start(store: Store, to: CopyTo) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let state = Arc::new(State::default());
        let copier = Copier {
            store,
            thread: Thread::start(to),
            state: Arc::clone(&state),
        };
        tokio::spawn(copier.run(waiting));
        Self { queue, state }
    }

    /// Takes records that are on disk, one behind the other; never waits.
    pub(super) fn take(&self, records: &[Record]) {
        let Some(lines) = Lines::of(records) else {
            return;
        };
        let count = u64::try_from(records.len()).unwrap_or(0);
        self.state.given.fetch_add(count, Ordering::Relaxed);
        let (first, last) = (lines.first, lines.last);
        if self.queue.try_send(lines).is_err() {
            self.state.owed().add(first, last);
        }
    }

    pub(super) fn counts(&self) -> CopyCounts {
        CopyCounts {
            written: self.state.written.load(Ordering::Relaxed),
            failed: self.state.failed.load(Ordering::Relaxed),
            pending: self.state.pending(),
        }
    }

    /// Waits until all is written, unless writing fails, and for `patience` at most.
    pub(super) async fn settle(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let written = async {
            while self.state.pending() > 0 && !self.state.failing.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        // What is not written by then is in the store.
        let _settled = timeout_at(until, written).await;
    }
}

struct Copier {
    store: Store,
    thread: Thread,
    state: Arc<State>,
}

impl Copier {
    async fn run(self, mut waiting: mpsc::Receiver<Lines>) {
        let mut ticks = interval(AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                lines = waiting.recv() => match lines {
                    Some(lines) => self.write(lines).await,
                    None => return self.make_up().await,
                },
                _ = ticks.tick() => self.make_up().await,
            }
        }
    }

    async fn write(&self, lines: Lines) {
        let (first, last) = (lines.first, lines.last);
        if !self.state.owed().is_empty() {
            // In the chain's order, and where writing fails not once for each sign-in.
            self.state.owed().add(first, last);
            if !self.state.failing.load(Ordering::Relaxed) {
                self.make_up().await;
            }
        } else if !self.put(lines.text, count(first, last)).await {
            self.state.owed().add(first, last);
        }
    }

    /// Writes what is owed, from the store; stops where writing fails.
    async fn make_up(&self) {
        loop {
            let next = self.state.owed().next();
            let Some((first, last)) = next else { return };
            match self.read(first, last).await {
                Ok(Some(lines)) => {
                    let (begins, done) = (lines.first, lines.last);
                    if begins > first {
                        self.give_up(first, begins - 1);
                        continue;
                    }
                    if !self.put(lines.text, count(first, done)).await {
                        return;
                    }
                    self.state.owed().paid(done);
                }
                Ok(None) => self.give_up(first, last),
                Err(error) => {
                    tracing::warn!(event = "audit_copy_waits", %error, "what is still to be copied is read later");
                    return;
                }
            }
        }
    }

    /// Owes these records no more: they are gone.
    fn give_up(&self, first: i64, last: i64) {
        tracing::error!(
            event = "audit_copy_gap",
            first,
            last,
            "records were removed before they were copied"
        );
        let gone = count(first, last);
        self.state.written.fetch_add(gone, Ordering::Relaxed);
        self.state.owed().paid(last);
    }

    async fn read(&self, first: i64, last: i64) -> Result<Option<Lines>, StoreError> {
        let all = AuditFilter::default();
        let page = super::page(&self.store, &all, first.saturating_sub(1), PAGE).await?;
        let mut records = page.records;
        records.retain(|record| record.seq <= last);
        Ok(Lines::of(&records))
    }

    /// Whether `text`, of so many records, was written; failure and recovery are logged once each.
    async fn put(&self, text: String, records: u64) -> bool {
        let state = &self.state;
        match self.thread.write(text).await {
            Ok(()) => {
                state.written.fetch_add(records, Ordering::Relaxed);
                if state.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(
                        event = "audit_copy_works",
                        "the copy of the audit is written again"
                    );
                }
                true
            }
            Err(error) => {
                state.failed.fetch_add(1, Ordering::Relaxed);
                if !state.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(event = "audit_copy_failed", %error, "the copy of the audit cannot be written; what is missing follows when it can");
                }
                false
            }
        }
    }
}

fn count(first: i64, last: i64) -> u64 {
    u64::try_from(last - first + 1).unwrap_or(0)
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
