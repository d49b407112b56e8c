//! What a selector reaches: found out within the transaction that revokes it.

use chrono::{DateTime, Utc};
use sqlx::AnyConnection;

use super::Selector;
use crate::model::{HoldScope, LeaseId, Person, RoleArn, RolePattern, SessionId};
use crate::store::StoreError;
use crate::store::newest::RENEWED_AT_MOST;
use crate::store::rows::{Conditions, Record, millis};
use crate::store::sessions::read_person;

/// What a selector reaches, found out within the transaction.
#[derive(Default)]
pub(super) struct Reach {
    pub(super) user: Option<String>,
    pub(super) idp: Option<String>,
    /// Each role by itself; one `None` is all.
    pub(super) roles: Vec<Option<String>>,
    pub(super) launcher: Option<String>,
    pub(super) lease: Option<String>,
    pub(super) session: Option<String>,
    pub(super) ends_sessions: bool,
    pub(super) ends_leases: bool,
    /// Whether credentials go even where their session stays.
    pub(super) forgets: bool,
    pub(super) scope: HoldScope,
}

impl Reach {
    /// Which leases, of `role` or of all; binds begin at 2.
    pub(super) fn leases(&self, role: Option<&str>) -> Conditions {
        self.of_person()
            .and("role", role)
            .and("launcher", self.launcher.as_deref())
            .and("id", self.lease.as_deref())
    }

    /// Which sessions; binds begin at 2.
    pub(super) fn sessions(&self) -> Conditions {
        self.of_person().and("id", self.session.as_deref())
    }

    fn of_person(&self) -> Conditions {
        Conditions::from(2)
            .and("user_name", self.user.as_deref())
            .and("idp", self.idp.as_deref())
    }
}

/// One session, and every lease of its person, whichever session that draws on.
pub(super) fn of_sign_out(session: &SessionId, person: &Person) -> Reach {
    Reach {
        user: Some(person.user.to_string()),
        idp: Some(person.idp.to_string()),
        roles: vec![None],
        session: Some(session.to_string()),
        ends_sessions: true,
        ends_leases: true,
        ..Reach::default()
    }
}

pub(super) async fn reach_of(
    connection: &mut AnyConnection,
    selector: &Selector,
    now: DateTime<Utc>,
) -> Result<Option<Reach>, StoreError> {
    let all = Reach {
        roles: vec![None],
        ..Reach::default()
    };
    Ok(match selector {
        Selector::User { user, idp } => Some(Reach {
            user: Some(user.to_string()),
            idp: idp.as_ref().map(ToString::to_string),
            ends_sessions: true,
            ends_leases: true,
            scope: HoldScope {
                user: Some(user.clone()),
                idp: idp.clone(),
                ..HoldScope::default()
            },
            ..all
        }),
        Selector::Role(pattern) => Some(Reach {
            roles: roles_of(connection, pattern).await?,
            ends_leases: true,
            forgets: true,
            scope: HoldScope {
                role: Some(pattern.clone()),
                ..HoldScope::default()
            },
            ..all
        }),
        Selector::Launcher(name) => Some(Reach {
            launcher: Some(name.to_string()),
            ends_leases: true,
            scope: HoldScope {
                launcher: Some(name.clone()),
                ..HoldScope::default()
            },
            ..all
        }),
        Selector::Session(id) => session_reach(connection, id, now).await?,
        Selector::Lease(id) => lease_reach(connection, id).await?,
        Selector::All => Some(Reach {
            ends_sessions: true,
            ends_leases: true,
            forgets: true,
            ..all
        }),
    })
}

/// The session, and the person's leases where they draw on it.
async fn session_reach(
    connection: &mut AnyConnection,
    id: &SessionId,
    now: DateTime<Utc>,
) -> Result<Option<Reach>, StoreError> {
    let found = sqlx::query("SELECT id, user_name, idp FROM sessions WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = found else { return Ok(None) };
    let person = read_person(&Record::new(&row, "sessions", "id"))?;
    let newest: Option<String> = sqlx::query_scalar(
        "SELECT id FROM sessions WHERE user_name = $1 AND idp = $2 AND state = 'confirmed'
         AND (expires_at > $3 OR signed_in_at > $4) ORDER BY signed_in_at DESC, id DESC LIMIT 1",
    )
    .bind(person.user.as_str())
    .bind(person.idp.as_str())
    .bind(millis(now))
    .bind(millis(now - RENEWED_AT_MOST))
    .fetch_optional(connection)
    .await?;
    Ok(Some(Reach {
        user: Some(person.user.to_string()),
        idp: Some(person.idp.to_string()),
        roles: vec![None],
        session: Some(id.to_string()),
        ends_sessions: true,
        ends_leases: newest.as_deref() == Some(id.as_str()),
        scope: HoldScope {
            user: Some(person.user),
            idp: Some(person.idp),
            ..HoldScope::default()
        },
        ..Reach::default()
    }))
}

async fn lease_reach(
    connection: &mut AnyConnection,
    id: &LeaseId,
) -> Result<Option<Reach>, StoreError> {
    let found = sqlx::query("SELECT id, user_name, idp, role FROM leases WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    let Some(row) = found else { return Ok(None) };
    let record = Record::new(&row, "leases", "id");
    let person = read_person(&record)?;
    Ok(Some(Reach {
        user: Some(person.user.to_string()),
        idp: Some(person.idp.to_string()),
        roles: vec![Some(record.text("role")?)],
        lease: Some(id.to_string()),
        ends_leases: true,
        scope: HoldScope {
            user: Some(person.user),
            idp: Some(person.idp),
            role: Some(record.parsed("role")?),
            launcher: None,
        },
        ..Reach::default()
    }))
}

/// The roles that fit `pattern` and that something is there of.
async fn roles_of(
    connection: &mut AnyConnection,
    pattern: &RolePattern,
) -> Result<Vec<Option<String>>, StoreError> {
    if pattern.is_exact() {
        return Ok(vec![Some(pattern.to_string())]);
    }
    let rows = sqlx::query("SELECT role FROM leases UNION SELECT role FROM credentials")
        .fetch_all(connection)
        .await?;
    let mut roles = Vec::new();
    for row in &rows {
        let role: RoleArn = Record::new(row, "leases", "role").parsed("role")?;
        if pattern.matches(&role) {
            roles.push(Some(role.to_string()));
        }
    }
    Ok(roles)
}
