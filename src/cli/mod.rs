//! The commands: what is typed becomes one call, and what comes of it becomes text and an exit code.
//!
//! 0 is done, 1 refused or failed, 2 wrong usage. Results go to standard output, the rest to standard
//! error, so that a script can read what a person sees.

mod audit;
mod check;
mod demo;
mod explain;
mod init;
mod job;
mod keys;
mod output;
mod relay;
mod remote;
mod revoke;
mod roles;
mod show;
mod store;
mod tokens;
mod trust_policy;
mod users;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::agent;
use crate::app::{self, StartError, Traces, World};
use crate::config::{self, Config};
use crate::flow::{KeyRing, good_reason};
use crate::model::{OsEntropy, SystemClock};
use crate::saml;
use crate::store::{Store, database_exists};

/// The gateway that turns a company's sign-in into AWS credentials for batch jobs.
#[derive(Parser)]
#[command(name = "rolegate", version, about, arg_required_else_help = true)]
struct Arguments {
    /// The configuration file
    #[arg(
        long,
        global = true,
        env = "ROLEGATE_CONFIG",
        default_value = "rolegate.toml",
        value_name = "FILE"
    )]
    config: PathBuf,
    #[command(subcommand)]
    side: Side,
}

#[derive(Subcommand)]
enum Side {
    #[command(flatten)]
    Gateway(Command),
    #[command(flatten)]
    Job(agent::Command),
}

#[derive(Subcommand)]
enum Command {
    /// Write a commented rolegate.toml to start from
    Init,
    /// Show it all at work on loopback: gateway, demo IdP and sandbox STS
    Demo(demo::Arguments),
    /// Serve
    Serve,
    /// Say whether the configuration is good, and what cannot work with it
    Check,
    /// The allow-list
    #[command(subcommand)]
    Roles(roles::Command),
    /// Roles that an admin assigns to persons whose IdP names none
    #[command(subcommand)]
    Users(users::Command),
    /// Tokens of launchers, admins and auditors
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Identity providers
    #[command(subcommand)]
    Idps(show::Idps),
    /// Sessions
    #[command(subcommand)]
    Sessions(show::List),
    /// Leases
    #[command(subcommand)]
    Leases(show::List),
    /// Stop sessions, leases and credentials at once; with --hold refuse new ones too
    Revoke(revoke::Arguments),
    /// Release a hold: sign-ins, leases and fetches are taken again, what was revoked stays revoked
    Release(revoke::Release),
    /// Holds
    #[command(subcommand)]
    Holds(show::List),
    /// Say what rolegate makes of a SAML response, or why it refused a sign-in, check by check; consumes nothing
    Explain(explain::Arguments),
    /// Print the trust policy that a role needs
    TrustPolicy(trust_policy::Arguments),
    /// The audit
    #[command(subcommand)]
    Audit(audit::Command),
    /// Print rolegate's own SAML metadata, for the IdP
    Metadata,
    /// The master keys that seal the store, and rolegate's own key pairs: to sign requests and relay tokens, to decrypt
    #[command(subcommand)]
    Keys(keys::Command),
    /// rolegate as the OIDC issuer of method relay
    #[command(subcommand)]
    Relay(relay::Command),
    /// The database: its schema, backups, the way to PostgreSQL
    #[command(subcommand)]
    Store(store::Command),
    /// What a job's AWS SDK does with its environment (used by the demo)
    #[command(hide = true)]
    DemoJob,
}

/// What a command failed of, for standard error.
pub(crate) struct Failure(String);

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// The exit code of wrong usage.
const WRONG_USAGE: u8 = 2;

type Outcome = Result<ExitCode, Failure>;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let command = match arguments.side {
        Side::Gateway(command) => command,
        // It needs neither XML nor this runtime, and ends as the job does.
        Side::Job(command) => return agent::run(command),
    };
    let path = arguments.config;
    let outcome = saml::prepare()
        .map_err(Failure::from)
        .and_then(|()| tokio::runtime::Runtime::new().map_err(Failure::from))
        .and_then(|runtime| runtime.block_on(dispatch(command, path)));
    match outcome {
        Ok(code) => code,
        Err(Failure(message)) => {
            output::error(&message);
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command, path: PathBuf) -> Outcome {
    let at = Context {
        path,
        world: World {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        },
    };
    match command {
        Command::Init => init(&at.path),
        Command::Demo(arguments) => demo::run(&arguments, &at.world).await,
        Command::Serve => serve(&at).await,
        Command::Check => check::run(&at).await,
        Command::Roles(command) => roles::run(command, &at).await,
        Command::Users(command) => users::run(command, &at).await,
        Command::Tokens(command) => tokens::run(command, &at).await,
        Command::Idps(command) => show::idps(&command, &at).await,
        Command::Sessions(command) => show::sessions(&command, &at).await,
        Command::Leases(command) => show::leases(&command, &at).await,
        Command::Revoke(arguments) => revoke::run(arguments, &at).await,
        Command::Release(arguments) => revoke::release(&arguments, &at).await,
        Command::Holds(command) => revoke::holds(&command, &at).await,
        Command::Explain(arguments) => explain::run(&arguments, &at).await,
        Command::TrustPolicy(arguments) => trust_policy::run(&arguments, &at).await,
        Command::Audit(command) => audit::run(command, &at).await,
        Command::Metadata => metadata(&at).await,
        Command::Keys(command) => keys::run(command, &at).await,
        Command::Relay(command) => relay::run(command, &at).await,
        Command::Store(command) => store::run(command, &at).await,
        Command::DemoJob => job::run().await,
    }
}

/// What commands work on.
pub(crate) struct Context {
    path: PathBuf,
    world: World,
}

impl Context {
    fn config(&self) -> Result<Config, Failure> {
        Ok(config::load(&self.path, &environment())?)
    }

    /// The store, made where there is none: for what a store may begin with.
    async fn store(&self) -> Result<(Config, Store), Failure> {
        let config = self.config()?;
        let store = app::open_store(&config, &self.world).await?;
        Ok((config, store))
    }

    /// The store, where there is one. What looks at it, or takes from it, must not make an empty one after a slip in
    /// `store.url`, and call that proved or revoked.
    async fn existing(&self) -> Result<(Config, Store), Failure> {
        let config = self.config()?;
        if !database_exists(&config.store.url).await? {
            let path = self.path.display();
            return Err(format!(
                "there is no database yet where `store.url` of {path} points; name the gateway's own configuration with --config, or correct the key"
            )
            .into());
        }
        let store = app::open_store(&config, &self.world).await?;
        Ok((config, store))
    }

    /// As [`Self::existing`], for who needs the store alone.
    async fn existing_store(&self) -> Result<Store, Failure> {
        let (_, store) = self.existing().await?;
        Ok(store)
    }
}

fn environment() -> BTreeMap<String, String> {
    // A variable that is no text can be none of ours.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

async fn serve(at: &Context) -> Outcome {
    let signals = app::Signals::listen().map_err(StartError::Signals)?;
    let mut config = at.config()?;
    let traces = config.telemetry.as_ref().map(Traces::start);
    output::start_logging(traces.as_ref());
    let served = serve_with(&mut config, at, signals).await;
    if let Some(traces) = traces {
        traces.stop().await;
    }
    served
}

async fn serve_with(config: &mut Config, at: &Context, signals: app::Signals) -> Outcome {
    check::forget_settled(config, at).await?;
    for warning in &config.warnings {
        tracing::warn!(event = "configuration", "{warning}");
    }
    app::serve(config, &at.world, signals).await?;
    Ok(ExitCode::SUCCESS)
}

fn init(path: &Path) -> Outcome {
    output::line(&init::init(path)?);
    Ok(ExitCode::SUCCESS)
}

/// With the keys of the store, where there is one; a store that was not made yet is not made by this.
async fn metadata(at: &Context) -> Outcome {
    let config = at.config()?;
    let ring = if database_exists(&config.store.url).await? {
        let (_, store) = at.store().await?;
        KeyRing::read(&store.service_keys().await?)
    } else {
        KeyRing::default()
    };
    output::line(&ring.metadata(&app::addresses(&config))?);
    Ok(ExitCode::SUCCESS)
}

/// A reason as the audit keeps it.
fn reason(text: &str) -> Result<String, String> {
    good_reason(text).map(str::to_owned)
}

/// Who a local edit is by: the account that runs the command, whatever its environment says.
fn local_user() -> String {
    let name = whoami::username().unwrap_or_else(|_| "unknown".to_owned());
    format!("local:{name}")
}
