//! `[server.limits]`: what one client, and all together, may ask of the server. `schema` holds the bounds of each key.

use std::num::NonZeroU32;

use super::raw::RawLimits;

/// SDKs try three or four times where a token is wrong.
const BAD_TOKENS: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// A hundred a second: more than a whole company behind one address, when an IdP is set up wrong in the morning. What
/// they leave in the audit has a bound of its own.
const REFUSED_SIGN_INS: NonZeroU32 = NonZeroU32::new(6000).unwrap();
/// In the ten minutes that each stays open, fewer than `open_sign_ins`: one address alone drives nobody out.
const SIGN_IN_STARTS: NonZeroU32 = NonZeroU32::new(6000).unwrap();
/// Ten a second: a hundred and fifty failures a minute of jobs that share a token and whose SDK tries four times.
const REFUSALS_PER_TOKEN: NonZeroU32 = NonZeroU32::new(600).unwrap();
/// About half of those that there are at most: thousands of jobs may come from one address.
const CONNECTIONS_PER_ADDRESS: usize = 4096;

/// `[server.limits]`. README, "Limits", says what a caller sees beyond each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Unknown tokens a minute and address before 429.
    pub bad_tokens_per_minute: NonZeroU32,
    /// Refused sign-ins and logout messages a minute and address before 429.
    pub refused_sign_ins_per_minute: NonZeroU32,
    /// Sign-ins begun a minute and address before 429.
    pub sign_in_starts_per_minute: NonZeroU32,
    /// Refusals (403, 404, 409) a minute and token before 429.
    pub refusals_per_minute_and_token: NonZeroU32,
    /// Sign-ins begun and not yet ended that are kept; beyond that the oldest go.
    pub open_sign_ins: u32,
    /// Connections at once; `None` is what the open files of the process permit.
    pub max_connections: Option<usize>,
    /// Connections at once of one address that is no trusted proxy.
    pub connections_per_address: usize,
    /// Seconds that a client may take to send a whole request.
    pub request_timeout_seconds: u32,
    /// Seconds that a TLS handshake may take.
    pub tls_handshake_timeout_seconds: u32,
    /// Seconds that a client may leave an answer unread.
    pub unread_answer_timeout_seconds: u32,
    /// Seconds that a connection may be idle between two requests.
    pub keep_alive_seconds: u32,
    /// Threads that serve requests; `None` is one for each core.
    pub workers: Option<usize>,
    /// The longest address and headers of a request, in bytes.
    pub max_head_bytes: usize,
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Documents that may wait for a core to be verified on.
    pub verifications_waiting: usize,
    /// Sign-ins whose credentials STS may be asked for at once.
    pub sign_ins_minting: usize,
    /// Seconds that a gateway told to end goes on serving while `/readyz` says 503.
    pub shutdown_delay_seconds: u32,
    /// Seconds that requests under way then have.
    pub shutdown_timeout_seconds: u32,
}

pub(super) fn check(raw: &RawLimits) -> Limits {
    Limits {
        bad_tokens_per_minute: raw.bad_tokens_per_minute.unwrap_or(BAD_TOKENS),
        refused_sign_ins_per_minute: raw.refused_sign_ins_per_minute.unwrap_or(REFUSED_SIGN_INS),
        sign_in_starts_per_minute: raw.sign_in_starts_per_minute.unwrap_or(SIGN_IN_STARTS),
        refusals_per_minute_and_token: raw
            .refusals_per_minute_and_token
            .unwrap_or(REFUSALS_PER_TOKEN),
        open_sign_ins: raw.open_sign_ins.unwrap_or(100_000),
        max_connections: raw.max_connections,
        connections_per_address: raw
            .connections_per_address
            .unwrap_or(CONNECTIONS_PER_ADDRESS),
        request_timeout_seconds: raw.request_timeout_seconds.unwrap_or(10),
        tls_handshake_timeout_seconds: raw.tls_handshake_timeout_seconds.unwrap_or(5),
        unread_answer_timeout_seconds: raw.unread_answer_timeout_seconds.unwrap_or(30),
        keep_alive_seconds: raw.keep_alive_seconds.unwrap_or(5),
        workers: raw.workers,
        max_head_bytes: raw.max_head_bytes.unwrap_or(32_768),
        max_body_bytes: raw.max_body_bytes.unwrap_or(262_144),
        verifications_waiting: raw.verifications_waiting.unwrap_or(256),
        sign_ins_minting: raw.sign_ins_minting.unwrap_or(200),
        shutdown_delay_seconds: raw.shutdown_delay_seconds.unwrap_or(0),
        shutdown_timeout_seconds: raw.shutdown_timeout_seconds.unwrap_or(10),
    }
}
