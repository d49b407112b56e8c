//! `credential-process`: what it prints, and its cache.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::program::{LEASE, end, program};
use super::upstream::{Plan, Upstream, refusal};
use crate::gateway::Ended;

async fn ask(home: &Path, upstream: &Upstream) -> Ended {
    end(program(home, &upstream.url, &["credential-process"])).await
}

async fn key(home: &Path, upstream: &Upstream) -> String {
    let printed: Value = serde_json::from_str(&ask(home, upstream).await.good()).unwrap();
    printed["AccessKeyId"].as_str().unwrap().to_owned()
}

fn cached(home: &Path) -> Vec<PathBuf> {
    let folder = home.join(".cache/rolegate").read_dir().unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_none()).collect()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_one_object_and_asks_once_for_many_processes() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3600)).await;
    let home = tempfile::tempdir().unwrap();
    let started = (0..50).map(|_| ask(home.path(), &upstream));
    let ended = futures_util::future::join_all(started).await;
    let printed: std::collections::BTreeSet<_> = ended.into_iter().map(Ended::good).collect();
    assert_eq!(printed.len(), 1);
    assert_eq!(upstream.asked().len(), 1);
    let printed: Value = serde_json::from_str(printed.first().unwrap()).unwrap();
    let names: Vec<_> = printed.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 5, "{names:?}");
    assert_eq!(printed["Version"], 1);
    assert_eq!(printed["SecretAccessKey"], "a-secret-key");
    assert_eq!(printed["SessionToken"], "a-session-token");
    assert!(printed["Expiration"].as_str().unwrap().ends_with('Z'));

    let [file] = &cached(home.path())[..] else {
        panic!("one file")
    };
    assert_eq!((mode(file), mode(file.parent().unwrap())), (0o600, 0o700));
    let bytes = std::fs::read(file).unwrap();
    for clear in [
        "ASIAONE",
        "a-secret-key",
        "a-session-token",
        LEASE,
        "127.0.0.1",
    ] {
        assert!(
            !bytes
                .windows(clear.len())
                .any(|part| part == clear.as_bytes())
        );
        assert!(!file.to_string_lossy().contains(clear));
    }
    std::fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
    upstream.then(Plan::Credentials("ASIATWO", 3600));
    assert_eq!(key(home.path(), &upstream).await, "ASIATWO", "damaged");
    assert_eq!(key(home.path(), &upstream).await, "ASIATWO");
    assert_eq!(upstream.asked().len(), 2);
    let arguments = ["credential-process", "--no-cache"];
    end(program(home.path(), &upstream.url, &arguments))
        .await
        .good();
    assert_eq!(upstream.asked().len(), 3);
    let mut other = program(home.path(), &upstream.url, &["credential-process"]);
    other.env("ROLEGATE_LEASE_TOKEN", LEASE.replace('a', "b"));
    end(other).await.good();
    assert_eq!(
        upstream.asked().len(),
        4,
        "another token's cache is its own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_serves_over_trouble_and_goes_at_a_refusal() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 12)).await;
    let home = tempfile::tempdir().unwrap();
    assert_eq!(key(home.path(), &upstream).await, "ASIAONE");
    upstream.then(refusal(503, "unavailable", "STS is away"));
    while upstream.asked().len() < 2 {
        assert_eq!(key(home.path(), &upstream).await, "ASIAONE");
    }
    upstream.then(Plan::Drop);
    assert_eq!(key(home.path(), &upstream).await, "ASIAONE");
    upstream.then(refusal(403, "revoked", "the lease was revoked by carol"));
    let refused = ask(home.path(), &upstream).await;
    assert_eq!(
        (refused.status.code(), refused.stdout.as_str()),
        (Some(1), "")
    );
    assert!(
        refused.stderr.contains("revoked by carol"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains(LEASE));
    assert!(cached(home.path()).is_empty());
    upstream.then(Plan::Drop);
    let away = ask(home.path(), &upstream).await;
    assert_eq!(away.status.code(), Some(1));
    assert!(away.stderr.contains("cannot be reached"), "{}", away.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_for_another_role_is_refused() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3600)).await;
    let home = tempfile::tempdir().unwrap();
    let with = async |name: &str| {
        let role = crate::gateway::role(name);
        let arguments = ["credential-process", "--role", &role];
        end(program(home.path(), &upstream.url, &arguments)).await
    };
    with("reader").await.good();
    let other = with("writer").await;
    assert_eq!(other.status.code(), Some(1));
    assert!(
        other.stderr.contains("the lease is for"),
        "{}",
        other.stderr
    );
}
