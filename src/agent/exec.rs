//! `exec`: a job's command, with credentials for as long as it runs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::child::{self, Signals};
use super::command::Powers;
use super::endpoint::{Endpoint, any_port};
use super::environment;
use super::error::AgentError;
use super::keeper::Keeper;
use super::source::Source;
use super::token_file::TokenFile;

/// How long a start waits for a first answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What is run, and how.
pub(super) struct Order {
    pub(super) command: Vec<OsString>,
    pub(super) web_identity: bool,
    pub(super) no_wait: bool,
}

/// Runs the command; the exit code is its own.
pub(super) async fn run(order: Order, source: Source, powers: &Powers) -> Result<u8, AgentError> {
    let mut signals = Signals::listen()?;
    // Kept to the end: the file goes with it.
    let mut folder = None;
    let ready = async {
        if order.web_identity {
            let place = private_folder()?;
            let path = place.path().join("token");
            folder = Some(place);
            start_file(path, source, powers).await
        } else {
            let (endpoint, keeper) = start_endpoint(any_port(), source, powers)?;
            if !order.no_wait {
                keeper.first(PATIENCE).await?;
            }
            Ok(endpoint.variables())
        }
    };
    let given = tokio::select! {
        given = ready => given?,
        signal = signals.ending() => return Ok(child::code_of(signal)),
    };
    let variables = environment::for_child(std::env::vars_os(), &given);
    child::run(&order.command, variables, &mut signals).await
}

/// Opens the endpoint, and begins to ask.
pub(super) fn start_endpoint(
    address: std::net::SocketAddr,
    source: Source,
    powers: &Powers,
) -> Result<(Endpoint, Arc<Keeper>), AgentError> {
    source.gateway.prepare()?;
    let keeper = Keeper::new(
        Arc::new(source),
        Arc::clone(&powers.clock),
        Arc::clone(&powers.entropy),
    );
    let keeper = Arc::new(keeper);
    let endpoint = Endpoint::open(address, Arc::clone(&keeper), &*powers.entropy)?;
    tokio::spawn(Arc::clone(&keeper).keep());
    Ok((endpoint, keeper))
}

/// Writes the first web identity token, and goes on replacing it.
pub(super) async fn start_file(
    path: PathBuf,
    source: Source,
    powers: &Powers,
) -> Result<Vec<(&'static str, Zeroizing<String>)>, AgentError> {
    source.gateway.prepare()?;
    let file = TokenFile::new(path, Arc::new(source), Arc::clone(&powers.clock))?;
    let (variables, pause) = file.first(PATIENCE).await?;
    tokio::spawn(file.keep(pause));
    Ok(variables)
}

fn private_folder() -> Result<tempfile::TempDir, AgentError> {
    let base = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|folder| folder.is_dir())
        .unwrap_or_else(std::env::temp_dir);
    let mut made = tempfile::Builder::new();
    // tempfile makes folders with mode 0700.
    made.prefix("rolegate-")
        .tempdir_in(&base)
        .map_err(|problem| AgentError::Write {
            path: base,
            problem,
        })
}
