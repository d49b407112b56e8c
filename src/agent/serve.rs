//! `agent`: credentials for whoever shares this machine or pod and is given the token, until it is told to end.
//!
//! For a Slurm prolog and a Kubernetes sidecar: the files appear once there are credentials, and go at the end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::id;

use zeroize::Zeroizing;

use super::child::{Signals, code_of};
use super::command::Powers;
use super::error::AgentError;
use super::exec::{PATIENCE, start_endpoint, start_file};
use super::source::Source;
use super::{environment, private_file, say};
use rustix::process::Signal;

/// What is served, and where that is told.
pub(super) struct Order {
    pub(super) listen: SocketAddr,
    pub(super) env_file: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) pid_file: Option<PathBuf>,
    pub(super) web_identity_token_file: Option<PathBuf>,
    pub(super) no_wait: bool,
}

/// Files of ours, removed when this goes.
struct Files(Vec<PathBuf>);

impl Files {
    fn write(&mut self, path: Option<&Path>, text: &str, mode: u32) -> Result<(), AgentError> {
        let Some(path) = path else { return Ok(()) };
        private_file::write(path, text.as_bytes(), mode).map_err(|problem| AgentError::Write {
            path: path.to_owned(),
            problem,
        })?;
        self.0.push(path.to_owned());
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            // It may be gone already.
            let _removed = std::fs::remove_file(path);
        }
    }
}

/// Serves until SIGTERM or SIGINT.
pub(super) async fn run(order: Order, source: Source, powers: &Powers) -> Result<u8, AgentError> {
    let mut signals = Signals::listen()?;
    let mut files = Files(Vec::new());
    tokio::select! {
        ready = start(&order, source, powers, &mut files) => ready?,
        signal = ending(&mut signals) => return Ok(code_of(signal)),
    }
    ending(&mut signals).await;
    Ok(0)
}

async fn start(
    order: &Order,
    source: Source,
    powers: &Powers,
    files: &mut Files,
) -> Result<(), AgentError> {
    let given = if let Some(path) = &order.web_identity_token_file {
        let path = std::path::absolute(path)?;
        files.0.push(path.clone());
        start_file(path, source, powers).await?
    } else {
        let (endpoint, keeper) = start_endpoint(order.listen, source, powers)?;
        if !order.no_wait {
            keeper.first(PATIENCE).await?;
        }
        files.write(order.token_file.as_deref(), &endpoint.token(), 0o400)?;
        endpoint.variables()
    };
    tell(order, &given, files)
}

/// The process id first: who waits for the variables finds it there.
fn tell(
    order: &Order,
    given: &[(&str, Zeroizing<String>)],
    files: &mut Files,
) -> Result<(), AgentError> {
    files.write(order.pid_file.as_deref(), &format!("{}\n", id()), 0o600)?;
    let lines = environment::lines(given);
    match &order.env_file {
        Some(path) => files.write(Some(path), &lines, 0o600),
        None => Ok(say::result(lines.trim_end())?),
    }
}

/// The signal that ends an agent; SIGHUP and the others do nothing to it.
async fn ending(signals: &mut Signals) -> Signal {
    loop {
        let signal = signals.ending().await;
        if matches!(signal, Signal::TERM | Signal::INT) {
            return signal;
        }
    }
}
