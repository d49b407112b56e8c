//! Decides: a subject and the allow-list become grants, or denials with their reasons.
//!
//! Trusts that entries were checked where they were made, and that a [`Subject`](crate::model::Subject)
//! was verified. A [`Grant`] is made here alone and is what `sts` demands. No I/O, no clock: `now` is
//! handed in, so that a decision can be repeated.

mod case;
mod decide;
mod denial;
mod grant;
mod rules;
mod terms;
#[cfg(test)]
mod terms_tests;
#[cfg(test)]
mod tests;
mod verdict;
#[cfg(test)]
mod web_identity_tests;

pub use decide::{Decisions, Preview, Request, decide, decide_all, grantable, preview};
pub use denial::{Denial, Reason, Tried};
pub use grant::{Grant, Limit};
pub use rules::{Limits, Rules};
pub use terms::SessionTag;
