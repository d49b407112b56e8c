//! Sign-ins of command lines: a code that a browser answers, and the token that comes of a yes.
//!
//! Keeps hashes of both codes and of the token. Whether a session may still answer, and whether a yes
//! may still become a token, is asked within the very statement that says so: a session that ended in
//! between gives nothing.

use std::net::{IpAddr, Ipv6Addr};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::any::AnyRow;

use super::rows::{Record, last, millis};
use super::{Store, StoreError};
use crate::model::{SessionId, TokenHash, network};

/// How long a code may be answered, and its answer be taken.
pub const LOGIN_LIVES: TimeDelta = TimeDelta::minutes(10);
/// How many codes are kept at once; beyond that the oldest that nobody answered goes.
pub const LOGINS_KEPT: i64 = 10_000;
/// How many of them one address may have asked for, or one IPv6 network of /64.
pub const LOGINS_PER_ADDRESS: i64 = 100;

/// A sign-in that begins.
#[derive(Debug, Clone)]
pub struct NewLogin {
    /// The hash of the device code.
    pub device: TokenHash,
    /// The hash of the code that the person compares.
    pub user_code: [u8; 32],
    /// Where it was asked for.
    pub address: IpAddr,
}

/// A code that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingLogin {
    /// Where it was asked for.
    pub address: IpAddr,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Until when it may be answered.
    pub expires_at: DateTime<Utc>,
}

/// What a person answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginAnswer {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

impl LoginAnswer {
    fn state(self) -> &'static str {
        match self {
            Self::Allow => "approved",
            Self::Deny => "denied",
        }
    }
}

/// What has become of a device code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginPoll {
    /// Unknown, expired, taken before, or of a session that ended.
    Gone,
    /// Asked sooner than the interval permits.
    TooSoon,
    /// Nobody has answered.
    Pending,
    /// The answer was no; told once.
    Denied,
    /// The answer was yes, and the token leads onto this session from now on; told once.
    Approved(SessionId),
}

impl Store {
    /// Keeps a code for ten minutes. Says whether: one address has a bound of its own.
    pub async fn add_login(&self, login: &NewLogin) -> Result<bool, StoreError> {
        let now = self.now();
        let (first, last) = ends(login.address);
        let done = sqlx::query(
            "INSERT INTO logins (device, user_code, state, address, created_at, expires_at)
             SELECT $1, $2, 'pending', $3, $4, $5 WHERE $6 >
             (SELECT COUNT(*) FROM logins WHERE address BETWEEN $7 AND $8 AND state = 'pending'
              AND expires_at > $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(login.device.as_bytes())
        .bind(login.user_code.to_vec())
        .bind(written(login.address))
        .bind(millis(now))
        .bind(millis(now + LOGIN_LIVES))
        .bind(LOGINS_PER_ADDRESS)
        .bind(written(first))
        .bind(written(last))
        .execute(self.writer())
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.bound_logins().await?;
        Ok(true)
    }

    async fn bound_logins(&self) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM logins WHERE state = 'pending' AND (expires_at, device) <=
             (SELECT expires_at, device FROM logins WHERE state = 'pending'
              ORDER BY expires_at DESC, device DESC LIMIT 1 OFFSET $1)",
        )
        .bind(LOGINS_KEPT)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// The sign-in that waits for an answer to this code.
    pub async fn pending_login(
        &self,
        user_code: &[u8; 32],
    ) -> Result<Option<PendingLogin>, StoreError> {
        let row = sqlx::query(
            "SELECT address, created_at, expires_at FROM logins
             WHERE user_code = $1 AND state = 'pending' AND expires_at > $2",
        )
        .bind(user_code.to_vec())
        .bind(millis(self.now()))
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Answers a code, once, for a session that may be used now; gives what was answered.
    pub async fn answer_login(
        &self,
        user_code: &[u8; 32],
        session: &SessionId,
        answer: LoginAnswer,
    ) -> Result<Option<PendingLogin>, StoreError> {
        let rows = sqlx::query(
            "UPDATE logins SET state = $1, session = $2
             WHERE user_code = $3 AND state = 'pending' AND expires_at > $4
             AND EXISTS (SELECT 1 FROM sessions WHERE id = $2 AND state = 'confirmed'
                         AND ended_at IS NULL AND expires_at > $4)
             RETURNING address, created_at, expires_at",
        )
        .bind(answer.state())
        .bind(session.as_str())
        .bind(user_code.to_vec())
        .bind(millis(self.now()))
        .fetch_all(self.writer())
        .await?;
        last(rows).as_ref().map(read).transpose()
    }

    /// What can be said of a device code without a write, which strangers' codes and haste do not cost.
    pub async fn glance_at_login(
        &self,
        device: &TokenHash,
        interval: TimeDelta,
    ) -> Result<Option<LoginPoll>, StoreError> {
        let now = self.now();
        let known =
            sqlx::query("SELECT polled_at FROM logins WHERE device = $1 AND expires_at > $2")
                .bind(device.as_bytes())
                .bind(millis(now))
                .fetch_optional(self.reader())
                .await?;
        let Some(known) = known else {
            return Ok(Some(LoginPoll::Gone));
        };
        let polled_at = Record::new(&known, "logins", "polled_at").maybe_time("polled_at")?;
        let is_early = polled_at.is_some_and(|before| now < before + interval);
        Ok(is_early.then_some(LoginPoll::TooSoon))
    }

    /// What has become of a device code; a yes is taken out, and `token` made a way onto the session.
    pub async fn poll_login(
        &self,
        device: &TokenHash,
        token: &TokenHash,
        address: IpAddr,
        interval: TimeDelta,
    ) -> Result<LoginPoll, StoreError> {
        if let Some(said) = self.glance_at_login(device, interval).await? {
            return Ok(said);
        }
        let mut transaction = self.begin().await?;
        let now = self.now();
        let poll = touch(&mut transaction, device, now, interval).await?;
        let poll = match poll {
            LoginPoll::Approved(session) => {
                take(&mut transaction, device).await?;
                let given = give(&mut transaction, token, &session, address, now).await?;
                if given {
                    LoginPoll::Approved(session)
                } else {
                    LoginPoll::Gone
                }
            }
            LoginPoll::Denied => {
                take(&mut transaction, device).await?;
                LoginPoll::Denied
            }
            other => other,
        };
        transaction.commit().await?;
        Ok(poll)
    }
}

/// Notes that the code was asked for, and says what it has become.
async fn touch(
    connection: &mut sqlx::AnyConnection,
    device: &TokenHash,
    now: DateTime<Utc>,
    interval: TimeDelta,
) -> Result<LoginPoll, StoreError> {
    let row = sqlx::query(
        "SELECT state, session, polled_at FROM logins WHERE device = $1 AND expires_at > $2",
    )
    .bind(device.as_bytes())
    .bind(millis(now))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        return Ok(LoginPoll::Gone);
    };
    let record = Record::new(&row, "logins", "state");
    sqlx::query("UPDATE logins SET polled_at = $1 WHERE device = $2")
        .bind(millis(now))
        .bind(device.as_bytes())
        .execute(connection)
        .await?;
    let polled_at = record.maybe_time("polled_at")?;
    if polled_at.is_some_and(|before| now < before + interval) {
        return Ok(LoginPoll::TooSoon);
    }
    match record.text("state")?.as_str() {
        "pending" => Ok(LoginPoll::Pending),
        "denied" => Ok(LoginPoll::Denied),
        "approved" => Ok(LoginPoll::Approved(record.parsed("session")?)),
        _ => Err(record.damaged("state", "is no state of a login")),
    }
}

async fn take(connection: &mut sqlx::AnyConnection, device: &TokenHash) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM logins WHERE device = $1")
        .bind(device.as_bytes())
        .execute(connection)
        .await?;
    Ok(())
}

async fn give(
    connection: &mut sqlx::AnyConnection,
    token: &TokenHash,
    session: &SessionId,
    address: IpAddr,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO session_tokens (hash, session, created_at, address)
         SELECT $1, id, $2, $3 FROM sessions
         WHERE id = $4 AND state = 'confirmed' AND ended_at IS NULL AND expires_at > $2",
    )
    .bind(token.as_bytes())
    .bind(millis(now))
    .bind(address.to_string())
    .bind(session.as_str())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// An address as a row has it: one of IPv6 with all its digits, so that those of a network stand together.
fn written(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address
            .segments()
            .map(|part| format!("{part:04x}"))
            .join(":"),
    }
}

/// The first and the last address of the network that `address` counts as.
fn ends(address: IpAddr) -> (IpAddr, IpAddr) {
    let first = network(address);
    let last = match first {
        IpAddr::V4(_) => first,
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() | u128::from(u64::MAX)).into(),
    };
    (first, last)
}

fn read(row: &AnyRow) -> Result<PendingLogin, StoreError> {
    let record = Record::new(row, "logins", "created_at");
    Ok(PendingLogin {
        address: record.parsed("address")?,
        created_at: record.time("created_at")?,
        expires_at: record.time("expires_at")?,
    })
}

#[cfg(test)]
#[path = "logins_tests.rs"]
mod tests;
