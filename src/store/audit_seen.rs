//! The last end of the audit chain that this process saw, against one that was put back.
//!
//! The head is sealed, but nothing of it is fresh: whoever writes to the database can keep the head of before his deed,
//! put it back and cut off the records behind it, and the proof finds a chain that is whole. So each process that
//! appends looks first whether the record that it saw last is still in the chain. Trusts its own memory alone: who cuts
//! unnoticed has to end every process that saw what is gone.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::AnyConnection;

use super::{AuditHead, StoreError};

/// An end of the chain that is not one that can follow the last one seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPutBack {
    /// The end that this process saw last.
    pub seen: AuditHead,
    /// The one that there is now.
    pub found: AuditHead,
}

impl fmt::Display for AuditPutBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "record {} of the audit, which this process saw, is not in the chain any more, which ended with record {}: the store was put back to an older state; compare it with exports and copies of the audit, and find out who can write to the database",
            self.seen.seq, self.found.seq
        )
    }
}

/// The last end of the chain that this process saw.
#[derive(Default)]
pub(super) struct SeenEnd(Mutex<Option<AuditHead>>);

impl SeenEnd {
    /// Looks whether the record that was seen last is in the chain that begins behind record `base` and ends with
    /// `found`.
    pub(super) async fn missing_in(
        &self,
        connection: &mut AnyConnection,
        base: i64,
        found: AuditHead,
    ) -> Result<Option<AuditPutBack>, StoreError> {
        let Some(seen) = *self.last() else {
            return Ok(None);
        };
        let is_there = if found.seq <= seen.seq {
            found == seen
        } else if seen.seq <= base {
            // Retention removed it, and proved it before.
            true
        } else {
            let hash: Option<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM audit WHERE seq = $1")
                .bind(seen.seq)
                .fetch_optional(connection)
                .await?;
            hash.as_deref() == Some(&seen.hash[..])
        };
        Ok((!is_there).then_some(AuditPutBack { seen, found }))
    }

    /// That the chain ends with `head`, on disk.
    pub(super) fn saw(&self, head: AuditHead) {
        *self.last() = Some(head);
    }

    fn last(&self) -> MutexGuard<'_, Option<AuditHead>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
