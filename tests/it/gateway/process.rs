//! The `rolegate` program as a child process, and what it writes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A start, or an end, that takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// A port that nobody listens on, below those that the system gives to connections, so that none of
/// them takes it before the gateway does; each call of this process gets another.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ports = 10_000..32_000_u32;
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..1000 {
        let at = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = ports.start + at % (ports.end - ports.start);
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// A port that nobody listens on, and that nobody else takes as long as the socket is kept.
pub(crate) fn silent_port() -> (TcpSocket, u16) {
    loop {
        let (socket, port) = (TcpSocket::new_v4().unwrap(), free_port());
        if socket.bind(([127, 0, 0, 1], port).into()).is_ok() {
            return (socket, port);
        }
    }
}

/// Environment variables of a gateway, beside those that name the sandbox STS.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// A `rolegate serve` at work; killed when dropped.
pub(crate) struct Gateway {
    folder: PathBuf,
    public_url: String,
    sts_url: String,
    variables: Variables,
    child: Child,
    log: Log,
}

/// What a gateway logged so far, and the task that reads it until the gateway has ended.
struct Log {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

/// What a command wrote and how it ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The output of a command that must have succeeded.
    pub(crate) fn good(self) -> String {
        assert!(self.status.success(), "{}{}", self.stdout, self.stderr);
        self.stdout.trim().to_owned()
    }
}

impl Gateway {
    /// Serves from `folder`, and waits until it says that it does.
    pub(crate) async fn start(folder: &Path, public_url: &str, sts_url: &str) -> Self {
        Self::start_with(folder, public_url, sts_url, Variables::new()).await
    }

    /// As [`Gateway::start`], with more variables.
    pub(crate) async fn start_with(
        folder: &Path,
        public_url: &str,
        sts_url: &str,
        variables: Variables,
    ) -> Self {
        let (child, log) = spawn(folder, sts_url, &variables).serves().await;
        Self {
            folder: folder.to_owned(),
            public_url: public_url.to_owned(),
            sts_url: sts_url.to_owned(),
            variables,
            child,
            log,
        }
    }

    /// As [`Gateway::start`], with a SIGHUP once `begun` says that the start is under way.
    pub(crate) async fn start_hung_up(
        folder: &Path,
        public_url: &str,
        sts_url: &str,
        begun: impl Future<Output = ()>,
    ) -> Self {
        let variables = Variables::new();
        let starting = spawn(folder, sts_url, &variables);
        begun.await;
        hang_up(&starting.child);
        let (child, log) = starting.serves().await;
        Self {
            folder: folder.to_owned(),
            public_url: public_url.to_owned(),
            sts_url: sts_url.to_owned(),
            variables,
            child,
            log,
        }
    }

    /// A URL of the gateway's.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }

    /// Kills it as `kill -9` does, and starts it anew.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.kill().await;
        self.restart().await;
    }

    /// Kills it as `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it anew, once it has ended.
    pub(crate) async fn restart(&mut self) {
        let starting = spawn(&self.folder, &self.sts_url, &self.variables);
        (self.child, self.log) = starting.serves().await;
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        signal(&self.child, "TERM");
        self.ended().await
    }

    /// Asks it to end by SIGTERM, waits until it has, and gives what it wrote to standard output.
    pub(crate) async fn stop(mut self) -> String {
        assert!(self.end().await.success());
        let mut written = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut written).await.unwrap();
        written
    }

    /// Whether the process that was started is still there.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Its resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let figure = line.unwrap().trim().trim_end_matches(" kB");
        figure.parse().unwrap()
    }

    /// All that it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// Waits until it has logged `event`, at most a minute.
    pub(crate) async fn logged(&self, event: &str) {
        self.logged_times(event, 1).await;
    }

    /// Waits until it has logged `event` so many times, at most a minute: an answer may come before the line of the
    /// log is read.
    pub(crate) async fn logged_times(&self, event: &str, times: usize) {
        self.said_times(&format!("\"event\":\"{event}\""), times)
            .await;
    }

    /// Waits until `text` stands in its log, at most a minute.
    pub(crate) async fn said(&self, text: &str) {
        self.said_times(text, 1).await;
    }

    async fn said_times(&self, text: &str, times: usize) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..1200 {
            if self.log().matches(text).count() >= times {
                return;
            }
            ticks.tick().await;
        }
        panic!("not {times} of {text} in {}", self.log());
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&self) {
        hang_up(&self.child);
    }

    /// Sends the signal called `name`.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits until it has ended by itself, and all that it logged is read.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.expect("it does not end").unwrap();
        let read = tokio::time::timeout(PATIENCE, &mut self.log.reader).await;
        read.expect("somebody else writes to its log").unwrap();
        status
    }

    /// Starts it anew, after it has ended.
    pub(crate) async fn start_again(&mut self) {
        let starting = spawn(&self.folder, &self.sts_url, &self.variables);
        (self.child, self.log) = starting.serves().await;
    }

    /// A launcher's token that reaches everything.
    pub(crate) async fn launcher(&self) -> String {
        let reach = ["--for-roles", "*", "--for-users", "*"];
        let arguments = ["tokens", "create", "batch", "--role", "launcher"];
        self.command(&[&arguments[..], &reach[..]].concat())
            .await
            .good()
    }

    /// Runs an admin's command on the same configuration.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Ended {
        command(
            &self.folder,
            arguments,
            &[("AWS_ENDPOINT_URL_STS", &self.sts_url)],
        )
        .await
    }
}

/// Runs a command in `folder`, with these variables alone of those that rolegate reads.
pub(crate) async fn command(
    folder: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Ended {
    let output = program(folder)
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .await
        .unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// As [`command`], with a SIGHUP once `begun` says that it is under way.
pub(crate) async fn command_hung_up(
    folder: &Path,
    arguments: &[&str],
    begun: impl Future<Output = ()>,
) -> Ended {
    let child = program(folder).args(arguments).spawn().unwrap();
    begun.await;
    hang_up(&child);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
    let output = output.await.expect("it does not end").unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Begins to serve from `folder`; nobody waits for it.
pub(crate) fn begin(folder: &Path) -> Child {
    let mut program = program(folder);
    let silent = program
        .arg("serve")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    silent.spawn().unwrap()
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
    for (name, _) in std::env::vars()
        .filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("ROLEGATE_"))
    {
        command.env_remove(name);
    }
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn hang_up(child: &Child) {
    signal(child, "HUP");
}

fn signal(child: &Child, name: &str) {
    // The shell's own `kill`: a bare system has no other.
    let sent = std::process::Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", child.id().unwrap())])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// A gateway that may not serve yet.
struct Starting {
    child: Child,
    log: Log,
    told: oneshot::Receiver<()>,
}

impl Starting {
    /// Waits until it says that it serves.
    async fn serves(self) -> (Child, Log) {
        let told = tokio::time::timeout(PATIENCE, self.told).await;
        assert!(
            matches!(told, Ok(Ok(()))),
            "the gateway did not start: {}",
            self.log.text.lock().unwrap()
        );
        (self.child, self.log)
    }
}

fn spawn(folder: &Path, sts_url: &str, variables: &Variables) -> Starting {
    super::pace::watch();
    let mut child = program(folder)
        .env("AWS_ENDPOINT_URL_STS", sts_url)
        .env("AWS_ENDPOINT_URL_SIGNIN", sts_url)
        .envs(variables.iter().cloned())
        .arg("serve")
        .spawn()
        .unwrap();
    let text = Arc::new(Mutex::new(String::new()));
    let (serving, told) = oneshot::channel();
    let mut serving = Some(serving);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let kept = Arc::clone(&text);
    let reader = tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("\"event\":\"serving\"")
                && let Some(serving) = serving.take()
            {
                let _gone = serving.send(());
            }
            let mut log = kept.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
    let log = Log { text, reader };
    Starting { child, log, told }
}
