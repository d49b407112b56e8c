//! The allow-list in force: the entries of file and environment, then those of the store.
//!
//! Trusts that each entry was checked where it was made. Never decides; it hands out the rules.

use std::sync::{Arc, PoisonError, RwLock};

use crate::model::{Entry, RolePattern};
use crate::policy::{Limits, Rules};
use crate::store::{Store, StoreError};

/// Rules that are replaced as a whole when an admin edits an entry.
pub struct AllowList {
    fixed: Vec<Entry>,
    limits: Limits,
    store: Store,
    rules: RwLock<Arc<Rules>>,
}

impl AllowList {
    /// Reads the store's entries and puts them behind `fixed`.
    pub async fn load(fixed: Vec<Entry>, limits: Limits, store: Store) -> Result<Self, StoreError> {
        let list = Self {
            rules: RwLock::new(Arc::new(Rules::new(Vec::new(), limits.clone()))),
            fixed,
            limits,
            store,
        };
        list.refresh().await?;
        Ok(list)
    }

    /// Takes up what the store says now.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let rules = Arc::new(Rules::new(self.entries().await?, self.limits.clone()));
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        Ok(())
    }

    /// Every entry, oldest first, as `roles list` shows them.
    pub async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.fixed.clone();
        entries.extend(self.store.entries().await?);
        Ok(entries)
    }

    /// The read-only entry of file or environment that says `arn`, if one does.
    pub fn fixed_entry(&self, arn: &RolePattern) -> Option<&Entry> {
        self.fixed.iter().find(|entry| entry.draft.arn == *arn)
    }

    /// Whether `rules` are still those in force.
    pub fn is_current(&self, rules: &Arc<Rules>) -> bool {
        let current = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        Arc::ptr_eq(&current, rules)
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}
