//! What starts but probably does not do what was meant; `check` prints it, `serve` logs it.

use thiserror::Error;

use crate::model::{AccountId, IdpName, Partition};

/// Something legal that deserves a look.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Warning {
    /// Nobody can sign in.
    #[error(
        "saml.idp: no identity provider is configured, so nobody can sign in; give your IdP rolegate's metadata, then add [[saml.idp]] with its metadata_url or metadata_file, or register rolegate there as an OpenID Connect client and add [[oidc.provider]]"
    )]
    NoIdp,
    /// The allow-list of file and environment is empty.
    #[error(
        "roles.allowed: neither the file nor the environment allows a role; add one there, or run `rolegate roles allow ARN --reason TEXT`"
    )]
    NoEntry,
    /// STS will refuse every assertion for roles of this partition.
    #[error(
        "saml.entity_id: roles of partition {partition} are allowed with method saml, but {audience} is not among the audiences, so STS will refuse; set saml.entity_id to it, or add it to saml.accepted_audiences and to the IdP's audiences"
    )]
    NoAwsAudience {
        /// The partition of those roles.
        partition: Partition,
        /// What STS wants.
        audience: &'static str,
    },
    /// A bare role ARN of this account has no provider.
    #[error(
        "roles.saml_providers: account {account} has none; if the IdP sends bare role ARNs for it, add \"{account}\" = \"<ARN of the saml-provider>\" (pairs of role and provider need nothing)"
    )]
    NoProvider {
        /// The account.
        account: AccountId,
    },
    /// Two providers for one account: a bare ARN takes the first.
    #[error(
        "roles.saml_providers: account {account} has several; a bare role ARN is tried with the first, so list that one first"
    )]
    SeveralProviders {
        /// The account.
        account: AccountId,
    },
    /// An entry of method web-identity that nobody signs in for.
    #[error(
        "{key}: method web-identity takes the ID token of an OpenID Connect sign-in, and no [[oidc.provider]] signs in whom this entry is for, so it grants nothing; add one, or use saml, relay or broker"
    )]
    NoProviderSignIn {
        /// The entry's key.
        key: String,
    },
    /// An entry of method saml that nobody signs in for.
    #[error(
        "{key}: method saml takes the assertion of a SAML sign-in, and no [[saml.idp]] signs in whom this entry is for, so it grants nothing; use web-identity, relay or broker (roles.default_method for roles.allowed)"
    )]
    NoSamlSignIn {
        /// The entry's key.
        key: String,
    },
    /// AWS takes no OIDC provider with this URL.
    #[error(
        "relay.issuer: AWS takes no OIDC provider with a URL that {problem}, and entries with method relay are allowed; set relay.issuer to an https URL without port, of a bucket's perhaps (`rolegate relay export DIR` writes what to upload)"
    )]
    RelayIssuer {
        /// What is wrong with the URL.
        problem: &'static str,
    },
    /// AWS takes no OIDC provider with this issuer.
    #[error(
        "oidc.provider.{provider}: AWS takes no OIDC provider with a URL that {problem}, and entries with method web-identity are allowed; use relay or broker for its people"
    )]
    ProviderIssuer {
        /// The provider's name.
        provider: IdpName,
        /// What is wrong with its issuer.
        problem: &'static str,
    },
    /// The very same entry twice.
    #[error("{key}: {arn} stands here twice with the same words; remove one")]
    RepeatedEntry {
        /// The second one's key.
        key: String,
        /// What it is about.
        arn: String,
    },
    /// Anyone may say where a request came from.
    #[error(
        "server.trusted_proxies: {network} trusts X-Forwarded-For of everyone who reaches the port; name the proxies' own addresses"
    )]
    TrustsEveryone {
        /// The network.
        network: String,
    },
    /// The database is spoken to in the clear, or may be.
    #[error(
        "{key}: sslmode={mode} may send the password and all else to another machine in the clear; write sslmode=verify-full, with sslrootcert=FILE for an authority of your own"
    )]
    StoreInTheClear {
        /// The URL's key.
        key: String,
        /// What was written.
        mode: &'static str,
    },
    /// With `saml` the allow-list bounds less than one may think.
    #[error(
        "roles: with method saml the allow-list bounds what rolegate hands out, not what a user's browser could redeem at STS by itself within 5 minutes of signing in; where that matters, let the roles' trust policies decide"
    )]
    SamlBoundsHandOut,
}

impl Warning {
    /// Whether it is good to know rather than likely wrong.
    pub fn is_note(&self) -> bool {
        matches!(
            self,
            Self::NoProvider { .. } | Self::SamlBoundsHandOut | Self::SeveralProviders { .. }
        )
    }
}
