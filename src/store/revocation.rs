//! Revoking, final for what exists: sessions, leases, credentials and claims in one transaction.
//!
//! A mint under way finds its claim row gone or its session ended, and what it brings is dropped. What
//! AWS has issued before, no store can call back: it is told with its latest end.

mod reach;
mod sign_out;
mod tokens;

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::ending::end_sessions;
use super::rows::{Conditions, Record, millis};
use super::sessions::read_person;
use super::{Store, StoreError};
use crate::model::{
    Hold, IdpName, JobName, LeaseId, Person, RoleArn, RolePattern, SessionId, TokenName, UserName,
};

use reach::{Reach, reach_of};
pub use sign_out::{SignOut, SignedOut};
pub use tokens::{LeasesOfLauncher, RevokeTokensError, RevokedTokens};

/// What is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// A user's sessions and leases, at one IdP or at all.
    User {
        /// The user.
        user: UserName,
        /// The IdP, or every one.
        idp: Option<IdpName>,
    },
    /// The leases and credentials of the roles that fit.
    Role(RolePattern),
    /// The leases that launchers of this name made.
    Launcher(TokenName),
    /// One session, and the leases that draw on it.
    Session(SessionId),
    /// One lease.
    Lease(LeaseId),
    /// Every session, lease and credential.
    All,
}

/// Why, by whom, and whether what comes next is refused too.
#[derive(Debug, Clone, Copy)]
pub struct RevokeOrder<'a> {
    /// The admin's words.
    pub reason: &'a str,
    /// Who does it.
    pub by: &'a str,
    /// Whether to place a hold.
    pub hold: bool,
}

/// A lease that was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedLease {
    /// Its identifier.
    pub id: LeaseId,
    /// Whose it was.
    pub person: Person,
    /// The role.
    pub role: RoleArn,
    /// The job.
    pub job: JobName,
    /// Who had made it.
    pub launcher: Option<TokenName>,
}

/// Credentials that AWS issued and that it goes on to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillLive {
    /// The role.
    pub role: RoleArn,
    /// Whose they are.
    pub person: Person,
    /// When the last of them ends.
    pub until: DateTime<Utc>,
    /// Until when a token of the relay's that left rolegate can still be redeemed for more, if one did.
    pub tokens_until: Option<DateTime<Utc>>,
}

/// What a revocation hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// When it took place.
    pub at: DateTime<Utc>,
    /// The sessions that it ended and that could be used before.
    pub sessions: Vec<(SessionId, Person)>,
    /// The leases that it revoked and that counted before.
    pub leases: Vec<RevokedLease>,
    /// How many unexpired credentials the store no longer has.
    pub forgotten: usize,
    /// What of theirs AWS goes on to accept, by role and person.
    pub still_live: Vec<StillLive>,
    /// The hold that was placed.
    pub hold: Option<Hold>,
}

/// A token of the relay's lives so long.
const TOKEN_LIVES: TimeDelta = TimeDelta::minutes(5);
/// The longest session that AWS issues.
const LONGEST: TimeDelta = TimeDelta::hours(12);

impl Store {
    /// Revokes what `selector` names and exists now, and places the hold in the same transaction. `None`:
    /// no such session or lease is known.
    pub async fn revoke(
        &self,
        selector: &Selector,
        order: RevokeOrder<'_>,
    ) -> Result<Option<Revocation>, StoreError> {
        let at = self.now();
        let mut transaction = self.begin().await?;
        self.0.engine.be_patient(&mut transaction).await?;
        let Some(reach) = reach_of(&mut transaction, selector, at).await? else {
            return Ok(None);
        };
        let mut revocation = carry_out(&mut transaction, &reach, at).await?;
        if order.hold {
            let scope = reach.scope;
            let hold = self.place_hold(&mut transaction, scope, selector, &order);
            revocation.hold = Some(hold.await?);
        }
        transaction.commit().await?;
        Ok(Some(revocation))
    }
}

/// Revokes and ends what `reach` says, within the caller's transaction.
async fn carry_out(
    connection: &mut AnyConnection,
    reach: &Reach,
    at: DateTime<Utc>,
) -> Result<Revocation, StoreError> {
    let mut revocation = Revocation {
        at,
        sessions: Vec::new(),
        leases: revoke_leases(connection, reach, at).await?,
        forgotten: 0,
        still_live: Vec::new(),
        hold: None,
    };
    find_live(connection, reach, &mut revocation).await?;
    if reach.ends_sessions {
        let ended = end_sessions(connection, reach.sessions(), at).await?;
        revocation.sessions = ended.usable;
    }
    if reach.forgets {
        forget(connection, reach).await?;
    }
    // The triggers see sessions and leases; credentials that went are in every process's memory too.
    sqlx::query("UPDATE changes SET version = version + 1 WHERE topic = 'access'")
        .execute(connection)
        .await?;
    Ok(revocation)
}

/// Those that still count.
async fn revoke_leases(
    connection: &mut AnyConnection,
    reach: &Reach,
    now: DateTime<Utc>,
) -> Result<Vec<RevokedLease>, StoreError> {
    let mut revoked = Vec::new();
    for role in reach.roles.iter().filter(|_| reach.ends_leases) {
        let conditions = reach.leases(role.as_deref());
        let sql = format!(
            "UPDATE leases SET revoked_at = $1 WHERE revoked_at IS NULL AND expires_at > $1{}
             RETURNING id, user_name, idp, role, job, launcher",
            conditions.sql()
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(millis(now));
        let rows = conditions.bind(query).fetch_all(&mut *connection).await?;
        for row in &rows {
            revoked.push(read_lease(row)?);
        }
    }
    Ok(revoked)
}

/// Those that a transaction at the very time `then` revoked.
async fn leases_revoked_at(
    connection: &mut AnyConnection,
    reach: &Reach,
    then: DateTime<Utc>,
) -> Result<Vec<RevokedLease>, StoreError> {
    let conditions = reach.leases(None);
    let sql = format!(
        "SELECT id, user_name, idp, role, job, launcher FROM leases WHERE revoked_at = $1{}",
        conditions.sql()
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(millis(then));
    let rows = conditions.bind(query).fetch_all(connection).await?;
    rows.iter().map(read_lease).collect()
}

fn read_lease(row: &AnyRow) -> Result<RevokedLease, StoreError> {
    let record = Record::new(row, "leases", "id");
    Ok(RevokedLease {
        id: record.parsed("id")?,
        person: read_person(&record)?,
        role: record.parsed("role")?,
        job: record.parsed("job")?,
        launcher: record.maybe_parsed("launcher")?,
    })
}

/// Before anything is deleted: what AWS issued to whom this hits, and until when.
async fn find_live(
    connection: &mut AnyConnection,
    reach: &Reach,
    revocation: &mut Revocation,
) -> Result<(), StoreError> {
    let leased: HashSet<(Person, RoleArn)> = revocation
        .leases
        .iter()
        .map(|lease| (lease.person.clone(), lease.role.clone()))
        .collect();
    let mut live: BTreeMap<(RoleArn, Person), DateTime<Utc>> = BTreeMap::new();
    for role in &reach.roles {
        let conditions = Conditions::from(2)
            .and("s.user_name", reach.user.as_deref())
            .and("s.idp", reach.idp.as_deref())
            .and("c.role", role.as_deref());
        let sql = format!(
            "SELECT c.issue_key, c.session, c.role, s.user_name, s.idp, c.expires_at
             FROM credentials c JOIN sessions s ON s.id = c.session
             WHERE c.expires_at > $1{}",
            conditions.sql()
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(millis(revocation.at));
        let rows = conditions.bind(query).fetch_all(&mut *connection).await?;
        for row in &rows {
            let record = Record::new(row, "credentials", "issue_key");
            let session = record.text("session")?;
            let of_session = reach.session.as_ref().is_none_or(|only| *only == session);
            let goes = reach.forgets || (reach.ends_sessions && of_session);
            let hit: (Person, RoleArn) = (read_person(&record)?, record.parsed("role")?);
            if !goes && !leased.contains(&hit) {
                continue;
            }
            revocation.forgotten += usize::from(goes);
            let end = record.time("expires_at")?;
            let until = live.entry((hit.1, hit.0)).or_insert(end);
            *until = end.max(*until);
        }
    }
    let tokens = tokens_left(connection, reach, revocation.at, &leased).await?;
    for (hit, left) in &tokens {
        let longest = *left + TOKEN_LIVES + LONGEST;
        let until = live.entry(hit.clone()).or_insert(longest);
        *until = longest.max(*until);
    }
    let found = live.into_iter().map(|((role, person), until)| {
        let left = tokens.get(&(role.clone(), person.clone()));
        let redeemable = left.map(|left| *left + TOKEN_LIVES);
        StillLive {
            role,
            person,
            until,
            tokens_until: redeemable.filter(|end| *end > revocation.at),
        }
    });
    revocation.still_live = found.collect();
    Ok(())
}

/// When tokens of the relay's last left rolegate for whom this hits. What they were redeemed for AWS alone knows:
/// the longest session, begun at the token's last moment.
async fn tokens_left(
    connection: &mut AnyConnection,
    reach: &Reach,
    at: DateTime<Utc>,
    leased: &HashSet<(Person, RoleArn)>,
) -> Result<BTreeMap<(RoleArn, Person), DateTime<Utc>>, StoreError> {
    let mut left = BTreeMap::new();
    for role in &reach.roles {
        let conditions = Conditions::from(2)
            .and("user_name", reach.user.as_deref())
            .and("idp", reach.idp.as_deref())
            .and("role", role.as_deref());
        let sql = format!(
            "SELECT id, user_name, idp, role, token_left_at FROM leases WHERE token_left_at > $1{}",
            conditions.sql()
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(millis(at - TOKEN_LIVES - LONGEST));
        let rows = conditions.bind(query).fetch_all(&mut *connection).await?;
        for row in &rows {
            let record = Record::new(row, "leases", "id");
            let hit: (Person, RoleArn) = (read_person(&record)?, record.parsed("role")?);
            if !reach.forgets && !reach.ends_sessions && !leased.contains(&hit) {
                continue;
            }
            let at = record.time("token_left_at")?;
            let last = left.entry((hit.1, hit.0)).or_insert(at);
            *last = at.max(*last);
        }
    }
    Ok(left)
}

/// Issued credentials and claims alike, so that a mint under way has nowhere to put what it brings.
async fn forget(connection: &mut AnyConnection, reach: &Reach) -> Result<(), StoreError> {
    for role in &reach.roles {
        let conditions = Conditions::from(1).and("role", role.as_deref());
        let sql = format!(
            "DELETE FROM credentials WHERE issue_key IS NOT NULL{}",
            conditions.sql()
        );
        let query = sqlx::query(AssertSqlSafe(sql));
        conditions.bind(query).execute(&mut *connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
