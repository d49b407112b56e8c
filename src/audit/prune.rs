//! Retention: the oldest records go, and the rest stays provable.
//!
//! Records are removed from the beginning of the chain alone, a bounded number in a transaction, each batch proved
//! before it goes: a record that was changed is named and stays. The same transaction seals where the chain begins
//! from then on, and records what was removed. Between two batches it rests as long as it worked, so that nobody who
//! signs in waits for more than one of them. A record whose time is yet to come, of a gateway whose clock was ahead, is as
//! old as those behind it: it goes with the first of them that does.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;
use tokio::time::Instant;

use super::reading::Record;
use super::verify::{Proof, Step};
use super::{Event, EventKind, Recorder, Verdict, chain};
use crate::model::hex;
use crate::store::{AuditBase, AuditHead, Store, StoreError, sync_folder};

/// How many records one transaction removes.
const BATCH: usize = 1000;
/// How often another process may have removed the same before this one gives up.
const TRIES: u32 = 5;
/// How much longer than it must a record stays at most, so that a quiet gateway records a removal a day and not one
/// for each of its records.
const SLACK: TimeDelta = TimeDelta::days(1);

/// Why records stay.
#[derive(Debug, Error)]
pub enum PruneError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain is not as it was written.
    #[error(
        "{0}; it and what follows stay, since what is removed cannot be looked into any more: run `rolegate audit verify`, and keep a backup of the database"
    )]
    Damaged(Verdict),
    /// The file for what goes.
    #[error(
        "{path}: {problem}; nothing was removed; name a file that does not exist yet, in a folder with room for it"
    )]
    File {
        /// The file.
        path: String,
        /// What the system says.
        problem: String,
    },
    /// Another process removes records too.
    #[error("another process removes the oldest records at this moment; try again")]
    Contended,
}

/// What is to go.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Records of events before this time, up to the first one that is not.
    pub before: DateTime<Utc>,
    /// Who says so.
    pub by: &'a str,
    /// Where they are written first: a file that does not exist yet.
    pub export: Option<&'a Path>,
}

/// What went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// The first record that was removed.
    pub first: i64,
    /// The last one.
    pub last: i64,
}

/// Removes what `order` says. `None`: nothing is that old.
pub async fn prune(
    store: &Store,
    recorder: &Recorder,
    order: Order<'_>,
) -> Result<Option<Pruned>, PruneError> {
    let upto = match order.export {
        Some(path) => {
            // Before the file is made: there is none for nothing.
            let Some(last) = last_due(store, ages(recorder, order)).await? else {
                return Ok(None);
            };
            write(store, last, path).await?;
            last
        }
        None => i64::MAX,
    };
    let mut all: Option<Pruned> = None;
    loop {
        let begun = Instant::now();
        let Some(done) = batch(store, recorder, order, upto, None).await? else {
            return Ok(all);
        };
        let first = all.map_or(done.first, |all| all.first);
        all = Some(Pruned { first, ..done });
        tokio::time::sleep(begun.elapsed()).await;
    }
}

/// One step of `[audit] keep_days`: removes at most a batch of records that are older than `keep`. `None`: there is
/// nothing to do for now. Twice, or in two processes at once, is as good as once.
pub async fn retain(
    store: &Store,
    recorder: &Recorder,
    keep: TimeDelta,
) -> Result<Option<Pruned>, PruneError> {
    let now = recorder.now();
    let Some(before) = now.checked_sub_signed(keep) else {
        return Ok(None);
    };
    let order = Order {
        before,
        by: "retention",
        export: None,
    };
    batch(store, recorder, order, i64::MAX, Some(before - SLACK)).await
}

/// Removes one batch, up to record `upto`. With `overdue` only a full one, or where the oldest is of before that time.
async fn batch(
    store: &Store,
    recorder: &Recorder,
    order: Order<'_>,
    upto: i64,
    overdue: Option<DateTime<Utc>>,
) -> Result<Option<Pruned>, PruneError> {
    for _ in 0..TRIES {
        let Some(due) = due(store, ages(recorder, order), upto).await? else {
            return Ok(None);
        };
        let waits = overdue.is_some_and(|overdue| due.oldest >= overdue.timestamp_millis());
        if waits && due.count < BATCH {
            return Ok(None);
        }
        let event = event(&due, order);
        let mut record = None;
        let link = |head| {
            let link = chain::link(head, &event, recorder.now());
            record = Some(Record::from(&link));
            link
        };
        if store.prune_audit(due.base, due.last, link).await? {
            recorder.copy(record.as_slice());
            return Ok(Some(Pruned {
                first: due.base.seq + 1,
                last: due.last.seq,
            }));
        }
    }
    Err(PruneError::Contended)
}

fn event(due: &Due, order: Order<'_>) -> Event {
    Event {
        first_seq: Some(due.base.seq + 1),
        last_seq: Some(due.last.seq),
        last_hash: Some(hex(&due.last.hash)),
        count: u64::try_from(due.count).ok(),
        until: Some(order.before),
        by: Some(order.by.to_owned()),
        ..Event::new(EventKind::AuditPruned)
    }
}

fn ages(recorder: &Recorder, order: Order<'_>) -> Ages {
    Ages {
        before: order.before.timestamp_millis(),
        now: recorder.now().timestamp_millis(),
    }
}

/// By what a record is judged, unix milliseconds.
#[derive(Clone, Copy)]
struct Ages {
    before: i64,
    now: i64,
}

/// What a record's time says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// It may go.
    Due,
    /// It stays.
    Young,
    /// Nothing: its time is yet to come.
    Untold,
}

impl Ages {
    fn of(self, at: i64) -> Age {
        if at < self.before {
            Age::Due
        } else if at <= self.now {
            Age::Young
        } else {
            Age::Untold
        }
    }
}

/// The next batch, proved.
#[derive(Clone, Copy)]
struct Due {
    base: AuditBase,
    last: AuditHead,
    count: usize,
    /// When its first was recorded whose time can be true, unix milliseconds.
    oldest: i64,
}

async fn due(store: &Store, ages: Ages, upto: i64) -> Result<Option<Due>, PruneError> {
    let mut proof = Proof::begin(store).await?;
    let base = proof.base();
    // The first records, as many as go at once; whether they do is told by one of them or behind them.
    let (mut first, mut count) = (base.head(), 0);
    let mut due: Option<Due> = None;
    while due.is_none_or(|due| due.count < BATCH) {
        let Step::Genuine(row) = proof.step().await? else {
            match proof.amiss() {
                // What stands before it is as it was written, and may go.
                Some(verdict) if due.is_none() => return Err(PruneError::Damaged(verdict)),
                _ => break,
            }
        };
        let age = ages.of(row.at);
        if age == Age::Young || row.seq > upto {
            break;
        }
        if count < BATCH {
            (first, count) = (proof.head(), count + 1);
        }
        if age == Age::Due {
            due = Some(Due {
                base,
                last: first,
                count,
                oldest: due.map_or(row.at, |due| due.oldest),
            });
        }
    }
    Ok(due)
}

/// The last record that is due; all before it are proved.
async fn last_due(store: &Store, ages: Ages) -> Result<Option<i64>, PruneError> {
    let mut proof = Proof::begin(store).await?;
    let mut last = None;
    loop {
        let Step::Genuine(row) = proof.step().await? else {
            return match proof.amiss() {
                Some(verdict) => Err(PruneError::Damaged(verdict)),
                None => Ok(last),
            };
        };
        match ages.of(row.at) {
            Age::Due => last = Some(row.seq),
            Age::Young => return Ok(last),
            Age::Untold => {}
        }
    }
}

/// Writes the records up to `last` to the new file at `path`, on disk when this returns.
async fn write(store: &Store, last: i64, path: &Path) -> Result<(), PruneError> {
    let failed = |error: std::io::Error| PruneError::File {
        path: path.display().to_string(),
        problem: error.to_string(),
    };
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let mut file = BufWriter::new(file);
    let written = write_upto(store, last, &mut file).await;
    let synced = match written {
        Ok(()) => file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .and_then(|()| sync_folder(path))
            .map_err(failed),
        Err(Unwritten::File(error)) => Err(failed(error)),
        Err(Unwritten::Prune(error)) => Err(error),
    };
    if synced.is_err() {
        // Half an export is none; that it stays if it cannot be removed is told by the error itself.
        let _removed = std::fs::remove_file(path);
    }
    synced
}

enum Unwritten {
    File(std::io::Error),
    Prune(PruneError),
}

impl<E: Into<PruneError>> From<E> for Unwritten {
    fn from(error: E) -> Self {
        Self::Prune(error.into())
    }
}

async fn write_upto(store: &Store, last: i64, file: &mut impl Write) -> Result<(), Unwritten> {
    let mut proof = Proof::begin(store).await?;
    while proof.head().seq < last {
        let Step::Genuine(row) = proof.step().await? else {
            return match proof.amiss() {
                Some(verdict) => Err(PruneError::Damaged(verdict).into()),
                None => Ok(()),
            };
        };
        let line = Record::from(row).line();
        writeln!(file, "{line}").map_err(Unwritten::File)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
