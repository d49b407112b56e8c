//! `[saml]` and `[[saml.idp]]`.
//!
//! That a metadata file can be read is checked here; what it says is for the `saml` room to judge. A URL
//! is checked by its spelling and not asked.

use chrono::TimeDelta;

use super::files::{Folder, certificate};
use super::findings::{Findings, labels};
use super::idps::{assignments, domains, idp_name, is_taken};
use super::problem::ConfigError;
use super::raw::{RawIdp, RawSaml};
use super::urls;
use super::values::{IdpInitiated, MetadataSource, RequireSigned, Saml, SamlIdp, SingleLogout};

const AWS_AUDIENCE: &str = "urn:amazon:webservices";
const ROLE: &str = "https://aws.amazon.com/SAML/Attributes/Role";
const SESSION_DURATION: &str = "https://aws.amazon.com/SAML/Attributes/SessionDuration";
const ROLE_SESSION_NAME: &str = "https://aws.amazon.com/SAML/Attributes/RoleSessionName";

pub(super) fn check(raw: RawSaml, folder: &Folder, findings: &mut Findings) -> Saml {
    let entity_id = raw.entity_id.unwrap_or_else(|| AWS_AUDIENCE.to_owned());
    findings.take("saml.entity_id", audience(&entity_id));
    let accepted_audiences = raw.accepted_audiences.unwrap_or_default();
    for (at, text) in accepted_audiences.iter().enumerate() {
        let key = format!("saml.accepted_audiences[{}]", at + 1);
        findings.take(&key, audience(text));
    }
    let names: Vec<Option<String>> = raw.idp.iter().map(|idp| idp.name.clone()).collect();
    let mut idps: Vec<SamlIdp> = Vec::new();
    for (label, raw) in labels(names.iter().map(Option::as_deref))
        .into_iter()
        .zip(raw.idp)
    {
        let path = format!("saml.idp{label}");
        let Some(idp) = idp(raw, &path, folder, findings) else {
            continue;
        };
        if is_taken(&idp.name, idps.iter().map(|other| &other.name)) {
            findings.refuse(&format!("{path}.name"), ConfigError::DuplicateName);
        }
        idps.push(idp);
    }
    Saml {
        entity_id,
        accepted_audiences,
        clock_skew: TimeDelta::seconds(i64::from(raw.clock_skew_seconds.unwrap_or(60))),
        strict_certificates: raw.strict_certificates.unwrap_or(false),
        idps,
    }
}

fn audience(text: &str) -> Result<(), ConfigError> {
    let good = (1..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    good.then_some(()).ok_or(ConfigError::EntityId)
}

fn idp(raw: RawIdp, path: &str, folder: &Folder, findings: &mut Findings) -> Option<SamlIdp> {
    let at = |key: &str| format!("{path}.{key}");
    let name = raw
        .name
        .as_deref()
        .and_then(|text| findings.take(&at("name"), idp_name(text)));
    let metadata = metadata(&raw, path, folder, findings);
    let metadata_certificate_file = raw.metadata_certificate_file.as_deref().map(|file| {
        let file = folder.path(file);
        findings.take(&at("metadata_certificate_file"), certificate(&file));
        file
    });
    let user_domains = domains(raw.user_domains, path, findings);
    let mut attribute = |key: &str, value: Option<String>, default: &str| {
        if value.as_deref().is_some_and(|text| text.trim().is_empty()) {
            findings.refuse(&at(key), ConfigError::Empty("the attribute's exact Name"));
        }
        value.unwrap_or_else(|| default.to_owned())
    };
    Some(SamlIdp {
        user_attribute: attribute("user_attribute", raw.user_attribute, ROLE_SESSION_NAME),
        role_attribute: attribute("role_attribute", raw.role_attribute, ROLE),
        session_duration_attribute: attribute(
            "session_duration_attribute",
            raw.session_duration_attribute,
            SESSION_DURATION,
        ),
        role_session_name_attribute: attribute(
            "role_session_name_attribute",
            raw.role_session_name_attribute,
            ROLE_SESSION_NAME,
        ),
        name: name?,
        metadata: metadata?,
        metadata_certificate_file,
        user_domains,
        idp_initiated: raw.idp_initiated.unwrap_or(IdpInitiated::Confirm),
        require_signed: raw.require_signed.unwrap_or(RequireSigned::Assertion),
        single_logout: raw.single_logout.unwrap_or(SingleLogout::Browser),
        assignments: assignments(raw.assignments),
    })
}

fn metadata(
    raw: &RawIdp,
    path: &str,
    folder: &Folder,
    findings: &mut Findings,
) -> Option<MetadataSource> {
    let file_key = format!("{path}.metadata_file");
    let url_key = format!("{path}.metadata_url");
    let file = raw.metadata_file.as_deref();
    if let Some(url) = raw.metadata_url.as_deref() {
        if file.is_some() {
            findings.refuse(&url_key, ConfigError::Both("metadata_file"));
        }
        let url = urls::metadata(url);
        return findings.take(&url_key, url).map(MetadataSource::Url);
    }
    let Some(file) = file else {
        findings.refuse(
            &file_key,
            ConfigError::Missing("metadata_file = \"idp.xml\", or metadata_url = \"https://...\""),
        );
        return None;
    };
    folder
        .readable(&file_key, file, findings)
        .map(MetadataSource::File)
}
