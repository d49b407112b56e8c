//! `[store]`, `[session]` and `[leases]`.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::files::Folder;
use super::findings::Findings;
use super::problem::ConfigError;
use super::raw::{RawLeases, RawSession, RawStore};
use super::values::{LeaseLimits, SessionLimits, StoreConfig};

/// What sqlx would not read as part of a path.
const NOT_IN_PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

pub(super) fn check(
    raw: &RawStore,
    folder: &Folder,
    findings: &mut Findings,
) -> Option<StoreConfig> {
    const URL: &str = "store.url";
    if raw.listen_url.is_some() {
        findings.refuse(
            "store.listen_url",
            ConfigError::NotInThisVersion {
                key: "store.listen_url",
                mend: "remove it; it belongs to PostgreSQL",
            },
        );
    }
    let key_file = raw.master_key_file.as_deref().unwrap_or("rolegate.key");
    if key_file.trim().is_empty() {
        findings.refuse("store.master_key_file", ConfigError::Empty("a path"));
    }
    let url = raw.url.as_deref().unwrap_or("sqlite:rolegate.db");
    let database = findings.take(URL, sqlite_path(url))?;
    let database_file = folder.path(database);
    if let Some(around) = database_file.parent().filter(|around| !around.is_dir()) {
        findings.refuse(
            URL,
            ConfigError::Unreadable {
                path: around.to_owned(),
                reason: "is no folder".to_owned(),
            },
        );
    }
    let text = database_file.to_str().ok_or(ConfigError::PathText);
    let text = findings.take(URL, text)?;
    Some(StoreConfig {
        url: format!("sqlite:{}", utf8_percent_encode(text, NOT_IN_PATH)),
        master_key_file: folder.path(key_file),
        database_file,
    })
}

/// The path in a SQLite URL.
fn sqlite_path(url: &str) -> Result<&str, ConfigError> {
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return Err(ConfigError::NotInThisVersion {
            key: "PostgreSQL as store.url",
            mend: "write sqlite:rolegate.db",
        });
    }
    let path = url.strip_prefix("sqlite:").ok_or(ConfigError::StoreUrl)?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.starts_with(":memory:") || path.contains("mode=memory") {
        return Err(ConfigError::StoreInMemory);
    }
    if path.is_empty() || path.contains(['?', '#']) || path.ends_with('/') {
        return Err(ConfigError::StoreUrl);
    }
    Ok(path)
}

pub(super) fn session(raw: &RawSession) -> SessionLimits {
    SessionLimits {
        max_age_seconds: raw.max_age_seconds.unwrap_or(43_200),
    }
}

pub(super) fn leases(raw: &RawLeases, findings: &mut Findings) -> LeaseLimits {
    let max_ttl_seconds = raw.max_ttl_seconds.unwrap_or(2_592_000);
    // A maximum below the usual default lowers the default too; one that was written must fit.
    let default_ttl_seconds = raw
        .default_ttl_seconds
        .unwrap_or_else(|| max_ttl_seconds.min(86_400));
    if default_ttl_seconds > max_ttl_seconds {
        findings.refuse(
            "leases.default_ttl_seconds",
            ConfigError::AboveMaximum(max_ttl_seconds),
        );
    }
    LeaseLimits {
        default_ttl_seconds,
        max_ttl_seconds,
    }
}
