//! The museum behind bars: every document is judged where nothing can be opened, connected or started.
//!
//! This binary runs itself as a child. The child reads all it needs, then puts a seccomp filter on the
//! thread that judges, which ends the process at the first call that opens a file or a socket or starts
//! a process or a thread. Controls show that the filter bites. The child measures the thread's own
//! time too, and takes the best of several runs of what seems slow, since other tests run beside it.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;

use rolegate::saml::{Refusal, prepare};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::{Exhibit, SERVICE_KEYS, folder, form, judge, manifest, trust};

/// What the child is to do.
const PART: &str = "MUSEUM_PART";
/// What a document may take: 10 ms in the program as it is shipped, which `make bench` holds; without
/// optimisation the same work takes many times longer, and what must not grow is bounded all the same.
const PATIENCE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 30 } else { 10 });
/// On a slower machine: so many times what an ordinary document takes there.
const TIMES: u32 = 13;
/// The ordinary document.
const ORDINARY: &str = "valid/okta-like.xml";
/// What the whole museum may take, where each document may take [`PATIENCE`].
const VISIT: Duration = Duration::from_secs(5);
/// Runs before a document counts as slow.
const RUNS: usize = 9;
/// The signal of a call that the filter does not let pass.
const BAD_CALL: Option<i32> = Some(libc::SIGSYS);

#[test]
fn every_exhibit_ends_as_the_manifest_says() {
    match std::env::var(PART).as_deref() {
        Ok("judge") => behind_bars(judge_all),
        Ok(part) => {
            let part = part.to_owned();
            behind_bars(move || {
                close_the_bars();
                escape(&part);
            });
        }
        Err(_) => watch(),
    }
}

#[test]
fn the_bars_hold() {
    for part in ["file", "socket", "process", "thread"] {
        let output = child(part);
        assert_eq!(output.status.signal(), BAD_CALL, "{part}: {output:?}");
    }
    let output = child("nothing");
    assert!(output.status.success(), "the good twin: {output:?}");
}

/// The parent's half: holds what the child found against the manifest.
fn watch() {
    let manifest = manifest();
    let output = child("judge");
    let said = String::from_utf8_lossy(&output.stdout);
    let found: BTreeMap<&str, (&str, u64)> = said
        .lines()
        .filter_map(|line| line.strip_prefix("judged\t"))
        .map(|line| {
            let parts: Vec<&str> = line.split('\t').collect();
            (parts[0], (parts[1], parts[2].parse().unwrap()))
        })
        .collect();
    assert!(
        output.status.success(),
        "signal {:?} after {} documents: {}{}",
        output.status.signal(),
        found.len(),
        said,
        String::from_utf8_lossy(&output.stderr)
    );
    let ordinary = Duration::from_micros(found[ORDINARY].1);
    let patience = PATIENCE.max(TIMES * ordinary);
    let (mut wrong, mut whole) = (Vec::new(), Duration::ZERO);
    for exhibit in &manifest {
        let (code, took) = found[exhibit.file.as_str()];
        let took = Duration::from_micros(took);
        whole += took;
        if code != exhibit.expect {
            wrong.push(format!(
                "{}: expected {}, found {code}",
                exhibit.file, exhibit.expect
            ));
        }
        if took > patience {
            wrong.push(format!("{}: took {took:?}", exhibit.file));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let visit = VISIT.mul_f64(patience.as_secs_f64() / PATIENCE.as_secs_f64());
    assert!(whole < visit, "the museum took {whole:?}");
}

fn child(part: &str) -> Output {
    let scratch = tempfile::tempdir().unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "museum::jail::every_exhibit_ends_as_the_manifest_says",
        ])
        .arg("--nocapture")
        .env(PART, part)
        .env("RUST_BACKTRACE", "0")
        .env_remove("ROLEGATE_BLESS")
        // glibc gives back a second arena's memory only after it read /proc/sys/vm/overcommit_memory.
        .env("MALLOC_ARENA_MAX", "1")
        // Where a core file would fall.
        .current_dir(scratch.path())
        .output()
        .unwrap()
}

/// The filter is a thread's own: the harness around it stays free.
fn behind_bars(work: impl FnOnce() + Send + 'static) {
    prepare().unwrap();
    std::thread::spawn(work).join().unwrap();
}

fn judge_all() {
    let hall: Vec<(Exhibit, _, String)> = manifest()
        .into_iter()
        .map(|exhibit| {
            let trust = trust(&exhibit.metadata, exhibit.at);
            let body = form(&std::fs::read(folder().join(&exhibit.file)).unwrap());
            (exhibit, trust, body)
        })
        .collect();
    LazyLock::force(&SERVICE_KEYS);
    close_the_bars();
    for (exhibit, trust, body) in &hall {
        let (mut best, mut runs) = (Duration::MAX, 0);
        let outcome = loop {
            let begun = worked();
            let outcome = judge(exhibit, trust, body);
            best = best.min(worked().saturating_sub(begun));
            runs += 1;
            if best <= PATIENCE || runs == RUNS {
                break outcome;
            }
        };
        let code = outcome.as_ref().map_or_else(Refusal::code, |_| "accepted");
        println!("judged\t{}\t{code}\t{}", exhibit.file, best.as_micros());
    }
}

/// What this thread has computed so far; what others do on the machine does not count.
pub(super) fn worked() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap()
}

/// From here on this thread opens nothing and starts nothing.
fn close_the_bars() {
    let calls = [
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_open_by_handle_at,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_sendto,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_io_uring_setup,
        libc::SYS_ptrace,
    ];
    #[cfg(target_arch = "x86_64")]
    let calls = calls.into_iter().chain([
        libc::SYS_open,
        libc::SYS_creat,
        libc::SYS_fork,
        libc::SYS_vfork,
    ]);
    let filter = SeccompFilter::new(
        calls.into_iter().map(|call| (call, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::KillProcess,
        std::env::consts::ARCH.try_into().unwrap(),
    )
    .unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

/// What a document should never be able to make the gateway do.
fn escape(part: &str) {
    match part {
        "file" => drop(std::fs::File::open("/proc/self/status")),
        "socket" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
        "process" => drop(Command::new("true").status()),
        "thread" => drop(std::thread::Builder::new().spawn(|| {})),
        _ => {}
    }
}
