//! Refreshing: rotated tokens or not, new keys, new claims, a provider that is away, a gateway that is killed.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::stage::{Plan, Stage, offering};
use crate::gateway::role;

const TEN: [&str; 10] = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9"];

/// A lease of `name`, and credentials by it: STS is asked with an ID token that was refreshed for it.
async fn served(stage: &Stage, launcher: &str, name: &str) -> Value {
    let lease = stage.lease(launcher, "alice", name).await;
    stage
        .fetch_until(&lease, |status, _| status == StatusCode::OK)
        .await;
    lease
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_refreshes_in_a_row_and_ten_at_once_with_tokens_that_are_good_once() {
    let accounts = json!({ "alice": offering(&TEN) });
    let stage = Stage::start(Plan::short_lived(accounts), &TEN).await;
    stage.sts.set_lifetime(Some(Duration::from_secs(8)));
    stage.sign_in("alice").await;
    let launcher = stage.gateway.launcher().await;
    let mut leases = Vec::new();
    for name in TEN {
        leases.push(served(&stage, &launcher, name).await);
    }
    let refreshed = stage.op().count("refresh_token").await;
    assert!(refreshed >= 10, "{refreshed} refreshes");
    // All that was had is revoked, and all ten ask again at once.
    let revoke = ["revoke", "--user", "alice", "--reason", "a test"];
    stage.gateway.command(&revoke).await.good();
    stage.sign_in("alice").await;
    let leases = join_all(TEN.map(|name| stage.lease(&launcher, "alice", name))).await;
    let is_served = |status: StatusCode, _: &Value| status == StatusCode::OK;
    let fetches = leases
        .iter()
        .map(|lease| stage.fetch_until(lease, is_served));
    assert_eq!(join_all(fetches).await.len(), 10);
    assert_eq!(
        stage.op().count("refused").await,
        0,
        "no refresh token was used twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_never_changes_is_used_again_also_by_a_gateway_that_was_killed() {
    let plan = Plan {
        rotate: false,
        ..Plan::short_lived(json!({ "alice": offering(&TEN) }))
    };
    let mut stage = Stage::start(plan, &TEN).await;
    stage.sign_in("alice").await;
    let launcher = stage.gateway.launcher().await;
    for name in &TEN[..3] {
        served(&stage, &launcher, name).await;
    }
    stage.gateway.kill_and_restart().await;
    for name in &TEN[3..5] {
        served(&stage, &launcher, name).await;
    }
    assert!(stage.op().count("refresh_token").await >= 5);
    assert_eq!(stage.op().count("refused").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_goes_on_with_the_rotated_token_and_the_provider_s_new_keys() {
    let accounts = json!({ "alice": offering(&TEN) });
    let mut stage = Stage::start(Plan::short_lived(accounts), &TEN).await;
    stage.sign_in("alice").await;
    let launcher = stage.gateway.launcher().await;
    served(&stage, &launcher, "r0").await;
    let asked = stage.op().count("keys").await;
    // The old keys are gone: only a gateway that asks for the new ones takes the refreshed token.
    stage.op().rotate_keys(false).await;
    stage.sts.forget_issuer_keys();
    served(&stage, &launcher, "r1").await;
    assert!(stage.op().count("keys").await > asked);
    for name in &TEN[2..4] {
        stage.gateway.kill_and_restart().await;
        served(&stage, &launcher, name).await;
    }
    stage.op().rotate_keys(true).await;
    stage.sts.forget_issuer_keys();
    stage.gateway.kill_and_restart().await;
    stage.sign_in("alice").await;
    served(&stage, &launcher, "r4").await;
    assert_eq!(stage.op().count("refused").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_the_refreshed_token_no_longer_names_is_served_no_more() {
    let accounts = json!({ "alice": offering(&["reader", "writer"]) });
    let stage = Stage::start(Plan::short_lived(accounts), &["reader", "writer", "late"]).await;
    stage.sts.set_lifetime(Some(Duration::from_secs(3)));
    stage.sign_in("alice").await;
    let launcher = stage.gateway.launcher().await;
    let reader = served(&stage, &launcher, "reader").await;
    let writer = served(&stage, &launcher, "writer").await;
    stage
        .op()
        .set_claims("alice", offering(&["writer", "late"]))
        .await;
    let refused = stage
        .fetch_until(&reader, |status, _| status == StatusCode::FORBIDDEN)
        .await;
    assert_eq!(refused["code"], "not_offered", "{refused}");
    served(&stage, &launcher, "late").await;
    // A token that names no role leaves the offers as they are.
    stage
        .op()
        .set_claims("alice", json!({ "team": "science" }))
        .await;
    let before = stage.op().count("refresh_token").await;
    stage.op().counted("refresh_token", before + 2).await;
    let is_ok = |status: StatusCode, _: &Value| status == StatusCode::OK;
    stage.fetch_until(&writer, is_ok).await;
    let (status, refused) = stage.fetch(&reader).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
    let changes = stage.events("offers_changed").await;
    assert_eq!(changes.len(), 1, "{changes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_for_a_while_ends_nothing() {
    let accounts = json!({ "alice": offering(&["reader", "writer"]) });
    let stage = Stage::start(Plan::short_lived(accounts), &["reader", "writer"]).await;
    stage.sign_in("alice").await;
    let launcher = stage.gateway.launcher().await;
    let reader = served(&stage, &launcher, "reader").await;
    let (_, had) = stage.fetched(&reader).await;
    stage.op().trouble(Some(503)).await;
    let writer = stage.lease(&launcher, "alice", "writer").await;
    let answer = stage
        .fetch_until(&writer, |status, _| {
            status == StatusCode::SERVICE_UNAVAILABLE
        })
        .await;
    assert!(answer["message"].as_str().unwrap().len() > 10, "{answer}");
    assert_eq!(
        stage.fetched(&reader).await,
        (StatusCode::OK, had),
        "what is good goes on"
    );
    stage.op().trouble(None).await;
    let is_ok = |status: StatusCode, _: &Value| status == StatusCode::OK;
    let got = stage.fetch_until(&writer, is_ok).await;
    assert_eq!(got["RoleArn"], role("writer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_refresh_token_all_is_minted_at_the_sign_in_and_ends_with_the_id_token() {
    let plan = Plan {
        lines: "scopes = [\"openid\", \"email\"]",
        id_token_seconds: 80,
        ..Plan::new(json!({ "alice": offering(&["reader", "writer"]) }))
    };
    let stage = Stage::start(plan, &["reader", "writer"]).await;
    stage.sts.set_lifetime(Some(Duration::from_secs(15)));
    let launcher = stage.gateway.launcher().await;
    stage.sign_in("alice").await;
    let lease = stage.lease(&launcher, "alice", "reader").await;
    assert_eq!(lease["limited_by"], "id_token", "{lease}");
    let is_ok = |status: StatusCode, _: &Value| status == StatusCode::OK;
    stage.fetch_until(&lease, is_ok).await;
    // Nobody asked for the other role.
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while stage.sts.issued_for(&role("writer")).is_empty() {
        ticks.tick().await;
    }
    let refused = stage
        .fetch_until(&lease, |status, _| status == StatusCode::FORBIDDEN)
        .await;
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("sign in"), "{refused}");
    assert_eq!(stage.op().count("refresh_token").await, 0);
}
