//! What was turned away and how much is under way, counted where it happens and read by whoever measures.
//!
//! Numbers alone: no address, token or person stands in here.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a request or a connection can be turned away for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Unknown tokens of one address.
    BadTokens,
    /// Refused sign-ins and logout messages of one address.
    RefusedSignIns,
    /// Sign-ins begun from one address.
    SignInStarts,
    /// Refusals of one known token.
    RefusalsOfToken,
    /// Connections of one address.
    ConnectionsOfAddress,
    /// A TLS handshake that took too long.
    SlowHandshakes,
    /// No whole head of a request in time.
    SlowHeads,
    /// An answer that the client took too long to read.
    UnreadAnswers,
    /// What is no HTTP.
    Malformed,
    /// Requests of one connection that came ahead of answers.
    RequestsAhead,
    /// Too long an address or headers.
    Head,
    /// Too many documents wait to be verified.
    Verifications,
    /// STS is asked for too many sign-ins.
    Minting,
}

impl Limit {
    /// All there are.
    pub const ALL: [Self; 13] = [
        Self::BadTokens,
        Self::RefusedSignIns,
        Self::SignInStarts,
        Self::RefusalsOfToken,
        Self::ConnectionsOfAddress,
        Self::SlowHandshakes,
        Self::SlowHeads,
        Self::UnreadAnswers,
        Self::Malformed,
        Self::RequestsAhead,
        Self::Head,
        Self::Verifications,
        Self::Minting,
    ];

    /// A stable name, as a label has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadTokens => "bad_tokens",
            Self::RefusedSignIns => "refused_sign_ins",
            Self::SignInStarts => "sign_in_starts",
            Self::RefusalsOfToken => "refusals_of_token",
            Self::ConnectionsOfAddress => "connections_of_address",
            Self::SlowHandshakes => "slow_handshakes",
            Self::SlowHeads => "slow_heads",
            Self::UnreadAnswers => "unread_answers",
            Self::Malformed => "malformed",
            Self::RequestsAhead => "requests_ahead",
            Self::Head => "head",
            Self::Verifications => "verifications",
            Self::Minting => "minting",
        }
    }
}

/// The counts of one gateway.
#[derive(Debug, Default)]
pub struct Pressure {
    turned_away: [AtomicU64; Limit::ALL.len()],
    connections: AtomicUsize,
}

impl Pressure {
    /// How often `limit` turned somebody away since the start.
    pub fn turned_away(&self, limit: Limit) -> u64 {
        self.counter(limit)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// How many connections are open, handshakes under way among them.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts somebody whom `limit` turned away.
    pub fn turn_away(&self, limit: Limit) {
        if let Some(counter) = self.counter(limit) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection that opened.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that ended.
    pub fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn counter(&self, limit: Limit) -> Option<&AtomicU64> {
        let at = Limit::ALL.iter().position(|one| *one == limit)?;
        self.turned_away.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_count_and_a_name_of_its_own() {
        let pressure = Pressure::default();
        for (times, limit) in (1_u64..).zip(Limit::ALL) {
            for _ in 0..times {
                pressure.turn_away(limit);
            }
        }
        for (times, limit) in (1_u64..).zip(Limit::ALL) {
            assert_eq!(pressure.turned_away(limit), times);
        }
        let mut names: Vec<_> = Limit::ALL.iter().map(|limit| limit.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Limit::ALL.len());
    }
}
