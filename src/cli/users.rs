//! `rolegate users`: roles for persons whose IdP names none, on the store or on a running gateway.
//!
//! A gateway that runs on the same store takes a change up within a second.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::remote::{Place, Refused, Remote};
use super::show::{PAGE, print, text};
use super::{Context, Failure, Outcome, WRONG_USAGE, local_user, output, reason};
use crate::app;
use crate::audit::Recorder;
use crate::config::Config;
use crate::flow::{
    AssignmentError, AssignmentFilter, AssignmentOrder, AssignmentView, Assignments,
};
use crate::model::{IdpName, Person, RoleArn, UserName, split_arn_list};
use crate::store::Store;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Assign roles to a person, in the place of those assigned before
    ///
    /// They count while the IdP names no role for the person: the next sign-in with any role value deletes them,
    /// and the audit says so. The allow-list decides about them as about any other, and method saml cannot serve
    /// them. Sessions and jobs that run take them up within a second.
    SetRoleArns {
        #[command(flatten)]
        whose: Whose,
        /// The roles, comma separated
        #[arg(value_name = "ARN[,ARN...]", value_parser = arn_list)]
        arns: ArnList,
        /// Why; the audit keeps it
        #[arg(long, value_parser = reason)]
        reason: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Print the roles assigned to a person, one a line
    GetRoleArns {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        how: How,
    },
    /// Take a person's assignment away; jobs that live on it get no more credentials
    UnsetRoleArns {
        #[command(flatten)]
        whose: Whose,
        /// Why; the audit keeps it
        #[arg(long, value_parser = reason)]
        reason: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// List all assignments, by user and IdP
    List {
        /// Only those to persons of this IdP
        #[arg(long, value_name = "N")]
        idp: Option<IdpName>,
        #[command(flatten)]
        how: How,
    },
}

#[derive(clap::Args)]
pub(super) struct Whose {
    /// The user, as the IdP names the person
    user: UserName,
    /// The IdP or provider; needed where there are several
    #[arg(long, value_name = "N")]
    idp: Option<IdpName>,
}

#[derive(clap::Args)]
pub(super) struct How {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Role ARNs as they were typed, each a good one.
#[derive(Debug, Clone)]
pub(super) struct ArnList(Vec<String>);

fn arn_list(list: &str) -> Result<ArnList, String> {
    let arns = split_arn_list(list);
    if arns.is_empty() {
        return Err(
            "name one role ARN at least; unset-role-arns takes an assignment away".to_owned(),
        );
    }
    for arn in &arns {
        let parsed: Result<RoleArn, _> = arn.parse();
        parsed.map_err(|error| format!("{arn:?} {error}"))?;
    }
    Ok(ArnList(arns.into_iter().map(str::to_owned).collect()))
}

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    let how = match &command {
        Command::SetRoleArns { how, .. }
        | Command::GetRoleArns { how, .. }
        | Command::UnsetRoleArns { how, .. }
        | Command::List { how, .. } => how,
    };
    let gateway = match how.place.gateway() {
        Ok(gateway) => gateway,
        Err(misused) => return Ok(misused.told()),
    };
    let json = how.json;
    let done = match (&command, &gateway) {
        (Command::List { idp, .. }, _) => return list(idp.as_ref(), json, gateway, at).await,
        (_, Some(gateway)) => ask(&command, gateway).await,
        (_, None) => here(&command, at).await,
    };
    match done {
        Ok(done) => shown(&command, &done, json),
        Err(Stop::WhichIdp(message)) => {
            output::error(&message);
            Ok(ExitCode::from(WRONG_USAGE))
        }
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Why nothing was done.
enum Stop {
    /// `--idp` is missing, which is wrong usage.
    WhichIdp(String),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<AssignmentError> for Stop {
    fn from(error: AssignmentError) -> Self {
        match error {
            AssignmentError::IdpNeeded(_) => Self::WhichIdp(format!("--idp is missing: {error}")),
            error => Self::Failed(error.into()),
        }
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        if refused.code == "idp_needed" {
            return Self::WhichIdp(format!("--idp is missing: {refused}"));
        }
        Self::Failed(refused.into())
    }
}

/// The flow on the store of the configuration, where there is one: nothing is served from here.
async fn existing(at: &Context) -> Result<Assignments, Failure> {
    let (config, store) = at.existing().await?;
    assignments(at, &config, store).await
}

async fn assignments(at: &Context, config: &Config, store: Store) -> Result<Assignments, Failure> {
    Ok(Assignments {
        recorder: Recorder::start(store.clone(), Arc::clone(&at.world.clock)),
        allow_list: Arc::new(app::allow_list(config, &store).await?),
        clock: Arc::clone(&at.world.clock),
        idps: config.idp_names().cloned().collect(),
        without: config.without_assignments(),
        fetch: None,
        store,
    })
}

async fn here(command: &Command, at: &Context) -> Result<AssignmentView, Stop> {
    // The first assignment may be what a store begins with.
    let assignments = if let Command::SetRoleArns { .. } = command {
        let (config, store) = at.store().await?;
        assignments(at, &config, store).await?
    } else {
        existing(at).await?
    };
    let of = |whose: &Whose| (whose.user.clone(), whose.idp.clone());
    match command {
        Command::SetRoleArns {
            whose,
            arns,
            reason,
            ..
        } => {
            let (user, idp) = of(whose);
            let order = AssignmentOrder {
                user,
                idp,
                role_arns: &arns.0,
                reason: reason.as_deref(),
                by: &local_user(),
            };
            Ok(assignments.set(order).await?)
        }
        Command::UnsetRoleArns { whose, reason, .. } => {
            let (user, idp) = of(whose);
            let by = local_user();
            Ok(assignments.unset(user, idp, reason.as_deref(), &by).await?)
        }
        Command::GetRoleArns { whose, .. } => {
            let (user, idp) = of(whose);
            Ok(assignments.get(user, idp).await?)
        }
        Command::List { .. } => Err(Failure::from("a list is not of one person").into()),
    }
}

/// The same of a gateway. What is taken away is read first: to show it is this command's, not the API's.
async fn ask(command: &Command, gateway: &Remote) -> Result<AssignmentView, Stop> {
    match command {
        Command::SetRoleArns {
            whose,
            arns,
            reason,
            ..
        } => {
            let body = json!({ "role_arns": arns.0, "reason": reason });
            Ok(gateway
                .put(&path(whose), &query(whose, None), &body)
                .await?)
        }
        Command::UnsetRoleArns { whose, reason, .. } => {
            let before = gateway.get(&path(whose), &query(whose, None)).await?;
            let query = query(whose, reason.as_deref());
            gateway.remove(&path(whose), &query).await?;
            Ok(before)
        }
        Command::GetRoleArns { whose, .. } => {
            Ok(gateway.get(&path(whose), &query(whose, None)).await?)
        }
        Command::List { .. } => Err(Failure::from("a list is not of one person").into()),
    }
}

/// A user name has no character that a path could not hold.
fn path(whose: &Whose) -> String {
    format!("/api/v1/admin/users/{}/role-arns", whose.user)
}

fn query<'a>(whose: &'a Whose, reason: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    let idp = whose.idp.as_ref().map(|idp| ("idp", idp.as_str()));
    let reason = reason.map(|reason| ("reason", reason));
    idp.into_iter().chain(reason).collect()
}

fn shown(command: &Command, done: &AssignmentView, json: bool) -> Outcome {
    for note in &done.notes {
        output::note(note);
    }
    if json {
        output::json(done)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (user, idp) = (&done.user, &done.idp);
    match command {
        Command::SetRoleArns { .. } => {
            let count = counted(done.role_arns.len());
            output::line(&format!("{user} of {idp} is assigned {count}"));
        }
        Command::UnsetRoleArns { .. } => {
            let count = counted(done.role_arns.len());
            output::line(&format!("{user} of {idp} is no longer assigned {count}"));
        }
        Command::GetRoleArns { .. } | Command::List { .. } => {
            done.role_arns.iter().for_each(|arn| output::line(arn));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn counted(roles: usize) -> String {
    let plural = if roles == 1 { "" } else { "s" };
    format!("{roles} role{plural}")
}

async fn list(idp: Option<&IdpName>, json: bool, gateway: Option<Remote>, at: &Context) -> Outcome {
    let list: Vec<Value> = if let Some(gateway) = gateway {
        let query = idp.map_or_else(String::new, |idp| format!("?idp={idp}"));
        gateway
            .list(&format!("/api/v1/admin/role-arns{query}"))
            .await?
    } else {
        let filter = AssignmentFilter {
            user: None,
            idp: idp.cloned(),
        };
        let assignments = existing(at).await?;
        let mut list = Vec::new();
        let mut after: Option<Person> = None;
        loop {
            let page = assignments.list(&filter, after.as_ref(), PAGE).await?;
            let Some(end) = page.last() else { break list };
            after = Some(Person {
                idp: end.idp.parse()?,
                user: end.user.parse()?,
            });
            for view in &page {
                list.push(serde_json::to_value(view)?);
            }
        }
    };
    let headings = ["USER", "IDP", "ROLES", "BY", "AT", "REASON"];
    print(json, &list, &headings, |row| {
        let arns = row.get("role_arns").and_then(Value::as_array);
        let arns: Vec<&str> = arns
            .iter()
            .copied()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        vec![
            text(row, "user"),
            text(row, "idp"),
            arns.join(", "),
            text(row, "by"),
            text(row, "at"),
            text(row, "reason"),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_only_before_an_arn() {
        let list = "arn:aws:iam::123456789012:role/a,b, arn:aws:iam::123456789012:role/c";
        let ArnList(arns) = arn_list(list).unwrap();
        assert_eq!(
            arns,
            [
                "arn:aws:iam::123456789012:role/a,b",
                "arn:aws:iam::123456789012:role/c"
            ]
        );
        assert!(arn_list("").is_err() && arn_list("reader").is_err());
        assert!(arn_list("arn:aws:iam::123456789012:role/a,arn:aws:iam::1:role/b").is_err());
    }
}
