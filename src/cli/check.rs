//! `rolegate check`: whether `serve` would start, and what cannot work.

use std::process::ExitCode;

use super::{Context, Failure, Outcome, output};
use crate::app;
use crate::config::{Config, Warning};
use crate::model::rfc3339;
use crate::store::database_exists;

pub(super) async fn run(at: &Context) -> Outcome {
    let mut config = at.config()?;
    forget_settled(&mut config, at).await?;
    for warning in &config.warnings {
        let kind = if warning.is_note() { "note" } else { "warning" };
        output::note(&format!("{kind}: {warning}"));
    }
    idps(&config, at).await?;
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

/// Reads every IdP's file and asks every URL. A URL that fails keeps no gateway from starting.
async fn idps(config: &Config, at: &Context) -> Result<(), Failure> {
    let now = at.world.clock.now();
    let idps = app::idps(config, &at.world).await?;
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

/// The configuration cannot see the entries of the store; where there are any, it has nothing to warn of.
/// A store that was not made yet is not made by this.
pub(super) async fn forget_settled(config: &mut Config, at: &Context) -> Result<(), Failure> {
    if !database_exists(&config.store.url)? {
        return Ok(());
    }
    let store = app::open_store(config, &at.world).await?;
    if !store.entries().await?.is_empty() {
        config
            .warnings
            .retain(|warning| !matches!(warning, Warning::NoEntry));
    }
    store.close().await;
    Ok(())
}
