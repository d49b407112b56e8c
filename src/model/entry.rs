//! A line of the allow-list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{EntryId, IdpName, RolePattern, SessionDuration, TokenName};

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
    #[serde(default)]
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
