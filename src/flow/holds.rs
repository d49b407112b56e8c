//! The holds in force, in memory: asked by every lease and fetch, replaced when an admin edits them.
//!
//! Trusts the store for what is held. Never places or releases one.

use std::sync::{Arc, PoisonError, RwLock};

use crate::model::{Hold, IdpName, Person, RoleArn, TokenName, UserName};
use crate::store::{Store, StoreError};

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
}
