//! The child of `exec`: what it is sent, and how it ends.
//!
//! Signals are passed on, but for those that the terminal has sent to the child itself; a signal that was ignored
//! when we started stays ignored for both. As the first process of a container it also takes in orphans.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::process::Command;

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgrp, getpid, kill_process, wait, waitpid,
};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::error::AgentError;

/// What is passed on.
const PASSED: [Signal; 6] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
];

/// The signals that arrive here, from before there is a child.
pub(super) struct Signals(mpsc::UnboundedReceiver<Signal>);

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> io::Result<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let ignored = ignored();
        for one in PASSED
            .into_iter()
            .filter(|one| !is_in(ignored, *one))
            .chain([Signal::CHILD])
        {
            let mut arrivals = signal(SignalKind::from_raw(one.as_raw()))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while arrivals.recv().await.is_some() && sender.send(one).is_ok() {}
            });
        }
        Ok(Self(receiver))
    }

    /// The next that ends a process that does nothing about it.
    pub(super) async fn ending(&mut self) -> Signal {
        loop {
            match self.0.recv().await {
                Some(one) if one != Signal::CHILD => return one,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// The exit code of a process that `signal` ended.
pub(super) fn code_of(signal: Signal) -> u8 {
    code(128, signal.as_raw())
}

fn code(base: i32, rest: i32) -> u8 {
    u8::try_from(base.saturating_add(rest)).unwrap_or(u8::MAX)
}

/// Runs `command` to its end; its exit code, or 128 and the signal's number.
pub(super) async fn run(
    command: &[OsString],
    environment: BTreeMap<OsString, OsString>,
    signals: &mut Signals,
) -> Result<u8, AgentError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(AgentError::CommandNotFound(String::new()));
    };
    let spawned = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .spawn();
    // It is waited for below, by number: as the first process of a container we wait for any.
    let child = spawned.map_err(|problem| {
        let command = program.to_string_lossy().into_owned();
        match problem.kind() {
            ErrorKind::NotFound => AgentError::CommandNotFound(command),
            _ => AgentError::CommandNotRun { command, problem },
        }
    })?;
    let child = Pid::from_child(&child);
    loop {
        if let Some(code) = reap(child)? {
            return Ok(code);
        }
        match signals.0.recv().await {
            Some(Signal::CHILD) | None => {}
            Some(one) => pass_on(child, one),
        }
    }
}

fn pass_on(child: Pid, signal: Signal) {
    if matches!(signal, Signal::INT | Signal::QUIT) && is_in_foreground() {
        // Typed at the terminal, which has sent it to the child as well.
        return;
    }
    // It has not been waited for, so that the number is its own; it may have ended, which is no harm.
    let _sent = kill_process(child, signal);
}

fn is_in_foreground() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}

/// Takes in what has ended; the code where that is the child.
fn reap(child: Pid) -> io::Result<Option<u8>> {
    let is_first = getpid().is_init();
    loop {
        let ended = if is_first {
            wait(WaitOptions::NOHANG)
        } else {
            waitpid(Some(child), WaitOptions::NOHANG)
        };
        match ended {
            Ok(Some((pid, status))) if pid == child => return Ok(Some(exit_code(status))),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(error) if error == rustix::io::Errno::INTR => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => code(0, status),
        (None, Some(signal)) => code(128, signal),
        (None, None) => u8::MAX,
    }
}

/// The signals that this process was started to ignore, as `nohup` does; none where that cannot be read.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

fn is_in(mask: u64, signal: Signal) -> bool {
    let bit = u32::try_from(signal.as_raw() - 1).unwrap_or(u32::MAX);
    mask.checked_shr(bit).is_some_and(|rest| rest & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_masks_and_makes_codes() {
        assert!(is_in(0b1, Signal::HUP) && !is_in(0b1, Signal::INT));
        assert!(is_in(0b10, Signal::INT));
        assert_eq!(code_of(Signal::TERM), 143);
        assert_eq!(code(0, 7), 7);
    }
}
