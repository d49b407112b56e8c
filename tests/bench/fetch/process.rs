//! The servers as child processes, and what the system says of them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::seed::Seeded;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Process {
    /// `rolegate serve` on what was seeded.
    pub(crate) fn gateway(seeded: &Seeded, sts: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        command.arg("serve").current_dir(seeded.folder.path());
        command.env("AWS_ENDPOINT_URL_STS", sts);
        Self::start(command, seeded.port)
    }

    /// Another gateway on the same, with a port of its own.
    pub(crate) fn replica(seeded: &Seeded, sts: &str) -> Self {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        command.arg("serve").current_dir(seeded.folder.path());
        command.env("AWS_ENDPOINT_URL_STS", sts);
        command.env("ROLEGATE_SERVER__LISTEN", format!("127.0.0.1:{port}"));
        Self::start(command, port)
    }

    /// This very program as the floor.
    pub(crate) fn bare() -> Self {
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([super::bare::MODE, &port.to_string()]);
        Self::start(command, port)
    }

    fn start(mut command: Command, port: u16) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "a server did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { address, child }
    }

    /// User and system time so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        // Linux counts a hundred ticks a second for programs on every architecture that we build for.
        ticks / 100.0
    }

    pub(crate) fn resident_megabytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
