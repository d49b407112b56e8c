//! `rolegate keys`: rolegate's own key pairs, for SAML and for method relay, with their rollovers, and the master
//! keys that seal the store.

pub(super) mod master;

use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::json;

use super::{Context, Failure, Outcome, local_user, output, relay};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{IdError, KeyUse, RelayKeyId, ServiceKeyId, ServiceKeyRecord, rfc3339};
use crate::saml::ServiceKey;
use crate::store::{MasterKeyId, Store};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a key pair, and publish its certificate in rolegate's metadata
    ///
    /// With a signing key, AuthnRequests are signed and single logout works; with an encryption key,
    /// IdPs can encrypt assertions. To roll a key over: make the second one, let every IdP read
    /// `rolegate metadata` (or /saml/metadata) again, then retire the first. Of two signing keys the older one
    /// signs until it is retired; both encryption keys decrypt.
    ///
    /// With relay, the next key of the OIDC issuer that method relay is: it is published at once and signs
    /// 24 hours later. The first one, and where rolegate publishes them itself the next ones, make themselves.
    Generate {
        /// What it is for: signing, encryption or relay
        #[arg(long = "use", value_name = "USE")]
        usage: Use,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have another master key seal the store, and seal everything anew under it
    ///
    /// It takes the last key of `store.master_key_file`, or of what `store.master_key_command` prints, that the store
    /// has not seen yet; where the file has none, it makes one and adds it. Every running gateway must have the new
    /// key. A rotation that was cut short goes on.
    Rotate {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List master keys, and key pairs without their private halves
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Destroy a key pair, or forget a master key that seals nothing any more
    ///
    /// What is encrypted for a key pair can no longer be read. A relay key is no longer published either, and the one
    /// beside it signs at once. A master key that anything is sealed under stays.
    Retire {
        /// Its id
        id: KeyId,
    },
}

/// What a key pair is for.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Saml(KeyUse),
    Relay,
}

impl FromStr for Use {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "relay" {
            return Ok(Self::Relay);
        }
        let usage = text.parse().map(Self::Saml);
        usage.map_err(|_| "write signing, encryption or relay".to_owned())
    }
}

/// Which key pair.
#[derive(Clone)]
pub(super) enum KeyId {
    Saml(ServiceKeyId),
    Relay(RelayKeyId),
    Master(MasterKeyId),
}

impl FromStr for KeyId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(master) = text.parse() {
            return Ok(Self::Master(master));
        }
        let relay = text.parse().map(Self::Relay);
        relay
            .or_else(|_| text.parse().map(Self::Saml))
            .map_err(|_: IdError| {
                "write an ID as `rolegate keys list` shows it: mk_ and eight digits, key_... or rky_..."
                    .to_owned()
            })
    }
}

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    match command {
        Command::Generate { usage, json } => match usage {
            Use::Saml(usage) => generate(at, usage, json).await,
            Use::Relay => relay::generate(at, json).await,
        },
        Command::Rotate { json } => master::rotate(at, json).await,
        Command::List { json } => list(at, json).await,
        Command::Retire { id } => match id {
            KeyId::Saml(id) => retire(at, &id).await,
            KeyId::Relay(id) => relay::retire(at, &id).await,
            KeyId::Master(id) => master::retire(at, id).await,
        },
    }
}

async fn generate(at: &Context, usage: KeyUse, json: bool) -> Outcome {
    let (config, store) = at.store().await?;
    let now = at.world.clock.now();
    let host = config.server.public_url.host_str().unwrap_or("rolegate");
    let key = ServiceKey::generate(host, now)?;
    let record = ServiceKeyRecord {
        id: ServiceKeyId::fresh(&*at.world.clock, &*at.world.entropy),
        usage,
        private_key: key.private_pem()?,
        certificate: key.certificate_pem()?,
        created_at: now,
        not_after: key.not_after(),
    };
    store.add_service_key(&record).await?;
    let what = format!("{usage} key {}", record.id);
    audit(at, store, EventKind::ServiceKeyCreated, what).await?;
    if json {
        output::json(&shown(&record)?)?;
    } else {
        output::line(record.id.as_str());
    }
    output::note(&format!(
        "give every IdP the new metadata: `rolegate metadata`, or {}/saml/metadata",
        config.server.public_url()
    ));
    Ok(ExitCode::SUCCESS)
}

async fn list(at: &Context, json: bool) -> Outcome {
    let store = at.existing_store().await?;
    let keys = store.service_keys().await?;
    let mut shown = keys.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    shown.extend(store.relay_keys().await?.iter().map(relay::shown));
    shown.extend(master::shown(&store).await?);
    if json {
        output::json(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &serde_json::Value, field: &str| {
        let text = value.get(field).and_then(serde_json::Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let columns = [
        "id",
        "use",
        "state",
        "created_at",
        "signs_from",
        "not_after",
        "sha256",
    ];
    let row = |value| columns.map(|column| text(value, column)).to_vec();
    output::table(
        &[
            "ID",
            "USE",
            "STATE",
            "CREATED",
            "SIGNS FROM",
            "UNTIL",
            "SHA-256",
        ],
        shown.iter().map(row).collect(),
    );
    Ok(ExitCode::SUCCESS)
}

async fn retire(at: &Context, id: &ServiceKeyId) -> Outcome {
    let store = at.existing_store().await?;
    let Some(usage) = store.remove_service_key(id).await? else {
        return Err(
            format!("there is no key {id}; `rolegate keys list` shows those there are").into(),
        );
    };
    let left = store.service_keys().await?;
    let last = left.iter().all(|key| key.usage != usage);
    let what = format!("{usage} key {id}");
    audit(at, store, EventKind::ServiceKeyRetired, what).await?;
    output::line(&format!("{id} is retired"));
    if last {
        output::note(match usage {
            KeyUse::Signing => {
                "no signing key is left: requests are not signed, single logout is off"
            }
            KeyUse::Encryption => "no encryption key is left: encrypted assertions are refused",
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(record: &ServiceKeyRecord) -> Result<serde_json::Value, Failure> {
    let key = ServiceKey::from_pem(&record.private_key, &record.certificate)?;
    Ok(json!({
        "id": record.id,
        "use": record.usage,
        "created_at": rfc3339(record.created_at),
        "not_after": rfc3339(record.not_after),
        "sha256": key.certificate_sha256()?,
    }))
}

pub(super) async fn audit(
    at: &Context,
    store: Store,
    kind: EventKind,
    what: String,
) -> Result<(), Failure> {
    let event = Event {
        by: Some(local_user()),
        reason: Some(what),
        ..Event::new(kind)
    };
    Ok(Recorder::start(store, Arc::clone(&at.world.clock))
        .record(event)
        .await?)
}
