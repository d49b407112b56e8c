//! The proof of the chain: walks it from the sealed base, or its very first record, to the sealed head and names the
//! first that is not as it was written.
//!
//! Trusts the master key alone. A record counts as genuine if its hash is of its text and the code
//! over the hash was made by a holder of that key.

use std::collections::VecDeque;
use std::fmt;

use chrono::{DateTime, Utc};

use super::chain::Told;
use crate::model::{hex, rfc3339};
use crate::store::{AuditBase, AuditHead, AuditRow, AuditSnapshot, Store, StoreError};

const PAGE: u32 = 500;

/// What the proof found first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every record is as it was written.
    Whole {
        /// How many there are.
        records: i64,
    },
    /// Retention removed the oldest records, and every other one is as it was written.
    WholeSince {
        /// The last one that was removed.
        removed: i64,
        /// When it was.
        removed_at: DateTime<Utc>,
        /// The last one there is.
        last: i64,
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
            Self::WholeSince {
                removed,
                removed_at,
                last,
            } => write!(
                f,
                "records 1 to {removed} were removed by retention at {}; records {} to {last} are as they were written",
                rfc3339(*removed_at),
                removed + 1
            ),
            Self::Changed { seq } => write!(f, "record {seq} was changed"),
            Self::Missing { seq } => write!(f, "record {seq} is missing"),
            Self::Added { seq } => write!(f, "record {seq} was added by something else"),
            Self::CutOff { after, head } => {
                write!(f, "records {} to {head} were cut off", after + 1)
            }
        }
    }
}

impl Verdict {
    /// Whether nothing is amiss.
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Whole { .. } | Self::WholeSince { .. })
    }

    fn whole(base: AuditBase, end: AuditHead) -> Self {
        if base.seq == 0 {
            return Self::Whole { records: end.seq };
        }
        Self::WholeSince {
            removed: base.seq,
            removed_at: DateTime::from_timestamp_millis(base.removed_at).unwrap_or_default(),
            last: end.seq,
        }
    }
}

/// Proves the chain as it stands now; what is appended meanwhile is left to the next time.
pub async fn verify(store: &Store) -> Result<Verdict, StoreError> {
    Ok(prove(store).await?.0)
}

/// As [`verify`], with the end of the chain that was proved.
pub async fn prove(store: &Store) -> Result<(Verdict, AuditHead), StoreError> {
    let mut proof = Proof::begin(store).await?;
    while let Step::Genuine(_) = proof.step().await? {}
    let end = proof.end;
    Ok((proof.end(), end))
}

/// A proof under way, record by record.
pub(super) struct Proof {
    store: Store,
    rows: Rows,
    base: AuditBase,
    head: AuditHead,
    end: AuditHead,
    verdict: Option<Verdict>,
}

/// What a step of a proof came to.
pub(super) enum Step {
    /// This record is as it was written.
    Genuine(AuditRow),
    /// There is no other, or something is amiss.
    End,
}

impl Proof {
    pub(super) async fn begin(store: &Store) -> Result<Self, StoreError> {
        let snapshot = store.audit_snapshot().await?;
        let (base, end) = (snapshot.base(), snapshot.head());
        Ok(Self {
            store: store.clone(),
            rows: Rows::new(snapshot),
            base,
            head: base.head(),
            end,
            verdict: None,
        })
    }

    /// Where the chain begins.
    pub(super) fn base(&self) -> AuditBase {
        self.base
    }

    /// The last record that was proved, or the base.
    pub(super) fn head(&self) -> AuditHead {
        self.head
    }

    /// What is amiss so far.
    pub(super) fn amiss(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Proves the next record.
    pub(super) async fn step(&mut self) -> Result<Step, StoreError> {
        let Some((row, next)) = self.rows.next().await? else {
            return Ok(Step::End);
        };
        self.verdict = judge(&self.store, &row, next, self.head, self.end)?;
        if self.verdict.is_some() {
            return Ok(Step::End);
        }
        self.head.seq = row.seq;
        self.head.hash = <[u8; 32]>::try_from(row.hash.as_slice()).unwrap_or_default();
        Ok(Step::Genuine(row))
    }

    fn end(self) -> Verdict {
        self.verdict
            .unwrap_or_else(|| tail(self.base, self.head, self.end))
    }
}

/// What a walk that met nothing amiss and got as far as `head` comes to.
fn tail(base: AuditBase, head: AuditHead, end: AuditHead) -> Verdict {
    if head == end {
        Verdict::whole(base, end)
    } else if head.seq < end.seq {
        Verdict::CutOff {
            after: head.seq,
            head: end.seq,
        }
    } else {
        // A genuine last record, but not the one that was sealed: one of an older state.
        Verdict::Changed { seq: head.seq }
    }
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
pub(super) fn genuine(store: &Store, row: &AuditRow) -> Result<Option<Told>, StoreError> {
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
