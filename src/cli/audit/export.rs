//! `rolegate audit export`: records as JSON lines, from the store or a running gateway.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use crate::audit::{self, EventKind, Moment};
use crate::cli::remote::{Place, Remote};
use crate::cli::{Context, Failure, Outcome, WRONG_USAGE, output};
use crate::model::{IdpName, UserName};
use crate::store::AuditFilter;

/// How many records are asked for at once.
const PAGE: &str = "1000";

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Of events at this time or later
    #[arg(long, value_name = "T")]
    from: Option<Moment>,
    /// Of events before this time
    #[arg(long, value_name = "T")]
    to: Option<Moment>,
    /// Behind the record of this number: to go on where an export or a copy ended
    #[arg(long, value_name = "SEQ")]
    after: Option<i64>,
    /// Of this kind, such as `sign_in_refused`; several may be named
    #[arg(long, value_name = "K")]
    kind: Vec<EventKind>,
    /// About this user
    #[arg(long)]
    user: Option<UserName>,
    /// About this IdP, or a user of it
    #[arg(long)]
    idp: Option<IdpName>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: Arguments, at: &Context) -> Outcome {
    let now = at.world.clock.now();
    let ends = (arguments.from, arguments.to);
    if matches!(ends, (Some(from), Some(to)) if from.at(now) >= to.at(now)) {
        output::error("--from is not before --to, so that no record is asked for; exchange them");
        return Ok(ExitCode::from(WRONG_USAGE));
    }
    let gateway = match arguments.place.gateway() {
        Ok(gateway) => gateway,
        Err(misused) => return Ok(misused.told()),
    };
    match gateway {
        Some(gateway) => ask(&arguments, &gateway, at).await,
        None => print(arguments, at).await,
    }
}

async fn print(arguments: Arguments, at: &Context) -> Outcome {
    let store = at.existing_store().await?;
    let now = at.world.clock.now();
    let filter = AuditFilter {
        from: arguments.from.map(|moment| moment.at(now)),
        to: arguments.to.map(|moment| moment.at(now)),
        kinds: arguments.kind.iter().map(|kind| kind.as_str()).collect(),
        user: arguments.user,
        idp: arguments.idp,
        reference: None,
    };
    let mut pages = audit::export(&store, filter, arguments.after);
    loop {
        let page = pages.next_page().await?;
        if page.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        for record in &page {
            output::line(&record.line());
        }
    }
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next: Option<i64>,
}

async fn ask(arguments: &Arguments, gateway: &Remote, at: &Context) -> Outcome {
    let now = at.world.clock.now();
    let time = |moment: Option<Moment>| moment.map(|moment| moment.at(now).to_rfc3339());
    let mut after = arguments.after;
    loop {
        let asked = [
            ("from", time(arguments.from)),
            ("to", time(arguments.to)),
            ("user", arguments.user.as_ref().map(ToString::to_string)),
            ("idp", arguments.idp.as_ref().map(ToString::to_string)),
            ("after", after.map(|after| after.to_string())),
        ];
        let mut query: Vec<(&str, &str)> = vec![("limit", PAGE)];
        let given = asked.iter();
        query.extend(given.filter_map(|(key, value)| Some((*key, value.as_deref()?))));
        query.extend(arguments.kind.iter().map(|kind| ("kind", kind.as_str())));
        let page = gateway.get("/api/v1/admin/audit", &query).await;
        let page: Page = page.map_err(Failure::from)?;
        for record in &page.items {
            output::line(&record.to_string());
        }
        if page.next.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
        after = page.next;
    }
}
