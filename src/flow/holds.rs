//! The holds in force, in memory: asked by every lease and fetch, replaced when an admin edits them.
//!
//! Trusts the store for what is held. Never places or releases one.

use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

use super::FetchError;
use crate::model::{
    Hold, HoldId, IdpName, Person, RoleArn, RolePattern, TokenName, UserName, rfc3339,
};
use crate::store::{Store, StoreError};

/// A hold as lists show it.
#[derive(Debug, Serialize)]
pub struct HoldView {
    /// Its identifier.
    pub id: HoldId,
    /// The user it names.
    pub user: Option<UserName>,
    /// The IdP it names.
    pub idp: Option<IdpName>,
    /// The role, or the pattern of roles.
    pub role_arn: Option<RolePattern>,
    /// The launcher it names.
    pub launcher: Option<TokenName>,
    /// Whether it refuses everything.
    pub all: bool,
    /// The admin's words.
    pub reason: String,
    /// Since when.
    pub created_at: String,
    /// Who placed it.
    pub created_by: String,
}

impl From<&Hold> for HoldView {
    fn from(hold: &Hold) -> Self {
        let scope = hold.scope.clone();
        Self {
            id: hold.id.clone(),
            all: scope.is_everything(),
            user: scope.user,
            idp: scope.idp,
            role_arn: scope.role,
            launcher: scope.launcher,
            reason: hold.reason.clone(),
            created_at: rfc3339(hold.created_at),
            created_by: hold.created_by.clone(),
        }
    }
}

/// Holds that are replaced as a whole.
pub struct Holds {
    store: Store,
    current: RwLock<Arc<[Arc<Hold>]>>,
}

impl Holds {
    /// Reads the store's holds.
    pub async fn load(store: Store) -> Result<Self, StoreError> {
        let holds = Self {
            store,
            current: RwLock::new(Arc::new([])),
        };
        holds.refresh().await?;
        Ok(holds)
    }

    /// Takes up what the store says now.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let holds = self.store.holds().await?;
        let holds = holds.into_iter().map(Arc::new).collect();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = holds;
        Ok(())
    }

    /// How many holds are in force.
    pub fn count(&self) -> usize {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.len()
    }

    /// The oldest hold on this person, with this role, through this launcher; what is not given fits no
    /// hold that names it.
    pub fn on(
        &self,
        person: Option<&Person>,
        role: Option<&RoleArn>,
        launcher: Option<&TokenName>,
    ) -> Option<Arc<Hold>> {
        let user = person.map(|person| &person.user);
        let idp = person.map(|person| &person.idp);
        self.on_named(user, idp, role, launcher)
    }

    /// As [`Self::on`], of a user whose IdP may not be known.
    pub fn on_named(
        &self,
        user: Option<&UserName>,
        idp: Option<&IdpName>,
        role: Option<&RoleArn>,
        launcher: Option<&TokenName>,
    ) -> Option<Arc<Hold>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let covers = |hold: &&Arc<Hold>| hold.scope.covers_named(user, idp, role, launcher);
        current.iter().find(covers).map(Arc::clone)
    }

    /// Refuses what [`Self::on`] finds a hold on.
    pub fn permit(
        &self,
        person: &Person,
        role: &RoleArn,
        launcher: Option<&TokenName>,
    ) -> Result<(), FetchError> {
        self.permit_named(&person.user, Some(&person.idp), role, launcher)
    }

    /// As [`Self::permit`], of a user whose IdP may not be known.
    pub fn permit_named(
        &self,
        user: &UserName,
        idp: Option<&IdpName>,
        role: &RoleArn,
        launcher: Option<&TokenName>,
    ) -> Result<(), FetchError> {
        match self.on_named(Some(user), idp, Some(role), launcher) {
            Some(hold) => Err(FetchError::Held {
                reason: hold.reason.clone(),
            }),
            None => Ok(()),
        }
    }
}
