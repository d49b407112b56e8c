//! The file's shape as serde reads it, before anything is believed.
//!
//! Every key is optional here: what must be there was asked for by `schema`, and each default stands
//! in plain sight in the check that uses the key.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Deserialize;
use toml::Value;

use crate::model::{Effect, Method, SessionDuration};

use super::values::{IdpInitiated, RequireSigned, SingleLogout};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default)]
    pub(super) server: RawServer,
    #[serde(default)]
    pub(super) store: RawStore,
    #[serde(default)]
    pub(super) session: RawSession,
    #[serde(default)]
    pub(super) leases: RawLeases,
    #[serde(default)]
    pub(super) saml: RawSaml,
    #[serde(default)]
    pub(super) oidc: RawOidc,
    #[serde(default)]
    pub(super) roles: RawRoles,
    pub(super) relay: Option<RawRelay>,
    #[serde(default)]
    pub(super) sts: RawSts,
    pub(super) admin: Option<RawAdmin>,
    pub(super) telemetry: Option<RawTelemetry>,
    #[serde(default)]
    pub(super) audit: RawAudit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    pub(super) listen: Option<String>,
    pub(super) metrics_listen: Option<String>,
    pub(super) public_url: Option<String>,
    pub(super) tls: Option<RawTls>,
    pub(super) behind_proxy: Option<bool>,
    pub(super) trusted_proxies: Option<Vec<String>>,
    pub(super) return_origins: Option<Vec<String>>,
    #[serde(default)]
    pub(super) limits: RawLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) certificate_file: Option<String>,
    pub(super) key_file: Option<String>,
    #[serde(rename = "client_ca_file")]
    pub(super) client_ca: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) bad_tokens_per_minute: Option<NonZeroU32>,
    pub(super) refused_sign_ins_per_minute: Option<NonZeroU32>,
    pub(super) sign_in_starts_per_minute: Option<NonZeroU32>,
    pub(super) refusals_per_minute_and_token: Option<NonZeroU32>,
    pub(super) open_sign_ins: Option<u32>,
    pub(super) max_connections: Option<usize>,
    pub(super) connections_per_address: Option<usize>,
    pub(super) request_timeout_seconds: Option<u32>,
    pub(super) tls_handshake_timeout_seconds: Option<u32>,
    pub(super) unread_answer_timeout_seconds: Option<u32>,
    pub(super) keep_alive_seconds: Option<u32>,
    pub(super) workers: Option<usize>,
    pub(super) max_head_bytes: Option<usize>,
    pub(super) max_body_bytes: Option<usize>,
    pub(super) verifications_waiting: Option<usize>,
    pub(super) sign_ins_minting: Option<usize>,
    pub(super) shutdown_delay_seconds: Option<u32>,
    pub(super) shutdown_timeout_seconds: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStore {
    pub(super) url: Option<String>,
    pub(super) url_file: Option<String>,
    pub(super) listen_url: Option<String>,
    pub(super) listen_url_file: Option<String>,
    pub(super) master_key_file: Option<String>,
    pub(super) master_key_command: Option<Vec<String>>,
}

impl std::fmt::Debug for RawStore {
    /// A URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawStore").finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSession {
    pub(super) max_age_seconds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLeases {
    pub(super) default_ttl_seconds: Option<u32>,
    pub(super) max_ttl_seconds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSaml {
    pub(super) entity_id: Option<String>,
    pub(super) accepted_audiences: Option<Vec<String>>,
    pub(super) clock_skew_seconds: Option<u32>,
    pub(super) strict_certificates: Option<bool>,
    #[serde(default)]
    pub(super) idp: Vec<RawIdp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIdp {
    pub(super) name: Option<String>,
    pub(super) metadata_file: Option<String>,
    pub(super) metadata_url: Option<String>,
    pub(super) metadata_certificate_file: Option<String>,
    pub(super) user_attribute: Option<String>,
    pub(super) role_attribute: Option<String>,
    pub(super) session_duration_attribute: Option<String>,
    pub(super) role_session_name_attribute: Option<String>,
    pub(super) user_domains: Option<Vec<String>>,
    pub(super) idp_initiated: Option<IdpInitiated>,
    pub(super) require_signed: Option<RequireSigned>,
    pub(super) single_logout: Option<SingleLogout>,
    pub(super) assignments: Option<Switch>,
}

/// On or off: a word says more in a file than `true`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Switch {
    On,
    Off,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOidc {
    #[serde(default)]
    pub(super) provider: Vec<RawProvider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProvider {
    pub(super) name: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) client_secret_file: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) role_claim: Option<String>,
    pub(super) session_name_claim: Option<String>,
    pub(super) duration_claim: Option<String>,
    pub(super) user_domains: Option<Vec<String>>,
    pub(super) authorization_parameters: Option<BTreeMap<String, String>>,
    pub(super) assignments: Option<Switch>,
}

impl std::fmt::Debug for RawProvider {
    /// The client secret is never printed, so neither is the rest.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawProvider")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoles {
    pub(super) allowed: Option<Vec<String>>,
    pub(super) default_method: Option<Method>,
    pub(super) max_duration_seconds: Option<SessionDuration>,
    pub(super) saml_providers: Option<RawProviders>,
    #[serde(default)]
    pub(super) entry: Vec<RawEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawProviders {
    List(Vec<String>),
    ByAccount(BTreeMap<String, String>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEntry {
    pub(super) effect: Option<Effect>,
    pub(super) arn: Option<String>,
    pub(super) method: Option<Method>,
    pub(super) max_duration_seconds: Option<SessionDuration>,
    pub(super) renew_for_seconds: Option<u32>,
    pub(super) idp: Option<String>,
    pub(super) when: Option<BTreeMap<String, String>>,
    pub(super) launcher: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) tag_keys: Option<Vec<String>>,
    pub(super) job_tag: Option<bool>,
    pub(super) hand_out_tokens: Option<bool>,
    pub(super) expires_at: Option<Value>,
    pub(super) label: Option<String>,
    pub(super) reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRelay {
    pub(super) issuer: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSts {
    pub(super) regions: Option<BTreeMap<String, String>>,
    pub(super) calls_per_second: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    pub(super) idp: Option<String>,
    pub(super) users: Option<Vec<String>>,
    pub(super) when: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTelemetry {
    pub(super) otlp_endpoint: Option<String>,
    pub(super) otlp_headers_file: Option<String>,
    pub(super) sample_ratio: Option<f64>,
    pub(super) service_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAudit {
    pub(super) keep_days: Option<u32>,
    pub(super) copy: Option<String>,
}
