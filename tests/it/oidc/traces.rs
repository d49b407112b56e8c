//! Traces of sign-ins and renewals through a provider.

use std::time::Duration;

use serde_json::json;

use super::stage::{Plan, Stage, offering};
use crate::traces::collector::{Collector, text};

#[tokio::test(flavor = "multi_thread")]
async fn exchange_and_refresh_are_told_without_a_token() {
    let collector = Collector::start();
    let accounts = json!({ "alice": offering(&["reader"]) });
    let tables = format!(
        "[telemetry]\notlp_endpoint = \"{}\"\nsample_ratio = 1.0\n",
        collector.url
    );
    let mut stage = Stage::with(vec![Plan::short_lived(accounts)], &["reader"], &tables).await;
    stage.sign_in("alice").await;
    let launcher = stage.gateway.launcher().await;
    let lease = stage.lease(&launcher, "alice", "reader").await;
    let is_served = |status: reqwest::StatusCode, _: &serde_json::Value| status.is_success();
    stage.fetch_until(&lease, is_served).await;
    let issued = stage.op().issued().await;
    let ended = tokio::time::timeout(Duration::from_secs(20), stage.gateway.end());
    assert!(ended.await.unwrap().success());

    let spans = collector.spans();
    let arrived = spans.first("GET /oidc/{provider}/callback");
    let exchange = spans.child(arrived, "oidc.exchange");
    assert_eq!(
        text(&exchange.attributes, "rolegate.idp").as_deref(),
        Some("op")
    );
    for step in ["oidc.verify", "store.accept", "store.open_session"] {
        spans.child(arrived, step);
    }
    let id_token = spans.first("id_token");
    spans.child(id_token, "oidc.refresh");
    spans.first("STS/AssumeRoleWithWebIdentity");
    let sent = String::from_utf8_lossy(&collector.bytes()).into_owned();
    assert!(issued.len() > 1);
    for token in issued {
        let tail = token.rsplit('.').next().unwrap();
        assert!(!sent.contains(tail), "{token}");
    }
}
