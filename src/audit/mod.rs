//! Events, their hash chain, and its proof.
//!
//! Every record names the one before by hash; the store seals where the chain ends and gives each
//! record a code that only a holder of the master key can make. Whoever edits the database can neither
//! change, add nor take away a record without [`verify()`] naming it. What [`verify()`] does not see is an end that was put
//! back: the sealed head of before, and the records behind it cut off, or the whole database of then. Each process that
//! records says so of what it saw itself ([`Recorder`]), and who noted an end elsewhere can ask for it ([`names`]).
//! Retention removes the oldest records alone, after they were
//! proved, and seals where the chain begins from then on. No secret goes in: an [`Event`]'s fields are
//! typed, and none of them holds one.

mod chain;
mod copy;
mod counts;
mod event;
mod file;
mod flood;
mod moment;
mod prune;
mod reading;
mod recorder;
mod verify;

pub use copy::{CopyCounts, CopyTo};
pub use counts::AuditCounts;
pub use event::{Event, EventKind, UnknownKind};
pub use file::{FileError, FileVerdict, names, verify_file};
pub use moment::{BadMoment, Moment};
pub use prune::{Order, PruneError, Pruned, prune, retain};
pub use reading::{Export, Page, Record, by_reference, export, list, page};
pub use recorder::Recorder;
pub use verify::{Verdict, prove, verify};
