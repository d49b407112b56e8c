//! `[telemetry]`: where traces go.
//!
//! Judges spelling, and that the file of headers can be sent; never asks the collector. The variables of
//! OpenTelemetry's own SDKs (`OTEL_...`) are not ours and count for nothing.

use std::path::{Path, PathBuf};

use url::Url;

use crate::model::Secret;

use super::files::{Folder, read};
use super::findings::Findings;
use super::problem::ConfigError;
use super::raw::RawTelemetry;
use super::urls;

const ENDPOINT: &str = "telemetry.otlp_endpoint";
const HEADERS: &str = "telemetry.otlp_headers_file";
const NAME: &str = "telemetry.service_name";

/// Jobs fetch often, and one fetch is as the other.
const SAMPLE_RATIO: f64 = 0.1;
const SERVICE_NAME: &str = "rolegate";
/// Where a collector takes traces (OTLP 1.x, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";

/// Enough for every collector; more is another file than was meant.
const MAX_FILE_BYTES: usize = 16 * 1024;
const MAX_NAME: usize = 256;

/// `[telemetry]` with an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Where spans are posted, `/v1/traces` included: https, or http on loopback.
    pub endpoint: Url,
    /// A file of secret headers that was good at start; ask [`Telemetry::headers()`].
    pub headers_file: Option<PathBuf>,
    /// The share of traces that is sent, from 0 to 1.
    pub sample_ratio: f64,
    /// What rolegate is called there.
    pub service_name: String,
}

pub(super) fn check(
    raw: Option<RawTelemetry>,
    folder: &Folder,
    findings: &mut Findings,
) -> Option<Telemetry> {
    let raw = raw?;
    let headers_file = raw
        .otlp_headers_file
        .and_then(|file| headers_file(&file, folder, findings));
    let service_name = raw.service_name.unwrap_or_else(|| SERVICE_NAME.to_owned());
    if !is_name(&service_name) {
        let what = "the name of this gateway in traces";
        findings.refuse(NAME, ConfigError::NotPrintable(what));
    }
    let Some(text) = raw.otlp_endpoint else {
        let error = ConfigError::Missing("otlp_endpoint = \"https://collector.example.org:4318\"");
        findings.refuse(ENDPOINT, error);
        return None;
    };
    Some(Telemetry {
        endpoint: findings.take(ENDPOINT, endpoint(&text))?,
        headers_file,
        sample_ratio: raw.sample_ratio.unwrap_or(SAMPLE_RATIO),
        service_name,
    })
}

fn endpoint(text: &str) -> Result<Url, ConfigError> {
    const EXAMPLE: &str = "https://collector.example.org:4318";
    let mut url = urls::https_or_loopback(text, EXAMPLE)?;
    let path = url.path().trim_end_matches('/');
    if path.ends_with(PATH) {
        return Err(ConfigError::Url {
            reason: "it ends in /v1/traces, which is added to it",
            example: EXAMPLE,
        });
    }
    let path = format!("{path}{PATH}");
    url.set_path(&path);
    Ok(url)
}

fn headers_file(file: &str, folder: &Folder, findings: &mut Findings) -> Option<PathBuf> {
    let path = folder.readable(HEADERS, file, findings)?;
    findings.take(HEADERS, headers(&path))?;
    Some(path)
}

fn is_name(text: &str) -> bool {
    let fits = (1..=MAX_NAME).contains(&text.len()) && text.trim() == text;
    fits && !text.chars().any(char::is_control)
}

impl Telemetry {
    /// The headers to send, as they are now: the file is read again each time, so that a new key counts without a
    /// restart.
    pub fn headers(&self) -> Result<Vec<(String, Secret)>, ConfigError> {
        self.headers_file
            .as_deref()
            .map_or_else(|| Ok(Vec::new()), headers)
    }
}

/// A header a line; empty lines and those that begin with `#` do not count.
fn headers(path: &Path) -> Result<Vec<(String, Secret)>, ConfigError> {
    let refused = |reason: &'static str| ConfigError::HeadersFile {
        path: path.to_owned(),
        reason,
    };
    let bytes = read(path)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(refused("it has more than 16 KiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("it is no text"))?;
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| header(line).map_err(refused))
        .collect()
}

/// RFC 9110, 5.1 and 5.5.
fn header(line: &str) -> Result<(String, Secret), &'static str> {
    let (name, value) = line.split_once(':').ok_or("a line has no colon")?;
    let (name, value) = (name.trim_end(), value.trim_start());
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err("the name of a header is none");
    }
    let seen = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if value.is_empty() || !value.bytes().all(seen) {
        return Err("the value of a header is empty, or more than printable ASCII");
    }
    let framing = [
        "host",
        "content-type",
        "content-length",
        "transfer-encoding",
    ];
    if framing.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err("a header is one that is set by the sending itself");
    }
    Ok((name.to_owned(), Secret::new(value.to_owned())))
}
