//! What goes into AWS's session: with relay and broker whose it is, and the tags that say so; with
//! web-identity what the IdP's own token says.
//!
//! Every key has one owner: rolegate's own keys, then the IdP's `PrincipalTag`s, then what the launcher
//! may set; AWS compares keys without case, and so does this. No key is overridden, a clash is denied.

use super::Reason;
use super::decide::Request;
use crate::model::{Entry, MAX_TAGS, SubjectParts, is_tag_character, is_tag_key, is_tag_value};

/// The attribute of one session tag, before its key (IAM User Guide, "Passing session tags").
const PRINCIPAL_TAG: &str = "https://aws.amazon.com/SAML/Attributes/PrincipalTag:";
/// The attribute that lists the keys which survive role chaining.
const TRANSITIVE: &str = "https://aws.amazon.com/SAML/Attributes/TransitiveTagKeys";

/// A session tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The tags of a session, each key once.
#[derive(Debug, Default)]
pub(super) struct Terms {
    pub(super) tags: Vec<SessionTag>,
    pub(super) transitive: Vec<String>,
}

impl Terms {
    /// The tags of a lease, or of a person, under `entry`.
    pub(super) fn of(
        parts: &SubjectParts,
        entry: &Entry,
        request: &Request<'_>,
    ) -> Result<Self, Reason> {
        let mut terms = Self::default();
        terms.add("rolegate:user", parts.person.user.as_str())?;
        terms.add("rolegate:idp", parts.person.idp.as_str())?;
        terms.add_principal_tags(parts)?;
        for (key, value) in &request.narrowing.tags {
            if request.launcher.is_none() {
                return Err(Reason::TagsNeedLauncher);
            }
            if !entry.draft.tag_keys.contains(key) {
                return Err(Reason::TagNotPermitted {
                    entry: entry.id.clone(),
                    key: key.clone(),
                });
            }
            terms.add(key, value)?;
        }
        for (key, value) in job_tags(entry, request) {
            terms.add(key, &value)?;
        }
        match terms.tags.len() {
            count if count > MAX_TAGS => Err(Reason::TooManyTags(count)),
            _ => Ok(terms),
        }
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), Reason> {
        let folded = key.to_lowercase();
        if self.tags.iter().any(|tag| tag.key.to_lowercase() == folded) {
            return Err(Reason::TagTaken(key.to_owned()));
        }
        self.tags.push(SessionTag {
            key: key.to_owned(),
            value: value.to_owned(),
        });
        Ok(())
    }

    fn add_principal_tags(&mut self, parts: &SubjectParts) -> Result<(), Reason> {
        for (name, values) in &parts.attributes {
            let Some(key) = name.strip_prefix(PRINCIPAL_TAG) else {
                continue;
            };
            let bad = || Reason::BadPrincipalTag(key.chars().take(128).collect());
            let [value] = values.as_slice() else {
                return Err(bad());
            };
            let reserved = key.to_lowercase().starts_with("aws:");
            if reserved || !is_tag_key(key) || !is_tag_value(value) {
                return Err(bad());
            }
            self.add(key, value)?;
        }
        // A transitive key without its tag is refused by STS.
        let wanted = parts.attributes.get(TRANSITIVE).into_iter().flatten();
        self.transitive = wanted
            .filter(|key| self.tags.iter().any(|tag| tag.key == **key))
            .cloned()
            .collect();
        Ok(())
    }
}

/// What the IdP's ID token puts into AWS's session, one text for two that say the same: who vouches for whom to
/// whom, and the session tags. `None` without an ID token.
pub(super) fn vouched(parts: &SubjectParts) -> Option<String> {
    let identity = parts.web_identity.as_ref()?;
    let who = (&identity.issuer, &identity.subject, &identity.audience);
    let is_tag = |name: &str| name.starts_with(PRINCIPAL_TAG) || name == TRANSITIVE;
    let tags: Vec<_> = parts
        .attributes
        .iter()
        .filter(|(name, _)| is_tag(name))
        .collect();
    // Quoted, so that no value runs into the next.
    Some(format!("{who:?} {tags:?}"))
}

/// What tells one job's credentials from another's, where the entry wants that.
pub(super) fn job_tags(entry: &Entry, request: &Request<'_>) -> Vec<(&'static str, String)> {
    if !entry.draft.job_tag {
        return Vec::new();
    }
    let job = request.job.map(|job| ("rolegate:job", job.as_str()));
    let launcher = request
        .launcher
        .map(|name| ("rolegate:launcher", name.as_str()));
    job.into_iter()
        .chain(launcher)
        .map(|(key, value)| (key, as_value(value)))
        .collect()
}

/// A job's name may hold characters that AWS takes in no tag.
fn as_value(text: &str) -> String {
    let plain = |letter: char| {
        if is_tag_character(letter) {
            letter
        } else {
            '_'
        }
    };
    text.chars().map(plain).collect()
}
