//! URLs of the configuration: what may be http, and what may stand in one.

use std::net::IpAddr;

use url::{Host, Url};

use super::problem::ConfigError;

const PUBLIC: &str = "https://gate.example.org";

fn refused(reason: &'static str, example: &'static str) -> ConfigError {
    ConfigError::Url { reason, example }
}

/// Whether the URL's host is this machine alone.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// An http or https URL without user, query and fragment.
pub(super) fn plain(text: &str, example: &'static str) -> Result<Url, ConfigError> {
    let url = with_query(text, example)?;
    if url.query().is_some() {
        return Err(refused("it has a query", example));
    }
    Ok(url)
}

fn with_query(text: &str, example: &'static str) -> Result<Url, ConfigError> {
    let url = Url::parse(text).map_err(|_| refused("it cannot be read", example))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("it is neither http nor https", example));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it names a user", example));
    }
    if url.fragment().is_some() {
        return Err(refused("it has a fragment", example));
    }
    Ok(url)
}

/// `metadata_url`: https, or http on loopback, with a query perhaps (Entra ID names the application there).
pub(super) fn metadata(text: &str) -> Result<Url, ConfigError> {
    loopback_or_https(with_query(text, "https://idp.example.org/metadata")?)
}

/// As [`plain`], and http on loopback alone.
pub(super) fn https_or_loopback(text: &str, example: &'static str) -> Result<Url, ConfigError> {
    loopback_or_https(plain(text, example)?)
}

fn loopback_or_https(url: Url) -> Result<Url, ConfigError> {
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(ConfigError::HttpUrl);
    }
    Ok(url)
}

/// `server.public_url`: https, or http on loopback, with a path perhaps.
pub(super) fn public(text: &str) -> Result<Url, ConfigError> {
    let mut url = https_or_loopback(text, PUBLIC)?;
    let path = url.path().trim_end_matches('/').to_owned();
    if path.contains("//") {
        return Err(refused("its path has an empty part", PUBLIC));
    }
    url.set_path(&path);
    Ok(url)
}

/// An origin, `scheme://host[:port]`, as browsers write it.
pub(super) fn origin(text: &str) -> Result<String, ConfigError> {
    const EXAMPLE: &str = "https://platform.example.org, without a path";
    let url = https_or_loopback(text, EXAMPLE)?;
    if url.path() != "/" {
        return Err(refused("it has a path", EXAMPLE));
    }
    Ok(url.origin().ascii_serialization())
}
