//! A PostgreSQL server of a test's own, which can be stopped and started, and a way to it that can be cut.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server that takes longer to stop or to start does not.
const PATIENCE: Duration = Duration::from_mins(1);

/// The server; it ends, and its folder goes, once this is dropped.
pub(crate) struct Postgres {
    child: Child,
    port: u16,
    data: PathBuf,
    /// The server, once it was started anew.
    again: Option<Child>,
}

impl Postgres {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        // Its command ends with its input, which is closed when this process ends, however it ends.
        let mut child = Command::new("tests/on_postgres")
            .args([
                "sh",
                "-c",
                "echo \"$ROLEGATE_TEST_POSTGRES $ROLEGATE_TEST_POSTGRES_DATA\"; exec cat",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let told = line.trim().split_once(' ');
        let (url, data) = told.expect("tests/setup test installs PostgreSQL");
        let url: url::Url = url.parse().unwrap();
        Self {
            child,
            port: url.port().unwrap(),
            data: PathBuf::from(data),
            again: None,
        }
    }

    /// The server's folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Stops the server: `QUIT` as a crash does, `INT` as an admin does who cuts everybody off. Waits until it has
    /// ended.
    pub(crate) async fn stop(&mut self, signal: &str) {
        let pid = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let kill = format!("kill -{signal} {pid}");
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
        if let Some(mut again) = self.again.take() {
            again.wait().unwrap();
            return;
        }
        // A child of tests/on_postgres, which takes it in only at the end.
        let state = PathBuf::from(format!("/proc/{pid}/stat"));
        self.wait_for("the server does not end", || {
            let stat = std::fs::read_to_string(&state).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        })
        .await;
    }

    /// Starts it anew as it was; waits until it takes connections.
    pub(crate) async fn start_again(&mut self) {
        let options = std::fs::read_to_string(self.data.join("postmaster.opts")).unwrap();
        let owner = std::fs::metadata(&self.data).unwrap();
        let log = self.data.with_file_name("log-again");
        let log = std::fs::File::create(log).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec {options}")])
            .current_dir(&self.data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if owner.uid() != rustix::process::getuid().as_raw() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        self.again = Some(command.spawn().unwrap());
        let asks = self.program("pg_isready");
        let port = self.port.to_string();
        self.wait_for("the server does not start", || {
            let asked = Command::new(&asks)
                .args(["-q", "-h", "127.0.0.1", "-p", &port])
                .status();
            asked.unwrap().success()
        })
        .await;
    }

    /// Another program of the server's own.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let options = std::fs::read_to_string(self.data.join("postmaster.opts")).unwrap();
        let program = options.split(' ').next().unwrap();
        Path::new(program).with_file_name(name)
    }

    async fn wait_for(&self, problem: &str, done: impl Fn() -> bool) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let waiting = async {
            while !done() {
                ticks.tick().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{problem}");
    }

    /// The URL of its database, by way of `port`.
    fn url_by(port: u16) -> String {
        format!("postgres://rolegate@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    /// The URL of its database.
    pub(crate) fn url(&self) -> String {
        Self::url_by(self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(again) = &mut self.again {
            let _killed = again.kill();
            let _ended = again.wait();
        }
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}

/// A way to the server that can be broken, each time in another manner.
pub(crate) struct Way {
    port: u16,
    server: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    breach: Breach,
    /// Whether an answer was held back since the way was last broken.
    has_cut: bool,
    connections: Vec<JoinHandle<()>>,
}

/// What is wrong with a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Breach {
    /// Nothing.
    #[default]
    None,
    /// Nobody gets in, and all are cut off.
    Cut,
    /// Everybody gets in, and no byte comes through, neither way.
    Stalled,
    /// So many packets later, one arrives and its answer does not: that connection is cut. All others come through.
    CutAnswer(usize),
}

impl Way {
    pub(crate) async fn to(server: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Self {
            port: listener.local_addr().unwrap().port(),
            server: server.port,
            state: Arc::default(),
        };
        let (shared, port) = (Arc::clone(&way.state), way.server);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut state = shared.lock().unwrap();
                match state.breach {
                    Breach::Cut => {}
                    Breach::Stalled => state.connections.push(tokio::spawn(async move {
                        let _held = near;
                        std::future::pending::<()>().await;
                    })),
                    Breach::None | Breach::CutAnswer(_) => {
                        let through = through(near, port, Arc::clone(&shared));
                        state.connections.push(tokio::spawn(through));
                    }
                }
            }
        });
        way
    }

    /// The URL of the server's database by this way.
    pub(crate) fn url(&self) -> String {
        Postgres::url_by(self.port)
    }

    /// Cuts every connection, and takes no new one.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.breach = Breach::Cut;
        for connection in state.connections.drain(..) {
            connection.abort();
        }
    }

    /// Breaks it from now on. Connections that are there are kept.
    pub(crate) fn breach(&self, breach: Breach) {
        let mut state = self.state.lock().unwrap();
        state.breach = breach;
        state.has_cut = false;
    }

    /// Whether an answer that came was cut off since one was to be. A packet may have none.
    pub(crate) fn has_cut(&self) -> bool {
        self.state.lock().unwrap().has_cut
    }

    /// Lets connections through again; those that were held are cut.
    pub(crate) fn mend(&self) {
        let mut state = self.state.lock().unwrap();
        if std::mem::take(&mut state.breach) == Breach::Stalled {
            for connection in state.connections.drain(..) {
                connection.abort();
            }
        }
    }
}

impl State {
    /// Whether the answer to a packet that comes now is to be cut off.
    fn cuts_answer(&mut self) -> bool {
        match &mut self.breach {
            Breach::CutAnswer(0) => {
                self.breach = Breach::None;
                true
            }
            Breach::CutAnswer(left) => {
                *left -= 1;
                false
            }
            _ => false,
        }
    }
}

/// Carries bytes both ways until the way is broken.
async fn through(near: TcpStream, port: u16, state: Arc<Mutex<State>>) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let (mut near_in, mut near_out) = near.into_split();
    let (mut far_in, mut far_out) = far.into_split();
    let silent = AtomicBool::new(false);
    let stalled = || state.lock().unwrap().breach == Breach::Stalled;
    let there = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = near_in.read(&mut buffer).await {
            if stalled() {
                std::future::pending::<()>().await;
            }
            if state.lock().unwrap().cuts_answer() {
                silent.store(true, Ordering::SeqCst);
            }
            if far_out.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = far_in.read(&mut buffer).await {
            if stalled() {
                std::future::pending::<()>().await;
            }
            // The server has answered, so it has done what it was asked; nobody hears of it.
            let cut = silent.load(Ordering::SeqCst);
            if cut {
                state.lock().unwrap().has_cut = true;
            }
            if cut || near_out.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}
