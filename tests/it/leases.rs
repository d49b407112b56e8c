//! What a lease may ask for, and what it is told at submit.

use reqwest::StatusCode;
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::gateway::{World, role};

/// Orders a lease of `reader` for `alice` with more to it.
async fn order(world: &World, token: &str, more: Value) -> (StatusCode, Value) {
    let mut order = json!({ "user": "alice", "role_arn": role("reader"), "job": "job-1" });
    for (key, value) in more.as_object().unwrap() {
        order[key] = value.clone();
    }
    world
        .api("POST", "/api/v1/leases", token, Some(order))
        .await
}

fn at(hours: i64) -> String {
    let at = SystemClock.now() + chrono::TimeDelta::hours(hours);
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_told_at_submit_how_long_its_credentials_last() {
    let world = World::start().await;
    let (_, me) = world.sign_in().await;
    let launcher = world.launcher().await;
    let (status, lease) = order(&world, &launcher, json!({})).await;
    assert_eq!(status, StatusCode::CREATED, "{lease}");
    assert_eq!(lease["limited_by"], "credentials");
    let reader = me["grants"].as_array().unwrap();
    let reader = reader
        .iter()
        .find(|grant| grant["role_arn"] == role("reader"));
    assert_eq!(
        lease["lasts_until"],
        reader.unwrap()["credentials_expire_at"]
    );
    let (_, short) = order(&world, &launcher, json!({ "ttl_seconds": 60 })).await;
    assert_eq!(
        (&short["limited_by"], &short["lasts_until"]),
        (&json!("lease"), &short["expires_at"])
    );
    let enough = json!({ "needed_until": lease["lasts_until"] });
    assert_eq!(
        order(&world, &launcher, enough).await.0,
        StatusCode::CREATED
    );
    let (status, problem) = order(&world, &launcher, json!({ "needed_until": at(5) })).await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (StatusCode::CONFLICT, Some("would_expire_early"))
    );
    assert_eq!(problem["limited_by"], "credentials");
    assert_eq!(problem["lasts_until"], lease["lasts_until"]);
    let title = problem["title"].as_str().unwrap();
    assert!(title.contains("sign in again"), "{title}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_gives_the_same_lease() {
    let world = World::start().await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let send = async |token: &str, key: &str, job: &str| {
        let order = json!({ "user": "alice", "role_arn": role("reader"), "job": job });
        let answer = reqwest::Client::new()
            .post(world.gateway.at("/api/v1/leases"))
            .bearer_auth(token)
            .header("Idempotency-Key", key)
            .json(&order)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        (status, answer.json::<Value>().await.unwrap())
    };
    let (status, first) = send(&launcher, "submit-1", "a").await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    let (status, again) = send(&launcher, "submit-1", "a").await;
    assert_eq!((status, &again), (StatusCode::CREATED, &first));
    let (status, problem) = send(&launcher, "submit-1", "b").await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("idempotency_key_reused")
        )
    );
    let (_, other) = send(&launcher, "submit-2", "a").await;
    assert_ne!(other["lease"], first["lease"]);
    let tokens = ["tokens", "create", "other", "--role", "launcher"];
    let reach = ["--for-roles", "*", "--for-users", "*"];
    let stranger = world.gateway.command(&[&tokens[..], &reach].concat()).await;
    let (status, others) = send(&stranger.good(), "submit-1", "b").await;
    assert_eq!(status, StatusCode::CREATED, "{others}");
    let (status, _) = send(&launcher, "", "a").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, list) = world.api("GET", "/api/v1/leases", &launcher, None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_method_cannot_do_is_said_before_the_job_starts() {
    let world = World::start().await;
    let (session, _) = world.sign_in().await;
    let launcher = world.launcher().await;
    let policy = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "s3:Get*", "Resource": "*" } });
    for (more, what) in [
        (json!({ "session_policy": policy }), "session policy"),
        (json!({ "tags": { "Project": "apollo" } }), "tags"),
    ] {
        let (status, problem) = order(&world, &launcher, more).await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (StatusCode::CONFLICT, Some("method_cannot"))
        );
        let title = problem["title"].as_str().unwrap();
        assert!(title.contains(what) && title.contains("relay"), "{title}");
    }
    for more in [
        json!({ "session_policy": "no json" }),
        json!({ "session_policy": { "Statement": [] } }),
        json!({ "tags": { "aws:x": "y" } }),
        json!({ "tags": { "a": 1 } }),
    ] {
        let (status, problem) = order(&world, &launcher, more).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    }
    assert_eq!(
        order(&world, &session, json!({})).await.0,
        StatusCode::CREATED
    );
}
