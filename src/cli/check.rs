//! `rolegate check`: whether `serve` would start, and what cannot work. Changes nothing.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::keys::master;
use super::{Context, Failure, Outcome, output};
use crate::app;
use crate::config::{AuditCopy, Config, Warning};
use crate::flow::KeyRing;
use crate::model::{Effect, Entry, Method, RELAY_KEY_AGES, rfc3339};
use crate::oidc::authorize;
use crate::saml::metadata::Nearness;
use crate::store::{Looked, Store, database_exists, listening_problem};

pub(super) async fn run(at: &Context) -> Outcome {
    let mut config = at.config()?;
    let looked = app::look_at_store(&config, &at.world).await?;
    let store = match &looked {
        Looked::Ready(store) => Some(store),
        Looked::Older => {
            output::note(OLDER);
            config.warnings.retain(may_stay_unseen);
            None
        }
        Looked::NotMade => None,
    };
    if let Some(store) = store {
        settle(&mut config, store).await?;
    }
    for warning in &config.warnings {
        let kind = if warning.is_note() { "note" } else { "warning" };
        output::note(&format!("{kind}: {warning}"));
    }
    if config.store.master_key_command.is_none() {
        warn_of_open_key(&config.store.master_key_file);
    }
    master::check(&config, store).await?;
    warn_of_deafness(&config).await;
    let ring = match store {
        Some(store) => of_store(&config, at, store).await?,
        None => KeyRing::default(),
    };
    idps(&config, at, store, &ring).await?;
    if let Some(store) = store {
        store.close().await;
    }
    providers(&config, at).await?;
    warn_of_copy(&config);
    output::line(&format!(
        "ACS (and Recipient, Destination): {}",
        config.acs_url()
    ));
    output::line(&format!(
        "SP entity ID (Audience): {}",
        config.saml.entity_id
    ));
    output::line(&format!("{} is good", config.path.display()));
    Ok(ExitCode::SUCCESS)
}

const OLDER: &str = "note: store.url: the schema is of an older version; it is brought up to date at the next start or by `rolegate store migrate`, and what is in the store was not looked at";

const EARLY: &str = "warning: store.url: synchronous_commit is off for this user or database; rolegate sets it to on for what it writes, whatever else writes there may lose it in a crash; set it to on, for instance with ALTER ROLE";

/// What the entries of a store that cannot be read may settle is not warned of.
fn may_stay_unseen(warning: &Warning) -> bool {
    !matches!(warning, Warning::NoEntry)
}

/// What there is to say of the store, and our own key pairs in it.
async fn of_store(config: &Config, at: &Context, store: &Store) -> Result<KeyRing, Failure> {
    if store.acknowledges_early().await? {
        output::note(EARLY);
    }
    relay(config, at, store).await?;
    certificates(config, at, store).await?;
    keys(at, store).await
}

/// Tokens that count with a client's certificate alone, where no client is asked for one.
async fn certificates(config: &Config, at: &Context, store: &Store) -> Result<(), Failure> {
    if config.server.asks_for_certificates() {
        return Ok(());
    }
    let now = at.world.clock.now();
    for token in store.tokens().await? {
        if token.is_live(now)
            && let Some(needed) = &token.certificate_subject
        {
            let (role, name, id) = (token.role, &token.name, &token.id);
            output::note(&format!(
                "warning: server.tls.client_ca_file: {role} {name} ({id}) counts with the client certificate {needed}, and no client is asked for one, so it counts nowhere; set it, which needs rolegate to speak TLS itself, or revoke {id}"
            ));
        }
    }
    Ok(())
}

/// The master key opens every sealed secret: only its owner should read it.
fn warn_of_open_key(file: &Path) {
    let about = std::fs::metadata(file);
    if about.is_ok_and(|about| is_open(about.mode(), about.uid(), is_our_group(about.gid()))) {
        let file = file.display();
        output::note(&format!(
            "warning: store.master_key_file: others may read {file}, which opens every secret of the store; run `chmod 600 {file}`"
        ));
    }
}

/// Whether others than the gateway may read or change the file. One of root's that the process's own group may read is
/// how Kubernetes mounts a secret.
fn is_open(mode: u32, owner: u32, ours: bool) -> bool {
    let allowed = if owner == 0 && ours { 0o040 } else { 0 };
    mode & 0o077 & !allowed != 0
}

fn is_our_group(group: u32) -> bool {
    let groups = rustix::process::getgroups().unwrap_or_default();
    groups
        .into_iter()
        .chain([rustix::process::getegid()])
        .any(|ours| ours.as_raw() == group)
}

/// The listening goes another way than all else, and where that leads nowhere nothing else shows it.
async fn warn_of_deafness(config: &Config) {
    let Some(listen_url) = &config.store.listen_url else {
        return;
    };
    if let Some(problem) = listening_problem(&config.store.url, listen_url).await {
        output::note(&format!(
            "warning: store.listen_url: {problem}; replicas hear of each other's changes later; name the server itself and no pooler, with the database of store.url, as a user that may connect to it"
        ));
    }
}

/// Our own key pairs, with a warning for each whose certificate is about to end.
async fn keys(at: &Context, store: &Store) -> Result<KeyRing, Failure> {
    let records = store.service_keys().await?;
    let now = at.world.clock.now();
    for key in &records {
        if Nearness::of(key.not_after, now).is_some() {
            let (id, usage, end) = (&key.id, key.usage, rfc3339(key.not_after));
            output::note(&format!(
                "warning: the certificate of rolegate's {usage} key {id} ends at {end}; make the next with `rolegate keys generate --use {usage}`, give every IdP the new metadata, then retire this one"
            ));
        }
    }
    Ok(KeyRing::read(&records))
}

/// What method relay needs an admin for: keys that somebody else publishes.
async fn relay(config: &Config, at: &Context, store: &Store) -> Result<(), Failure> {
    if config.publishes_relay_keys() {
        return Ok(());
    }
    let keys = store.relay_keys().await?;
    let (now, issuer) = (at.world.clock.now(), &config.relay.issuer);
    let Some(newest) = keys.last() else {
        return Ok(());
    };
    let id = &newest.id;
    if now < newest.signs_from {
        let from = rfc3339(newest.signs_from);
        output::note(&format!(
            "warning: relay.issuer: {issuer} must publish key {id} before {from}, when it begins to sign; run `rolegate relay export DIR` and upload what it writes"
        ));
    } else if newest.created_at + RELAY_KEY_AGES <= now {
        let made = rfc3339(newest.created_at);
        output::note(&format!(
            "warning: relay.issuer: key {id} is of {made}; make the next with `rolegate keys generate --use relay`, then run `rolegate relay export DIR` and upload what it writes to {issuer}"
        ));
    } else {
        output::note(&format!(
            "note: relay.issuer: {issuer} must publish key {id}; `rolegate relay export DIR` writes what to upload"
        ));
    }
    Ok(())
}

/// Reads every IdP's file and asks every URL. A URL that fails keeps no gateway from starting.
async fn idps(
    config: &Config,
    at: &Context,
    store: Option<&Store>,
    ring: &KeyRing,
) -> Result<(), Failure> {
    let now = at.world.clock.now();
    let idps = app::idps_by(config, &at.world, store).await?;
    for wrong in idps.ask_every_url(now).await? {
        output::note(&format!("warning: {wrong}"));
    }
    for name in idps.waiting() {
        output::note(&format!(
            "warning: saml.idp.{name}: nobody can sign in there until its metadata_url gives good metadata"
        ));
    }
    for idp in idps.all() {
        let name = &idp.settings.name;
        for warning in idp.trust.warnings(now) {
            output::note(&format!("warning: saml.idp.{name}: {warning}"));
        }
        if idp.trust.wants_signed_requests() && ring.signer().is_none() {
            output::note(&format!(
                "warning: saml.idp.{name}: its metadata wants signed requests, and rolegate has no key to sign with; run `rolegate keys generate --use signing` and give it the new metadata"
            ));
        }
        for certificate in idp.trust.certificates() {
            let end = rfc3339(certificate.not_after);
            output::line(&format!(
                "saml.idp.{name}: {} key, certificate until {end}",
                certificate.algorithm
            ));
        }
    }
    Ok(())
}

/// Asks every OpenID provider, and says what to register there. One that fails keeps no gateway from starting.
async fn providers(config: &Config, at: &Context) -> Result<(), Failure> {
    let providers = app::providers(config, &at.world)?;
    for wrong in providers.ask_all().await {
        output::note(&format!("warning: {wrong}"));
    }
    for name in providers.waiting() {
        output::note(&format!(
            "warning: oidc.provider.{name}: nobody can sign in there until it answers as it should"
        ));
    }
    for provider in providers.all() {
        let settings = &provider.settings;
        let (name, callback) = (&settings.name, &settings.redirect_url);
        let begun = provider
            .metadata()
            .map(|metadata| authorize(settings, &metadata, &*at.world.entropy));
        if let Some(Err(wrong)) = begun {
            output::note(&format!(
                "warning: oidc.provider.{name}: nobody can sign in there: {wrong}"
            ));
        }
        output::line(&format!("oidc.provider.{name}: redirect URL {callback}"));
    }
    if !providers.is_empty() {
        let url = config.server.public_url();
        output::line(&format!(
            "oidc.provider: post-logout redirect URL {url}/login"
        ));
    }
    Ok(())
}

/// The copy is opened with the first record, and where that fails only the log and a metric say so. Rights alone are
/// looked at: to open what may be a pipe could wait for ever.
fn warn_of_copy(config: &Config) {
    let Some(AuditCopy::File(file)) = &config.audit.copy else {
        return;
    };
    let found = match access(file, Access::WRITE_OK) {
        Ok(()) if file.is_dir() => Err(Errno::ISDIR),
        Err(Errno::NOENT) => {
            let around = file.parent().unwrap_or(Path::new("."));
            access(around, Access::WRITE_OK | Access::EXEC_OK)
        }
        found => found,
    };
    if let Err(problem) = found {
        let file = file.display();
        output::note(&format!(
            "warning: audit.copy: {file} cannot be written ({problem}), so there would be no copy; name a file in a folder that the gateway's user may write, or \"stdout\""
        ));
    }
}

/// The configuration cannot see the entries of the store; where there are any, it has nothing to warn of.
/// A store that was not made yet is not made by this.
pub(super) async fn forget_settled(config: &mut Config, at: &Context) -> Result<(), Failure> {
    if !database_exists(&config.store.url).await? {
        return Ok(());
    }
    let store = app::open_store(config, &at.world).await?;
    settle(config, &store).await?;
    store.close().await;
    Ok(())
}

async fn settle(config: &mut Config, store: &Store) -> Result<(), Failure> {
    let entries = store.entries().await?;
    let relays = |entry: &Entry| {
        let method = entry.draft.method.unwrap_or(config.roles.default_method);
        entry.draft.effect == Effect::Allow && method == Method::Relay
    };
    if let Some(problem) = config
        .relay
        .problem()
        .filter(|_| entries.iter().any(relays))
    {
        let warning = Warning::RelayIssuer { problem };
        if !config.warnings.contains(&warning) {
            config.warnings.push(warning);
        }
    }
    if !entries.is_empty() {
        config
            .warnings
            .retain(|warning| !matches!(warning, Warning::NoEntry));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_its_owners_or_one_that_a_secret_store_mounts_for_our_group() {
        for (mode, owner, ours, open) in [
            (0o600, 1000, true, false),
            (0o400, 0, false, false),
            (0o100_440, 0, true, false),
            (0o440, 0, false, true),
            (0o440, 1000, true, true),
            (0o460, 0, true, true),
            (0o444, 0, true, true),
            (0o644, 1000, true, true),
        ] {
            assert_eq!(is_open(mode, owner, ours), open, "{mode:o} of {owner}");
        }
        assert!(is_our_group(rustix::process::getegid().as_raw()));
        assert!(!is_our_group(u32::MAX - 1));
    }
}
