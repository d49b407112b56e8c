//! A PgBouncer of a test's own, before a PostgreSQL server: it gives each transaction one of few connections.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::gateway::free_port;
use crate::parts::postgres::Postgres;

/// One that takes longer to start does not.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pooler; it ends once this is dropped.
pub(crate) struct PgBouncer {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// Starts one that has at most `connections` to the server.
    pub(crate) async fn start(server: &Postgres, connections: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (here, port) = (folder.path(), free_port());
        let behind: url::Url = server.url().parse().unwrap();
        let behind = behind.port().unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={behind}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = users.txt\npool_mode = transaction\n\
             default_pool_size = {connections}\nserver_reset_query =\n\
             ignore_startup_parameters = extra_float_digits\n"
        );
        std::fs::write(here.join("pgbouncer.ini"), settings).unwrap();
        std::fs::write(here.join("users.txt"), "\"rolegate\" \"\"\n").unwrap();
        // It refuses to run as root, as the server does.
        let owner = std::fs::metadata(server.data()).unwrap();
        // That user may not see where the project lies.
        let program = here.join("pgbouncer");
        std::fs::copy(super::part("pgbouncer/pgbouncer"), &program).unwrap();
        let files = ["pgbouncer", "pgbouncer.ini", "users.txt"].map(|name| here.join(name));
        for path in files.iter().map(PathBuf::as_path).chain([here]) {
            chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let log = std::fs::File::create(here.join("log")).unwrap();
        let mut command = Command::new(&program);
        command
            .args(["-q", "pgbouncer.ini"])
            .current_dir(here)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if owner.uid() != rustix::process::getuid().as_raw() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let bouncer = Self {
            child: command.spawn().unwrap(),
            port,
            _folder: folder,
        };
        bouncer.wait().await;
        bouncer
    }

    async fn wait(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let waiting = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", self.port))
                .await
                .is_err()
            {
                ticks.tick().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "PgBouncer does not start");
    }

    /// The URL of the server's database through it.
    pub(crate) fn url(&self) -> String {
        let port = self.port;
        format!("postgres://rolegate@127.0.0.1:{port}/postgres?sslmode=disable")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
