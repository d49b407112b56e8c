//! How many records were written, by kind, and whether the last one could be.
//!
//! Counted where records are written, read by metrics and readiness. Never says what a record says.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::EventKind;

/// Counters of one recorder since its process started.
#[derive(Debug)]
pub struct AuditCounts {
    written: Vec<AtomicU64>,
    lost: AtomicU64,
    failing: AtomicBool,
}

impl Default for AuditCounts {
    fn default() -> Self {
        Self {
            written: EventKind::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            lost: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        }
    }
}

impl AuditCounts {
    /// Counts records that are on disk.
    pub(super) fn wrote(&self, kinds: impl IntoIterator<Item = EventKind>) {
        for kind in kinds {
            let at = EventKind::ALL.iter().position(|known| *known == kind);
            if let Some(count) = at.and_then(|at| self.written.get(at)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.failing.store(false, Ordering::Relaxed);
    }

    /// Counts records that could not be written.
    pub(super) fn lost(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.lost.fetch_add(records, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    /// Each kind with how many records of it were written.
    pub fn written(&self) -> impl Iterator<Item = (EventKind, u64)> {
        let counts = self.written.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        EventKind::ALL.iter().copied().zip(counts)
    }

    /// How many records could not be written.
    pub fn failed(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether the last write failed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Notes that records can be written again, as was found without writing one.
    pub fn can_write(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }
}
