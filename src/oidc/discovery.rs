//! The provider's metadata (OpenID Connect Discovery 1.0): where its endpoints are and what it can.
//!
//! It believes a document only of the configured issuer, byte for byte, and only endpoints that are https, or
//! http where the issuer itself is loopback http. What a provider says of its algorithms changes nothing.

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthType, AuthUrl, EndSessionUrl, IssuerUrl, JsonWebKeySetUrl,
    TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::{Host, Url};

use super::refusal::cut;
use super::{OidcError, ProviderSettings};

const DOCUMENT: &str = "the metadata";
/// What rolegate reads of a document.
const READ: &[&str] = &[
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "token_endpoint_auth_methods_supported",
    "end_session_endpoint",
    "authorization_response_iss_parameter_supported",
];
/// What the library demands and rolegate never asks: the algorithms allowed are its own.
const DEMANDED: &[&str] = &[
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
];

/// What rolegate reads of the metadata beside OpenID Connect Discovery's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Additional {
    /// RP-Initiated Logout 1.0, 2.1. Read as text: a bad one must not stop the sign-in.
    #[serde(default)]
    end_session_endpoint: Option<String>,
    /// RFC 9207, 3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: Option<bool>,
}

impl AdditionalProviderMetadata for Additional {}

type Document = openidconnect::ProviderMetadata<
    Additional,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What the provider says of itself, checked.
#[derive(Debug, Clone)]
pub struct ProviderMetadata {
    pub(super) issuer: IssuerUrl,
    pub(super) authorization_endpoint: AuthUrl,
    pub(super) token_endpoint: TokenUrl,
    pub(super) jwks_uri: JsonWebKeySetUrl,
    pub(super) end_session_endpoint: Option<EndSessionUrl>,
    pub(super) authentication: AuthType,
    names_itself_in_answers: bool,
}

impl ProviderMetadata {
    /// Reads a metadata document of the provider that is configured (OpenID Connect Discovery 1.0, 4.3).
    pub fn parse(settings: &ProviderSettings, document: &[u8]) -> Result<Self, OidcError> {
        let malformed = |error: serde_json::Error| OidcError::Malformed {
            what: DOCUMENT,
            why: cut(&error.to_string()),
        };
        let plain = issuer_url(settings)?.scheme() == "http";
        let all: Map<String, Value> = serde_json::from_slice(document).map_err(malformed)?;
        let issuer = all.get("issuer").and_then(Value::as_str);
        same_issuer(issuer.unwrap_or_default(), &settings.issuer)?;
        let read = Document::deserialize(what_is_read(all)).map_err(malformed)?;
        let token_endpoint = read.token_endpoint().cloned();
        let token_endpoint = token_endpoint.ok_or(OidcError::Unsupported("token endpoint"))?;
        let endpoints = [
            (
                "authorization_endpoint",
                read.authorization_endpoint().url(),
            ),
            ("token_endpoint", token_endpoint.url()),
            ("jwks_uri", read.jwks_uri().url()),
        ];
        for (name, url) in endpoints {
            allowed_endpoint(name, url, plain)?;
        }
        let more = read.additional_metadata();
        let end_session = more.end_session_endpoint.as_deref();
        Ok(Self {
            issuer: read.issuer().clone(),
            authorization_endpoint: read.authorization_endpoint().clone(),
            jwks_uri: read.jwks_uri().clone(),
            end_session_endpoint: end_session.and_then(|url| end_session_url(url, plain)),
            authentication: authentication(read.token_endpoint_auth_methods_supported())?,
            names_itself_in_answers: more.authorization_response_iss_parameter_supported
                == Some(true),
            token_endpoint,
        })
    }

    /// The issuer, as configured and as the provider writes it.
    pub fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    /// Where the browser is sent to sign in.
    pub fn authorization_endpoint(&self) -> &Url {
        self.authorization_endpoint.url()
    }

    /// Where codes and refresh tokens are redeemed.
    pub fn token_endpoint(&self) -> &Url {
        self.token_endpoint.url()
    }

    /// Where the keys are.
    pub fn jwks_uri(&self) -> &Url {
        self.jwks_uri.url()
    }

    /// Whether every answer at the callback must name the issuer (RFC 9207).
    pub fn names_itself_in_answers(&self) -> bool {
        self.names_itself_in_answers
    }
}

/// The document without what rolegate does not use: an empty policy URL or a list that is none must not stop a
/// sign-in. What the library demands beside is given as empty.
fn what_is_read(all: Map<String, Value>) -> Value {
    let read = all.into_iter().filter(|(name, _)| READ.contains(&&**name));
    let demanded = DEMANDED.iter().map(|name| (*name).to_owned());
    read.chain(demanded.map(|name| (name, Value::Array(Vec::new()))))
        .collect::<Map<_, _>>()
        .into()
}

fn same_issuer(found: &str, expected: &str) -> Result<(), OidcError> {
    if found == expected {
        return Ok(());
    }
    if found.contains(['{', '}']) {
        return Err(OidcError::IssuerTemplate(cut(found)));
    }
    Err(OidcError::IssuerDiffers {
        found: cut(found),
        expected: expected.to_owned(),
    })
}

/// The issuer as an address that may be asked: https, or http on loopback; no query, no fragment, no user.
pub(super) fn issuer_url(settings: &ProviderSettings) -> Result<Url, OidcError> {
    let bad = |why| OidcError::Setting {
        what: "issuer",
        found: cut(&settings.issuer),
        why,
    };
    let url = Url::parse(&settings.issuer).map_err(|_| bad("is no URL"))?;
    if !is_allowed(&url, true) {
        return Err(bad(
            "is neither https nor http on loopback; write the issuer's https URL",
        ));
    }
    let named = !url.username().is_empty() || url.password().is_some();
    if url.query().is_some() || url.fragment().is_some() || named {
        return Err(bad(
            "has a query, a fragment or a user name; an issuer has none",
        ));
    }
    Ok(url)
}

/// The address of the metadata: a `/` at the issuer's end is taken away first (OpenID Connect Discovery 1.0, 4.1).
pub(super) fn document_url(settings: &ProviderSettings) -> Result<Url, OidcError> {
    let mut url = issuer_url(settings)?;
    let path = url.path().trim_end_matches('/');
    let path = format!("{path}/.well-known/openid-configuration");
    url.set_path(&path);
    Ok(url)
}

fn is_allowed(url: &Url, plain: bool) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => plain && is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn allowed_endpoint(name: &'static str, url: &Url, plain: bool) -> Result<(), OidcError> {
    if is_allowed(url, plain) {
        return Ok(());
    }
    Err(OidcError::Endpoint {
        name,
        found: cut(url.as_str()),
    })
}

fn end_session_url(text: &str, plain: bool) -> Option<EndSessionUrl> {
    let url = EndSessionUrl::new(text.to_owned()).ok()?;
    is_allowed(url.url(), plain).then_some(url)
}

/// `client_secret_basic` where it is offered or nothing is said (OpenID Connect Discovery 1.0, 3), else
/// `client_secret_post`.
fn authentication(offered: Option<&Vec<CoreClientAuthMethod>>) -> Result<AuthType, OidcError> {
    let Some(offered) = offered else {
        return Ok(AuthType::BasicAuth);
    };
    if offered.is_empty() || offered.contains(&CoreClientAuthMethod::ClientSecretBasic) {
        return Ok(AuthType::BasicAuth);
    }
    if offered.contains(&CoreClientAuthMethod::ClientSecretPost) {
        return Ok(AuthType::RequestBody);
    }
    Err(OidcError::Unsupported(
        "client authentication by client_secret_basic or client_secret_post",
    ))
}
