//! Holds: placed with a revocation, in its transaction, and kept after their release.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::revocation::{RevokeOrder, Selector};
use super::rows::{Record, last, millis};
use super::{Store, StoreError};
use crate::model::{Hold, HoldId, HoldScope, IdpName, Person, RolePattern, TokenName, UserName};

impl Store {
    /// The holds in force, oldest first.
    pub async fn holds(&self) -> Result<Vec<Hold>, StoreError> {
        let rows = sqlx::query("SELECT * FROM holds WHERE released_at IS NULL ORDER BY id")
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// The oldest hold that refuses sign-ins of `person`, as the store has it now. Asked once a session
    /// stands, it misses none: a revocation ends the sessions there are in the transaction of its hold.
    pub async fn hold_on(&self, person: &Person) -> Result<Option<Hold>, StoreError> {
        let holds = self.holds().await?;
        let mut holds = holds.into_iter();
        Ok(holds.find(|hold| hold.scope.covers(Some(person), None, None)))
    }

    /// Releases a hold; gives what it was, or nothing where none of that id is in force.
    pub async fn release_hold(&self, id: &HoldId, by: &str) -> Result<Option<Hold>, StoreError> {
        let rows = sqlx::query(
            "UPDATE holds SET released_at = $1, released_by = $2
             WHERE id = $3 AND released_at IS NULL RETURNING *",
        )
        .bind(millis(self.now()))
        .bind(by)
        .bind(id.as_str())
        .fetch_all(self.writer())
        .await?;
        last(rows).as_ref().map(read).transpose()
    }

    pub(super) async fn place_hold(
        &self,
        connection: &mut AnyConnection,
        scope: HoldScope,
        selector: &Selector,
        order: &RevokeOrder<'_>,
    ) -> Result<Hold, StoreError> {
        let hold = Hold {
            id: HoldId::fresh(&*self.0.clock, &*self.0.entropy),
            scope,
            reason: order.reason.to_owned(),
            created_at: self.now(),
            created_by: order.by.to_owned(),
        };
        let (session, lease) = match selector {
            Selector::Session(id) => (Some(id.to_string()), None),
            Selector::Lease(id) => (None, Some(id.to_string())),
            _ => (None, None),
        };
        let scope = &hold.scope;
        let everything = scope.is_everything();
        let text = |value: Option<&str>| value.map(str::to_owned);
        sqlx::query(
            "INSERT INTO holds
             (id, user_name, idp, role, launcher, session, lease, everything, reason, created_at, created_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(hold.id.as_str())
        .bind(text(scope.user.as_ref().map(UserName::as_str)))
        .bind(text(scope.idp.as_ref().map(IdpName::as_str)))
        .bind(text(scope.role.as_ref().map(RolePattern::as_str)))
        .bind(text(scope.launcher.as_ref().map(TokenName::as_str)))
        .bind(session)
        .bind(lease)
        .bind(i64::from(everything))
        .bind(hold.reason.as_str())
        .bind(millis(hold.created_at))
        .bind(hold.created_by.as_str())
        .execute(connection)
        .await?;
        Ok(hold)
    }
}

fn read(row: &AnyRow) -> Result<Hold, StoreError> {
    let record = Record::new(row, "holds", "id");
    let scope = HoldScope {
        user: record.maybe_parsed("user_name")?,
        idp: record.maybe_parsed("idp")?,
        role: record.maybe_parsed("role")?,
        launcher: record.maybe_parsed("launcher")?,
    };
    if (record.number("everything")? == 1) != scope.is_everything() {
        return Err(record.damaged("everything", "does not fit the row's other columns"));
    }
    Ok(Hold {
        id: record.parsed("id")?,
        scope,
        reason: record.text("reason")?,
        created_at: record.time("created_at")?,
        created_by: record.text("created_by")?,
    })
}
