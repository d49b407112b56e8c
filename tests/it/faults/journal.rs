//! What rolegate acknowledged, as those remember it who were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What is known of something that can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was acknowledged.
    Stands,
    /// Taking it back was asked for; nobody knows what came of it.
    Going,
    /// It was acknowledged that it is taken back.
    Gone,
}

/// A lease.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) user: String,
    pub(super) token: String,
    pub(super) state: State,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<Noted>);

#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Every response that was posted, with how often it was accepted; its user has no other.
    pub(super) responses: BTreeMap<String, (String, usize)>,
    /// Sessions' tokens by their user.
    pub(super) sessions: BTreeMap<String, (String, State)>,
    /// Leases by id.
    pub(super) leases: BTreeMap<String, Lease>,
    /// Access keys that a lease was given.
    pub(super) fetched: BTreeSet<(String, String)>,
    /// Allow-list entries by id.
    pub(super) entries: BTreeMap<String, State>,
    /// Roles assigned to users.
    pub(super) assigned: BTreeMap<String, String>,
    /// Launchers' tokens by name.
    pub(super) tokens: BTreeMap<String, (String, State)>,
    /// Good fetches, those answered 503, and broken connections.
    pub(super) good: usize,
    pub(super) away: usize,
    pub(super) broken: usize,
    /// The longest that a fetch waited for an answer.
    pub(super) slowest: Duration,
}

impl Journal {
    pub(super) fn open(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap()
    }
}

impl Noted {
    /// Whether nothing was begun that would take the lease's credentials away.
    pub(super) fn is_live(&self, lease: &Lease) -> bool {
        lease.state == State::Stands && self.sessions[&lease.user].1 == State::Stands
    }

    /// Whether some of each was acknowledged.
    pub(super) fn has_some_of_each(&self) -> bool {
        let none = [
            self.sessions.is_empty(),
            self.leases.is_empty(),
            self.entries.is_empty(),
            self.assigned.is_empty(),
            self.tokens.is_empty(),
            self.fetched.is_empty(),
        ];
        !none.contains(&true)
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        let gone = |states: &mut dyn Iterator<Item = State>| {
            states.filter(|state| *state == State::Gone).count()
        };
        format!(
            "{} sign-ins of {} responses ({} revoked), {} leases ({} revoked), {} entries ({} removed), {} assignments, \
             {} tokens ({} revoked); fetches: {} good, {} answered 503, {} cut off, the slowest {:?}",
            self.sessions.len(),
            self.responses.len(),
            gone(&mut self.sessions.values().map(|session| session.1)),
            self.leases.len(),
            gone(&mut self.leases.values().map(|lease| lease.state)),
            self.entries.len(),
            gone(&mut self.entries.values().copied()),
            self.assigned.len(),
            self.tokens.len(),
            gone(&mut self.tokens.values().map(|token| token.1)),
            self.good,
            self.away,
            self.broken,
            self.slowest,
        )
    }
}
