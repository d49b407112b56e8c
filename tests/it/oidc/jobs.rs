//! Jobs that go on longer than the ID token and the credentials that they began with.

use std::time::{Duration, Instant};

use serde_json::json;

use super::stage::{Plan, Stage, offering};
use crate::parts::long_job::{Ended, Limits};
use crate::parts::{node, python};

fn went_well(name: &str, ended: &Ended, role: &str) {
    assert_eq!(
        (ended.calls.len(), ended.code),
        (5, Some(0)),
        "{name} {ended:?}"
    );
    let identity = format!(":assumed-role/{role}/alice");
    let good = ended
        .calls
        .iter()
        .all(|call| call.arn().ends_with(&identity));
    assert!(good, "{name} {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_outlive_id_tokens_and_credentials_while_refresh_tokens_rotate() {
    let accounts = json!({ "alice": offering(&["reader", "writer"]) });
    let stage = Stage::start(Plan::short_lived(accounts), &["reader", "writer"]).await;
    stage.sts.set_lifetime(Some(Duration::from_secs(20)));
    stage.sign_in("alice").await;
    let launcher = stage.gateway.launcher().await;
    let first = stage.lease(&launcher, "alice", "reader").await;
    let second = stage.lease(&launcher, "alice", "writer").await;
    // 28 seconds and more: longer than credentials live, and than ID tokens do.
    let limits = Limits::calls(5, Duration::from_secs(7));
    let (boto3, javascript) = tokio::join!(
        python::long_job(limits, &stage.environment(&first)).end(),
        node::long_job(limits, &stage.environment(&second)).end()
    );
    went_well("boto3", &boto3, "reader");
    went_well("JavaScript", &javascript, "writer");
    // Once more each, whoever is renewed when.
    let begun = Instant::now();
    while stage.op().count("refresh_token").await < 4 {
        assert!(begun.elapsed() < Duration::from_mins(1), "no renewal");
        for lease in [&first, &second] {
            stage.fetch(lease).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stage.op().count("refused").await, 0);

    // What was given out stands nowhere in clear.
    let mut places = vec![
        stage.gateway.log(),
        stage.gateway.command(&["audit", "export"]).await.good(),
    ];
    for file in std::fs::read_dir(stage.folder.path()).unwrap() {
        let path = file.unwrap().path();
        if path.to_str().unwrap().contains("rolegate.db") {
            let bytes = std::fs::read(path).unwrap();
            places.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    assert!(places.len() >= 3, "log, audit, database");
    for token in stage.op().issued().await {
        // A token's signature alone would do for a thief who has the rest.
        let tail = token.rsplit('.').next().unwrap();
        assert!(places.iter().all(|place| !place.contains(tail)), "{token}");
    }
}
