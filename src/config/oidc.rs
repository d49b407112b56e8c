//! `[[oidc.provider]]`: the OpenID Connect providers.
//!
//! Judges spelling, and that the client secret can be read; never asks a provider. What a claim's name
//! means as a path is for the `oidc` room to say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::model::{IdpName, Secret};

use super::files::{Folder, read};
use super::findings::{Findings, labels};
use super::idps::{assignments, domains, idp_name, is_taken};
use super::problem::ConfigError;
use super::raw::{RawOidc, RawProvider};
use super::urls;
use super::values::{ClientSecret, OidcProvider, SamlIdp};

/// Enough for every provider; more is another file than was meant.
const MAX_SECRET_BYTES: usize = 4096;
const MAX_TEXT: usize = 256;
/// A URL has to carry them.
const MAX_PARAMETER: usize = 1024;
const MAX_PARAMETERS: usize = 20;

const ROLE: &str = "aws_role_arn";
const SESSION_NAME: &str = "aws_role_session_name";
const DURATION: &str = "aws_session_duration";
const OPENID: &str = "openid";
const SCOPES: [&str; 3] = [OPENID, "email", "offline_access"];

/// What the protocol itself says in an authorization request (OpenID Connect Core 3.1.2.1, RFC 7636), and
/// what never belongs into a URL.
const RESERVED: &[&str] = &[
    "client_id",
    "client_secret",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request",
    "request_uri",
];

pub(super) fn check(
    raw: RawOidc,
    folder: &Folder,
    saml: &[SamlIdp],
    findings: &mut Findings,
) -> Vec<OidcProvider> {
    let names: Vec<Option<String>> = raw.provider.iter().map(|raw| raw.name.clone()).collect();
    let labels = labels(names.iter().map(Option::as_deref));
    let mut providers: Vec<OidcProvider> = Vec::new();
    for (label, raw) in labels.into_iter().zip(raw.provider) {
        let path = format!("oidc.provider{label}");
        let Some(provider) = provider(raw, &path, folder, findings) else {
            continue;
        };
        let taken = saml.iter().map(|idp| &idp.name);
        let taken = taken.chain(providers.iter().map(|other| &other.name));
        if is_taken(&provider.name, taken) {
            findings.refuse(&format!("{path}.name"), ConfigError::DuplicateName);
        }
        providers.push(provider);
    }
    providers
}

fn provider(
    raw: RawProvider,
    path: &str,
    folder: &Folder,
    findings: &mut Findings,
) -> Option<OidcProvider> {
    let at = |key: &str| format!("{path}.{key}");
    let name: Option<IdpName> = raw
        .name
        .as_deref()
        .and_then(|text| findings.take(&at("name"), idp_name(text)));
    let issuer = raw
        .issuer
        .and_then(|text| findings.take(&at("issuer"), issuer(text)));
    let client_id = raw
        .client_id
        .and_then(|text| printable(&at("client_id"), text, "the id of the client", findings));
    let secret = secret(
        raw.client_secret,
        raw.client_secret_file,
        path,
        folder,
        findings,
    );
    let scopes = scopes(raw.scopes, &at("scopes"), findings);
    let mut claim = |key: &str, value: Option<String>, default: &str| {
        let text = value.unwrap_or_else(|| default.to_owned());
        printable(&at(key), text, "the claim's name", findings)
    };
    let role_claim = claim("role_claim", raw.role_claim, ROLE);
    let session_name_claim = claim("session_name_claim", raw.session_name_claim, SESSION_NAME);
    let duration_claim = claim("duration_claim", raw.duration_claim, DURATION);
    let user_domains = domains(raw.user_domains, path, findings);
    let parameters = raw.authorization_parameters.unwrap_or_default();
    parameter_names(&parameters, &at("authorization_parameters"), findings);
    Some(OidcProvider {
        name: name?,
        issuer: issuer?,
        client_id: client_id?,
        client_secret: secret?,
        scopes,
        role_claim: role_claim?,
        session_name_claim: session_name_claim?,
        duration_claim: duration_claim?,
        user_domains,
        authorization_parameters: parameters,
        assignments: assignments(raw.assignments),
    })
}

/// The issuer as it was written: it is compared byte by byte with `iss` (OpenID Connect Core 3.1.3.7), so
/// a slash at its end counts.
fn issuer(text: String) -> Result<String, ConfigError> {
    const EXAMPLE: &str =
        "https://login.example.org/tenant/v2.0, as the provider's discovery document says it";
    urls::https_or_loopback(&text, EXAMPLE)?;
    if text.ends_with("/.well-known/openid-configuration") {
        return Err(ConfigError::Url {
            reason: "it is the discovery document's own address",
            example: "what that document says under `issuer`, without /.well-known/openid-configuration",
        });
    }
    // The parser takes white space away, and the provider would not know the rest.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ConfigError::Url {
            reason: "it has a blank or a sign beyond ASCII",
            example: EXAMPLE,
        });
    }
    Ok(text)
}

fn printable(
    key: &str,
    text: String,
    what: &'static str,
    findings: &mut Findings,
) -> Option<String> {
    if text.trim().is_empty() {
        findings.refuse(key, ConfigError::Empty(what));
        return None;
    }
    if text.len() > MAX_TEXT || text.trim() != text || text.chars().any(char::is_control) {
        findings.refuse(key, ConfigError::NotPrintable(what));
        return None;
    }
    Some(text)
}

fn secret(
    value: Option<String>,
    file: Option<String>,
    path: &str,
    folder: &Folder,
    findings: &mut Findings,
) -> Option<ClientSecret> {
    let value_key = format!("{path}.client_secret");
    let file_key = format!("{path}.client_secret_file");
    match (value, file) {
        (Some(_), Some(_)) => {
            findings.refuse(&value_key, ConfigError::Both("client_secret_file"));
            None
        }
        (None, None) => {
            let error = ConfigError::Neither("client_secret", "client_secret_file");
            findings.refuse(path, error);
            None
        }
        (Some(value), None) => {
            if value.trim().is_empty() {
                findings.refuse(
                    &value_key,
                    ConfigError::Empty("the secret that the provider gave the client"),
                );
                return None;
            }
            Some(ClientSecret::Inline(Secret::new(value)))
        }
        (None, Some(file)) => {
            let path = folder.readable(&file_key, &file, findings)?;
            findings.take(&file_key, in_file(&path))?;
            Some(ClientSecret::File(path))
        }
    }
}

impl ClientSecret {
    /// The secret as it is now: a file is read again each time, so that a new one counts without a restart.
    /// The newline at a file's end is no part of it.
    pub fn read(&self) -> Result<Secret, ConfigError> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => in_file(path),
        }
    }
}

fn in_file(path: &Path) -> Result<Secret, ConfigError> {
    let refused = |reason: &'static str| ConfigError::SecretFile {
        path: path.to_owned(),
        reason,
    };
    let bytes = read(path)?;
    if bytes.len() > MAX_SECRET_BYTES {
        return Err(refused("it has more than 4 KiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("it is no text"))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.trim().is_empty() {
        return Err(refused("it is empty"));
    }
    Ok(Secret::new(secret.to_owned()))
}

/// The scopes, each once, `openid` among them: without it a provider answers no ID token (OpenID Connect
/// Core 3.1.2.1).
fn scopes(scopes: Option<Vec<String>>, key: &str, findings: &mut Findings) -> Vec<String> {
    let written = scopes.unwrap_or_else(|| SCOPES.map(str::to_owned).into());
    for (at, scope) in written.iter().enumerate() {
        // RFC 6749, 3.3.
        let token = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if scope.is_empty() || scope.len() > MAX_TEXT || !scope.bytes().all(token) {
            findings.refuse(&format!("{key}[{}]", at + 1), ConfigError::Scope);
        }
    }
    let mut scopes: Vec<String> = vec![OPENID.to_owned()];
    let mut seen: BTreeSet<String> = scopes.iter().cloned().collect();
    for scope in written {
        if seen.insert(scope.clone()) {
            scopes.push(scope);
        }
    }
    scopes
}

fn parameter_names(parameters: &BTreeMap<String, String>, key: &str, findings: &mut Findings) {
    if parameters.len() > MAX_PARAMETERS {
        findings.refuse(key, ConfigError::TooMany(MAX_PARAMETERS));
    }
    for (name, value) in parameters {
        let at = format!("{key}.{name}");
        if RESERVED
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
        {
            findings.refuse(&at, ConfigError::ReservedParameter);
        }
        let name_fits = (1..=MAX_TEXT).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !name_fits || value.len() > MAX_PARAMETER || value.chars().any(char::is_control) {
            findings.refuse(&at, ConfigError::Parameter);
        }
    }
}
