//! `rolegate relay export`, and what `rolegate keys` does with the keys of method relay.
//!
//! Works on the store alone, beside a running gateway or without one. Writes public halves of keys only.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use url::Url;

use super::{Context, Failure, Outcome, keys, local_user, output};
use crate::app;
use crate::audit::{EventKind, Recorder};
use crate::config::Config;
use crate::flow::RelayKeys;
use crate::model::{RELAY_KEYS_STAY, RelayKeyId, RelayKeyRecord, rfc3339};
use crate::store::Store;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Write the two documents that AWS reads of the issuer, for a bucket that is reached in its place
    ///
    /// The files come to stand under DIR as the issuer's URL has them: `.well-known/openid-configuration` and
    /// `.well-known/jwks.json`, below the URL's path if it has one. The key that signs next is in them too.
    Export {
        /// The folder, made where it is missing
        dir: PathBuf,
    },
}

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    match command {
        Command::Export { dir } => export(at, &dir).await,
    }
}

async fn relay_keys(at: &Context, config: &Config, store: &Store) -> Result<RelayKeys, Failure> {
    let recorder = Recorder::start(store.clone(), Arc::clone(&at.world.clock));
    Ok(app::relay_keys(config, &at.world, store, &recorder).await?)
}

async fn export(at: &Context, dir: &Path) -> Outcome {
    let (config, store) = at.store().await?;
    let keys = relay_keys(at, &config, &store).await?;
    keys.prepare().await?;
    let url = Url::parse(keys.issuer())?;
    // Never out of DIR: the URL was checked, and Url has resolved every dot segment.
    let folder = dir.join(url.path().trim_matches('/')).join(".well-known");
    std::fs::create_dir_all(&folder).map_err(|error| not_written(&folder, &error))?;
    for (name, text) in [
        ("openid-configuration", keys.configuration()),
        ("jwks.json", keys.jwks()),
    ] {
        let path = folder.join(name);
        write(&folder, &path, &text).map_err(|error| not_written(&path, &error))?;
        output::line(&format!(
            "{} -> {}/.well-known/{name}",
            path.display(),
            keys.issuer()
        ));
    }
    output::note(
        "upload both, public, with Content-Type application/json and Cache-Control max-age=300; AWS reads them without credentials",
    );
    if url.scheme() != "https" {
        output::note(
            "AWS takes an https issuer without port alone: set server.public_url or relay.issuer and export again before uploading",
        );
    }
    let now = at.world.clock.now();
    let records = store.relay_keys().await?;
    if let Some(next) = records.last().filter(|key| now < key.signs_from) {
        let from = rfc3339(next.signs_from);
        output::note(&format!(
            "{} signs from {from}: upload before then",
            next.id
        ));
    }
    if config.publishes_relay_keys() {
        output::note(
            "rolegate answers at this URL itself, as relay.issuer is server.public_url; a bucket needs relay.issuer set to its URL",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Whole or not at all: whoever uploads in the middle must not publish half a file.
fn write(folder: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let readable = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    Failure(format!(
        "{}: {error}; give a folder that can be written",
        path.display()
    ))
}

/// `keys generate --use relay`
pub(super) async fn generate(at: &Context, as_json: bool) -> Outcome {
    let (config, store) = at.store().await?;
    let keys = relay_keys(at, &config, &store).await?;
    let id = keys.rotate(Some(local_user())).await?;
    let records = store.relay_keys().await?;
    let made = records.iter().find(|key| key.id == id);
    if as_json {
        output::json(&made.map(shown))?;
    } else {
        output::line(id.as_str());
    }
    let from = made.map_or_else(String::new, |key| rfc3339(key.signs_from));
    output::note(&format!("it signs from {from}"));
    if !config.publishes_relay_keys() {
        output::note(&format!(
            "before then, run `rolegate relay export DIR` and upload what it writes to {}",
            config.relay.issuer
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// `keys retire`
pub(super) async fn retire(at: &Context, id: &RelayKeyId) -> Outcome {
    let (config, store) = at.existing().await?;
    if !store.remove_relay_key(id).await? {
        return Err(
            format!("there is no key {id}; `rolegate keys list` shows those there are").into(),
        );
    }
    let left = store.relay_keys().await?;
    let what = format!("relay key {id}");
    keys::audit(at, store, EventKind::ServiceKeyRetired, what).await?;
    output::line(&format!("{id} is retired"));
    match left.last() {
        Some(key) => output::note(&format!("{} signs from now on", key.id)),
        None => output::note("the next key is made when it is first needed, and signs at once"),
    }
    output::note(
        "AWS may go on to take tokens of the retired key until it reads the issuer's keys again; they live 5 minutes",
    );
    if !config.publishes_relay_keys() {
        output::note(&format!(
            "run `rolegate relay export DIR` and upload what it writes to {}",
            config.relay.issuer
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// A key as `keys list` shows it.
pub(super) fn shown(key: &RelayKeyRecord) -> Value {
    let until = key.retired_at.map(|at| rfc3339(at + RELAY_KEYS_STAY));
    json!({
        "id": key.id,
        "use": "relay",
        "created_at": rfc3339(key.created_at),
        "signs_from": rfc3339(key.signs_from),
        "not_after": until,
    })
}
