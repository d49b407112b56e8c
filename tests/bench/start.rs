//! What a gateway costs before anybody signs in: the time from its start to the first `/healthz`, and the
//! memory it holds when idle. Run with `cargo bench --bench start`; it exits with 1 if a bound is broken.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on should stop where it stands"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const STARTS: usize = 21;
const PATIENCE: Duration = Duration::from_secs(10);
/// What an idle gateway settles in before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\n\
         [[saml.idp]]\nname = \"idp\"\nmetadata_file = \"idp.xml\"\n"
    );
    std::fs::write(folder.path().join("rolegate.toml"), text).unwrap();
    std::fs::write(
        folder.path().join("idp.xml"),
        include_bytes!("../../fixtures/saml/idp.xml"),
    )
    .unwrap();
    // The first start makes key and database.
    stop(start(folder.path(), port).1);
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let (time, child) = start(folder.path(), port);
        times.push(time);
        stop(child);
    }
    times.sort_unstable();
    let middle = times[times.len() / 2].as_secs_f64() * 1000.0;
    let (_, child) = start(folder.path(), port);
    std::thread::sleep(SETTLE);
    let resident = resident_megabytes(child.id());
    stop(child);
    let figures = [
        ("start to first /healthz, median, ms", middle, 50.0),
        ("resident memory when idle, MB", resident, 25.0),
    ];
    let mut broken = false;
    for (what, found, bound) in figures {
        let verdict = if found <= bound { "holds" } else { "BROKEN" };
        broken |= found > bound;
        println!("{what}: {found:.1} (at most {bound}) {verdict}");
    }
    ExitCode::from(u8::from(broken))
}

fn start(folder: &Path, port: u16) -> (Duration, Child) {
    let begun = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_rolegate"))
        .arg("serve")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !is_healthy(port) {
        assert!(begun.elapsed() < PATIENCE, "the gateway did not start");
        std::thread::sleep(Duration::from_micros(200));
    }
    (begun.elapsed(), child)
}

fn is_healthy(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let asked =
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

fn stop(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn resident_megabytes(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes / 1024.0
}
