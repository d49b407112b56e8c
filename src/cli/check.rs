//! `rolegate check`: whether `serve` would start, and what cannot work.

use std::process::ExitCode;

use super::{Context, Outcome, output};
use crate::flow::Idps;
use crate::model::rfc3339;

pub(super) fn run(at: &Context) -> Outcome {
    let config = at.config()?;
    let now = at.world.clock.now();
    let idps = Idps::load(&config, now)?;
    for warning in &config.warnings {
        output::note(&format!("warning: {warning}"));
    }
    for idp in idps.all() {
        for warning in idp.trust.warnings(now) {
            output::note(&format!(
                "warning: saml.idp.{}: {warning}",
                idp.settings.name
            ));
        }
        for certificate in idp.trust.certificates() {
            let end = rfc3339(certificate.not_after);
            output::line(&format!(
                "saml.idp.{}: {} key, certificate until {end}",
                idp.settings.name, certificate.algorithm
            ));
        }
    }
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
