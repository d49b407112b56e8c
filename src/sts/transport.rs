//! How the SDK reaches AWS: one HTTP client, made on first use, and clients that sign nothing.
//!
//! Trusts the system's authorities (or those of `SSL_CERT_FILE`) for TLS. Never reads `~/.aws`, never
//! looks for credentials, never retries by itself: what is retried is this room's own decision.

use std::time::Duration;

use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::config::{
    BehaviorVersion, Builder, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// The HTTP client for `urls`. Reading the system's authorities takes time and memory, so it is not
/// done where every URL is plain `http` (loopback).
pub(super) fn http_client(urls: &[Option<&str>]) -> SharedHttpClient {
    let plain = |url: Option<&str>| url.is_some_and(|url| url.starts_with("http://"));
    if urls.iter().copied().all(plain) {
        return HttpBuilder::new().build_http();
    }
    HttpBuilder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// What every client of this room has in common; no credentials are in it.
pub(super) fn config(
    http: SharedHttpClient,
    region: String,
    endpoint: Option<&str>,
    attempt_timeout: Duration,
) -> Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(attempt_timeout / 2)
        .operation_attempt_timeout(attempt_timeout)
        .build();
    let mut builder = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(Region::new(region))
        .sleep_impl(TokioSleep::new())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        // An answer of STS is a few kilobytes; the attempt's own limit bounds it.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    builder.set_endpoint_url(endpoint.map(str::to_owned));
    builder
}
