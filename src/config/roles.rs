//! `[roles]`, `[[roles.entry]]` and `ROLEGATE_ALLOWED_ROLES`: the part of the allow-list that admins
//! cannot edit while rolegate runs.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use openssl::sha::sha256;
use toml::Value;

use crate::model::{
    AccountId, Effect, Entry, EntryDraft, EntryId, EntrySource, Method, RolePattern,
    SamlProviderArn, SessionDuration, hex, split_arn_list,
};

use super::findings::Findings;
use super::idps::Idps;
use super::problem::ConfigError;
use super::raw::{RawEntry, RawProviders, RawRoles};
use super::values::Roles;
use super::warning::Warning;

/// The one variable without `__` that adds to the configuration.
pub(super) const ALLOWED_ROLES: &str = "ROLEGATE_ALLOWED_ROLES";

pub(super) fn check(
    raw: RawRoles,
    allowed_roles: Option<&String>,
    idps: Idps<'_>,
    findings: &mut Findings,
) -> Roles {
    let default_method = raw.default_method.unwrap_or(Method::Saml);
    let mut list = EntryList {
        default_method,
        idps,
        entries: Vec::new(),
    };
    for (at, text) in raw.allowed.iter().flatten().enumerate() {
        let key = format!("roles.allowed[{}]", at + 1);
        if let Some(arn) = findings.take(&key, pattern(text)) {
            let source = source(&key, findings);
            list.add(&key, EntryDraft::allowing(arn), source, findings);
        }
    }
    for (at, raw) in raw.entry.into_iter().enumerate() {
        let key = format!("roles.entry[{}]", at + 1);
        if let Some(draft) = draft(raw, &key, findings) {
            let source = source(&key, findings);
            list.add(&key, draft, source, findings);
        }
    }
    for text in allowed_roles.map_or_else(Vec::new, |list| split_arn_list(list)) {
        match pattern(text) {
            Ok(arn) => {
                let draft = EntryDraft::allowing(arn);
                list.add(ALLOWED_ROLES, draft, EntrySource::Environment, findings);
            }
            Err(error) => findings.refuse_variable(ALLOWED_ROLES, error),
        }
    }
    Roles {
        default_method,
        max_duration: raw.max_duration_seconds.unwrap_or(SessionDuration::MAX),
        saml_providers: providers(raw.saml_providers, findings),
        entries: list.entries,
    }
}

fn source(key: &str, findings: &Findings) -> EntrySource {
    if findings.set_by_environment(key) {
        EntrySource::Environment
    } else {
        EntrySource::File
    }
}

fn pattern(text: &str) -> Result<RolePattern, ConfigError> {
    text.parse().map_err(|error| ConfigError::Pattern {
        found: text.chars().take(256).collect(),
        error,
    })
}

/// The entries so far, and what a new one is held against.
struct EntryList<'a> {
    default_method: Method,
    idps: Idps<'a>,
    entries: Vec<Entry>,
}

impl EntryList<'_> {
    fn add(
        &mut self,
        key: &str,
        mut draft: EntryDraft,
        source: EntrySource,
        findings: &mut Findings,
    ) {
        if let Err(problem) = draft.check(self.default_method) {
            findings.refuse(key, problem);
        }
        self.check_idp(key, &draft, findings);
        let method = *draft.method.get_or_insert(self.default_method);
        self.note_method(key, method, &draft, findings);
        let Some(id) = findings.take(key, entry_id(&draft, source)) else {
            return;
        };
        if self.entries.iter().any(|entry| entry.id == id) {
            findings.warn(Warning::RepeatedEntry {
                key: key.to_owned(),
                arn: draft.arn.to_string(),
            });
            return;
        }
        self.entries.push(Entry {
            id,
            version: 1,
            draft,
            source,
        });
    }

    /// An entry that nobody's sign-in serves. Without any IdP, one warning is said already, and the first
    /// may be SAML's.
    fn note_method(&self, key: &str, method: Method, draft: &EntryDraft, findings: &mut Findings) {
        let (key, idp) = (key.to_owned(), draft.idp.as_ref());
        if draft.effect == Effect::Deny || self.idps.can(method, idp) {
            return;
        }
        match method {
            Method::WebIdentity => findings.warn(Warning::NoProviderSignIn { key }),
            Method::Saml if !self.idps.is_empty() => findings.warn(Warning::NoSamlSignIn { key }),
            Method::Saml | Method::Relay | Method::Broker => {}
        }
    }

    /// A deny for a misspelt IdP would forbid nobody. Before the first IdP there is nothing to misspell.
    fn check_idp(&self, key: &str, draft: &EntryDraft, findings: &mut Findings) {
        let Some(idp) = &draft.idp else { return };
        if !self.idps.is_empty() && !self.idps.knows(idp) {
            let error = ConfigError::UnknownIdp(idp.to_string(), self.idps.shown());
            findings.refuse(&format!("{key}.idp"), error);
        }
    }
}

/// An identifier that stays as long as the entry's words do.
fn entry_id(draft: &EntryDraft, source: EntrySource) -> Result<EntryId, ConfigError> {
    let shape = |error: String| ConfigError::Shape(error);
    let words = serde_json::to_vec(draft).map_err(|error| shape(error.to_string()))?;
    let place = match source {
        EntrySource::Environment => "env",
        EntrySource::File | EntrySource::Store => "file",
    };
    let digest = sha256(&words);
    let id = format!("ent_{place}-{}", hex(digest.get(..8).unwrap_or(&digest)));
    id.parse()
        .map_err(|error: crate::model::IdError| shape(error.to_string()))
}

fn draft(raw: RawEntry, path: &str, findings: &mut Findings) -> Option<EntryDraft> {
    let at = |key: &str| format!("{path}.{key}");
    let arn = raw
        .arn
        .as_deref()
        .and_then(|text| findings.take(&at("arn"), pattern(text)));
    let idp = optional(&at("idp"), raw.idp.as_deref(), findings);
    let launcher = optional(&at("launcher"), raw.launcher.as_deref(), findings);
    let expires_at = raw
        .expires_at
        .and_then(|value| findings.take(&at("expires_at"), time(&value)));
    Some(EntryDraft {
        effect: raw.effect.unwrap_or(Effect::Allow),
        arn: arn?,
        method: raw.method,
        max_duration_seconds: raw.max_duration_seconds,
        renew_for_seconds: raw.renew_for_seconds,
        idp,
        when: raw.when.unwrap_or_default(),
        launcher,
        external_id: raw.external_id,
        tag_keys: raw
            .tag_keys
            .unwrap_or_default()
            .into_iter()
            .collect::<BTreeSet<_>>(),
        job_tag: raw.job_tag.unwrap_or(false),
        hand_out_tokens: raw.hand_out_tokens.unwrap_or(false),
        expires_at,
        label: raw.label,
        reason: raw.reason,
    })
}

fn optional<T>(key: &str, text: Option<&str>, findings: &mut Findings) -> Option<T>
where
    T: std::str::FromStr<Err = crate::model::NameError>,
{
    text.and_then(|text| findings.take(key, text.parse::<T>()))
}

/// A TOML time with an offset, or the same as text.
fn time(value: &Value) -> Result<DateTime<Utc>, ConfigError> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    DateTime::parse_from_rfc3339(&text)
        .map(|time| time.with_timezone(&Utc))
        .map_err(|_| ConfigError::Time)
}

fn providers(raw: Option<RawProviders>, findings: &mut Findings) -> Vec<SamlProviderArn> {
    let checked: Vec<SamlProviderArn> = match raw {
        None => Vec::new(),
        Some(RawProviders::List(list)) => list
            .iter()
            .enumerate()
            .filter_map(|(at, text)| {
                let key = format!("roles.saml_providers[{}]", at + 1);
                findings.take(&key, provider(text))
            })
            .collect(),
        Some(RawProviders::ByAccount(map)) => map
            .iter()
            .filter_map(|(account, text)| provider_of(account, text, findings))
            .collect(),
    };
    for (at, arn) in checked.iter().enumerate() {
        if checked
            .iter()
            .take(at)
            .any(|other| other.account() == arn.account())
        {
            findings.warn(Warning::SeveralProviders {
                account: arn.account().clone(),
            });
        }
    }
    checked
}

fn provider_of(account: &str, text: &str, findings: &mut Findings) -> Option<SamlProviderArn> {
    let key = format!("roles.saml_providers.{account}");
    let parsed = account
        .parse::<AccountId>()
        .map_err(|_| ConfigError::Account);
    let arn = findings.take(&key, provider(text));
    let (account, arn) = (findings.take(&key, parsed)?, arn?);
    if *arn.account() != account {
        findings.refuse(
            &key,
            ConfigError::ProviderAccount(arn.account().to_string()),
        );
    }
    Some(arn)
}

fn provider(text: &str) -> Result<SamlProviderArn, ConfigError> {
    text.parse()
        .map_err(|error: crate::model::ArnError| ConfigError::Provider {
            found: text.chars().take(256).collect(),
            reason: error.to_string(),
        })
}
