//! Jobs that ask STS who they are, again and again, through the SDK of their language: a child process each,
//! in an environment that holds nothing but what is given, whose every call is an event here.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

/// A job that says nothing for longer has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a job goes on: whichever comes first.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// So many calls.
    pub(crate) calls: u32,
    /// No call begins later than this.
    pub(crate) duration: Duration,
    /// Between the end of a call and the begin of the next.
    pub(crate) pause: Duration,
}

impl Limits {
    /// So many calls with `pause` between them, and ten minutes at most.
    pub(crate) fn calls(calls: u32, pause: Duration) -> Self {
        Self {
            calls,
            duration: Duration::from_mins(10),
            pause,
        }
    }

    /// As the jobs take them.
    pub(crate) fn arguments(self) -> [String; 3] {
        [
            self.calls.to_string(),
            self.duration.as_secs_f64().to_string(),
            self.pause.as_secs_f64().to_string(),
        ]
    }
}

/// What a job told of a call.
#[derive(Debug)]
pub(crate) enum Call {
    /// Who STS said it is.
    Arn(String),
    /// What the SDK said went wrong.
    Failed { error: String, message: String },
}

impl Call {
    fn read(line: &str) -> Option<Self> {
        // The job in Rust shares its output with the test runner that it is a part of.
        let told: Value = serde_json::from_str(line.get(line.find('{')?..)?).ok()?;
        let text = |key: &str| told[key].as_str().map(str::to_owned);
        Some(match text("arn") {
            Some(arn) => Self::Arn(arn),
            None => Self::Failed {
                error: text("error").unwrap(),
                message: text("message").unwrap(),
            },
        })
    }

    /// The ARN of a call that must have succeeded.
    pub(crate) fn arn(&self) -> &str {
        match self {
            Self::Arn(arn) => arn,
            Self::Failed { error, message } => panic!("{error}: {message}"),
        }
    }

    /// The SDK's words of a call that must have failed.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Arn(arn) => panic!("the call succeeded, as {arn}"),
            Self::Failed { message, .. } => message,
        }
    }
}

/// A job at work; killed when dropped.
pub(crate) struct LongJob {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
    _home: tempfile::TempDir,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The calls that were not read before.
    pub(crate) calls: Vec<Call>,
    /// Its exit code; none for one that a signal ended.
    pub(crate) code: Option<i32>,
    /// What it wrote beside.
    pub(crate) stderr: String,
}

impl LongJob {
    /// Starts `program` with `arguments` and these variables.
    ///
    /// No variable of ours reaches it but PATH, so no credentials, region or profile of the machine do; the
    /// home folder is empty, and the instance metadata service is not asked.
    pub(super) fn start(program: &Path, arguments: &[String], env: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", home.path())
            .env("LANG", "C.UTF-8")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", "us-east-1")
            .envs(env.iter().copied())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        Self {
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            // Read all along: a full pipe would stop the job.
            stderr: tokio::spawn(async move {
                let mut text = String::new();
                stderr.read_to_string(&mut text).await.unwrap();
                text
            }),
            child,
            _home: home,
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// The next call; none when it has ended.
    pub(crate) async fn next(&mut self) -> Option<Call> {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.expect("the job says nothing").unwrap()?;
            if let Some(call) = Call::read(&line) {
                return Some(call);
            }
        }
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Ended {
        let mut calls = Vec::new();
        while let Some(call) = self.next().await {
            calls.push(call);
        }
        let status = self.child.wait().await.unwrap();
        Ended {
            calls,
            code: status.code(),
            stderr: self.stderr.await.unwrap(),
        }
    }

    /// Ends it now, and gives what was not read.
    pub(crate) async fn stop(mut self) -> Ended {
        self.child.start_kill().unwrap();
        self.end().await
    }
}
