//! Gateways that are killed while they start, that start side by side, or that are asked to end under load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rolegate::demo::sts::Fault;
use rolegate::model::{Clock, SystemClock};
use serde_json::json;

use super::chance::Chance;
use super::fleet::{Fleet, RECOVERED, response};
use super::journal::Journal;
use super::kills::probe;
use super::load::Load;
use super::proof::prove;
use super::rounds;
use crate::gateway::{Setting, begin, command, free_port, is_within, role};
use crate::parts::postgres::Postgres;

/// Writes a configuration with `store` for a gateway that nobody asks anything.
fn configure(folder: &std::path::Path, store: &str) {
    let port = free_port();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\n{store}"
    );
    std::fs::write(folder.join("rolegate.toml"), text).unwrap();
}

/// Kills first starts at random moments; the next start makes do with what they left.
async fn first_starts(
    store: impl AsyncFn(usize) -> String,
    starts: usize,
    longest: usize,
    chance: &mut Chance,
) {
    for start in 0..starts {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path(), &store(start).await);
        // Twice, since the second may find what the first left.
        for _ in 0..2 {
            let mut child = begin(folder.path());
            tokio::time::sleep(chance.moment(longest)).await;
            child.kill().await.unwrap();
        }
        for _ in 0..2 {
            command(folder.path(), &["store", "migrate"], &[])
                .await
                .good();
        }
        let whole = command(folder.path(), &["audit", "verify"], &[])
            .await
            .good();
        assert!(whole.ends_with("are as they were written"), "{whole}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_is_killed_leaves_nothing_in_the_way() {
    let mut chance = Chance::of("first starts");
    let begun = Instant::now();
    let starts = rounds(5);
    first_starts(async |_| String::new(), starts, 120, &mut chance).await;
    println!(
        "first starts on SQLite: {starts} pairs killed in {:?}",
        begun.elapsed()
    );
}

/// A new database of the server's; its part of the configuration.
async fn database(server: &Postgres, name: &str) -> String {
    let url = server.url();
    let pool = {
        sqlx::any::install_default_drivers();
        sqlx::AnyPool::connect(&url).await.unwrap()
    };
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let url = url.replace("/postgres?", &format!("/{name}?"));
    format!("[store]\nurl = \"{url}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_of_a_server_that_is_killed_is_done_by_the_next() {
    let server = Postgres::start();
    let mut chance = Chance::of("migrations");
    let begun = Instant::now();
    let starts = rounds(3);
    let made = async |start: usize| database(&server, &format!("killed{start}")).await;
    first_starts(made, starts, 160, &mut chance).await;
    println!(
        "first starts on PostgreSQL: {starts} pairs killed in {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_first_at_once_all_start() {
    let server = Postgres::start();
    let many = rounds(2).div_ceil(10).max(2);
    for round in 0..many {
        let folder = tempfile::tempdir().unwrap();
        configure(
            folder.path(),
            &database(&server, &format!("at_once{round}")).await,
        );
        // One key file, as on a shared volume; nobody has made it yet.
        let starts = (0..4).map(|_| command(folder.path(), &["store", "migrate"], &[]));
        for ended in futures_util::future::join_all(starts).await {
            ended.good();
        }
        let whole = command(folder.path(), &["audit", "verify"], &[])
            .await
            .good();
        assert!(whole.ends_with("are as they were written"), "{whole}");
    }
    println!("first starts at once: {many} times four");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_asked_to_end_under_load_loses_nothing() {
    let mut fleet = Fleet::on_postgres().await;
    let mut chance = Chance::of("ends");
    let begun = Instant::now();
    let reach = fleet.reach(Vec::new()).await;
    let probe = probe(&fleet, &reach).await;
    let journal = Arc::new(Journal::default());
    let load = Load::start(&reach, &fleet.world.idp, &journal, &mut chance);
    let ends = rounds(2).div_ceil(5).max(2);
    let mut slowest = Duration::ZERO;
    for _ in 0..ends {
        tokio::time::sleep(chance.moment(600)).await;
        let number = chance.below(fleet.count());
        let (asked, asking) = (Instant::now(), SystemClock.now());
        let ended = fleet.gateway(number).end().await;
        assert!(ended.success(), "{ended}");
        is_within("the end", asking, 2 * RECOVERED);
        slowest = slowest.max(asked.elapsed());
        fleet.gateway(number).restart().await;
        let url = &reach.urls[number % reach.urls.len()];
        let serving = SystemClock.now();
        reach.recovered(url, &probe).await;
        is_within("the start", serving, RECOVERED);
        if !load.goes_on() {
            break;
        }
    }
    load.end().await;
    prove(&reach, &journal).await;
    println!(
        "ends: {ends} in {:?}; the slowest took {slowest:?}\nends: {}",
        begun.elapsed(),
        journal.open().summary()
    );
}

/// The mint that died with its process is begun anew, by whichever method.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_while_sts_is_asked_serves_within_ten_seconds() {
    let mut fleet = Fleet::on_sqlite_with(Setting::renewing()).await;
    let reach = fleet.reach(Vec::new()).await;
    let url = reach.urls[0].clone();
    let signed = response(&fleet.world.idp, "alice");
    assert_eq!(reach.post(&url, &signed).await.unwrap().0, StatusCode::OK);
    let methods = ["long", "brokered"];
    for (at, name) in methods.into_iter().take(rounds(1)).enumerate() {
        fleet
            .world
            .sts
            .set_fault(Fault::Slow(Duration::from_secs(30)));
        let order = json!({ "user": "alice", "role_arn": role(name), "job": "mint" });
        let path = format!("{url}/api/v1/leases");
        let made = reach.api("POST", &path, &reach.launcher, Some(&order), None);
        let (status, made) = made.await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let token = made["token"].as_str().unwrap();
        let (status, body) = reach.fetch(&url, token).await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        fleet.gateway(0).kill().await;
        fleet.world.sts.set_fault(Fault::None);
        let killed = Instant::now();
        fleet.gateway(0).restart().await;
        // What the dead process claimed is its own for eight seconds.
        let serving = SystemClock.now();
        reach.recovered(&url, token).await;
        is_within(name, serving, RECOVERED);
        let took = killed.elapsed();
        println!("killed in mid-mint {at}: served again after {took:?}");
    }
}
