//! What is held while the gateway has its troubles, and when it is not.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use rolegate::model::{Clock, SystemClock};
use tokio::sync::Semaphore;

use super::program::{Desk, JOB, LEASE, Running, program};
use super::upstream::{Plan, Upstream, in_seconds, refusal};
use crate::gateway::is_within;

async fn begin(home: &tempfile::TempDir, upstream: &Upstream, options: &[&str]) -> (Running, Desk) {
    let arguments = [&["exec"], options, &JOB].concat();
    let mut job = Running::start(program(home.path(), &upstream.url, &arguments));
    let desk = Desk::of_job(&mut job).await;
    (job, desk)
}

#[tokio::test(flavor = "multi_thread")]
async fn renews_ahead_keeps_over_trouble_and_drops_at_a_refusal() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 6)).await;
    let home = tempfile::tempdir().unwrap();
    let (job, desk) = begin(&home, &upstream, &[]).await;
    upstream.then(Plan::Credentials("ASIATWO", 24));
    upstream.asked_times(2).await;
    // The answer is on its way still when the question has been counted.
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..1000 {
        if desk.until(StatusCode::OK).await["AccessKeyId"] == "ASIATWO" {
            break;
        }
        ticks.tick().await;
    }
    assert_eq!(desk.until(StatusCode::OK).await["AccessKeyId"], "ASIATWO");
    for trouble in [
        refusal(503, "unavailable", "STS is away"),
        Plan::Answer(200, "no credentials".into()),
        Plan::Drop,
    ] {
        upstream.then(trouble);
        upstream.asked_again().await;
        let (status, body) = desk.get().await;
        assert_eq!(
            (status, &body["AccessKeyId"]),
            (StatusCode::OK, &"ASIATWO".into())
        );
    }
    upstream.then(refusal(403, "revoked", "the lease was revoked by carol"));
    upstream.asked_again().await;
    let body = desk.until(StatusCode::FORBIDDEN).await;
    assert_eq!(body["code"], "revoked");
    assert_eq!(body["Message"], "the lease was revoked by carol");
    upstream.then(Plan::Drop);
    upstream.then(Plan::Credentials("ASIATHREE", 3600));
    let body = desk.until(StatusCode::OK).await;
    assert_eq!(body["AccessKeyId"], "ASIATHREE");
    let (code, errors) = job.end().await;
    assert_eq!(code, Some(7));
    assert!(errors.contains("STS is away") && errors.contains("revoked by carol"));
    assert!(!errors.contains(LEASE) && !errors.contains("a-secret-key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn never_serves_what_is_over() {
    let upstream = Upstream::start(Plan::Credentials("ASIASHORT", 3)).await;
    let home = tempfile::tempdir().unwrap();
    let (job, desk) = begin(&home, &upstream, &[]).await;
    upstream.then(Plan::Drop);
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        let before = in_seconds(0);
        let (status, body) = desk.get().await;
        if status != StatusCode::OK {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(
                body["message"]
                    .as_str()
                    .unwrap()
                    .contains("cannot be reached")
            );
            break;
        }
        assert!(*body["Expiration"].as_str().unwrap() > *before);
    }
    upstream.then(Plan::Credentials("ASIADEAD", -5));
    upstream.asked_again().await;
    let (status, body) = desk.get().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(job.end().await.0, Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_once_however_many_ask_here() {
    let permits = Arc::new(Semaphore::new(0));
    let upstream = Upstream::start(Plan::Held(Arc::clone(&permits))).await;
    let home = tempfile::tempdir().unwrap();
    let (job, desk) = begin(&home, &upstream, &["--no-wait"]).await;
    upstream.asked_times(1).await;
    let desk = Arc::new(desk);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.until(StatusCode::OK).await })
        })
        .collect();
    permits.add_permits(1);
    for caller in callers {
        assert_eq!(caller.await.unwrap()["AccessKeyId"], "ASIAHELD");
    }
    assert_eq!(upstream.asked().len(), 1);
    assert_eq!(job.end().await.0, Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_time_while_the_gateway_hangs() {
    let upstream = Upstream::start(Plan::Hang).await;
    let home = tempfile::tempdir().unwrap();
    let (job, desk) = begin(&home, &upstream, &["--no-wait"]).await;
    let begun = SystemClock.now();
    let (status, body) = desk.get().await;
    // SDKs give up after three seconds.
    is_within("an answer", begun, Duration::from_millis(2500));
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        body["message"]
            .as_str()
            .unwrap()
            .contains("not answered yet")
    );
    upstream.then(Plan::Credentials("ASIALATE", 3600));
    assert_eq!(desk.until(StatusCode::OK).await["AccessKeyId"], "ASIALATE");
    assert_eq!(job.end().await.0, Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_token_counts_at_once_and_no_redirect_does() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3)).await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("lease");
    std::fs::write(&file, LEASE).unwrap();
    let options = ["--lease-token-file", file.to_str().unwrap()];
    let (job, desk) = begin(&home, &upstream, &options).await;
    let other = LEASE.replace('a', "b");
    std::fs::write(&file, format!("{other}\n")).unwrap();
    assert_eq!(upstream.asked_again().await.authorization, other);
    upstream.then(Plan::Answer(302, serde_json::json!({})));
    desk.until(StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(
        upstream
            .asked()
            .iter()
            .all(|asked| !asked.line.contains("elsewhere"))
    );
    let (_, errors) = job.end().await;
    assert!(errors.contains("redirects"), "{errors}");
}
