//! The allow-list as it is looked up: exact ARNs by hash, patterns one after the other.

use std::collections::HashMap;

use crate::model::{Effect, Entry, Method, RoleArn, SamlProviderArn, SessionDuration};

/// What holds for every decision.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest session that the gateway gives.
    pub max_duration: SessionDuration,
    /// The method of an entry that names none.
    pub default_method: Method,
    /// The known SAML providers: for bare role ARNs, and where an account has one here, the only ones.
    pub saml_providers: Vec<SamlProviderArn>,
}

/// The entries in force with what holds for all of them.
#[derive(Debug)]
pub struct Rules {
    entries: Vec<Entry>,
    exact: HashMap<String, Vec<usize>>,
    patterns: Vec<usize>,
    limits: Limits,
}

impl Rules {
    /// Rules of `entries`, oldest first. A look-up does not grow with the number of exact ARNs.
    pub fn new(entries: Vec<Entry>, limits: Limits) -> Self {
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        let mut patterns = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            if entry.draft.arn.is_exact() {
                exact
                    .entry(entry.draft.arn.to_string())
                    .or_default()
                    .push(at);
            } else {
                patterns.push(at);
            }
        }
        Self {
            entries,
            exact,
            patterns,
            limits,
        }
    }

    /// What holds for every decision.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Whether an entry allows roles by `method`.
    pub fn allow_by(&self, method: Method) -> bool {
        let allows = |entry: &Entry| entry.draft.effect == Effect::Allow;
        let mut entries = self.entries.iter();
        entries.any(|entry| allows(entry) && self.method(entry) == method)
    }

    /// The method of `entry`.
    pub fn method(&self, entry: &Entry) -> Method {
        entry.draft.method.unwrap_or(self.limits.default_method)
    }

    /// The denying entries that match `role`, oldest first.
    pub(super) fn denying(&self, role: &RoleArn) -> Vec<&Entry> {
        self.matching(role, Effect::Deny)
    }

    /// The allowing entries that name `role` most closely, oldest first: exact ones, else those with the
    /// longest text before their first wildcard.
    pub(super) fn closest(&self, role: &RoleArn) -> Vec<&Entry> {
        let mut matching = self.matching(role, Effect::Allow);
        let closeness = |entry: &Entry| entry.draft.arn.specificity();
        let best = matching.iter().map(|entry| closeness(entry)).max();
        matching.retain(|entry| Some(closeness(entry)) == best);
        matching
    }

    fn matching(&self, role: &RoleArn, effect: Effect) -> Vec<&Entry> {
        let exact = self.exact.get(role.as_str()).into_iter().flatten();
        let mut found: Vec<usize> = exact.chain(&self.patterns).copied().collect();
        found.sort_unstable();
        found
            .into_iter()
            .filter_map(|at| self.entries.get(at))
            .filter(|entry| entry.draft.effect == effect && entry.draft.arn.matches(role))
            .collect()
    }
}
