//! A line of the allow-list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::clock::maybe_rfc3339;
use super::{EntryId, IdpName, MAX_TAGS, RolePattern, SessionDuration, TokenName, is_tag_key};

/// Whether a matching entry permits or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Permits what it matches.
    #[default]
    Allow,
    /// Forbids what it matches, whatever else permits it.
    Deny,
}

/// How credentials for a role are had from STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// `AssumeRoleWithSAML` with the assertion, at sign-in.
    Saml,
    /// `AssumeRoleWithWebIdentity` with the IdP's ID token.
    WebIdentity,
    /// `AssumeRoleWithWebIdentity` with a token that rolegate signs.
    Relay,
    /// `AssumeRole` with rolegate's own identity.
    Broker,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 4] = [Self::Saml, Self::WebIdentity, Self::Relay, Self::Broker];

    /// The name in configuration, on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Saml => "saml",
            Self::WebIdentity => "web-identity",
            Self::Relay => "relay",
            Self::Broker => "broker",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or_else(|| "write saml, web-identity, relay or broker".to_owned())
    }
}

/// Where an entry stands; only the store's can be edited there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntrySource {
    /// The configuration file.
    File,
    /// `ROLEGATE_ALLOWED_ROLES`.
    Environment,
    /// The store, edited by admins.
    Store,
}

/// What an admin says of an entry: the keys of `[[roles.entry]]` and of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryDraft {
    /// Allow or deny.
    #[serde(default)]
    pub effect: Effect,
    /// The roles it is about.
    pub arn: RolePattern,
    /// How credentials are had; `None` takes `roles.default_method`.
    #[serde(default)]
    pub method: Option<Method>,
    /// The longest session, in seconds.
    #[serde(default)]
    pub max_duration_seconds: Option<SessionDuration>,
    /// How long after the sign-in credentials may be renewed, in seconds.
    #[serde(default)]
    pub renew_for_seconds: Option<u32>,
    /// Only for persons of this IdP.
    #[serde(default)]
    pub idp: Option<IdpName>,
    /// Attribute = value; all must hold.
    #[serde(default)]
    pub when: BTreeMap<String, String>,
    /// Only for leases made by this launcher.
    #[serde(default)]
    pub launcher: Option<TokenName>,
    /// `ExternalId` for method broker.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The session tag keys that a launcher may set.
    #[serde(default)]
    pub tag_keys: BTreeSet<String>,
    /// Whether sessions carry a tag of the job and the launcher.
    #[serde(default)]
    pub job_tag: bool,
    /// Whether relay tokens may leave rolegate.
    #[serde(default)]
    pub hand_out_tokens: bool,
    /// When it stops to count.
    #[serde(default, serialize_with = "maybe_rfc3339")]
    pub expires_at: Option<DateTime<Utc>>,
    /// A name for people.
    #[serde(default)]
    pub label: Option<String>,
    /// Why it is here.
    #[serde(default)]
    pub reason: Option<String>,
}

impl EntryDraft {
    /// An entry that allows `arn` and says nothing more.
    pub fn allowing(arn: RolePattern) -> Self {
        Self {
            effect: Effect::Allow,
            arn,
            method: None,
            max_duration_seconds: None,
            renew_for_seconds: None,
            idp: None,
            when: BTreeMap::new(),
            launcher: None,
            external_id: None,
            tag_keys: BTreeSet::new(),
            job_tag: false,
            hand_out_tokens: false,
            expires_at: None,
            label: None,
            reason: None,
        }
    }

    /// Whether the entry asks only for what its method can do; the same rules for the file, the
    /// command line and the API.
    pub fn check(&self, default_method: Method) -> Result<(), EntryProblem> {
        self.check_texts()?;
        if self.effect == Effect::Deny {
            return self.check_deny();
        }
        let method = self.method.unwrap_or(default_method);
        self.check_scope(method)?;
        self.check_renewal(method)?;
        self.check_tags(method)?;
        if self.hand_out_tokens && method != Method::Relay {
            return Err(EntryProblem::TokensNeedRelay(method));
        }
        match &self.external_id {
            Some(_) if method != Method::Broker => Err(EntryProblem::ExternalIdNeedsBroker(method)),
            Some(text) if !good_external_id(text) => Err(EntryProblem::ExternalId),
            _ => Ok(()),
        }
    }

    fn check_texts(&self) -> Result<(), EntryProblem> {
        let plain = |text: &str, most: usize| {
            text.chars().count() <= most && !text.chars().any(char::is_control)
        };
        if !self
            .label
            .as_deref()
            .is_none_or(|text| plain(text, MAX_LABEL))
        {
            return Err(EntryProblem::Text("label", MAX_LABEL));
        }
        if !self
            .reason
            .as_deref()
            .is_none_or(|text| plain(text, MAX_REASON))
        {
            return Err(EntryProblem::Text("reason", MAX_REASON));
        }
        if self
            .when
            .keys()
            .any(|attribute| attribute.trim().is_empty())
        {
            return Err(EntryProblem::EmptyAttribute);
        }
        Ok(())
    }

    /// An entry that forbids issues nothing, so a key about issuing is a misunderstanding.
    fn check_deny(&self) -> Result<(), EntryProblem> {
        let issuing = [
            ("max_duration_seconds", self.max_duration_seconds.is_some()),
            ("renew_for_seconds", self.renew_for_seconds.is_some()),
            ("external_id", self.external_id.is_some()),
            ("tag_keys", !self.tag_keys.is_empty()),
            ("job_tag", self.job_tag),
            ("hand_out_tokens", self.hand_out_tokens),
        ];
        match issuing.into_iter().find(|(_, set)| *set) {
            Some((key, _)) => Err(EntryProblem::DenyIssuesNothing(key)),
            None => Ok(()),
        }
    }

    fn check_scope(&self, method: Method) -> Result<(), EntryProblem> {
        let names_account = matches!(method, Method::Relay | Method::Broker);
        if names_account && self.arn.account().is_none() {
            return Err(EntryProblem::AccountNeeded(method));
        }
        if method == Method::Broker && !self.arn.is_exact() && self.external_id.is_none() {
            return Err(EntryProblem::PatternNeedsExternalId);
        }
        Ok(())
    }

    fn check_renewal(&self, method: Method) -> Result<(), EntryProblem> {
        match self.renew_for_seconds {
            Some(_) if method == Method::Saml => Err(EntryProblem::SamlCannotRenew),
            Some(seconds) if !(1..=MAX_RENEW_FOR).contains(&seconds) => {
                Err(EntryProblem::RenewFor(seconds))
            }
            _ => Ok(()),
        }
    }

    fn check_tags(&self, method: Method) -> Result<(), EntryProblem> {
        let can_tag = matches!(method, Method::Relay | Method::Broker);
        if !can_tag && !self.tag_keys.is_empty() {
            return Err(EntryProblem::TagsNeedRelayOrBroker("tag_keys", method));
        }
        if !can_tag && self.job_tag {
            return Err(EntryProblem::TagsNeedRelayOrBroker("job_tag", method));
        }
        if self.tag_keys.len() > MAX_TAGS {
            return Err(EntryProblem::TooManyTagKeys);
        }
        let mut seen = BTreeSet::new();
        for key in &self.tag_keys {
            let folded = key.to_lowercase();
            if !is_tag_key(key) {
                return Err(EntryProblem::TagKey(key.clone()));
            }
            if folded.starts_with("rolegate:") || folded.starts_with("aws:") {
                return Err(EntryProblem::ReservedTagKey(key.clone()));
            }
            if !seen.insert(folded) {
                return Err(EntryProblem::RepeatedTagKey(key.clone()));
            }
        }
        Ok(())
    }
}

/// Thirty days: no entry renews for longer after a sign-in.
const MAX_RENEW_FOR: u32 = 2_592_000;
const MAX_LABEL: usize = 128;
const MAX_REASON: usize = 1024;

/// STS API, `ExternalId`.
fn good_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte))
}

/// What an entry asks for that its method cannot do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryProblem {
    /// `*` as account where rolegate's own trust is used.
    #[error("method {0} must name the account; write its twelve digits instead of `*`")]
    AccountNeeded(Method),
    /// A broker pattern without `external_id`.
    #[error(
        "a pattern with method broker needs external_id; name one exact role, or set external_id"
    )]
    PatternNeedsExternalId,
    /// `renew_for_seconds` with method saml.
    #[error(
        "method saml cannot renew without a new sign-in; remove renew_for_seconds, or use web-identity, relay or broker"
    )]
    SamlCannotRenew,
    /// `renew_for_seconds` out of range.
    #[error("renew_for_seconds is {0}; write 1 to 2592000 (30 days)")]
    RenewFor(u32),
    /// `hand_out_tokens` without relay.
    #[error("hand_out_tokens needs method relay, not {0}; remove it or change the method")]
    TokensNeedRelay(Method),
    /// `external_id` without broker.
    #[error("external_id needs method broker, not {0}; remove it or change the method")]
    ExternalIdNeedsBroker(Method),
    /// An external id that STS would refuse.
    #[error(
        "external_id must be 2 to 1224 letters, digits or _ + = , . @ : / -; write such a text"
    )]
    ExternalId,
    /// Session tags with a method that cannot carry them.
    #[error("{0} needs method relay or broker, not {1}; remove it or change the method")]
    TagsNeedRelayOrBroker(&'static str, Method),
    /// More tag keys than STS takes.
    #[error("tag_keys lists more than the 50 that STS takes; list fewer")]
    TooManyTagKeys,
    /// A tag key that STS would refuse.
    #[error(
        "tag key {0:?} is none that STS takes; write 1 to 128 letters, digits, spaces or _ . : / = + - @"
    )]
    TagKey(String),
    /// A tag key that is not the launcher's to set.
    #[error("tag key {0:?} belongs to rolegate or AWS; list another")]
    ReservedTagKey(String),
    /// A tag key twice, as STS compares them.
    #[error("tag key {0:?} stands twice, compared without case; list it once")]
    RepeatedTagKey(String),
    /// A key about issuing in an entry that forbids.
    #[error("{0} says how to issue, but the entry denies; remove it")]
    DenyIssuesNothing(&'static str),
    /// A condition without the attribute's name.
    #[error("when names an empty attribute; write ATTRIBUTE = VALUE")]
    EmptyAttribute,
    /// A text for people that is too long or has control characters.
    #[error("{0} must be one line of at most {1} characters; shorten it")]
    Text(&'static str, usize),
}

/// An entry in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its identifier; entries of file and environment have one derived from their content.
    pub id: EntryId,
    /// Counts its edits, from 1.
    pub version: i64,
    /// What it says.
    #[serde(flatten)]
    pub draft: EntryDraft,
    /// Where it stands.
    pub source: EntrySource,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(arn: &str, method: Method) -> EntryDraft {
        EntryDraft {
            method: Some(method),
            ..EntryDraft::allowing(arn.parse().unwrap())
        }
    }

    const EXACT: &str = "arn:aws:iam::123456789012:role/reader";
    const PATTERN: &str = "arn:aws:iam::123456789012:role/team-a/*";
    const ANY_ACCOUNT: &str = "arn:aws:iam::*:role/team-a/*";

    #[test]
    fn each_method_has_its_scope() {
        for (arn, method, want) in [
            (EXACT, Method::Saml, Ok(())),
            (ANY_ACCOUNT, Method::Saml, Ok(())),
            (ANY_ACCOUNT, Method::WebIdentity, Ok(())),
            (PATTERN, Method::Relay, Ok(())),
            (
                ANY_ACCOUNT,
                Method::Relay,
                Err(EntryProblem::AccountNeeded(Method::Relay)),
            ),
            (EXACT, Method::Broker, Ok(())),
            (
                PATTERN,
                Method::Broker,
                Err(EntryProblem::PatternNeedsExternalId),
            ),
            (
                ANY_ACCOUNT,
                Method::Broker,
                Err(EntryProblem::AccountNeeded(Method::Broker)),
            ),
        ] {
            assert_eq!(
                draft(arn, method).check(Method::Saml),
                want,
                "{arn} {method}"
            );
        }
        let mut with_id = draft(PATTERN, Method::Broker);
        with_id.external_id = Some("tenant-7".to_owned());
        assert_eq!(with_id.check(Method::Saml), Ok(()));
        with_id.external_id = Some("a b".to_owned());
        assert_eq!(with_id.check(Method::Saml), Err(EntryProblem::ExternalId));
    }

    #[test]
    fn the_default_method_counts_where_none_is_named() {
        let mut entry = EntryDraft::allowing(EXACT.parse().unwrap());
        entry.renew_for_seconds = Some(3600);
        assert_eq!(
            entry.check(Method::Saml),
            Err(EntryProblem::SamlCannotRenew)
        );
        assert_eq!(entry.check(Method::Relay), Ok(()));
        entry.renew_for_seconds = Some(MAX_RENEW_FOR + 1);
        assert_eq!(
            entry.check(Method::Relay),
            Err(EntryProblem::RenewFor(MAX_RENEW_FOR + 1))
        );
    }

    #[test]
    fn tags_and_tokens_need_a_method_that_carries_them() {
        let with = |method, change: fn(&mut EntryDraft)| {
            let mut entry = draft(EXACT, method);
            change(&mut entry);
            entry.check(Method::Saml)
        };
        let keys: fn(&mut EntryDraft) = |entry| entry.tag_keys = ["Project".to_owned()].into();
        assert_eq!(with(Method::Broker, keys), Ok(()));
        assert!(matches!(
            with(Method::Saml, keys),
            Err(EntryProblem::TagsNeedRelayOrBroker("tag_keys", _))
        ));
        let own: fn(&mut EntryDraft) = |entry| entry.tag_keys = ["RoleGate:user".to_owned()].into();
        assert!(matches!(
            with(Method::Relay, own),
            Err(EntryProblem::ReservedTagKey(_))
        ));
        let twice: fn(&mut EntryDraft) =
            |entry| entry.tag_keys = ["Team".to_owned(), "team".to_owned()].into();
        assert!(matches!(
            with(Method::Relay, twice),
            Err(EntryProblem::RepeatedTagKey(_))
        ));
        let tokens: fn(&mut EntryDraft) = |entry| entry.hand_out_tokens = true;
        assert_eq!(with(Method::Relay, tokens), Ok(()));
        assert!(matches!(
            with(Method::Broker, tokens),
            Err(EntryProblem::TokensNeedRelay(Method::Broker))
        ));
        let job: fn(&mut EntryDraft) = |entry| entry.job_tag = true;
        assert_eq!(with(Method::Relay, job), Ok(()));
        let id: fn(&mut EntryDraft) = |entry| entry.external_id = Some("tenant".to_owned());
        assert_eq!(with(Method::Broker, id), Ok(()));
        assert!(matches!(
            with(Method::Saml, id),
            Err(EntryProblem::ExternalIdNeedsBroker(Method::Saml))
        ));
    }

    #[test]
    fn an_id_token_is_renewed_and_carries_nothing_of_rolegate_s() {
        type Change = fn(&mut EntryDraft);
        let web = Method::WebIdentity;
        let mut entry = draft(PATTERN, web);
        entry.renew_for_seconds = Some(604_800);
        assert_eq!(entry.check(Method::Saml), Ok(()));
        let cases: [(Change, EntryProblem); 4] = [
            (
                |entry| entry.tag_keys = ["Project".to_owned()].into(),
                EntryProblem::TagsNeedRelayOrBroker("tag_keys", web),
            ),
            (
                |entry| entry.job_tag = true,
                EntryProblem::TagsNeedRelayOrBroker("job_tag", web),
            ),
            (
                |entry| entry.hand_out_tokens = true,
                EntryProblem::TokensNeedRelay(web),
            ),
            (
                |entry| entry.external_id = Some("tenant".to_owned()),
                EntryProblem::ExternalIdNeedsBroker(web),
            ),
        ];
        for (change, problem) in cases {
            let mut entry = draft(EXACT, web);
            change(&mut entry);
            assert_eq!(entry.check(Method::Saml), Err(problem));
        }
    }

    #[test]
    fn a_deny_matches_anything_and_issues_nothing() {
        let mut deny = draft(ANY_ACCOUNT, Method::Broker);
        deny.effect = Effect::Deny;
        assert_eq!(deny.check(Method::Saml), Ok(()));
        deny.job_tag = true;
        assert_eq!(
            deny.check(Method::Saml),
            Err(EntryProblem::DenyIssuesNothing("job_tag"))
        );
    }
}
