//! What a gateway costs before anybody signs in: the time from its start to the first `/healthz`, and the
//! memory it holds when idle; and what the job side costs a job that starts. Run with `cargo bench --bench start`; it exits with 1 if a bound is broken.

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
    let version = median(|| run(agent(folder.path(), &["--version"])));
    let cached = cached_credentials(folder.path());
    let figures = [
        ("start to first /healthz, median, ms", middle, 50.0),
        ("resident memory when idle, MB", resident, 25.0),
        ("rolegate-agent --version, median, ms", version, 10.0),
        (
            "credential-process from its cache, median, ms",
            cached,
            10.0,
        ),
    ];
    let mut broken = false;
    for (what, found, bound) in figures {
        let verdict = if found <= bound { "holds" } else { "BROKEN" };
        broken |= found > bound;
        println!("{what}: {found:.1} (at most {bound}) {verdict}");
    }
    ExitCode::from(u8::from(broken))
}

fn median(mut measured: impl FnMut() -> Duration) -> f64 {
    let mut times: Vec<_> = (0..STARTS).map(|_| measured()).collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn agent(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate-agent"));
    command.args(arguments).env("HOME", home);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn run(mut command: Command) -> Duration {
    let begun = Instant::now();
    assert!(command.status().unwrap().success());
    begun.elapsed()
}

/// One answer of a gateway, and then the cache alone: it listens no more.
fn cached_credentials(home: &Path) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ask = || {
        let mut command = agent(home, &["credential-process", "--url", &url]);
        let token = format!("rgj_{}", "a".repeat(43));
        command.env("ROLEGATE_LEASE_TOKEN", token);
        command.env_remove("XDG_CACHE_HOME");
        run(command)
    };
    std::thread::scope(|scope| {
        scope.spawn(ask);
        let (mut stream, _) = listener.accept().unwrap();
        let body = r#"{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2999-01-01T00:00:00Z"}"#;
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).unwrap() > 0);
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
    });
    drop(listener);
    median(ask)
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
