//! What was looked at in a call: the names of the checks that held, and of the one that did not.

use super::answer::Failure;

/// The record of one call.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) held: Vec<String>,
    pub(super) refused_by: Option<String>,
}

impl Checks {
    /// Goes on with the value that check `name` found, or ends with its failure.
    pub(super) fn note<T>(
        &mut self,
        name: &'static str,
        outcome: Result<T, Failure>,
    ) -> Result<T, Failure> {
        match outcome {
            Ok(_) => self.held.push(name.to_owned()),
            Err(_) => self.refused_by = Some(name.to_owned()),
        }
        outcome
    }

    /// Goes on if check `name` holds.
    pub(super) fn require(
        &mut self,
        name: &'static str,
        holds: bool,
        failure: impl FnOnce() -> Failure,
    ) -> Result<(), Failure> {
        let outcome = if holds { Ok(()) } else { Err(failure()) };
        self.note(name, outcome)
    }
}
