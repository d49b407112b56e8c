//! A PostgreSQL server of a test's own, and a way to it that can be cut.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The server; it ends, and its folder goes, once this is dropped.
pub(crate) struct Postgres {
    child: Child,
    port: u16,
}

impl Postgres {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        // Its command ends with its input, which is closed when this process ends, however it ends.
        let mut child = Command::new("tests/on_postgres")
            .args(["sh", "-c", "echo \"$ROLEGATE_TEST_POSTGRES\"; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let url: url::Url = line
            .trim()
            .parse()
            .expect("tests/setup test installs PostgreSQL");
        Self {
            child,
            port: url.port().unwrap(),
        }
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
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}

/// A way to the server, through which nothing comes while it is cut.
pub(crate) struct Way {
    port: u16,
    server: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cut: bool,
    connections: Vec<JoinHandle<()>>,
}

impl Way {
    pub(crate) async fn to(server: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Self {
            port: listener.local_addr().unwrap().port(),
            server: server.port,
            state: Arc::default(),
        };
        let (state, port) = (Arc::clone(&way.state), way.server);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.lock().unwrap();
                if state.cut {
                    continue;
                }
                state.connections.push(tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
                        let _over = copy_bidirectional(&mut near, &mut far).await;
                    }
                }));
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
        state.cut = true;
        for connection in state.connections.drain(..) {
            connection.abort();
        }
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.state.lock().unwrap().cut = false;
    }
}
