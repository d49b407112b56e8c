//! Two gateways on one store before a provider that ends everything when a refresh token comes twice.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::stage::{Stage, ticks};
use crate::gateway::Gateway;
use crate::parts::rogue_provider::{Gate, reply};

/// Fetches until there is something else to hear than to wait.
async fn fetched(stage: &Stage, gateway: &Gateway, lease: &str) -> (StatusCode, Value) {
    let mut ticks = ticks();
    for _ in 0..1000 {
        let (status, answer) = stage.fetch_at(gateway, lease).await;
        if status != StatusCode::SERVICE_UNAVAILABLE {
            return (status, answer);
        }
        ticks.tick().await;
    }
    panic!("a fetch waits for ever: {}", gateway.log());
}

/// 200 fetches of `leases`, half of them at each gateway; all must succeed.
async fn storm(stage: &Stage, gateways: [&Gateway; 2], leases: &[String]) {
    let fetches = (0..200).map(|at: usize| {
        let lease = &leases[at / 2 % leases.len()];
        fetched(stage, gateways[at % 2], lease)
    });
    for (status, answer) in join_all(fetches).await {
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
}

fn narrowed(at: usize) -> Value {
    let resource = format!("arn:aws:s3:::bucket/{at}/*");
    json!({ "session_policy": { "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "s3:GetObject", "Resource": resource } ] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_fetches_at_two_gateways_redeem_a_refresh_token_once() {
    let stage = Stage::set().await;
    let replica = stage.replica().await;
    let launcher = stage.gateway.launcher().await;
    let gate = Gate::closed();
    let held = gate.clone();
    stage.rogue.script(|script| {
        script.life = 50;
        script.refresh = reply(move |reply| reply.gate = Some(held.clone()));
    });
    stage.sign_in().await.token();
    let leases: Vec<String> = join_all((0..4).map(|at| {
        let more = if at == 0 { json!({}) } else { narrowed(at) };
        stage.lease(&launcher, "long", more)
    }))
    .await;
    let storm = storm(&stage, [&stage.gateway, &replica], &leases);
    let opening = async {
        // All are on their way before the one answer is.
        stage.rogue.asked("refresh", 1).await;
        for gateway in [&stage.gateway, &replica] {
            let (status, _) = stage.fetch_at(gateway, &leases[0]).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        }
        assert_eq!(stage.rogue.count("refresh"), 1);
        gate.open();
    };
    tokio::join!(storm, opening);
    assert_eq!(stage.rogue.count("refresh"), 1);
    assert!(
        stage.rogue.breaches().is_empty(),
        "{:?}",
        stage.rogue.breaches()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rotated_token_is_used_once_whoever_asks() {
    let stage = Stage::set().await;
    let replica = stage.replica().await;
    let launcher = stage.gateway.launcher().await;
    // No token is ever good for long: each call of STS wants a newer one.
    stage.rogue.script(|script| {
        script.life = 50;
        script.refreshed_life = 50;
    });
    let session = stage.sign_in().await.token();
    let mut leases = Vec::new();
    for at in 0..6 {
        leases.push(stage.lease(&launcher, "long", narrowed(at)).await);
    }
    storm(&stage, [&stage.gateway, &replica], &leases).await;
    let refreshes = stage.rogue.count("refresh");
    assert!((1..=40).contains(&refreshes), "{refreshes} refreshes");
    assert!(
        stage.rogue.breaches().is_empty(),
        "{:?}",
        stage.rogue.breaches()
    );
    assert!(stage.is_signed_in(&session).await);
    // Once more, in a row: the chain of tokens is whole.
    let late = stage.lease(&launcher, "long", narrowed(99)).await;
    let (status, answer) = fetched(&stage, &replica, &late).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(
        stage.rogue.breaches().is_empty(),
        "{:?}",
        stage.rogue.breaches()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_between_refreshes_goes_on_with_the_newest_token() {
    let mut stage = Stage::set().await;
    let launcher = stage.gateway.launcher().await;
    stage.rogue.script(|script| {
        script.life = 50;
        script.refreshed_life = 50;
    });
    stage.sign_in().await.token();
    for at in 0..3 {
        let lease = stage.lease(&launcher, "long", narrowed(at)).await;
        let (status, answer) = fetched(&stage, &stage.gateway, &lease).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        stage.gateway.kill_and_restart().await;
        stage.ready("rogue").await;
    }
    assert!(stage.rogue.count("refresh") >= 3);
    assert!(
        stage.rogue.breaches().is_empty(),
        "{:?}",
        stage.rogue.breaches()
    );
}
