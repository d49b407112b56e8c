//! How often somebody tried to sign in, by the IdP that the configuration names, and what came of it.
//!
//! A name that a stranger sent is never a label: what names no IdP of ours counts under none.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{SignIn, SignInError, SignedIn};
use crate::model::IdpName;

/// What stands where no IdP of ours is named.
const NONE: &str = "(none)";

/// Counters since the process started.
#[derive(Debug)]
pub(in crate::flow) struct SignInCounts {
    of: Vec<(IdpName, Counts)>,
    of_none: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    busy: AtomicU64,
    store_away: AtomicU64,
    idp_away: AtomicU64,
}

impl Counts {
    fn of(&self, outcome: &Result<SignedIn, SignInError>) -> &AtomicU64 {
        match outcome {
            Ok(_) => &self.accepted,
            Err(SignInError::Form(..) | SignInError::Refused(_) | SignInError::UnknownIdp(_)) => {
                &self.refused
            }
            Err(SignInError::Busy) => &self.busy,
            Err(SignInError::StoreAway) => &self.store_away,
            Err(SignInError::IdpNotReady(_) | SignInError::ProviderAway(_)) => &self.idp_away,
        }
    }

    fn read(&self) -> [(&'static str, u64); 5] {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("accepted", load(&self.accepted)),
            ("refused", load(&self.refused)),
            ("busy", load(&self.busy)),
            ("store_away", load(&self.store_away)),
            ("idp_away", load(&self.idp_away)),
        ]
    }
}

impl SignInCounts {
    /// For the IdPs of the configuration.
    pub(super) fn of(names: impl IntoIterator<Item = IdpName>) -> Self {
        let names = names.into_iter();
        Self {
            of: names.map(|name| (name, Counts::default())).collect(),
            of_none: Counts::default(),
        }
    }

    /// Counts what a try by `idp` came to.
    pub(super) fn count(&self, idp: Option<&IdpName>, outcome: &Result<SignedIn, SignInError>) {
        let known = self.of.iter().find(|(name, _)| Some(name) == idp);
        let counts = known.map_or(&self.of_none, |(_, counts)| counts);
        counts.of(outcome).fetch_add(1, Ordering::Relaxed);
    }

    /// Each IdP and outcome with how often it was.
    pub(in crate::flow) fn read(&self) -> Vec<(String, &'static str, u64)> {
        let named = self.of.iter().map(|(name, counts)| (name.as_str(), counts));
        let all = named.chain([(NONE, &self.of_none)]);
        all.flat_map(|(name, counts)| {
            let each = counts.read().into_iter();
            each.map(|(outcome, count)| (name.to_owned(), outcome, count))
        })
        .collect()
    }
}

impl SignIn {
    /// How sign-ins went.
    pub(in crate::flow) fn counts(&self) -> &SignInCounts {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_strangers_make_no_series() {
        let counts = SignInCounts::of(["okta".parse().unwrap()]);
        let before = counts.read().len();
        for n in 0..200 {
            let stranger: IdpName = format!("idp-{n}").parse().unwrap();
            counts.count(Some(&stranger), &Err(SignInError::Busy));
        }
        let okta: IdpName = "okta".parse().unwrap();
        counts.count(Some(&okta), &Err(SignInError::StoreAway));
        let read = counts.read();
        assert_eq!(read.len(), before);
        assert!(read.contains(&("(none)".to_owned(), "busy", 200)));
        assert!(read.contains(&("okta".to_owned(), "store_away", 1)));
    }
}
