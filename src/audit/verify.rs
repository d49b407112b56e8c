//! The proof of the chain: walks it from the first record to the sealed head and names the first that
//! is not as it was written.
//!
//! Trusts the master key alone. A record counts as genuine if its hash is of its text and the code
//! over the hash was made by a holder of that key.

use std::collections::VecDeque;
use std::fmt;

use super::chain::Told;
use crate::model::hex;
use crate::store::{AuditHead, AuditRow, AuditSnapshot, Store, StoreError};

const PAGE: u32 = 500;

/// What the proof found first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every record is as it was written.
    Whole {
        /// How many there are.
        records: i64,
    },
    /// This record was changed.
    Changed {
        /// Its number.
        seq: i64,
    },
    /// This record is missing.
    Missing {
        /// Its number.
        seq: i64,
    },
    /// This record was not written by rolegate.
    Added {
        /// Its number.
        seq: i64,
    },
    /// The records after this one were cut off.
    CutOff {
        /// The last one that is there; 0 where there is none.
        after: i64,
        /// The last one that was written.
        head: i64,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { records } => write!(f, "all {records} records are as they were written"),
            Self::Changed { seq } => write!(f, "record {seq} was changed"),
            Self::Missing { seq } => write!(f, "record {seq} is missing"),
            Self::Added { seq } => write!(f, "record {seq} was added by something else"),
            Self::CutOff { after, head } => {
                write!(f, "records {} to {head} were cut off", after + 1)
            }
        }
    }
}

/// Proves the chain as it stands now; what is appended meanwhile is left to the next time.
pub async fn verify(store: &Store) -> Result<Verdict, StoreError> {
    let snapshot = store.audit_snapshot().await?;
    let end = snapshot.head();
    let mut rows = Rows::new(snapshot);
    let mut head = AuditHead::EMPTY;
    while let Some((row, next)) = rows.next().await? {
        if let Some(verdict) = judge(store, &row, next, head, end)? {
            return Ok(verdict);
        }
        head.seq = row.seq;
        head.hash = <[u8; 32]>::try_from(row.hash.as_slice()).unwrap_or_default();
    }
    Ok(if head == end {
        Verdict::Whole { records: end.seq }
    } else if head.seq < end.seq {
        Verdict::CutOff {
            after: head.seq,
            head: end.seq,
        }
    } else {
        // A genuine last record, but not the one that was sealed: one of an older state.
        Verdict::Changed { seq: head.seq }
    })
}

/// What is wrong with `row`, which follows `before`, in a chain that ends with `end`.
fn judge(
    store: &Store,
    row: &AuditRow,
    next: Option<&AuditRow>,
    before: AuditHead,
    end: AuditHead,
) -> Result<Option<Verdict>, StoreError> {
    let seq = before.seq + 1;
    if row.seq < seq || seq > end.seq {
        return Ok(Some(Verdict::Added { seq: row.seq }));
    }
    if row.seq > seq {
        return Ok(Some(Verdict::Missing { seq }));
    }
    let Some(told) = genuine(store, row)? else {
        // Pushed aside by a row in its place, the true one comes next.
        let next = next.map(|next| genuine(store, next)).transpose()?.flatten();
        let pushed = next.is_some_and(|next| next.seq == seq);
        return Ok(Some(if pushed {
            Verdict::Added { seq }
        } else {
            Verdict::Changed { seq }
        }));
    };
    Ok(match told.seq {
        // Renumbered over a gap, or a copy of an earlier one.
        later if later > seq => Some(Verdict::Missing { seq }),
        earlier if earlier < seq => Some(Verdict::Added { seq }),
        _ if told.fits(row) && told.previous == hex(&before.hash) => None,
        _ => Some(Verdict::Changed { seq }),
    })
}

/// What the record says, if rolegate wrote it.
fn genuine(store: &Store, row: &AuditRow) -> Result<Option<Told>, StoreError> {
    match Told::read(row) {
        Some(told) if store.audit_mac_holds(&row.hash, &row.mac)? => Ok(Some(told)),
        _ => Ok(None),
    }
}

/// The rows in order, a page at a time, with a look at the one after.
struct Rows {
    snapshot: AuditSnapshot,
    read: VecDeque<AuditRow>,
    from: Option<i64>,
}

impl Rows {
    fn new(snapshot: AuditSnapshot) -> Self {
        Self {
            snapshot,
            read: VecDeque::new(),
            from: Some(i64::MIN),
        }
    }

    async fn next(&mut self) -> Result<Option<(AuditRow, Option<&AuditRow>)>, StoreError> {
        while let Some(from) = self.from.filter(|_| self.read.len() < 2) {
            let page = self.snapshot.page(from, PAGE).await?;
            self.from = page.last().and_then(|row| row.seq.checked_add(1));
            self.read.extend(page);
        }
        Ok(self.read.pop_front().map(|row| (row, self.read.front())))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
