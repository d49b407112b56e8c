//! `rolegate-agent` as a child process: run to its end, or at work beside a job.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::gateway::Ended;

/// A lease token, well formed.
pub(super) const LEASE: &str = "rgj_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Waiting longer is a failure.
const PATIENCE: Duration = Duration::from_mins(1);

/// `rolegate-agent`, with nothing of the caller's environment that it or an SDK reads.
pub(super) fn program(home: &Path, url: &str, arguments: &[&str]) -> Command {
    dressed(env!("CARGO_BIN_EXE_rolegate-agent"), home, url, arguments)
}

/// The same of `rolegate`.
pub(super) fn rolegate(home: &Path, url: &str, arguments: &[&str]) -> Command {
    dressed(env!("CARGO_BIN_EXE_rolegate"), home, url, arguments)
}

fn dressed(program: &str, home: &Path, url: &str, arguments: &[&str]) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Signals that whoever runs the tests ignores, as in the background of a shell, are the program's again.
    let mut command = Command::new("env");
    command
        .args(["--default-signal=HUP,INT,QUIT", program])
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .env("ROLEGATE_URL", url)
        .env("ROLEGATE_LEASE_TOKEN", LEASE)
        .args(arguments)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Not the terminal's foreground group, where the terminal sends signals itself.
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(super) async fn end(mut command: Command) -> Ended {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("it does not end").unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A program at work.
pub(super) struct Running {
    pub(super) child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            stderr: child.stderr.take().unwrap(),
            child,
        }
    }

    /// The next line of its output, or its errors.
    pub(super) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("it says nothing").unwrap();
        let Some(line) = line else {
            let mut text = String::new();
            self.stderr.read_to_string(&mut text).await.unwrap();
            panic!("it ended: {text}")
        };
        line
    }

    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap();
        let sent = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Closes its input, waits for its end; its code, and what it said on standard error.
    pub(super) async fn end(mut self) -> (Option<i32>, String) {
        drop(self.stdin.take());
        let mut text = String::new();
        let read = async {
            self.stderr.read_to_string(&mut text).await.unwrap();
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(PATIENCE, read).await;
        (status.expect("it does not end").code(), text)
    }
}

/// A job that tells where its endpoint is and waits for its input to close; then it exits with 7.
pub(super) const JOB: [&str; 4] = [
    "--",
    "sh",
    "-c",
    "echo $AWS_CONTAINER_CREDENTIALS_FULL_URI; echo $AWS_CONTAINER_AUTHORIZATION_TOKEN; read line; exit 7",
];

/// The endpoint, as the job sees it.
pub(super) struct Desk {
    pub(super) uri: String,
    pub(super) token: String,
    client: reqwest::Client,
}

/// One for all requests: it takes a while to make.
fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    builder.tls_certs_only(None).build().unwrap()
}

impl Desk {
    /// From the first lines of [`JOB`].
    pub(super) async fn of_job(job: &mut Running) -> Self {
        Self {
            uri: job.line().await,
            token: job.line().await,
            client: client(),
        }
    }

    /// From `export` lines.
    pub(super) fn of_lines(text: &str) -> Self {
        let exports: BTreeMap<_, _> = text
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .collect();
        Self {
            uri: exports["AWS_CONTAINER_CREDENTIALS_FULL_URI"].to_owned(),
            token: exports["AWS_CONTAINER_AUTHORIZATION_TOKEN"].to_owned(),
            client: client(),
        }
    }

    pub(super) async fn get(&self) -> (StatusCode, Value) {
        let request = self
            .client
            .get(&self.uri)
            .header("Authorization", &self.token);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Asks until `wanted` comes, at most a minute.
    pub(super) async fn until(&self, wanted: StatusCode) -> Value {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..600 {
            ticks.tick().await;
            let (status, body) = self.get().await;
            if status == wanted {
                return body;
            }
        }
        panic!("{wanted} never came")
    }
}
