//! What a whole configuration is worth saying about: legal, and perhaps not meant.

use std::collections::BTreeSet;

use crate::model::{Effect, Entry, Method};

use super::findings::Findings;
use super::values::Config;
use super::warning::Warning;

/// Notes what needs the configuration alone to be seen.
pub(super) fn note(config: &Config, findings: &mut Findings) {
    if config.saml.idps.is_empty() && config.oidc.is_empty() {
        findings.warn(Warning::NoIdp);
    }
    let allows = |entry: &&Entry| entry.draft.effect == Effect::Allow;
    if !config.roles.entries.iter().any(|entry| allows(&entry)) {
        findings.warn(Warning::NoEntry);
    }
    let saml: Vec<&Entry> = config
        .roles
        .entries
        .iter()
        .filter(allows)
        .filter(|entry| entry.draft.method == Some(Method::Saml))
        .collect();
    note_audiences(config, &saml, findings);
    note_providers(config, &saml, findings);
    if !saml.is_empty() {
        findings.warn(Warning::SamlBoundsHandOut);
    }
    note_issuers(config, findings);
    let relay = |entry: &Entry| entry.draft.method == Some(Method::Relay);
    if config.roles.entries.iter().filter(allows).any(relay)
        && let Some(problem) = config.relay.problem()
    {
        findings.warn(Warning::RelayIssuer { problem });
    }
}

/// Providers whose people an entry with method web-identity is for, and whom AWS could not ask for keys.
fn note_issuers(config: &Config, findings: &mut Findings) {
    for provider in &config.oidc {
        let concerns = |entry: &Entry| {
            let draft = &entry.draft;
            draft.effect == Effect::Allow
                && draft.method == Some(Method::WebIdentity)
                && draft.idp.as_ref().is_none_or(|idp| *idp == provider.name)
        };
        if let Some(problem) = provider.problem()
            && config.roles.entries.iter().any(concerns)
        {
            findings.warn(Warning::ProviderIssuer {
                provider: provider.name.clone(),
                problem,
            });
        }
    }
}

fn note_audiences(config: &Config, saml: &[&Entry], findings: &mut Findings) {
    let audiences = config.audiences();
    let partitions: BTreeSet<_> = saml
        .iter()
        .map(|entry| entry.draft.arn.partition())
        .collect();
    for partition in partitions {
        let Some(audience) = partition.saml_audience() else {
            continue;
        };
        if !audiences.iter().any(|named| named == audience) {
            findings.warn(Warning::NoAwsAudience {
                partition,
                audience,
            });
        }
    }
}

fn note_providers(config: &Config, saml: &[&Entry], findings: &mut Findings) {
    let configured = &config.roles.saml_providers;
    let accounts: BTreeSet<_> = saml
        .iter()
        .filter_map(|entry| entry.draft.arn.account())
        .collect();
    for account in accounts {
        if !configured.iter().any(|arn| arn.account() == account) {
            findings.warn(Warning::NoProvider {
                account: account.clone(),
            });
        }
    }
}
