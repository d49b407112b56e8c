//! Removing what no longer counts, table by table and a bounded batch at a time.
//!
//! Every statement names its own condition on time, so that running it twice, or in two processes at once, removes
//! nothing more. A batch is small enough that whoever writes meanwhile waits for some milliseconds; on a server one
//! process at a time removes, and the others find that out without waiting. Never touches the allow-list's history
//! and the audit chain.

use chrono::TimeDelta;

use super::idempotency::REMEMBERED;
use super::rows::millis;
use super::sessions::PENDING_LIVES;
use super::{Store, StoreError, arrivals, refusals};
use crate::model::RELAY_KEYS_STAY;

/// How long an ended session stays for lists to show.
const SESSIONS_STAY: TimeDelta = TimeDelta::days(7);
/// How long an ended lease stays, so that a late job hears 403 with its reason, not 401.
const LEASES_STAY: TimeDelta = TimeDelta::days(30);

/// Rows that go at once.
const BATCH: u32 = 1000;
/// Sessions that go at once: each takes rows of other tables with it.
const SESSIONS: u32 = 200;

/// What is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// Replay ids past their time.
    ReplayIds,
    /// Requests that nobody answered.
    Requests,
    /// Sessions that nobody confirmed.
    PendingSessions,
    /// Sessions that ended long ago, with all that hangs on them.
    OldSessions,
    /// Tokens of OpenID providers that nothing can draw on any more.
    OidcTokens,
    /// Credentials that expired.
    Credentials,
    /// Leases that ended long ago.
    ExpiredLeases,
    /// Leases that were revoked long ago.
    RevokedLeases,
    /// Calls of more than a day ago, which may be repeated no more.
    RepeatableCalls,
    /// Who signed in a while ago.
    Arrivals,
    /// News of revoked leases that every gateway has heard.
    RevocationNews,
    /// Check results of refusals of long ago.
    Refusals,
    /// Relay keys that no token can be signed with any more.
    RelayKeys,
    /// Codes of command lines past their time.
    Logins,
}

/// What one step removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Rows of the table itself, without what they took with them.
    pub rows: u64,
    /// Whether there may be more to remove.
    pub more: bool,
}

/// One table's statement: `$1` is the time before which rows go, `$2` how many at most.
struct Rule {
    sql: &'static str,
    stays: TimeDelta,
    batch: u32,
}

/// Rows are found by an index on their time and removed by their key. `$again` repeats, behind what keeps an engine
/// from finding rows by it, what another process may have changed between the two.
macro_rules! batch {
    ($table:literal, $key:literal, $condition:literal, $by:literal $(, $again:literal)?) => {
        concat!(
            "DELETE FROM ", $table, " WHERE ", $key, " IN (SELECT ", $key, " FROM ", $table,
            " WHERE ", $condition, " ORDER BY ", $by, " LIMIT $2)" $(, " AND ", $again)?
        )
    };
}

macro_rules! by_expiry {
    ($table:literal, $key:literal) => {
        (
            batch!($table, $key, "expires_at <= $1", "expires_at"),
            TimeDelta::zero(),
        )
    };
}

impl Leftover {
    /// All there are. Leases and tokens go before the sessions that they rest on.
    pub const ALL: [Self; 14] = [
        Self::ReplayIds,
        Self::Requests,
        Self::Logins,
        Self::RepeatableCalls,
        Self::Arrivals,
        Self::RevocationNews,
        Self::Refusals,
        Self::RelayKeys,
        Self::Credentials,
        Self::OidcTokens,
        Self::ExpiredLeases,
        Self::RevokedLeases,
        Self::PendingSessions,
        Self::OldSessions,
    ];

    fn rule(self) -> Option<Rule> {
        let (sql, stays) = self.statement()?;
        let batch = match self {
            Self::PendingSessions | Self::OldSessions => SESSIONS,
            _ => BATCH,
        };
        Some(Rule { sql, stays, batch })
    }

    /// The statement, and how long rows stay past their time; of those that one index finds.
    fn statement(self) -> Option<(&'static str, TimeDelta)> {
        Some(match self {
            Self::ReplayIds => by_expiry!("replay_ids", "id"),
            Self::Requests => by_expiry!("requests", "id"),
            Self::Logins => by_expiry!("logins", "device"),
            Self::RepeatableCalls => (
                "DELETE FROM idempotency WHERE (owner, idempotency_key) IN (
                 SELECT owner, idempotency_key FROM idempotency WHERE created_at <= $1
                 ORDER BY created_at LIMIT $2)",
                REMEMBERED,
            ),
            Self::Arrivals => (
                batch!("arrivals", "position", "at <= $1", "at"),
                arrivals::STAY,
            ),
            Self::RevocationNews => (
                batch!("revoked_leases", "position", "at <= $1", "at"),
                arrivals::STAY,
            ),
            Self::Refusals => (
                batch!("refusals", "position", "refused_at <= $1", "refused_at"),
                refusals::STAY,
            ),
            Self::RelayKeys => (
                batch!("relay_keys", "id", "retired_at <= $1", "retired_at"),
                RELAY_KEYS_STAY,
            ),
            other => return other.statement_of_sessions(),
        })
    }

    /// Sessions and what hangs on them.
    fn statement_of_sessions(self) -> Option<(&'static str, TimeDelta)> {
        Some(match self {
            Self::ExpiredLeases => (
                batch!("leases", "id", "expires_at <= $1", "expires_at"),
                LEASES_STAY,
            ),
            Self::RevokedLeases => (
                batch!("leases", "id", "revoked_at <= $1", "revoked_at"),
                LEASES_STAY,
            ),
            Self::PendingSessions => (
                batch!(
                    "sessions",
                    "id",
                    "state = 'pending' AND signed_in_at <= $1",
                    "signed_in_at",
                    "state <> 'confirmed'"
                ),
                PENDING_LIVES,
            ),
            Self::OldSessions => (
                // An entry may renew for thirty days after the sign-in.
                batch!(
                    "sessions",
                    "id",
                    "signed_in_at <= $1 - 2592000000 AND (ended_at <= $1 OR expires_at <= $1)",
                    "signed_in_at"
                ),
                SESSIONS_STAY,
            ),
            Self::Credentials => (
                // Whoever renews them has a claim meanwhile, or other times afterwards.
                batch!(
                    "credentials",
                    "issue_key",
                    "expires_at <= $1 AND (claimed_at IS NULL OR claimed_at <= $1 - 60000)",
                    "expires_at",
                    "+expires_at <= $1 AND (claimed_at IS NULL OR claimed_at <= $1 - 60000)"
                ),
                TimeDelta::zero(),
            ),
            _ => return None,
        })
    }
}

impl Store {
    /// Whether the clock has gone evenly for ten minutes, so that what is over by it may be removed.
    pub fn clock_goes_evenly(&self) -> bool {
        self.0.pace.is_even(&*self.0.clock)
    }

    /// Removes one batch of `what`. Nothing, where another process is removing just now.
    pub async fn purge_step(&self, what: Leftover) -> Result<Removed, StoreError> {
        if !self.clock_goes_evenly() {
            return Ok(Removed::default());
        }
        let Some(rule) = what.rule() else {
            return self.purge_oidc_tokens(BATCH).await;
        };
        let Some(mut transaction) = self.begin_purge().await? else {
            return Ok(Removed::default());
        };
        let done = sqlx::query(rule.sql)
            .bind(millis(self.now() - rule.stays))
            .bind(i64::from(rule.batch))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Removed {
            rows: done.rows_affected(),
            more: done.rows_affected() >= u64::from(rule.batch),
        })
    }
}

#[cfg(test)]
#[path = "purge_tests.rs"]
pub(crate) mod tests;
