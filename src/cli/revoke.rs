//! `rolegate revoke`, `release` and `holds`: the kill switch, on the store or on a running gateway.
//!
//! A gateway that runs on the same store takes a revocation up by its pulse, within a second.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::remote::{Place, Remote};
use super::show::{List, print, text};
use super::{Context, Failure, Outcome, local_user, output, reason};
use crate::audit::Recorder;
use crate::flow::{AwsAdvice, HoldView, Revoke, RevokeOrder, RevokedView, Selector};
use crate::model::{HoldId, IdpName, LeaseId, RolePattern, SessionId, TokenName, UserName};

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true)
    .args(["user", "role", "launcher", "session", "lease", "all"]))]
pub(super) struct Arguments {
    /// This user's sessions and leases
    #[arg(long, value_name = "U")]
    user: Option<UserName>,
    /// Only those of this IdP
    #[arg(long, value_name = "N", requires = "user", conflicts_with_all = ["role", "launcher", "session", "lease", "all"])]
    idp: Option<IdpName>,
    /// The leases and credentials of this role, or of all that fit a pattern
    #[arg(long, value_name = "ARN")]
    role: Option<RolePattern>,
    /// The leases that launchers of this name made
    #[arg(long, value_name = "N")]
    launcher: Option<TokenName>,
    /// This session, and the leases that draw on it
    #[arg(long, value_name = "S")]
    session: Option<SessionId>,
    /// This lease
    #[arg(long, value_name = "L")]
    lease: Option<LeaseId>,
    /// Every session, lease and credential
    #[arg(long)]
    all: bool,
    /// Why; the audit keeps it, and those whom a hold refuses are told
    #[arg(long, value_parser = reason)]
    reason: String,
    /// Also refuse new sign-ins, leases and fetches, until `rolegate release`
    #[arg(long)]
    hold: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
pub(super) struct Release {
    /// The hold's id, as `rolegate holds list` shows it
    hold: HoldId,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: Arguments, at: &Context) -> Outcome {
    let gateway = match arguments.place.gateway() {
        Ok(gateway) => gateway,
        Err(misused) => return Ok(misused.told()),
    };
    let done = match &gateway {
        Some(gateway) => ask(&arguments, gateway).await?,
        None => revoke_here(&arguments, at).await?,
    };
    if arguments.json {
        output::json(&done)?;
    } else {
        show(&done);
    }
    Ok(ExitCode::SUCCESS)
}

async fn revoke_here(arguments: &Arguments, at: &Context) -> Result<RevokedView, Failure> {
    let order = RevokeOrder {
        reason: &arguments.reason,
        by: &local_user(),
        hold: arguments.hold,
    };
    let selector = selector(arguments).ok_or("name what to revoke; --help lists the ways")?;
    let done = revoke(at).await?.revoke(&selector, order).await?;
    done.ok_or_else(|| {
        "there is no such session or lease; `rolegate sessions list` and `leases list` show them"
            .into()
    })
}

async fn ask(arguments: &Arguments, gateway: &Remote) -> Result<RevokedView, Failure> {
    let mut order = json!({ "reason": arguments.reason, "hold": arguments.hold });
    let given = [
        ("user", json!(arguments.user)),
        ("idp", json!(arguments.idp)),
        ("role_arn", json!(arguments.role)),
        ("launcher", json!(arguments.launcher)),
        ("session", json!(arguments.session)),
        ("lease", json!(arguments.lease)),
        ("all", json!(arguments.all.then_some(true))),
    ];
    if let Some(fields) = order.as_object_mut() {
        let given = given.into_iter().filter(|(_, value)| !value.is_null());
        fields.extend(given.map(|(name, value)| (name.to_owned(), value)));
    }
    gateway.post("/api/v1/admin/revoke", &order).await
}

/// The one that the group of arguments lets through.
fn selector(arguments: &Arguments) -> Option<Selector> {
    let idp = arguments.idp.clone();
    let user = arguments
        .user
        .clone()
        .map(|user| Selector::User { user, idp });
    user.or(arguments.role.clone().map(Selector::Role))
        .or(arguments.launcher.clone().map(Selector::Launcher))
        .or(arguments.session.clone().map(Selector::Session))
        .or(arguments.lease.clone().map(Selector::Lease))
        .or(arguments.all.then_some(Selector::All))
}

/// The flow on the store of the configuration: nothing is served from here.
async fn revoke(at: &Context) -> Result<Revoke, Failure> {
    let store = at.existing_store().await?;
    Ok(Revoke {
        recorder: Recorder::start(store.clone(), Arc::clone(&at.world.clock)),
        store,
        in_force: None,
    })
}

fn show(done: &RevokedView) {
    let counts = &done.revoked;
    output::line(&format!(
        "revoked: {}, {}, {}",
        counted(counts.sessions, "session"),
        counted(counts.leases, "lease"),
        counted(counts.credentials, "credential"),
    ));
    if let Some(hold) = &done.hold {
        output::line(&format!("held:    {hold}, until `rolegate release {hold}`"));
    }
    output::line(&done.note);
    done.aws.iter().for_each(show_advice);
}

fn show_advice(advice: &AwsAdvice) {
    output::line("");
    output::line(&format!(
        "{}, account {}, in use by {} until {}:",
        advice.role_arn,
        advice.account_id,
        advice.users.join(", "),
        advice.valid_until
    ));
    let policy = serde_json::to_string_pretty(&advice.policy).unwrap_or_default();
    output::line(&policy);
    output::line(&advice.command);
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

pub(super) async fn release(arguments: &Release, at: &Context) -> Outcome {
    let gateway = match arguments.place.gateway() {
        Ok(gateway) => gateway,
        Err(misused) => return Ok(misused.told()),
    };
    let id = &arguments.hold;
    let released = match gateway {
        Some(gateway) => {
            gateway.delete(&format!("/api/v1/admin/holds/{id}")).await?;
            true
        }
        None => revoke(at).await?.release(id, &local_user()).await?,
    };
    if !released {
        return Err(format!(
            "no hold {id} is in force; `rolegate holds list` shows those that are"
        )
        .into());
    }
    output::line(id.as_str());
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn holds(command: &List, at: &Context) -> Outcome {
    let List::List { json, place } = command;
    let gateway = match place.gateway() {
        Ok(gateway) => gateway,
        Err(misused) => return Ok(misused.told()),
    };
    let list = match gateway {
        Some(gateway) => gateway.list("/api/v1/admin/holds").await?,
        None => revoke(at)
            .await?
            .holds()
            .await?
            .iter()
            .map(|hold| serde_json::to_value(HoldView::from(hold)))
            .collect::<Result<_, _>>()?,
    };
    let what = |row: &Value| {
        let fields = [
            ("user", "user"),
            ("idp", "idp"),
            ("role", "role_arn"),
            ("launcher", "launcher"),
        ];
        let given = fields.iter().filter_map(|(name, field)| {
            let value = row.get(*field)?.as_str()?;
            Some(format!("{name} {value}"))
        });
        let given: Vec<String> = given.collect();
        if given.is_empty() {
            "all".to_owned()
        } else {
            given.join(" ")
        }
    };
    print(
        *json,
        &list,
        &["ID", "HOLDS", "SINCE", "BY", "REASON"],
        |row| {
            vec![
                text(row, "id"),
                what(row),
                text(row, "created_at"),
                text(row, "created_by"),
                text(row, "reason"),
            ]
        },
    )
}
