//! `idps list`, `sessions list`, `leases list`.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::remote::Place;
use super::{Context, Failure, Outcome, output};
use crate::app;
use crate::flow::{IdpView, KeyView, LeaseView, SessionView};
use crate::model::{Lease, rfc3339};
use crate::store::{LeaseFilter, SessionRow};

/// How many rows are read at once.
pub(super) const PAGE: u32 = 1000;

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
        #[command(flatten)]
        place: Place,
    },
}

pub(super) async fn idps(command: &Idps, at: &Context) -> Outcome {
    let Idps::List { json } = command;
    let config = at.config()?;
    let idps = app::idps(&config, &at.world).await?;
    let providers = app::providers(&config, &at.world)?;
    // What went wrong stands in the list.
    providers.ask_all().await;
    let now = at.world.clock.now();
    let mut views = idps.views(now);
    views.extend(providers.views(now));
    if *json {
        output::json(&views)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::table(
        &[
            "NAME",
            "PROTOCOL",
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
            view.protocol.to_owned(),
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
    let List::List { json, place } = command;
    let gateway = match place.gateway() {
        Ok(gateway) => gateway,
        Err(misused) => return Ok(misused.told()),
    };
    let list = match gateway {
        Some(gateway) => gateway.list("/api/v1/admin/sessions").await?,
        None => sessions_here(at).await?,
    };
    let state = |row: &Value| match row.get("ended_at").and_then(Value::as_str) {
        Some(at) => format!("ended {at}"),
        None => text(row, "state"),
    };
    let headings = ["ID", "USER", "IDP", "STATE", "SIGNED IN", "UNTIL"];
    print(*json, &list, &headings, |row| {
        vec![
            text(row, "session"),
            text(row, "user"),
            text(row, "idp"),
            state(row),
            text(row, "signed_in_at"),
            text(row, "expires_at"),
        ]
    })
}

async fn sessions_here(at: &Context) -> Result<Vec<Value>, Failure> {
    let store = at.existing_store().await?;
    let mut sessions: Vec<SessionRow> = Vec::new();
    loop {
        let after = sessions.last().map(|row| &row.id);
        let page = store.list_sessions(None, after, PAGE).await?;
        if page.is_empty() {
            break;
        }
        sessions.extend(page);
    }
    let list = sessions.into_iter().map(SessionView::from);
    Ok(list.map(serde_json::to_value).collect::<Result<_, _>>()?)
}

pub(super) async fn leases(command: &List, at: &Context) -> Outcome {
    let List::List { json, place } = command;
    let gateway = match place.gateway() {
        Ok(gateway) => gateway,
        Err(misused) => return Ok(misused.told()),
    };
    let list = match gateway {
        Some(gateway) => gateway.list("/api/v1/leases").await?,
        None => leases_here(at).await?,
    };
    let now = rfc3339(at.world.clock.now());
    let state = |row: &Value| match row.get("revoked_at").and_then(Value::as_str) {
        Some(at) => format!("revoked {at}"),
        // RFC 3339 in one zone and of one length sorts as text.
        None if now < text(row, "expires_at") => format!("until {}", text(row, "expires_at")),
        None => format!("ended {}", text(row, "expires_at")),
    };
    let launcher = |row: &Value| match row.get("launcher").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => "(self)".to_owned(),
    };
    let headings = ["ID", "USER", "ROLE", "JOB", "LAUNCHER", "STATE"];
    print(*json, &list, &headings, |row| {
        vec![
            text(row, "lease"),
            text(row, "user"),
            text(row, "role_arn"),
            text(row, "job"),
            launcher(row),
            state(row),
        ]
    })
}

async fn leases_here(at: &Context) -> Result<Vec<Value>, Failure> {
    let store = at.existing_store().await?;
    let mut leases: Vec<Lease> = Vec::new();
    loop {
        let after = leases.last().map(|lease| &lease.id);
        let page = store.leases(LeaseFilter::default(), after, PAGE).await?;
        if page.is_empty() {
            break;
        }
        leases.extend(page);
    }
    let list = leases.into_iter().map(LeaseView::from);
    Ok(list.map(serde_json::to_value).collect::<Result<_, _>>()?)
}

/// A field as a table shows it; a dash where there is none.
pub(super) fn text(row: &Value, field: &str) -> String {
    let value = row.get(field).and_then(Value::as_str);
    value.unwrap_or("-").to_owned()
}

/// Prints a list as JSON or as a table.
pub(super) fn print(
    json: bool,
    list: &[Value],
    headings: &[&str],
    columns: impl Fn(&Value) -> Vec<String>,
) -> Outcome {
    if json {
        output::json(&list)?;
    } else {
        output::table(headings, list.iter().map(columns).collect());
    }
    Ok(ExitCode::SUCCESS)
}
