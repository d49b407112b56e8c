//! `rolegate explain`: what rolegate makes of a response, or decides about a user.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{DateTime, Utc};

use super::{Context, Failure, Outcome, output};
use crate::app;
use crate::flow::{Explanation, Idps, explain_reference, explain_response, explain_user};
use crate::model::{IdpName, Reference, RoleArn, UserName};
use crate::saml::RawResponse;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["file", "reference", "user"]))]
pub(super) struct Arguments {
    /// A response as XML or base64; - for standard input
    file: Option<PathBuf>,
    /// The refusal that showed this reference
    #[arg(long)]
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
    /// As of this time, RFC 3339 (default: now)
    #[arg(long, requires = "file")]
    at: Option<DateTime<Utc>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &Arguments, at: &Context) -> Outcome {
    let (config, store) = at.store().await?;
    let allow_list = app::allow_list(&config, &store).await?;
    let explanation = if let Some(reference) = &arguments.reference {
        let explanation = explain_reference(&store, reference).await?;
        if explanation.checks.is_empty() {
            return Err(format!("no refusal has the reference {reference}").into());
        }
        explanation
    } else if let Some(user) = &arguments.user {
        let access = app::access(&store, &at.world);
        let (idp, role) = (arguments.idp.as_ref(), arguments.role.as_ref());
        let explanation = explain_user(&access, user, idp, role, &allow_list.rules()).await?;
        if explanation.decisions.is_empty() {
            return Err(
                format!("no live session of {user} offers that; {user} must sign in").into(),
            );
        }
        explanation
    } else {
        let now = arguments.at.unwrap_or_else(|| at.world.clock.now());
        let text = read(arguments.file.as_deref().unwrap_or(Path::new("-")))?;
        let idps = Idps::load(&config, now)?;
        idps.recall(&store, now).await?;
        explain_response(
            RawResponse::from_text(&text)?,
            &idps,
            arguments.idp.as_ref(),
            &app::sign_in_rules(&config),
            &allow_list.rules(),
            now,
        )
    };
    if arguments.json {
        output::json(&explanation)?;
    } else {
        show(&explanation);
    }
    Ok(if explanation.is_refused() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(text)
}

fn show(explanation: &Explanation) {
    for check in &explanation.checks {
        let mark = if check.ok { "ok     " } else { "REFUSED" };
        output::line(&format!("{mark}  {}", check.check));
        output::line(&format!("         expected  {}", check.expected));
        output::line(&format!("         found     {}", check.found));
        if !check.ok {
            output::line(&format!("         do        {}", check.mend));
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
