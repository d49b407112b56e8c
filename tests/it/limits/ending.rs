//! A gateway that is told to end finishes what was begun, and loses nothing that it said was done.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use rolegate::model::{Clock, SystemClock};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::client::{PATIENCE, connect, read_on, status};
use super::flood::with_a_long_sign_in;
use crate::gateway::{Setting, World, command, is_within};

/// The events of the audit, each with its role.
async fn audit(world: &World) -> Vec<Value> {
    let exported = command(world.folder.path(), &["audit", "export"], &[]).await;
    let lines = exported.good();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn count(audit: &[Value], kind: &str) -> usize {
    let is_it = |event: &&Value| event.to_string().contains(&format!("\"{kind}\""));
    audit.iter().filter(is_it).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_finished() {
    let mut world = with_a_long_sign_in(23, "limits = { shutdown_timeout_seconds = 60 }").await;
    let refused = world.post("bm8gcmVzcG9uc2U=").await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    let (url, response) = (world.gateway.at("/saml/acs"), world.response());
    let post = tokio::spawn(async move {
        let post = Client::new().post(url).header("Accept", "application/json");
        let answer = post.form(&[("SAMLResponse", response)]).send().await;
        answer.unwrap().status()
    });
    while world.sts.calls().len() < 10 {
        assert!(!post.is_finished(), "STS was not asked");
        sleep(Duration::from_millis(20)).await;
    }
    world.gateway.signal("TERM");
    world.gateway.logged("stopping").await;
    assert_eq!(post.await.unwrap(), StatusCode::OK);
    assert_eq!(world.gateway.ended().await.code(), Some(0));
    let refused = reqwest::get(world.gateway.at("/healthz")).await;
    assert!(refused.is_err(), "it still listens");
    let audit = audit(&world).await;
    assert_eq!(count(&audit, "sign_in_refused"), 1);
    assert_eq!(count(&audit, "credentials_issued"), 1);
    command(world.folder.path(), &["audit", "verify"], &[])
        .await
        .good();
    // And they are there for jobs.
    world.gateway.start_again().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let (status, body) = world.fetched(lease["token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn balancers_are_told_before_nobody_listens() {
    let mut world = World::with(Setting {
        server_lines: "limits = { shutdown_delay_seconds = 15, shutdown_timeout_seconds = 2 }",
        ..Setting::default()
    })
    .await;
    world.sign_in().await;
    let ready = reqwest::get(world.gateway.at("/readyz")).await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    // One that sends a request without end does not keep it up.
    let mut slow = connect(&world.gateway.at("/"), [0, 1]).await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nX: ")
        .await
        .unwrap();
    let (begun, told) = (Instant::now(), SystemClock.now());
    world.gateway.signal("TERM");
    world.gateway.logged("stopping").await;
    let leaving = reqwest::get(world.gateway.at("/readyz")).await.unwrap();
    assert_eq!(leaving.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(leaving.text().await.unwrap().contains("about to end"));
    world.sign_in().await;
    assert_eq!(world.gateway.ended().await.code(), Some(0));
    let took = begun.elapsed();
    assert!(Duration::from_secs(15) < took, "{took:?}");
    is_within("the end", told, Duration::from_secs(25));
    let (answer, ended) = read_on(&mut slow, PATIENCE).await;
    assert!(
        ended && status(&answer).is_none_or(|status| status == 408),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn told_twice_it_ends_at_once_and_says_that_it_did() {
    let mut world = with_a_long_sign_in(53, "limits = { shutdown_timeout_seconds = 60 }").await;
    assert_eq!(world.post(&world.response()).await.0, StatusCode::OK);
    world.gateway.signal("TERM");
    world.gateway.logged("stopping").await;
    // STS keeps what was begun waiting for fourteen seconds more.
    let begun = SystemClock.now();
    world.gateway.signal("INT");
    assert_eq!(world.gateway.ended().await.code(), Some(1));
    is_within("the end", begun, Duration::from_secs(7));
    assert!(world.gateway.log().contains("told to end twice"));
    command(world.folder.path(), &["audit", "verify"], &[])
        .await
        .good();
}
