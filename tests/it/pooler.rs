//! PostgreSQL behind a pooler that gives each transaction another connection, a copy into it, and a gateway that stood
//! still.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use rolegate::model::{Clock, SystemClock};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection};

use crate::gateway::{Gateway, Setting, World, free_port};
use crate::parts::pgbouncer::PgBouncer;
use crate::parts::postgres::Postgres;

/// By when what happened elsewhere counts here (DESIGN.md, "Commands").
const SEEN: Duration = Duration::from_secs(5);

fn behind(server: &Postgres, bouncer: &PgBouncer) -> Setting {
    let mut setting = Setting::renewing();
    setting.tables = format!(
        "[store]\nurl = \"{}\"\nlisten_url = \"{}\"\n{}",
        bouncer.url(),
        server.url(),
        setting.tables
    );
    setting
}

async fn status(url: &str, token: &str) -> StatusCode {
    let request = Client::new().get(url).header("Authorization", token);
    request.send().await.unwrap().status()
}

/// Asks until `wanted` is answered; fails where that takes too long.
async fn until(url: &str, token: &str, wanted: StatusCode) {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let mut last = wanted;
    while begun.elapsed() < 4 * SEEN {
        ticks.tick().await;
        last = status(url, token).await;
        if last == wanted {
            return;
        }
    }
    panic!("{last} and never {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_behind_a_pooler_by_transaction_are_one() {
    let server = Postgres::start();
    let bouncer = PgBouncer::start(&server, 3).await;
    let one = World::with(behind(&server, &bouncer)).await;
    let listen = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{listen}");
    let variables = vec![("ROLEGATE_SERVER__LISTEN", listen)];
    let two = Gateway::start_with(one.folder.path(), &url, one.sts.url(), variables).await;

    // Many at once, so that transactions of all kinds follow one another on each connection of the server's.
    let launcher = one.launcher().await;
    let journeys = join_all((0..24).map(|_| async {
        one.sign_in().await;
        let (created, lease) = one.lease(&launcher, "long").await;
        assert_eq!(created, StatusCode::CREATED, "{lease}");
        let token = lease["token"].as_str().unwrap().to_owned();
        let (fetched, body) = one.fetched(&token).await;
        assert_eq!(fetched, StatusCode::OK, "{body}");
        (lease["lease"].as_str().unwrap().to_owned(), token)
    }));
    let journeys = journeys.await;
    let leases: BTreeSet<&String> = journeys.iter().map(|(lease, _)| lease).collect();
    assert_eq!(leases.len(), 24);

    // What one gateway did counts at the other.
    let there = two.at("/v1/credentials");
    let (lease, token) = &journeys[0];
    until(&there, token, StatusCode::OK).await;
    let revoke = ["revoke", "--lease", lease, "--reason", "a test"];
    one.gateway.command(&revoke).await.good();
    until(&there, token, StatusCode::FORBIDDEN).await;
    until(&there, &journeys[1].1, StatusCode::OK).await;

    let sessions = one.gateway.command(&["sessions", "list", "--json"]).await;
    let sessions: Value = serde_json::from_str(&sessions.good()).unwrap();
    assert_eq!(sessions.as_array().unwrap().len(), 24);
    one.gateway.command(&["keys", "rotate"]).await.good();
    until(&there, &journeys[2].1, StatusCode::OK).await;
    let whole = one.gateway.command(&["audit", "verify"]).await.good();
    assert!(whole.ends_with("are as they were written"), "{whole}");
    let log = one.gateway.log() + &two.log();
    assert!(!log.contains("store_away"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_where_changes_would_not_be_heard() {
    let server = Postgres::start();
    let bouncer = PgBouncer::start(&server, 3).await;
    let world = World::with(behind(&server, &bouncer)).await;
    let (folder, good) = (world.folder.path(), server.url());
    let text = std::fs::read_to_string(folder.join("rolegate.toml")).unwrap();
    let listen = format!("listen_url = \"{good}\"");
    assert!(text.contains(&listen));
    for (other, warned) in [
        (good.clone(), false),
        (bouncer.url(), true),
        (good.replace("/postgres?", "/template1?"), true),
    ] {
        let other = text.replace(&listen, &format!("listen_url = \"{other}\""));
        std::fs::write(folder.join("rolegate.toml"), other).unwrap();
        let checked = world.gateway.command(&["check"]).await;
        let shown = checked.stderr.clone();
        checked.good();
        assert_eq!(
            shown.contains("warning: store.listen_url"),
            warned,
            "{shown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stood_still_forgets_what_it_cannot_have_heard() {
    let server = Postgres::start();
    let mut setting = Setting::renewing();
    setting.tables = format!("[store]\nurl = \"{}\"\n{}", server.url(), setting.tables);
    let world = World::with(setting).await;
    let launcher = world.launcher().await;
    world.sign_in().await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let (_, lease) = world.lease(&launcher, "long").await;
        let token = lease["token"].as_str().unwrap().to_owned();
        assert_eq!(world.fetched(&token).await.0, StatusCode::OK);
        tokens.push((lease["lease"].as_str().unwrap().to_owned(), token));
    }
    world.gateway.signal("STOP");
    let mut database = sqlx::PgConnection::connect(&server.url()).await.unwrap();
    let now = SystemClock.now().timestamp_millis();
    let revoked = format!(
        "UPDATE leases SET revoked_at = {now} WHERE id = '{}'",
        tokens[0].0
    );
    // The news of it stay for an hour; this is what is left of them then.
    for sql in [revoked, "DELETE FROM revoked_leases".to_owned()] {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut database)
            .await
            .unwrap();
    }
    // Longer than a gateway may go without a word of its store.
    tokio::time::sleep(SEEN + Duration::from_secs(1)).await;
    world.gateway.signal("CONT");
    let url = world.gateway.at("/v1/credentials");
    until(&url, &tokens[0].1, StatusCode::FORBIDDEN).await;
    until(&url, &tokens[1].1, StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_at_rest_is_copied_whole_also_without_its_oldest_records() {
    let server = Postgres::start();
    let mut world = World::start().await;
    world.sign_in().await;
    // By a pooler's URL, which is where a first copy may well go.
    let bouncer = PgBouncer::start(&server, 3).await;
    let url = bouncer.url();
    let copy = ["store", "copy", &url];
    let refused = world.gateway.command(&copy).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("is at work"), "{}", refused.stderr);
    assert!(world.gateway.end().await.success());
    let prune = ["audit", "prune", "--before", "0s"];
    world.gateway.command(&prune).await.good();
    let told = world.gateway.command(&copy).await.good();
    assert!(told.contains("were removed by retention"), "{told}");
    assert!(told.ends_with("are as they were written"), "{told}");
    let again = world.gateway.command(&copy).await;
    assert!(again.stderr.contains("used already"), "{}", again.stderr);
}
