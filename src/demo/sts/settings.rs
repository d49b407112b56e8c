//! What an account looks like to the sandbox STS: roles, providers, principals.
//!
//! Nothing doubtful loads: an ARN, an issuer or a policy that IAM would not keep ends the start.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::policy::TrustPolicyDocument;
use crate::model::{AccountId, Clock, Entropy, RoleArn};

/// STS's part of an AWS account.
pub struct StsSettings {
    /// The roles that SAML providers are let into.
    pub trusts: Vec<RoleTrust>,
    /// The SAML providers in IAM.
    pub providers: Vec<SamlProvider>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// What an account may have beside SAML: all of it may be left out.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Roles with their trust policies as JSON.
    pub roles: Vec<Role>,
    /// Users with long-term keys.
    pub principals: Vec<DemoPrincipal>,
    /// The OIDC providers in IAM.
    pub oidc_providers: Vec<OidcProvider>,
    /// Issuers whose documents are read from a folder as from a static bucket:
    /// `DIR/.well-known/openid-configuration`, and the keys where that says, below the issuer.
    pub issuer_documents: HashMap<String, PathBuf>,
    /// Issuers whose documents are fetched from another, loopback, base URL.
    pub issuer_bases: HashMap<String, String>,
    /// How long credentials live, whatever was asked; see [`super::SandboxSts::set_lifetime`].
    pub lifetime: Option<Duration>,
}

/// A SAML provider in IAM.
#[derive(Debug, Clone)]
pub struct SamlProvider {
    /// Its ARN.
    pub arn: String,
    /// The metadata that was uploaded.
    pub metadata_xml: String,
}

/// A role that lets SAML providers in.
#[derive(Debug, Clone)]
pub struct RoleTrust {
    /// The role.
    pub role_arn: String,
    /// The providers that are its principal.
    pub provider_arns: Vec<String>,
    /// The values of `SAML:aud`.
    pub saml_aud: Vec<String>,
    /// `MaxSessionDuration`, in seconds.
    pub max_session_duration: u32,
}

/// A role with its trust policy.
#[derive(Debug, Clone)]
pub struct Role {
    /// The role.
    pub role_arn: String,
    /// Who may take it on.
    pub policy: TrustPolicyDocument,
    /// `MaxSessionDuration`, in seconds.
    pub max_session_duration: u32,
}

/// An IAM user with a long-term access key.
#[derive(Clone)]
pub struct DemoPrincipal {
    /// The key's id.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// `arn:aws:iam::ACCOUNT:user/NAME`.
    pub arn: String,
}

impl std::fmt::Debug for DemoPrincipal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DemoPrincipal({}, {})", self.arn, self.access_key_id)
    }
}

/// An OIDC provider in IAM.
#[derive(Debug, Clone)]
pub struct OidcProvider {
    /// `arn:aws:iam::ACCOUNT:oidc-provider/HOST/PATH`.
    pub arn: String,
    /// The value of `iss`: `https://HOST/PATH`, or http on loopback.
    pub issuer: String,
    /// The values of `aud` that are taken.
    pub client_ids: Vec<String>,
}

impl Role {
    /// A role with `policy`, the JSON of its trust policy.
    pub fn new(role_arn: &str, policy: &str) -> Result<Self, super::TrustPolicyError> {
        Ok(Self {
            role_arn: role_arn.to_owned(),
            policy: policy.parse()?,
            max_session_duration: 43_200,
        })
    }
}

impl DemoPrincipal {
    pub(super) fn account(&self) -> Option<AccountId> {
        let mut fields = self.arn.splitn(6, ':');
        let head = [
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        ];
        let account = fields.next()?.parse().ok()?;
        let user = fields.next()?.strip_prefix("user/")?;
        let good = matches!(head, ["arn", _, "iam", ""]) && !user.is_empty();
        Some(account).filter(|_| good)
    }
}

impl OidcProvider {
    /// `HOST/PATH`: what the ARN ends with, and what condition keys start with.
    pub(super) fn name(&self) -> &str {
        let issuer = self.issuer.as_str();
        let rest = issuer.split_once("://").map(|(_, rest)| rest);
        rest.unwrap_or(issuer)
    }

    pub(super) fn partition_and_account(&self) -> Option<(&str, &str)> {
        let (head, name) = self.arn.split_once(":oidc-provider/")?;
        let (head, account) = head.rsplit_once("::")?;
        let partition = head.strip_prefix("arn:")?.strip_suffix(":iam")?;
        let good = name == self.name() && account.parse::<AccountId>().is_ok();
        Some((partition, account)).filter(|_| good)
    }

    /// IAM takes `https` without port or query; loopback may be http with one, for tests.
    fn has_good_issuer(&self) -> bool {
        let Ok(url) = url::Url::parse(&self.issuer) else {
            return false;
        };
        let secure = url.scheme() == "https" && url.port().is_none();
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        (secure || is_loopback(&url)) && plain && self.issuer.len() <= 255
    }
}

/// Whether `url` is plain http on this machine.
pub(super) fn is_loopback(url: &url::Url) -> bool {
    let near = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    near && url.scheme() == "http"
}

fn bad(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Every role, those of the SAML trusts among them.
pub(super) fn roles(trusts: &[RoleTrust], more: Vec<Role>) -> io::Result<Vec<Role>> {
    let mut roles = Vec::new();
    for trust in trusts {
        let policy = TrustPolicyDocument::for_saml(&trust.provider_arns, &trust.saml_aud);
        roles.push(Role {
            role_arn: trust.role_arn.clone(),
            policy: policy.map_err(|error| bad(format!("role {}: {error}", trust.role_arn)))?,
            max_session_duration: trust.max_session_duration,
        });
    }
    roles.extend(more);
    for role in &roles {
        let arn: Result<RoleArn, _> = role.role_arn.parse();
        arn.map_err(|error| bad(format!("role {}: {error}", role.role_arn)))?;
    }
    Ok(roles)
}

/// Whether principals and OIDC providers are such as IAM keeps.
pub(super) fn check(account: &Account) -> io::Result<()> {
    for principal in &account.principals {
        if principal.account().is_none() {
            return Err(bad(format!("{} is no user's ARN", principal.arn)));
        }
    }
    for provider in &account.oidc_providers {
        check_provider(provider)?;
    }
    Ok(())
}

/// Whether IAM would keep this OIDC provider.
fn check_provider(provider: &OidcProvider) -> io::Result<()> {
    if !provider.has_good_issuer() {
        let text = "is no https URL without port and query, and no loopback one";
        return Err(bad(format!("the issuer {} {text}", provider.issuer)));
    }
    if provider.partition_and_account().is_none() {
        let text = format!(
            "the OIDC provider {} must end with oidc-provider/{}",
            provider.arn,
            provider.name()
        );
        return Err(bad(text));
    }
    let long = |id: &String| id.is_empty() || id.len() > 255;
    if provider.client_ids.len() > 100 || provider.client_ids.iter().any(long) {
        return Err(bad(format!(
            "{}: at most 100 client IDs of 255",
            provider.arn
        )));
    }
    Ok(())
}
