//! What `/readyz` says of a whole gateway, for each cause with what takes it away again. The causes that need
//! another clock or another schema are tried beside the code.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;
use sqlx::Connection;

use super::{Scrape, start};
use crate::gateway::{Setting, World};
use crate::parts::postgres::{Postgres, Way};

/// The answer's status, and the names of the checks that fail.
async fn ready(world: &World) -> (StatusCode, Vec<String>) {
    let answer = reqwest::get(world.gateway.at("/readyz")).await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["ready"], status == StatusCode::OK);
    let checks = body["checks"].as_array().unwrap();
    let fail = checks.iter().filter(|check| check["ok"] == false);
    let fail: Vec<String> = fail
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(body["problems"].as_array().unwrap().len(), fail.len());
    (status, fail)
}

/// Asks until it answers so, for a minute at most.
async fn until(world: &World, status: StatusCode, fail: &[&str]) {
    let mut last = None;
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..300 {
        ticks.tick().await;
        let now = ready(world).await;
        if now.0 == status && now.1 == fail {
            return;
        }
        last = Some(now);
    }
    panic!("{last:?}, not {status} {fail:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_answers_as_a_get_without_the_body() {
    let world = World::start().await;
    assert_eq!(ready(&world).await, (StatusCode::OK, vec![]));
    for path in ["/readyz", "/healthz"] {
        let answer = Client::new().head(world.gateway.at(path)).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(answer.bytes().await.unwrap().is_empty(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_audit_takes_it_out_of_service_until_it_is_mended() {
    let (world, url) = start(Setting::default()).await;
    let file = world.folder.path().join("rolegate.db");
    let database = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut database = sqlx::SqliteConnection::connect_with(&database)
        .await
        .unwrap();
    let head: Vec<u8> = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'audit_head'")
        .fetch_one(&mut database)
        .await
        .unwrap();
    let mut put = async |value: Vec<u8>| {
        sqlx::query("UPDATE meta SET value = $1 WHERE name = 'audit_head'")
            .bind(value)
            .execute(&mut database)
            .await
            .unwrap();
    };
    put(vec![0]).await;
    assert_eq!(
        world.post(&world.response()).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    until(&world, StatusCode::SERVICE_UNAVAILABLE, &["audit"]).await;
    let scrape = Scrape::of(&url).await;
    let problem = "rolegate_problem{check=\"audit\",needed=\"true\"}";
    assert!(scrape.get(problem) > 0.0 && scrape.get("rolegate_ready") < 0.5);
    assert!(scrape.get("rolegate_audit_write_failures_total") > 0.0);
    put(head).await;
    until(&world, StatusCode::OK, &[]).await;
    assert_eq!(world.post(&world.response()).await.0, StatusCode::OK);
    let whole = world.gateway.command(&["audit", "verify"]).await.good();
    assert!(whole.ends_with("are as they were written"), "{whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_takes_it_out_of_service_until_it_is_back() {
    let server = Postgres::start();
    let way = Way::to(&server).await;
    let (world, url) = start(Setting {
        tables: format!("[store]\nurl = \"{}\"\n", way.url()),
        ..Setting::default()
    })
    .await;
    assert_eq!(ready(&world).await, (StatusCode::OK, vec![]));
    way.cut();
    until(&world, StatusCode::SERVICE_UNAVAILABLE, &["store"]).await;
    let scrape = Scrape::of(&url).await;
    assert!(scrape.get("rolegate_store_up") < 0.5);
    assert!(scrape.get("rolegate_store_last_heard_seconds") > 5.0);
    way.mend();
    until(&world, StatusCode::OK, &[]).await;
    assert!(Scrape::of(&url).await.get("rolegate_store_up") > 0.5);
}
