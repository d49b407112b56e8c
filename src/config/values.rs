//! The checked configuration: what every other room is handed.
//!
//! Only `load` makes a [`Config`]; whatever stands in one was checked there, so the other rooms read
//! it without asking again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use chrono::TimeDelta;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use crate::model::{
    Entry, IdpName, Method, Partition, SamlProviderArn, Secret, SessionDuration, UserName,
};

use super::audit::Audit;
use super::limits::Limits;
use super::urls::is_loopback;
use super::{Telemetry, Warning};

/// Everything that the file and the environment say.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// Where and how rolegate is reached.
    pub server: Server,
    /// Where it keeps what must not be lost.
    pub store: StoreConfig,
    /// Browser and API sessions.
    pub session: SessionLimits,
    /// Leases.
    pub leases: LeaseLimits,
    /// SAML and its identity providers.
    pub saml: Saml,
    /// The OpenID Connect providers, in the order of the file.
    pub oidc: Vec<OidcProvider>,
    /// The allow-list of file and environment, and what holds for every role.
    pub roles: Roles,
    /// How STS is reached.
    pub sts: Sts,
    /// Which signed-in persons are admins.
    pub admin: Option<Admin>,
    /// rolegate as an issuer that AWS trusts.
    pub relay: Relay,
    /// Where traces go; nowhere without it.
    pub telemetry: Option<Telemetry>,
    /// How long the audit is kept, and where it is copied to.
    pub audit: Audit,
    /// What is legal but probably not meant.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Where IdPs post to: Recipient and Destination, compared byte by byte.
    pub fn acs_url(&self) -> String {
        format!("{}/saml/acs", self.server.public_url())
    }

    /// Whether AWS reads the relay's documents from rolegate itself.
    pub fn publishes_relay_keys(&self) -> bool {
        self.relay.issuer == self.server.public_url()
    }

    /// Where IdPs send logout messages.
    pub fn slo_url(&self) -> String {
        format!("{}/saml/slo", self.server.public_url())
    }

    /// The audiences that an assertion may name, `entity_id` first, each once.
    pub fn audiences(&self) -> Vec<String> {
        let mut audiences = vec![self.saml.entity_id.clone()];
        for audience in &self.saml.accepted_audiences {
            if !audiences.contains(audience) {
                audiences.push(audience.clone());
            }
        }
        audiences
    }

    /// Everyone who signs people in, SAML's IdPs first, each in the order of the file.
    pub fn idp_names(&self) -> impl Iterator<Item = &IdpName> {
        let saml = self.saml.idps.iter().map(|idp| &idp.name);
        saml.chain(self.oidc.iter().map(|provider| &provider.name))
    }

    /// The IdPs and providers whose persons cannot be assigned roles.
    pub fn without_assignments(&self) -> BTreeSet<IdpName> {
        let saml = self
            .saml
            .idps
            .iter()
            .map(|idp| (&idp.name, idp.assignments));
        let oidc = self.oidc.iter().map(|one| (&one.name, one.assignments));
        saml.chain(oidc)
            .filter(|(_, assignments)| !assignments)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Whether people reach rolegate by plain http, which is then on loopback.
    pub fn loopback_http(&self) -> bool {
        self.server.public_url.scheme() == "http"
    }
}

/// `[server]`.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Where `/metrics` is served without a token.
    pub metrics_listen: Option<SocketAddr>,
    /// The URL that people and IdPs use. As text, ask [`Server::public_url()`].
    pub public_url: Url,
    /// Certificate and key; `None` serves plain http.
    pub tls: Option<Tls>,
    /// Whether `X-Forwarded-*` of `trusted_proxies` count.
    pub behind_proxy: bool,
    /// The addresses of those proxies.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins, as `scheme://host[:port]`, that `return_to` may name.
    pub return_origins: Vec<String>,
    /// What one client may ask of the server.
    pub limits: Limits,
}

impl Server {
    /// The public URL without a slash at its end, for paths to be put behind.
    pub fn public_url(&self) -> &str {
        self.public_url.as_str().trim_end_matches('/')
    }
}

/// `server.tls`: files that were readable and matched at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, PEM, leaf first.
    pub certificate_file: PathBuf,
    /// Its private key, PEM, not encrypted.
    pub key_file: PathBuf,
    /// The authorities of clients' certificates, PEM; `None` asks no client for one.
    pub client_ca_file: Option<PathBuf>,
}

/// `[store]`.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// `sqlite:` and the absolute path, percent-encoded as sqlx reads it; or a PostgreSQL URL, which may hold a
    /// password.
    pub url: String,
    /// The PostgreSQL server itself, where `url` is a pooler's, which passes no notifications on and may pool by
    /// transaction.
    pub listen_url: Option<String>,
    /// The file of the master keys; it may not exist before the database does.
    pub master_key_file: PathBuf,
    /// The program and its arguments that print the master keys; there is no file then.
    pub master_key_command: Option<Vec<String>>,
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("master_key_file", &self.master_key_file)
            .finish_non_exhaustive()
    }
}

/// `[session]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// How long a session lasts at most.
    pub max_age_seconds: u32,
}

/// `[leases]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseLimits {
    /// How long a lease lasts where nothing is asked.
    pub default_ttl_seconds: u32,
    /// How long a lease may last.
    pub max_ttl_seconds: u32,
}

/// `[saml]`.
#[derive(Debug, Clone)]
pub struct Saml {
    /// rolegate's entity id; by default the audience that AWS wants.
    pub entity_id: String,
    /// Audiences taken beside it.
    pub accepted_audiences: Vec<String>,
    /// How far the IdP's clock may be off.
    pub clock_skew: TimeDelta,
    /// Whether an expired IdP certificate refuses.
    pub strict_certificates: bool,
    /// The identity providers, in the order of the file.
    pub idps: Vec<SamlIdp>,
}

/// `[[saml.idp]]`.
#[derive(Debug, Clone)]
pub struct SamlIdp {
    /// Its name here and in URLs.
    pub name: IdpName,
    /// Where its metadata is.
    pub metadata: MetadataSource,
    /// The certificate that signs its metadata, where that is asked for.
    pub metadata_certificate_file: Option<PathBuf>,
    /// The attribute that names the user.
    pub user_attribute: String,
    /// The attribute that names the roles.
    pub role_attribute: String,
    /// The attribute that names the session's length.
    pub session_duration_attribute: String,
    /// The attribute that names the session at AWS.
    pub role_session_name_attribute: String,
    /// The domains, lower-case, whose users it may speak for; empty is any.
    pub user_domains: Vec<String>,
    /// What becomes of a response that nobody asked for.
    pub idp_initiated: IdpInitiated,
    /// What must be signed.
    pub require_signed: RequireSigned,
    /// What its single logout ends.
    pub single_logout: SingleLogout,
    /// Whether admins may assign roles to its persons.
    pub assignments: bool,
}

/// `[[oidc.provider]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcProvider {
    /// Its name here and in URLs; no SAML IdP has it.
    pub name: IdpName,
    /// Its issuer, exactly as written: https, or http on loopback, without query and fragment.
    pub issuer: String,
    /// rolegate's name there.
    pub client_id: String,
    /// rolegate's password there.
    pub client_secret: ClientSecret,
    /// What is asked for, each once, `openid` first.
    pub scopes: Vec<String>,
    /// The claim that names the roles: 1 to 256 printable characters, perhaps a path.
    pub role_claim: String,
    /// The claim that names the user, and the session at AWS.
    pub session_name_claim: String,
    /// The claim that names the session's length.
    pub duration_claim: String,
    /// The domains, lower-case, whose users it may speak for; empty is any.
    pub user_domains: Vec<String>,
    /// What goes into the authorization request beside the protocol's own parameters.
    pub authorization_parameters: BTreeMap<String, String>,
    /// Whether admins may assign roles to its persons.
    pub assignments: bool,
}

impl OidcProvider {
    /// Why AWS takes no OIDC provider with its issuer, which method web-identity needs; a loopback one is for
    /// tests, and nobody's mistake.
    pub fn problem(&self) -> Option<&'static str> {
        issuer_problem(&self.issuer)
    }
}

/// Where a client secret is; ask [`ClientSecret::read()`] for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientSecret {
    /// In the configuration.
    Inline(Secret),
    /// In a file that was readable at start.
    File(PathBuf),
}

/// Where an IdP's metadata is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataSource {
    /// A file that was readable at start; its content is the `saml` room's to judge.
    File(PathBuf),
    /// A URL that is asked again and again.
    Url(Url),
}

/// What becomes of a response that answers no request of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdpInitiated {
    /// The person confirms on a page.
    Confirm,
    /// It is refused.
    Refuse,
    /// It signs in.
    Allow,
}

/// Which part of a response must carry a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequireSigned {
    /// The assertion, by its own signature or the response's.
    Assertion,
    /// The response.
    Response,
    /// Each by its own.
    Both,
}

/// What a single logout by the IdP ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SingleLogout {
    /// The browser's session.
    Browser,
    /// Sessions and leases too.
    Leases,
}

/// `[roles]`.
#[derive(Debug, Clone)]
pub struct Roles {
    /// The method of entries that name none.
    pub default_method: Method,
    /// The longest session of any role.
    pub max_duration: SessionDuration,
    /// The providers for bare role ARNs, and the only ones for their accounts.
    pub saml_providers: Vec<SamlProviderArn>,
    /// The entries of file and environment, in order, each with its method.
    pub entries: Vec<Entry>,
}

/// How STS is reached.
#[derive(Debug, Clone)]
pub struct Sts {
    /// The region whose STS is asked for roles of a partition.
    pub regions: BTreeMap<Partition, String>,
    /// How often STS is asked for renewable credentials of one account.
    pub calls_per_second: NonZeroU32,
    /// `AWS_ENDPOINT_URL_STS`: https, or http on loopback.
    pub endpoint: Option<Url>,
    /// `AWS_ENDPOINT_URL_SIGNIN`, `/federation` behind it: https, or http on loopback.
    pub console_endpoint: Option<Url>,
}

/// `[admin]`: persons of this IdP who are listed, or for whom all of `when` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Whose users; the only IdP where there is one.
    pub idp: Option<IdpName>,
    /// Admins by name.
    pub users: Vec<UserName>,
    /// Admins by attribute; empty names nobody.
    pub when: BTreeMap<String, String>,
}

/// `[relay]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// The issuer URL without a slash at its end; by default the public URL.
    pub issuer: String,
}

impl Relay {
    /// Why AWS takes no OIDC provider with this URL; a loopback one is for tests, and nobody's mistake.
    pub fn problem(&self) -> Option<&'static str> {
        issuer_problem(&self.issuer)
    }

    /// The issuer without its scheme: how IAM names the provider, and its condition keys.
    pub fn name(&self) -> &str {
        self.issuer
            .split_once("://")
            .map_or(self.issuer.as_str(), |(_, name)| name)
    }
}

/// The longest URL of an OIDC provider (IAM API, `CreateOpenIDConnectProvider`).
const MAX_ISSUER: usize = 255;

/// Why AWS takes no OIDC provider with the URL `issuer`; a loopback one is for tests, and nobody's mistake.
pub fn issuer_problem(issuer: &str) -> Option<&'static str> {
    let url = Url::parse(issuer).ok()?;
    if is_loopback(&url) {
        return None;
    }
    if url.scheme() != "https" {
        return Some("is not https");
    }
    if url.port().is_some() {
        return Some("names a port");
    }
    (issuer.len() > MAX_ISSUER).then_some("is longer than 255 characters")
}
