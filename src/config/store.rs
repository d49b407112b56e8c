//! `[store]`, `[session]` and `[leases]`.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::files::{Folder, read};
use super::findings::Findings;
use super::postgres;
use super::problem::ConfigError;
use super::raw::{RawLeases, RawSession, RawStore};
use super::values::{LeaseLimits, SessionLimits, StoreConfig};
use super::warning::Warning;

/// What sqlx would not read as part of a path.
const NOT_IN_PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

const URL: &str = "store.url";
const LISTEN_URL: &str = "store.listen_url";

pub(super) fn check(
    raw: &RawStore,
    folder: &Folder,
    findings: &mut Findings,
) -> Option<StoreConfig> {
    let key_file = raw.master_key_file.as_deref().unwrap_or("rolegate.key");
    if key_file.trim().is_empty() {
        findings.refuse("store.master_key_file", ConfigError::Empty("a path"));
    }
    let master_key_command = key_command(raw, folder, findings);
    let written = text(
        URL,
        raw.url.as_ref(),
        raw.url_file.as_ref(),
        folder,
        findings,
    )
    .ok()?;
    let listen = (&raw.listen_url, &raw.listen_url_file);
    let listen = text(
        LISTEN_URL,
        listen.0.as_ref(),
        listen.1.as_ref(),
        folder,
        findings,
    )
    .ok()?;
    let Written { key, text: url } = written.unwrap_or_else(|| Written {
        key: URL.to_owned(),
        text: "sqlite:rolegate.db".to_owned(),
    });
    if !is_server(&url) {
        if let Some(listen) = &listen {
            findings.refuse(&listen.key, ConfigError::ListenWithoutServer);
        }
        return Some(StoreConfig {
            url: sqlite(&url, &key, folder, findings)?,
            listen_url: None,
            master_key_file: folder.path(key_file),
            master_key_command,
        });
    }
    let url = server(&url, &key, folder, findings);
    let listen_url =
        listen.map(|listen| server(&listen.text, &listen.key, folder, findings).ok_or(Noted));
    Some(StoreConfig {
        url: url?,
        listen_url: listen_url.transpose().ok()?,
        master_key_file: folder.path(key_file),
        master_key_command,
    })
}

/// The command in the place of a key file; a program that is named by a path may be named from the file's folder.
fn key_command(raw: &RawStore, folder: &Folder, findings: &mut Findings) -> Option<Vec<String>> {
    const KEY: &str = "store.master_key_command";
    let mut words = raw.master_key_command.clone()?;
    if raw.master_key_file.is_some() {
        findings.refuse(KEY, ConfigError::Both("master_key_file"));
        return None;
    }
    let Some(program) = words.first_mut().filter(|word| !word.trim().is_empty()) else {
        findings.refuse(KEY, ConfigError::Empty("a program"));
        return None;
    };
    if program.contains('/') {
        let path = folder.path(program);
        let path = findings.take(KEY, path.to_str().ok_or(ConfigError::PathText))?;
        path.clone_into(program);
    }
    Some(words)
}

/// A problem that the findings have already.
struct Noted;

/// A URL, and the key that it is from.
struct Written {
    key: String,
    text: String,
}

/// The value of `key`, or of the file that `{key}_file` names; nothing where neither is there.
fn text(
    key: &str,
    value: Option<&String>,
    file: Option<&String>,
    folder: &Folder,
    findings: &mut Findings,
) -> Result<Option<Written>, Noted> {
    let Some(file) = file else {
        return Ok(value.map(|value| Written {
            key: key.to_owned(),
            text: value.clone(),
        }));
    };
    let file_key = format!("{key}_file");
    if value.is_some() {
        findings.refuse(&file_key, ConfigError::Both(name_of(key)));
        return Err(Noted);
    }
    let path = folder.readable(&file_key, file, findings).ok_or(Noted)?;
    let bytes = findings.take(&file_key, read(&path)).ok_or(Noted)?;
    let text = String::from_utf8(bytes).map_err(|_| ConfigError::StoreUrl);
    let text = findings.take(&file_key, text).ok_or(Noted)?;
    Ok(Some(Written {
        key: file_key,
        text: text.trim().to_owned(),
    }))
}

fn name_of(key: &str) -> &'static str {
    if key == URL { "url" } else { "listen_url" }
}

fn is_server(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// The URL at `key` as the driver is to have it.
fn server(text: &str, key: &str, folder: &Folder, findings: &mut Findings) -> Option<String> {
    let checked = findings.take(key, postgres::check(text, folder))?;
    if let Some(mode) = checked.clear {
        findings.warn(Warning::StoreInTheClear {
            key: key.to_owned(),
            mode,
        });
    }
    Some(checked.text)
}

fn sqlite(url: &str, key: &str, folder: &Folder, findings: &mut Findings) -> Option<String> {
    let database = findings.take(key, sqlite_path(url))?;
    let database_file = folder.path(database);
    if let Some(around) = database_file.parent().filter(|around| !around.is_dir()) {
        findings.refuse(
            key,
            ConfigError::Unreadable {
                path: around.to_owned(),
                reason: "is no folder".to_owned(),
            },
        );
    }
    let text = database_file.to_str().ok_or(ConfigError::PathText);
    let text = findings.take(key, text)?;
    Some(format!("sqlite:{}", utf8_percent_encode(text, NOT_IN_PATH)))
}

/// The path in a SQLite URL.
fn sqlite_path(url: &str) -> Result<&str, ConfigError> {
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
