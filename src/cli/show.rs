//! `idps list`, `sessions list`, `leases list`.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::{Context, Outcome, output};
use crate::app;
use crate::flow::{IdpView, KeyView};
use crate::model::rfc3339;
use crate::store::LeaseFilter;

/// How many rows a list shows.
const ROWS: u32 = 1000;

#[derive(clap::Subcommand)]
pub(super) enum Idps {
    /// List identity providers with their keys and the state of their metadata
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

pub(super) async fn idps(command: &Idps, at: &Context) -> Outcome {
    let Idps::List { json } = command;
    let idps = app::idps(&at.config()?, &at.world).await?;
    let views = idps.views(at.world.clock.now());
    if *json {
        output::json(&views)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::table(
        &[
            "NAME",
            "SOURCE",
            "ENTITY ID",
            "KEY",
            "CERTIFICATE SHA-256",
            "UNTIL",
            "DAYS LEFT",
            "METADATA AGE",
            "VALID UNTIL",
            "LAST ERROR",
        ],
        views.iter().flat_map(rows).collect(),
    );
    Ok(ExitCode::SUCCESS)
}

/// A row for each key; one without a key for an IdP that cannot be used yet.
fn rows(view: &IdpView) -> Vec<Vec<String>> {
    let shown = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let age = view.metadata_age_seconds.map(Duration::from_secs);
    let row = |key: Option<&KeyView>| {
        vec![
            view.name.to_string(),
            view.location.clone(),
            shown(view.entity_id.clone()),
            shown(key.map(|key| key.algorithm.clone())),
            shown(key.map(|key| key.sha256.clone())),
            shown(key.map(|key| rfc3339(key.not_after))),
            shown(key.map(|key| key.days_left.to_string())),
            shown(age.map(|age| humantime::format_duration(age).to_string())),
            shown(view.valid_until.map(rfc3339)),
            shown(view.last_error.clone()),
        ]
    };
    if view.keys.is_empty() {
        return vec![row(None)];
    }
    view.keys.iter().map(|key| row(Some(key))).collect()
}

pub(super) async fn sessions(command: &List, at: &Context) -> Outcome {
    let List::List { json } = command;
    let (_, store) = at.store().await?;
    let sessions = store.list_sessions(None, None, ROWS).await?;
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
