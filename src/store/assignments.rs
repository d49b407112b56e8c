//! Assignments: the roles that an admin names for a person whose identity provider names none.
//!
//! They take effect whenever a session is read whose sign-in named no role at all, and end with the first
//! sign-in that names one. Everything but the person is sealed, bound to the person. A row that does not open is
//! damage, never no assignment. Whether AWS or the allow-list lets a person have the role is not asked here.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::rows::{Conditions, Record, last, to_json};
use super::sealing::Place;
use super::sessions::read_person;
use super::{Store, StoreError};
use crate::model::{IdpName, Offer, Person, RoleArn, SubjectParts, UserName};

/// What an admin assigned to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assignment {
    /// To whom.
    pub person: Person,
    /// The roles, in the order given.
    pub roles: Vec<RoleArn>,
    /// Who did it.
    pub by: String,
    /// The admin's words.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Which assignments; a field that is `None` fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssignmentFilter {
    /// To this user.
    pub user: Option<UserName>,
    /// At this IdP.
    pub idp: Option<IdpName>,
}

/// What the column `sealed` holds, sealed.
#[derive(Serialize, Deserialize)]
struct SealedAssignment {
    roles: Vec<RoleArn>,
    by: String,
    reason: Option<String>,
    at: DateTime<Utc>,
}

impl Store {
    /// Assigns roles in place of what was assigned to the person before, which is given back. Every gateway
    /// hears of it within a second. Whether the IdP may have assignments is for the caller to ask.
    pub async fn set_assignment(
        &self,
        assignment: &Assignment,
    ) -> Result<Option<Assignment>, StoreError> {
        let person = &assignment.person;
        let sealed = self.seal_assignment(assignment)?;
        let mut transaction = self.begin().await?;
        let before = self.take_assignment(&mut transaction, person).await?;
        sqlx::query("INSERT INTO assignments (user_name, idp, sealed) VALUES ($1, $2, $3)")
            .bind(person.user.as_str())
            .bind(person.idp.as_str())
            .bind(sealed)
            .execute(&mut *transaction)
            .await?;
        self.announce(&mut transaction, person).await?;
        transaction.commit().await?;
        Ok(before)
    }

    /// What is assigned to the person, be it in force or not.
    pub async fn assignment(&self, person: &Person) -> Result<Option<Assignment>, StoreError> {
        let row = sqlx::query(
            "SELECT user_name, idp, sealed FROM assignments WHERE user_name = $1 AND idp = $2",
        )
        .bind(person.user.as_str())
        .bind(person.idp.as_str())
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| self.read_assignment(&row)).transpose()
    }

    /// Takes the person's assignment back, and gives it. Every gateway hears of it within a second.
    pub async fn remove_assignment(
        &self,
        person: &Person,
    ) -> Result<Option<Assignment>, StoreError> {
        let mut transaction = self.begin().await?;
        let before = self.take_assignment(&mut transaction, person).await?;
        if before.is_some() {
            self.announce(&mut transaction, person).await?;
        }
        transaction.commit().await?;
        Ok(before)
    }

    /// The assignments that fit, by user and IdP, after that of person `after`; those of IdPs that may have
    /// none too.
    pub async fn assignments(
        &self,
        filter: &AssignmentFilter,
        after: Option<&Person>,
        limit: u32,
    ) -> Result<Vec<Assignment>, StoreError> {
        let conditions = Conditions::from(4)
            .and("user_name", filter.user.as_ref().map(UserName::as_str))
            .and("idp", filter.idp.as_ref().map(IdpName::as_str));
        let sql = format!(
            "SELECT user_name, idp, sealed FROM assignments
             WHERE (user_name, idp) > ($1, $2){} ORDER BY user_name, idp LIMIT $3",
            conditions.sql()
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(after.map_or("", |person| person.user.as_str()))
            .bind(after.map_or("", |person| person.idp.as_str()))
            .bind(i64::from(limit));
        let rows = conditions.bind(query).fetch_all(self.reader()).await?;
        rows.iter().map(|row| self.read_assignment(row)).collect()
    }

    /// Deletes the assignment that `parts` overwrites, where they name any role, good or refused; tells gateways.
    pub(super) async fn overwrite_assignment(
        &self,
        connection: &mut AnyConnection,
        parts: &SubjectParts,
    ) -> Result<Option<Assignment>, StoreError> {
        if !names_a_role(parts) || !self.has_assignments(&parts.person.idp) {
            return Ok(None);
        }
        let overwritten = self.take_assignment(connection, &parts.person).await?;
        if overwritten.is_some() {
            self.announce(connection, &parts.person).await?;
        }
        Ok(overwritten)
    }

    /// Puts the roles of the sealed assignment into `parts`, where the sign-in named none at all.
    pub(super) fn assign(
        &self,
        parts: &mut SubjectParts,
        sealed: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        parts.assigned = false;
        let Some(sealed) = sealed else { return Ok(()) };
        if names_a_role(parts) || !self.has_assignments(&parts.person.idp) {
            return Ok(());
        }
        let assignment = self.open_assignment(parts.person.clone(), sealed)?;
        parts.offers = assignment.offers();
        parts.assigned = true;
        Ok(())
    }

    /// Does so with what is assigned at this moment of a transaction.
    pub(super) async fn assign_now(
        &self,
        connection: &mut AnyConnection,
        parts: &mut SubjectParts,
    ) -> Result<(), StoreError> {
        let sealed: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT sealed FROM assignments WHERE user_name = $1 AND idp = $2")
                .bind(parts.person.user.as_str())
                .bind(parts.person.idp.as_str())
                .fetch_optional(connection)
                .await?;
        self.assign(parts, sealed.as_deref())
    }

    fn has_assignments(&self, idp: &IdpName) -> bool {
        !self.0.without_assignments.contains(idp)
    }

    async fn take_assignment(
        &self,
        connection: &mut AnyConnection,
        person: &Person,
    ) -> Result<Option<Assignment>, StoreError> {
        let rows = sqlx::query(
            "DELETE FROM assignments WHERE user_name = $1 AND idp = $2
             RETURNING user_name, idp, sealed",
        )
        .bind(person.user.as_str())
        .bind(person.idp.as_str())
        .fetch_all(connection)
        .await?;
        last(rows).map(|row| self.read_assignment(&row)).transpose()
    }

    fn read_assignment(&self, row: &AnyRow) -> Result<Assignment, StoreError> {
        let record = Record::new(row, "assignments", "user_name");
        self.open_assignment(read_person(&record)?, &record.bytes("sealed")?)
    }

    fn open_assignment(&self, person: Person, sealed: &[u8]) -> Result<Assignment, StoreError> {
        let row = row_of(&person);
        let plain = self.sealer().open(place(&row), sealed)?;
        let sealed: SealedAssignment =
            serde_json::from_slice(&plain).map_err(|_| StoreError::Corrupt {
                table: "assignments",
                row,
                problem: "column sealed does not parse".to_owned(),
            })?;
        Ok(Assignment {
            person,
            roles: sealed.roles,
            by: sealed.by,
            reason: sealed.reason,
            at: sealed.at,
        })
    }

    fn seal_assignment(&self, assignment: &Assignment) -> Result<Vec<u8>, StoreError> {
        let plain = to_json(&SealedAssignment {
            roles: assignment.roles.clone(),
            by: assignment.by.clone(),
            reason: assignment.reason.clone(),
            at: assignment.at,
        })?;
        let row = row_of(&assignment.person);
        self.sealer().seal(place(&row), plain.as_bytes())
    }
}

impl Assignment {
    /// Each role once, without a provider: nothing of them came in an assertion.
    fn offers(&self) -> Vec<Offer> {
        let mut known = std::collections::BTreeSet::new();
        self.roles
            .iter()
            .filter(|role| known.insert(*role))
            .map(|role| Offer {
                role: role.clone(),
                provider: None,
            })
            .collect()
    }
}

/// Whether the sign-in named any role, be it one that is refused.
fn names_a_role(parts: &SubjectParts) -> bool {
    !parts.offers.is_empty() || !parts.refused_offers.is_empty()
}

fn row_of(person: &Person) -> String {
    // No user name holds a slash, so that no two persons look alike.
    format!("{}/{}", person.idp, person.user)
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "assignments",
        row,
        column: "sealed",
    }
}

#[cfg(test)]
#[path = "assignments_tests.rs"]
mod tests;
