//! `idps list`, `sessions list`, `leases list`.

use std::process::ExitCode;

use serde_json::json;

use super::{Context, Outcome, output};
use crate::flow::Idps as Loaded;
use crate::model::rfc3339;
use crate::store::LeaseFilter;

/// How many rows a list shows.
const ROWS: u32 = 1000;

#[derive(clap::Subcommand)]
pub(super) enum Idps {
    /// List identity providers with their keys
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Subcommand)]
pub(super) enum List {
    /// List them, oldest first
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn idps(command: &Idps, at: &Context) -> Outcome {
    let Idps::List { json } = command;
    let idps = Loaded::load(&at.config()?, at.world.clock.now())?.all();
    if *json {
        let list: Vec<_> = idps.iter().map(|idp| {
            let keys: Vec<_> = idp.trust.certificates().iter().map(|certificate| json!({
                "sha256": certificate.sha256,
                "algorithm": certificate.algorithm,
                "not_after": rfc3339(certificate.not_after),
            })).collect();
            json!({ "name": idp.settings.name, "entity_id": idp.trust.entity_id(), "keys": keys })
        }).collect();
        output::json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = idps.iter().flat_map(|idp| {
        idp.trust
            .certificates()
            .iter()
            .map(|certificate| {
                let name = idp.settings.name.to_string();
                let entity = idp.trust.entity_id().to_owned();
                vec![
                    name,
                    entity,
                    certificate.algorithm.clone(),
                    certificate.sha256.clone(),
                    rfc3339(certificate.not_after),
                ]
            })
            .collect::<Vec<_>>()
    });
    output::table(
        &["NAME", "ENTITY ID", "KEY", "CERTIFICATE SHA-256", "UNTIL"],
        rows.collect(),
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn sessions(command: &List, at: &Context) -> Outcome {
    let List::List { json } = command;
    let (_, store) = at.store().await?;
    let sessions = store.list_sessions(None, ROWS).await?;
    if *json {
        let list: Vec<_> = sessions
            .iter()
            .map(|row| {
                json!({
                    "session": row.id,
                    "user": row.person.user,
                    "idp": row.person.idp,
                    "state": row.state.as_str(),
                    "signed_in_at": rfc3339(row.signed_in_at),
                    "expires_at": rfc3339(row.expires_at),
                    "ended_at": row.ended_at.map(rfc3339),
                })
            })
            .collect();
        output::json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = sessions.iter().map(|row| {
        let state = row.ended_at.map_or_else(
            || row.state.as_str().to_owned(),
            |at| format!("ended {}", rfc3339(at)),
        );
        let (user, idp) = (row.person.user.to_string(), row.person.idp.to_string());
        vec![
            row.id.to_string(),
            user,
            idp,
            state,
            rfc3339(row.signed_in_at),
            rfc3339(row.expires_at),
        ]
    });
    output::table(
        &["ID", "USER", "IDP", "STATE", "SIGNED IN", "UNTIL"],
        rows.collect(),
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn leases(command: &List, at: &Context) -> Outcome {
    let List::List { json } = command;
    let (_, store) = at.store().await?;
    let leases = store.leases(LeaseFilter::default(), None, ROWS).await?;
    if *json {
        let list: Vec<_> = leases
            .iter()
            .map(|lease| {
                json!({
                    "lease": lease.id,
                    "user": lease.person.user,
                    "idp": lease.person.idp,
                    "role_arn": lease.role,
                    "job": lease.job,
                    "launcher": lease.launcher,
                    "created_at": rfc3339(lease.created_at),
                    "expires_at": rfc3339(lease.expires_at),
                    "revoked_at": lease.revoked_at.map(rfc3339),
                })
            })
            .collect();
        output::json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = at.world.clock.now();
    let rows = leases.iter().map(|lease| {
        let state = match lease.revoked_at {
            Some(at) => format!("revoked {}", rfc3339(at)),
            None if now < lease.expires_at => format!("until {}", rfc3339(lease.expires_at)),
            None => format!("ended {}", rfc3339(lease.expires_at)),
        };
        let launcher = lease
            .launcher
            .as_ref()
            .map_or_else(|| "(self)".to_owned(), ToString::to_string);
        let (user, role, job) = (
            lease.person.user.to_string(),
            lease.role.to_string(),
            lease.job.to_string(),
        );
        vec![lease.id.to_string(), user, role, job, launcher, state]
    });
    output::table(
        &["ID", "USER", "ROLE", "JOB", "LAUNCHER", "STATE"],
        rows.collect(),
    );
    Ok(ExitCode::SUCCESS)
}
