//! The allow-list as it is looked up: exact ARNs by hash, patterns by the hash of the text before their first
//! wildcard.

use std::collections::{BTreeSet, HashMap};

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
    patterns: HashMap<String, Vec<usize>>,
    /// How long the texts before first wildcards are: each length once.
    lengths: BTreeSet<usize>,
    limits: Limits,
}

impl Rules {
    /// Rules of `entries`, oldest first. A look-up does not grow with the number of exact ARNs, nor with that of
    /// patterns that begin with something else than the role.
    pub fn new(entries: Vec<Entry>, limits: Limits) -> Self {
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        let mut patterns: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            let arn = &entry.draft.arn;
            let kind = if arn.is_exact() {
                &mut exact
            } else {
                &mut patterns
            };
            kind.entry(arn.literal().to_owned()).or_default().push(at);
        }
        let lengths = patterns.keys().map(String::len).collect();
        Self {
            entries,
            exact,
            patterns,
            lengths,
            limits,
        }
    }

    /// What holds for every decision.
    pub fn limits(&self) -> &Limits {
        &self.limits
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
        let text = role.as_str();
        let begins = self.lengths.iter().filter_map(|length| text.get(..*length));
        let patterns = begins
            .filter_map(|begin| self.patterns.get(begin))
            .flatten();
        let mut found: Vec<usize> = exact.chain(patterns).copied().collect();
        found.sort_unstable();
        found
            .into_iter()
            .filter_map(|at| self.entries.get(at))
            .filter(|entry| entry.draft.effect == effect && entry.draft.arn.matches(role))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntryDraft, EntrySource};

    fn rules(arns: &[&str]) -> Rules {
        let entries = arns.iter().enumerate().map(|(at, arn)| Entry {
            id: format!("ent_{at}").parse().unwrap(),
            version: 1,
            draft: EntryDraft::allowing(arn.parse().unwrap()),
            source: EntrySource::Store,
        });
        let limits = Limits {
            max_duration: SessionDuration::DEFAULT,
            default_method: Method::Saml,
            saml_providers: Vec::new(),
        };
        Rules::new(entries.collect(), limits)
    }

    #[test]
    fn what_is_found_is_what_matches_whatever_it_begins_with() {
        let rules = rules(&[
            "arn:aws:iam::123456789012:role/team-a/**",
            "arn:aws:iam::123456789012:role/team-b/**",
            "arn:aws:iam::*:role/**/reader",
            "arn:aws:iam::123456789012:role/team-a/reader",
            "arn:aws:iam::123456789012:role/t*/reader",
            "arn:aws:iam::123456789013:role/**",
            "arn:aws:iam::123456789012:role/team-a/reader-of-more/**",
            "arn:aws:iam::123456789012:role/**",
        ]);
        for text in [
            "arn:aws:iam::123456789012:role/team-a/reader",
            "arn:aws:iam::123456789012:role/team-b/deep/reader",
            "arn:aws:iam::123456789013:role/x",
            "arn:aws-cn:iam::123456789012:role/team-a/reader",
        ] {
            let role: RoleArn = text.parse().unwrap();
            let by_hand: Vec<&Entry> = rules
                .entries
                .iter()
                .filter(|entry| entry.draft.arn.matches(&role))
                .collect();
            assert_eq!(rules.matching(&role, Effect::Allow), by_hand, "{text}");
        }
    }
}
