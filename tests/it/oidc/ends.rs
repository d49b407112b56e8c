//! How a session ends at the provider: it revokes, or the person signs out everywhere.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::stage::{Plan, Stage, offering};
use crate::parts::long_job::Limits;
use crate::parts::oidc_provider::browser;
use crate::parts::python;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_revoked_ends_and_says_so() {
    let accounts =
        json!({ "alice": offering(&["reader", "writer"]), "bob": offering(&["reader"]) });
    let stage = Stage::start(Plan::short_lived(accounts), &["reader", "writer"]).await;
    stage.sts.set_lifetime(Some(Duration::from_secs(3)));
    let me = stage.sign_in("alice").await;
    stage.sign_in("bob").await;
    let launcher = stage.gateway.launcher().await;
    let lease = stage.lease(&launcher, "alice", "reader").await;
    let other = stage.lease(&launcher, "bob", "reader").await;
    for lease in [&lease, &other] {
        stage
            .fetch_until(lease, |status, _| status == StatusCode::OK)
            .await;
    }
    stage.op().revoke("alice").await;
    let refused = stage
        .fetch_until(&lease, |status, _| status == StatusCode::FORBIDDEN)
        .await;
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("sign in"), "{refused}");
    let session = me["session_token"].as_str().unwrap();
    let (status, _) = stage.api("GET", "/api/v1/me", session, None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the session is over");
    let job = python::long_job(Limits::calls(1, Duration::ZERO), &stage.environment(&lease));
    let ended = job.end().await;
    assert!(ended.calls[0].message().contains(message), "{ended:?}");
    let events = stage.events("session_ended").await;
    assert!(
        events
            .iter()
            .any(|event| event.to_string().contains("invalid_grant")),
        "{events:?}"
    );
    // Nobody else is touched, and signing in again goes on where it stopped.
    stage
        .fetch_until(&other, |status, _| status == StatusCode::OK)
        .await;
    stage.sign_in("alice").await;
    let lease = stage.lease(&launcher, "alice", "writer").await;
    stage
        .fetch_until(&lease, |status, _| status == StatusCode::OK)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_goes_on_to_the_provider() {
    let accounts = json!({ "alice": offering(&["reader"]) });
    let stage = Stage::start(Plan::new(accounts), &["reader"]).await;
    let client = browser();
    let back = stage
        .callback(&client, "/oidc/op/login", "op", "alice")
        .await;
    let answer = client.get(back).send().await.unwrap();
    assert_eq!(
        answer.status(),
        StatusCode::SEE_OTHER,
        "{}",
        stage.gateway.log()
    );
    let portal = client.get(stage.gateway.at("/")).send().await.unwrap();
    let portal = portal.text().await.unwrap();
    let csrf = portal
        .split_once("name=\"csrf\" value=\"")
        .expect(&portal)
        .1;
    let csrf = csrf.split_once('"').unwrap().0;
    let answer = client
        .post(stage.gateway.at("/logout"))
        .header("Origin", stage.gateway.at(""))
        .form(&[("csrf", csrf)])
        .send()
        .await
        .unwrap();
    // The page leads to an address of ours: what the provider is told stands in no page.
    let page = answer.text().await.unwrap();
    let way = page.split_once("href=\"/oidc/op/logout?").expect(&page).1;
    let way = way.split_once('"').unwrap().0;
    assert!(!page.contains("id_token_hint"), "{page}");
    let way = format!("/oidc/op/logout?{way}");
    let target = stage.begin(&client, &way).await;
    let back = stage.op().sign_out(&client, &target).await;
    assert!(back.starts_with(&stage.gateway.at("/")), "back at {back}");
    assert_eq!(stage.op().counted("end_session", 1).await, 1);
    let page = client.get(&back).send().await.unwrap();
    assert!(page.status().is_success(), "{}", page.status());
    let portal = client.get(stage.gateway.at("/")).send().await.unwrap();
    assert_eq!(portal.status(), StatusCode::SEE_OTHER, "the browser is out");
}
