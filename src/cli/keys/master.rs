//! The master keys by command: another one takes over, everything is sealed anew, the former one is retired.
//!
//! What is done to the store is the store's; here is the order of things, the waiting for gateways, and what the
//! operator has to know. Never shows a key, only its id.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::super::{Context, Failure, Outcome, output};
use super::audit;
use crate::app;
use crate::audit::EventKind;
use crate::config::Config;
use crate::model::rfc3339;
use crate::store::{
    GatewayRow, KeySource, MasterKey, MasterKeyId, MasterKeyRow, MasterKeyState, RotateError,
    Store, StoreError,
};

/// How long gateways may take to read a new key: a file is read again within ten seconds of a change.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(250);

/// By when gateways have heard which key seals: they ask four times a second.
const HEARD: Duration = Duration::from_secs(1);

/// Values that are sealed anew in one transaction: other writers wait for no more than that.
const BATCH: u32 = 200;
/// Batches between two words of how far it got.
const TELL: u64 = 25;
/// Batches that may fail in a row: the store may be busy, or away for a moment.
const FAILURES: u32 = 5;

/// `keys rotate`
pub(super) async fn rotate(at: &Context, as_json: bool) -> Outcome {
    let store = at.existing_store().await?;
    let next = store.next_master_key().await?;
    let unfinished = next.is_none() && is_unfinished(&store).await?;
    let (mut made, mut rotated) = (false, false);
    if unfinished {
        output::note("the rotation before was cut short and goes on; no other key takes over");
    } else {
        let next = if let Some(id) = next {
            id
        } else {
            made = true;
            add(at, &store).await?
        };
        take_over(&store, next).await?;
        rotated = true;
        let what = format!("master key {next}");
        audit(at, store.clone(), EventKind::MasterKeyRotated, what).await?;
    }
    let mut values = reseal(&store).await?;
    if !store.gateways().await?.is_empty() {
        // What they sealed under the former key before they heard of the new one is found by then.
        sleep(HEARD).await;
        values += reseal(&store).await?;
    }
    let done = Done {
        made,
        rotated,
        values,
    };
    tell(&store, done, as_json).await
}

/// What a rotation came to.
struct Done {
    /// Whether the key was made by it.
    made: bool,
    /// Whether it took over.
    rotated: bool,
    /// Values that were sealed anew.
    values: u64,
}

async fn tell(store: &Store, done: Done, as_json: bool) -> Outcome {
    let keys = store.master_keys().await?;
    let mut former = Vec::new();
    for key in with_state(&keys, MasterKeyState::Former) {
        former.push((key.id, store.sealed_under(key.id).await?));
    }
    store.close().await;
    let current = with_state(&keys, MasterKeyState::Current).next();
    let current = current.ok_or("the store names no current master key")?;
    if as_json {
        output::json(&json!({
            "id": current.id.to_string(),
            "made": done.made,
            "rotated": done.rotated,
            "former": former.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>(),
            "resealed": done.values,
        }))?;
    } else {
        output::line(&current.id.to_string());
    }
    let values = done.values;
    output::note(&format!("{values} values are sealed anew under it"));
    for (id, left) in former {
        output::note(&if left == 0 {
            format!(
                "{id} seals nothing any more; `rolegate keys retire {id}` forgets it. Backups made before now need it: keep it with them"
            )
        } else {
            format!(
                "{left} values are still sealed under {id}; running gateways go on, and so does `rolegate keys rotate`"
            )
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn with_state(keys: &[MasterKeyRow], state: MasterKeyState) -> impl Iterator<Item = &MasterKeyRow> {
    keys.iter().filter(move |key| key.state == state)
}

/// Whether something is sealed under a former key yet.
async fn is_unfinished(store: &Store) -> Result<bool, StoreError> {
    for key in with_state(&store.master_keys().await?, MasterKeyState::Former) {
        if store.sealed_under(key.id).await? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes a key and adds it to the file.
async fn add(at: &Context, store: &Store) -> Result<MasterKeyId, Failure> {
    let source = store.master_key_source();
    let Some(id) = source.add_key()? else {
        return Err(format!(
            "{source} prints no key that the store has not seen yet; add one to what it prints, e.g. of `openssl rand -base64 32`, on a line of its own, then repeat"
        )
        .into());
    };
    store.reread_master_keys().await?;
    let what = format!("master key {id}");
    audit(at, store.clone(), EventKind::MasterKeyAdded, what).await?;
    output::note(&format!("{id} is made and added to {source}"));
    Ok(id)
}

/// Has the key take over once every gateway at work has it; waits a while for those that lack it.
async fn take_over(store: &Store, id: MasterKeyId) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        match store.rotate_master_key(id).await {
            Ok(()) => return Ok(()),
            Err(RotateError::NotHeld { gateways, .. }) if Instant::now() >= end => {
                return Err(lacking(store.master_key_source(), id, &gateways));
            }
            Err(RotateError::NotHeld { .. }) => sleep(LOOK).await,
            Err(other) => return Err(other.into()),
        }
    }
}

fn lacking(source: &KeySource, id: MasterKeyId, gateways: &[GatewayRow]) -> Failure {
    let hosts: Vec<String> = gateways
        .iter()
        .map(|gateway| {
            let (host, version) = (&gateway.host, &gateway.version);
            let heard = rfc3339(gateway.heard_at);
            format!("{host} (rolegate {version}, heard from at {heard})")
        })
        .collect();
    let mend = if let KeySource::File(path) = source {
        let path = path.display();
        format!(
            "copy {path} to each, where it is read again within 10 s, or wait until each has it where a secret is mounted there"
        )
    } else {
        "let the command there print the key too; it is asked again every minute and at SIGHUP"
            .to_owned()
    };
    Failure(format!(
        "gateways at work lack the master key {id}, so nothing was changed in the store: {}; {mend}, then repeat `rolegate keys rotate`",
        hosts.join(", ")
    ))
}

/// Seals everything anew that is under a former key; says how much that was.
async fn reseal(store: &Store) -> Result<u64, Failure> {
    let mut total = 0;
    for key in with_state(&store.master_keys().await?, MasterKeyState::Former) {
        total += store.sealed_under(key.id).await?;
    }
    let (mut done, mut batches, mut failures) = (0, 0_u64, 0);
    loop {
        match store.reseal_step(BATCH).await {
            Ok(0) => return Ok(done),
            Ok(values) => {
                (done, batches, failures) = (done + values, batches + 1, 0);
                if batches.is_multiple_of(TELL) {
                    output::note(&format!("{done} of {total} values are sealed anew"));
                }
            }
            Err(StoreError::Unavailable(_)) if failures < FAILURES => {
                failures += 1;
                sleep(LOOK).await;
            }
            Err(error) => {
                return Err(Failure(format!(
                    "{error}. The new master key seals from now on, but {done} of {total} values are sealed anew as yet: running gateways go on, and so does `rolegate keys rotate`"
                )));
            }
        }
    }
}

/// `keys retire`
pub(super) async fn retire(at: &Context, id: MasterKeyId) -> Outcome {
    let store = at.existing_store().await?;
    if store.retire_master_key(id).await? {
        let what = format!("master key {id}");
        audit(at, store.clone(), EventKind::MasterKeyRetired, what).await?;
    }
    output::line(&format!("{id} is retired"));
    let source = store.master_key_source();
    match source.remove_key(id) {
        Ok(Some(true)) => output::note(&format!(
            "its line is gone from {source}; take it out on the other hosts too"
        )),
        Ok(Some(false)) => {}
        Ok(None) => output::note(&format!("take it out of what {source} prints")),
        Err(error) => output::note(&format!(
            "its line is still there: {error}; or take it out yourself"
        )),
    }
    output::note("backups made before the rotation need it: keep it with them, or let them go");
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// The master keys as `keys list` shows them: those that the store has seen, then those that it has not.
pub(super) async fn shown(store: &Store) -> Result<Vec<Value>, StoreError> {
    let (known, held) = (store.master_keys().await?, store.held_master_keys());
    let mut shown = Vec::new();
    for key in &known {
        let left = match key.state {
            MasterKeyState::Former => Some(store.sealed_under(key.id).await?),
            MasterKeyState::Current | MasterKeyState::Retired => None,
        };
        shown.push(json!({
            "id": key.id.to_string(),
            "use": "master",
            "state": key.state.as_str(),
            "created_at": rfc3339(key.created_at),
            "replaced_at": key.replaced_at.map(rfc3339),
            "retired_at": key.retired_at.map(rfc3339),
            "sealed": left,
        }));
    }
    let is_new = |id: &&MasterKeyId| known.iter().all(|key| key.id != **id);
    shown.extend(
        held.iter()
            .filter(is_new)
            .map(|id| json!({ "id": id.to_string(), "use": "master", "state": "next" })),
    );
    Ok(shown)
}

/// Says what is wrong with the master keys, or will be. `store` cannot be written; there is none where the database
/// is not made yet, or is of an older version.
pub(in crate::cli) async fn check(config: &Config, store: Option<&Store>) -> Result<(), Failure> {
    let source = app::key_source(config);
    let Some(store) = store else {
        // A file that is not there yet is made with the database.
        if source.stamp().is_some() || config.store.master_key_command.is_some() {
            source.read().await?;
        }
        return Ok(());
    };
    let known = store.master_keys().await?;
    let written: Vec<MasterKeyId> = source.read().await?.iter().map(MasterKey::id).collect();
    for key in &known {
        let id = key.id;
        match key.state {
            MasterKeyState::Former if store.sealed_under(id).await? > 0 => output::note(&format!(
                "warning: values are still sealed under the former master key {id}; a running gateway seals them anew, and so does `rolegate keys rotate`"
            )),
            MasterKeyState::Former => output::note(&format!(
                "note: nothing is sealed under the former master key {id}; `rolegate keys retire {id}` forgets it"
            )),
            MasterKeyState::Retired if written.contains(&id) => output::note(&format!(
                "note: the master key {id} is retired; take its line out of {source}, and keep it only with backups from before"
            )),
            MasterKeyState::Current | MasterKeyState::Retired => {}
        }
    }
    if let Some(id) = store.next_master_key().await? {
        output::note(&format!(
            "note: the master key {id} of {source} is not in use; `rolegate keys rotate` has it take over"
        ));
    }
    for gateway in store.gateways().await? {
        let lacks = |key: &&MasterKeyRow| {
            key.state != MasterKeyState::Retired && !gateway.keys.contains(&key.id)
        };
        for key in known.iter().filter(lacks) {
            output::note(&format!(
                "warning: the gateway on {} lacks the master key {}; copy the key file there",
                gateway.host, key.id
            ));
        }
    }
    Ok(())
}
