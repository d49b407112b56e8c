//! The commands of the job side, as `rolegate` and `rolegate-agent` both take them.

use std::ffi::OsString;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::endpoint::any_port;
use super::error::AgentError;
use super::gateway::Gateway;
use super::source::{Choice, Source};
use super::{exec, login, process, say, serve};
use crate::model::{Clock, Entropy, OsEntropy, RoleArn, SystemClock};

/// What is typed.
#[derive(Subcommand)]
pub enum Command {
    /// Run a command with credentials for as long as it runs; the lease token is read from ROLEGATE_LEASE_TOKEN
    Exec(Exec),
    /// Serve credentials on loopback until SIGTERM; prints what the job's environment needs
    Agent(Agent),
    /// Print credentials once, for `credential_process` in ~/.aws/config
    CredentialProcess(CredentialProcess),
    /// Sign in with a browser here or elsewhere, for --role
    Login(Login),
    /// Forget the sign-in on this machine
    Logout(At),
}

/// Where to ask.
#[derive(Args)]
pub struct At {
    /// The gateway's address: https, or http on loopback
    #[arg(long, env = "ROLEGATE_URL", value_name = "URL", hide_env_values = true)]
    url: Option<String>,
}

/// Where to ask, and as whom.
#[derive(Args)]
pub(super) struct Who {
    #[command(flatten)]
    at: At,
    /// A file with the lease token, read again when it changes; else ROLEGATE_LEASE_TOKEN
    #[arg(long, value_name = "FILE")]
    lease_token_file: Option<PathBuf>,
    /// Without a lease: this role, with your own sign-in
    #[arg(long, value_name = "ARN")]
    role: Option<RoleArn>,
}

/// `exec`.
#[derive(Args)]
pub struct Exec {
    #[command(flatten)]
    who: Who,
    /// Give the command a web identity token in a file, for entries that hand out tokens
    #[arg(long, conflicts_with_all = ["no_wait", "role"])]
    web_identity: bool,
    /// Start the command without waiting for a first answer of the gateway
    #[arg(long)]
    no_wait: bool,
    /// The command
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// `agent`.
#[derive(Args)]
pub struct Agent {
    #[command(flatten)]
    who: Who,
    /// Where to listen, on loopback; port 0 is any that is free
    #[arg(long, value_name = "127.0.0.1:PORT", default_value_t = any_port())]
    listen: SocketAddr,
    /// Write `export` and `unset` lines here and not to standard output; mode 0600, removed at the end
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Write the token here too, for AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE; mode 0400, removed at the end
    #[arg(long, value_name = "FILE", conflicts_with = "web_identity_token_file")]
    token_file: Option<PathBuf>,
    /// Write the process id here, for who will end it
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// In place of an endpoint, keep a web identity token in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_wait", "role"])]
    web_identity_token_file: Option<PathBuf>,
    /// Tell the variables without waiting for a first answer of the gateway
    #[arg(long)]
    no_wait: bool,
}

/// `credential-process`.
#[derive(Args)]
pub struct CredentialProcess {
    #[command(flatten)]
    who: Who,
    /// Ask the gateway each time, and keep nothing on disk
    #[arg(long)]
    no_cache: bool,
}

/// `login`.
#[derive(Args)]
pub struct Login {
    #[command(flatten)]
    at: At,
    /// Only show address and code
    #[arg(long)]
    no_browser: bool,
}

/// Time and randomness, handed in.
pub(super) struct Powers {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// Runs a command to its end, on a runtime of its own; says on standard error what went wrong.
pub fn run(command: Command) -> ExitCode {
    let powers = Powers {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let outcome = match command {
        Command::Exec(given) => of_exec(given, &powers),
        Command::Agent(given) => of_agent(given, &powers),
        Command::CredentialProcess(given) => source(given.who, &powers)
            .and_then(|source| drive(process::run(source, given.no_cache, &powers))),
        Command::Login(given) => {
            gateway(given.at).and_then(|gateway| drive(login::run(&gateway, given.no_browser)))
        }
        Command::Logout(at) => gateway(at).and_then(|gateway| login::logout(&gateway)),
    };
    outcome.map_or_else(|error| failed(&error), ExitCode::from)
}

fn of_exec(given: Exec, powers: &Powers) -> Result<u8, AgentError> {
    let source = source(given.who, powers)?;
    let order = exec::Order {
        command: given.command,
        web_identity: given.web_identity,
        no_wait: given.no_wait,
    };
    drive(exec::run(order, source, powers))
}

fn of_agent(given: Agent, powers: &Powers) -> Result<u8, AgentError> {
    let source = source(given.who, powers)?;
    let order = serve::Order {
        listen: given.listen,
        env_file: given.env_file,
        token_file: given.token_file,
        pid_file: given.pid_file,
        web_identity_token_file: given.web_identity_token_file,
        no_wait: given.no_wait,
    };
    drive(serve::run(order, source, powers))
}

fn source(who: Who, powers: &Powers) -> Result<Source, AgentError> {
    let choice = Choice {
        url: who.at.url,
        lease_token_file: who.lease_token_file,
        role: who.role,
    };
    Source::choose(choice, Arc::clone(&powers.clock))
}

fn gateway(at: At) -> Result<Gateway, AgentError> {
    let url = at.url.filter(|url| !url.is_empty());
    Gateway::new(&url.ok_or(AgentError::NoUrl)?)
}

/// One thread: a job has the others.
fn drive(work: impl Future<Output = Result<u8, AgentError>>) -> Result<u8, AgentError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    let outcome = runtime.block_on(work);
    // What still goes on, a name look-up say, is not waited for.
    runtime.shutdown_background();
    outcome
}

/// As a shell would end: 127 and 126 are of the command, 1 is ours.
fn failed(error: &AgentError) -> ExitCode {
    say::note(&error.to_string());
    match error {
        AgentError::CommandNotFound(_) => ExitCode::from(127),
        AgentError::CommandNotRun { .. } => ExitCode::from(126),
        error if error.is_usage() => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
