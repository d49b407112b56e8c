//! `rolegate keys`: rolegate's own SAML key pairs, two of a use at a time for a rollover.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::{Context, Failure, Outcome, local_user, output};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{KeyUse, ServiceKeyId, ServiceKeyRecord, rfc3339};
use crate::saml::ServiceKey;
use crate::store::Store;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a key pair, and publish its certificate in rolegate's metadata
    ///
    /// With a signing key, AuthnRequests are signed and single logout works; with an encryption key,
    /// IdPs can encrypt assertions. To roll a key over: make the second one, let every IdP read
    /// `rolegate metadata` (or /saml/metadata) again, then retire the first. Of two signing keys the older one
    /// signs until it is retired; both encryption keys decrypt.
    Generate {
        /// What it is for: signing or encryption
        #[arg(long = "use", value_name = "USE")]
        usage: KeyUse,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List key pairs, not their private halves
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Destroy a key pair; what is encrypted for it can no longer be read
    Retire {
        /// Its id
        id: ServiceKeyId,
    },
}

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    match command {
        Command::Generate { usage, json } => generate(at, usage, json).await,
        Command::List { json } => list(at, json).await,
        Command::Retire { id } => retire(at, &id).await,
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
    audit(at, store, EventKind::ServiceKeyCreated, &record.id, usage).await?;
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
    let (_, store) = at.store().await?;
    let keys = store.service_keys().await?;
    let shown = keys.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    if json {
        output::json(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &serde_json::Value, field: &str| {
        let text = value.get(field).and_then(serde_json::Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let columns = ["id", "use", "created_at", "not_after", "sha256"];
    let row = |value| columns.map(|column| text(value, column)).to_vec();
    output::table(
        &["ID", "USE", "CREATED", "CERTIFICATE UNTIL", "SHA-256"],
        shown.iter().map(row).collect(),
    );
    Ok(ExitCode::SUCCESS)
}

async fn retire(at: &Context, id: &ServiceKeyId) -> Outcome {
    let (_, store) = at.store().await?;
    let Some(usage) = store.remove_service_key(id).await? else {
        return Err(
            format!("there is no key {id}; `rolegate keys list` shows those there are").into(),
        );
    };
    let left = store.service_keys().await?;
    let last = left.iter().all(|key| key.usage != usage);
    audit(at, store, EventKind::ServiceKeyRetired, id, usage).await?;
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

async fn audit(
    at: &Context,
    store: Store,
    kind: EventKind,
    id: &ServiceKeyId,
    usage: KeyUse,
) -> Result<(), Failure> {
    let event = Event {
        by: Some(local_user()),
        reason: Some(format!("{usage} key {id}")),
        ..Event::new(kind)
    };
    Ok(Recorder::start(store, Arc::clone(&at.world.clock))
        .record(event)
        .await?)
}
