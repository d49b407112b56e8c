//! How often STS was asked by each method, what came of it, and how long it took.
//!
//! Counted around the call itself, retries among them, and also where the caller's time was up before STS answered.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::IssueError;
use crate::model::{Durations, Method};

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// Credentials.
    Issued,
    /// None, and the same call would get none again.
    Refused,
    /// None, though the same call may get some later.
    Away,
    /// No answer before the time for the whole was up.
    GivenUp,
}

impl CallOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Issued, Self::Refused, Self::Away, Self::GivenUp];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Refused => "refused",
            Self::Away => "away",
            Self::GivenUp => "given_up",
        }
    }
}

/// The calls of one method.
#[derive(Debug, Default)]
struct OfMethod {
    issued: AtomicU64,
    refused: AtomicU64,
    away: AtomicU64,
    given_up: AtomicU64,
    took: Durations,
}

impl OfMethod {
    fn count(&self, outcome: CallOutcome) -> &AtomicU64 {
        match outcome {
            CallOutcome::Issued => &self.issued,
            CallOutcome::Refused => &self.refused,
            CallOutcome::Away => &self.away,
            CallOutcome::GivenUp => &self.given_up,
        }
    }
}

/// The calls since the process started.
#[derive(Debug, Default)]
pub struct Calls {
    saml: OfMethod,
    web_identity: OfMethod,
    relay: OfMethod,
    broker: OfMethod,
}

impl Calls {
    fn of(&self, method: Method) -> &OfMethod {
        match method {
            Method::Saml => &self.saml,
            Method::WebIdentity => &self.web_identity,
            Method::Relay => &self.relay,
            Method::Broker => &self.broker,
        }
    }

    /// A call that is about to be made.
    pub(super) fn begin(&self, method: Method) -> UnderWay<'_> {
        UnderWay {
            calls: self.of(method),
            started: Instant::now(),
            outcome: CallOutcome::GivenUp,
        }
    }

    /// How many calls by `method` came to `outcome`.
    pub fn count(&self, method: Method, outcome: CallOutcome) -> u64 {
        self.of(method).count(outcome).load(Ordering::Relaxed)
    }

    /// How long the calls by `method` took.
    pub fn took(&self, method: Method) -> &Durations {
        &self.of(method).took
    }
}

/// A call under way; counted when it is dropped, as given up unless it came to something else.
pub(super) struct UnderWay<'a> {
    calls: &'a OfMethod,
    started: Instant,
    outcome: CallOutcome,
}

impl UnderWay<'_> {
    /// Counts what STS answered, and hands it on.
    pub(super) fn came_to<T>(mut self, answer: Result<T, IssueError>) -> Result<T, IssueError> {
        self.outcome = match &answer {
            Ok(_) => CallOutcome::Issued,
            Err(error) if error.is_transient() => CallOutcome::Away,
            Err(_) => CallOutcome::Refused,
        };
        answer
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.calls
            .count(self.outcome)
            .fetch_add(1, Ordering::Relaxed);
        self.calls.took.observe(self.started.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_counts_once_as_what_it_came_to() {
        let calls = Calls::default();
        let asked = || calls.begin(Method::Relay);
        asked().came_to(Ok(())).unwrap();
        asked()
            .came_to::<()>(Err(IssueError::TimedOut))
            .unwrap_err();
        asked()
            .came_to::<()>(Err(IssueError::NoProvider))
            .unwrap_err();
        drop(asked());
        for outcome in CallOutcome::ALL {
            assert_eq!(calls.count(Method::Relay, outcome), 1, "{outcome:?}");
            assert_eq!(calls.count(Method::Saml, outcome), 0, "{outcome:?}");
        }
        assert_eq!(calls.took(Method::Relay).read().count, 4);
    }
}
