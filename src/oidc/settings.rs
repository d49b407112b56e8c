//! What an admin configured of one OpenID provider.
//!
//! Data only: the client secret is not among it, it is handed to the one call that sends it.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::ClaimPath;
use crate::model::IdpName;

/// One OpenID provider, as configured.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// Its name in rolegate; it stands in URLs.
    pub name: IdpName,
    /// The issuer, byte for byte as the provider writes it in `iss`.
    pub issuer: String,
    /// The client that rolegate is at the provider.
    pub client_id: String,
    /// What is asked for; `openid` is always sent.
    pub scopes: Vec<String>,
    /// More parameters of the authorization request; `prompt = ""` leaves the prompt out.
    pub authorization_parameters: BTreeMap<String, String>,
    /// Where the provider sends the browser back to.
    pub redirect_url: String,
    /// Which claims say what.
    pub claims: ClaimNames,
    /// The mail domains that this provider may speak for; empty is any.
    pub user_domains: Vec<String>,
    /// How far the clocks may be apart.
    pub clock_skew: TimeDelta,
}

/// Which claims say what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// The roles.
    pub role: ClaimPath,
    /// The user's name.
    pub session_name: ClaimPath,
    /// How long an AWS session may last.
    pub duration: ClaimPath,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            role: ClaimPath::literal("aws_role_arn"),
            session_name: ClaimPath::literal("aws_role_session_name"),
            duration: ClaimPath::literal("aws_session_duration"),
        }
    }
}
