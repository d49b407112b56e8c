//! `rolegate explain`: what rolegate makes of a response, made of one, or decides about a user.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::remote::{Misused, Place, Remote};
use super::{Context, Failure, Outcome, output};
use crate::app;
use crate::flow::{Explain, Explanation, Idps, ServiceKeys};
use crate::model::{IdpName, Reference, RoleArn, UserName};

const AT: &str = "--at works without --url and ROLEGATE_URL alone: a gateway answers as of now";

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["file", "reference", "user"]))]
#[command(
    after_help = "Exits 0 if the response would be accepted, 1 if it would be refused or was, 2 on wrong usage."
)]
pub(super) struct Arguments {
    /// A response as XML or base64; - for standard input
    file: Option<PathBuf>,
    /// The refusal that showed this reference: every check, kept for 30 days
    #[arg(long, value_name = "R")]
    reference: Option<Reference>,
    /// What the allow-list decides now for this user's live sessions
    #[arg(long)]
    user: Option<UserName>,
    /// Only if it is this IdP's
    #[arg(long, conflicts_with = "reference")]
    idp: Option<IdpName>,
    /// Only this role, with --user
    #[arg(long, requires = "user")]
    role: Option<RoleArn>,
    /// As of this time, RFC 3339, without asking the store (default: now, and the store is asked)
    #[arg(long, requires = "file", value_name = "TIME")]
    at: Option<DateTime<Utc>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: &Arguments, at: &Context) -> Outcome {
    let gateway = match arguments.place.gateway() {
        Ok(Some(_)) if arguments.at.is_some() => return Ok(Misused(AT.to_owned()).told()),
        Ok(gateway) => gateway,
        Err(misused) => return Ok(misused.told()),
    };
    let explanation = match gateway {
        Some(gateway) => ask(arguments, &gateway).await?,
        None => work_out(arguments, at).await?,
    };
    if arguments.json {
        output::json(&explanation)?;
    } else {
        show(&explanation);
        if explanation.checks.is_empty() && explanation.decisions.is_empty() {
            output::line(
                "no role is offered: the IdP names none, and `rolegate users list` shows no assignment that counts",
            );
        }
    }
    Ok(if explanation.is_refused() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn ask(arguments: &Arguments, gateway: &Remote) -> Result<Explanation, Failure> {
    let mut question = if let Some(reference) = &arguments.reference {
        json!({ "reference": reference })
    } else if let Some(user) = &arguments.user {
        json!({ "user": user })
    } else {
        json!({ "saml_response": read(arguments)? })
    };
    if let Some(fields) = question.as_object_mut() {
        let (idp, role) = (arguments.idp.as_ref(), arguments.role.as_ref());
        fields.extend(idp.map(|idp| ("idp".to_owned(), json!(idp))));
        fields.extend(role.map(|role| ("role_arn".to_owned(), json!(role))));
    }
    gateway.post("/api/v1/admin/explain", &question).await
}

async fn work_out(arguments: &Arguments, at: &Context) -> Result<Explanation, Failure> {
    // A response can be explained before the gateway has ever started.
    let (config, store) = match arguments.file {
        Some(_) => at.store().await?,
        None => at.existing().await?,
    };
    let now = at.world.clock.now();
    let idps = Idps::load(&config, now)?;
    idps.recall(&store, now).await?;
    let keys = ServiceKeys::load(store.clone(), app::addresses(&config)).await?;
    let explain = Explain {
        access: Arc::new(app::access(&store, &at.world)),
        idps: Arc::new(idps),
        allow_list: Arc::new(app::allow_list(&config, &store).await?),
        rules: app::sign_in_rules(&config, Arc::new(keys)),
    };
    if let Some(reference) = &arguments.reference {
        let found = explain.reference(reference).await?;
        return found.ok_or_else(|| Explain::unknown_reference(reference).into());
    }
    let idp = arguments.idp.clone();
    if let Some(user) = &arguments.user {
        let role = arguments.role.as_ref();
        return Ok(explain.user(user, idp.as_ref(), role).await?);
    }
    Ok(explain
        .response(&read(arguments)?, idp, arguments.at)
        .await?)
}

/// The response as text. Bytes that are no UTF-8 go on as base64, so that the checks see them.
fn read(arguments: &Arguments) -> Result<String, Failure> {
    let file = arguments.file.as_deref().unwrap_or(Path::new("-"));
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(file).map_err(|error| {
            let file = file.display();
            format!("{file} cannot be read ({error}); name the file with the response, or - for standard input")
        })?;
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| STANDARD.encode(error.into_bytes())))
}

fn show(explanation: &Explanation) {
    let failed = explanation.checks.iter().filter(|check| !check.ok);
    let failed: Vec<&str> = failed.map(|check| check.check.as_str()).collect();
    if !failed.is_empty() {
        output::line(&format!("refused by: {}", failed.join(", ")));
    }
    for check in &explanation.checks {
        let mark = if check.ok { "ok     " } else { "REFUSED" };
        output::line(&format!("{mark}  {}", check.check));
        let lines = [("expected", &check.expected), ("found   ", &check.found)];
        for (name, text) in lines.into_iter().filter(|(_, text)| !text.is_empty()) {
            output::line(&format!("         {name}  {text}"));
        }
        for (at, line) in check.mend.lines().enumerate() {
            let name = if at == 0 { "do      " } else { "        " };
            output::line(&format!("         {name}  {line}"));
        }
    }
    for decision in &explanation.decisions {
        let mark = if decision.granted {
            "granted"
        } else {
            "DENIED "
        };
        let entry = decision
            .entry
            .as_deref()
            .map_or_else(String::new, |entry| format!(" by {entry}"));
        output::line(&format!("{mark}  {}{entry}", decision.role_arn));
        for reason in &decision.reasons {
            output::line(&format!("         {reason}"));
        }
    }
}
