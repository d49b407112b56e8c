//! Events, their hash chain, and its proof.
//!
//! Every record names the one before by hash; the store seals where the chain ends and gives each
//! record a code that only a holder of the master key can make. Whoever edits the database can neither
//! change, add nor take away a record without [`verify()`] naming it. What nobody without the key can
//! notice is a whole database put back to an older state. No secret goes in: an [`Event`]'s fields are
//! typed, and none of them holds one.

mod chain;
mod counts;
mod event;
mod reading;
mod recorder;
mod verify;

pub use counts::AuditCounts;
pub use event::{Event, EventKind};
pub use reading::{Export, Record, by_reference, export, list};
pub use recorder::Recorder;
pub use verify::{Verdict, verify};
