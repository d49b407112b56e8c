//! Jobs that go on, in the SDKs that users have: renewal, refusal, and each way to hand credentials over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::gateway::World;
use crate::parts::long_job::{Limits, LongJob};
use crate::parts::scripted::{ARN, Scripted};
use crate::parts::{node, python, rust};

/// How long credentials live that a job outlives: SDKs refuse such as are over when they arrive.
const LIFE: Duration = Duration::from_secs(6);

type Start = fn(Limits, &[(&str, &str)]) -> LongJob;

const BOTO3: (&str, Start) = ("boto3", python::long_job);
const CLI: (&str, Start) = ("awscli", python::cli_job);
const JAVASCRIPT: (&str, Start) = ("JavaScript", node::long_job);
const RUST: (&str, Start) = ("Rust", rust::long_job);

const ONCE: Limits = Limits {
    calls: 1,
    duration: Duration::from_mins(1),
    pause: Duration::ZERO,
};

#[tokio::test]
async fn jobs_outlive_their_credentials() {
    let jobs = [BOTO3, CLI, JAVASCRIPT, RUST].map(async |(name, start)| {
        let endpoint = Scripted::start(LIFE);
        let limits = Limits::calls(4, LIFE / 2);
        let ended = start(limits, &endpoint.container()).end().await;
        assert_eq!(
            (ended.calls.len(), ended.code),
            (4, Some(0)),
            "{name} {ended:?}"
        );
        assert!(ended.calls.iter().all(|call| call.arn() == ARN), "{name}");
        assert!(
            endpoint.fetches() >= 2,
            "{name} fetched {}",
            endpoint.fetches()
        );
        assert!(endpoint.outlived(), "{name}");
    });
    join_all(jobs).await;
}

#[tokio::test]
async fn credentials_with_time_left_are_fetched_once() {
    for (name, start) in [BOTO3, JAVASCRIPT, RUST] {
        let endpoint = Scripted::start(Duration::from_hours(1));
        let limits = Limits::calls(3, Duration::from_millis(50));
        let ended = start(limits, &endpoint.container()).end().await;
        assert_eq!(ended.code, Some(0), "{name} {ended:?}");
        assert_eq!(endpoint.fetches(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_job_hears_why_it_gets_nothing_more() {
    // Requests for one use that fails, and whether the SDK shows the sentence. JavaScript's client begins one
    // in the background beside.
    let clients = [
        (BOTO3, 3..=3, true),
        (CLI, 3..=3, true),
        (JAVASCRIPT, 4..=5, false),
        (RUST, 1..=1, false),
    ];
    let jobs = clients.map(async |((name, start), requests, is_shown)| {
        let endpoint = Scripted::start(LIFE);
        let limits = Limits::calls(2, LIFE + Duration::from_secs(2));
        let mut job = start(limits, &endpoint.container());
        assert_eq!(job.next().await.unwrap().arn(), ARN, "{name}");
        let sentence = "the lease of job 7 was revoked by an admin";
        let body = json!({ "code": "revoked", "message": sentence, "Code": "revoked", "Message": sentence });
        let before = endpoint.fetches();
        endpoint.refuse("403 Forbidden", body);
        let ended = job.end().await;
        assert_ne!(ended.code, Some(0), "{name} {ended:?}");
        let made = endpoint.fetches() - before;
        assert!(requests.contains(&made), "{name} {made}");
        let message = ended.calls[0].message();
        assert_eq!(message.contains(sentence), is_shown, "{name}: {message}");
    });
    join_all(jobs).await;
}

#[tokio::test]
async fn a_job_is_stopped_by_who_holds_it() {
    let endpoint = Scripted::start(Duration::from_hours(1));
    let mut job = python::long_job(
        Limits::calls(1000, Duration::from_millis(10)),
        &endpoint.container(),
    );
    assert_eq!(job.next().await.unwrap().arn(), ARN);
    let process = PathBuf::from(format!("/proc/{}", job.id()));
    assert!(process.exists());
    let ended = job.stop().await;
    assert_eq!(ended.code, None);
    assert!(!ended.stderr.contains("Traceback"), "{}", ended.stderr);
    assert!(!process.exists());
}

/// A profile whose credential process is `command`.
fn profile(folder: &Path, command: &str) -> PathBuf {
    let path = folder.join("config");
    std::fs::write(
        &path,
        format!("[default]\ncredential_process = {command}\n"),
    )
    .unwrap();
    path
}

#[tokio::test]
async fn credential_process_serves_every_sdk_that_has_it() {
    // JavaScript's chain says nothing of why.
    let clients = [
        (BOTO3, "credentials.json"),
        (CLI, "credentials.json"),
        (JAVASCRIPT, ""),
    ];
    for ((name, start), reason) in clients {
        let endpoint = Scripted::start(Duration::from_hours(1));
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("credentials.json");
        std::fs::write(&kept, endpoint.issue().to_string()).unwrap();
        let config = profile(folder.path(), &format!("cat {}", kept.display()));
        let config = ("AWS_CONFIG_FILE", config.to_str().unwrap());
        let ended = start(ONCE, &[endpoint.sts(), config]).end().await;
        assert_eq!(ended.code, Some(0), "{name} {ended:?}");
        assert_eq!(ended.calls[0].arn(), ARN, "{name}");
        std::fs::remove_file(&kept).unwrap();
        let ended = start(ONCE, &[endpoint.sts(), config]).end().await;
        let message = ended.calls[0].message();
        assert!(message.contains(reason), "{name}: {message}");
    }
}

#[tokio::test]
async fn a_web_identity_token_serves_every_sdk() {
    let jobs = [BOTO3, CLI, JAVASCRIPT, RUST].map(async |(name, start)| {
        let endpoint = Scripted::start(LIFE);
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "of-this-test").unwrap();
        let env = [
            endpoint.sts(),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
            (
                "AWS_ROLE_ARN",
                "arn:aws:iam::123456789012:role/data-scientist",
            ),
        ];
        let limits = Limits::calls(4, LIFE / 2);
        let ended = start(limits, &env).end().await;
        assert_eq!(ended.code, Some(0), "{name} {ended:?}");
        assert!(endpoint.exchanges() >= 2, "{name}");
        assert!(endpoint.outlived(), "{name}");
    });
    join_all(jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_serves_every_sdk_until_it_is_revoked() {
    let world = World::start().await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let text = |name: &str| lease["env"][name].as_str().unwrap();
    let names = [
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ];
    let env = [
        (names[0], text(names[0])),
        (names[1], text(names[1])),
        ("AWS_ENDPOINT_URL_STS", world.sts.url()),
    ];
    for (name, start) in [BOTO3, CLI, JAVASCRIPT, RUST] {
        let ended = start(ONCE, &env).end().await;
        assert_eq!(ended.code, Some(0), "{name} {ended:?}");
        let arn = ended.calls[0].arn();
        assert!(
            arn.ends_with(":assumed-role/reader/alice"),
            "{name} is {arn}"
        );
    }
    let id = lease["lease"].as_str().unwrap();
    let (status, _) = world
        .api("DELETE", &format!("/api/v1/leases/{id}"), &launcher, None)
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (_, problem) = world.fetch(text(names[1])).await;
    let sentence = problem["message"].as_str().unwrap();
    let ended = python::long_job(ONCE, &env).end().await;
    let message = ended.calls[0].message();
    assert!(message.contains(sentence), "{message}");
}
