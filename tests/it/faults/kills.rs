//! `kill -9` of a gateway at random moments under load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rolegate::model::{Clock, SystemClock};

use super::chance::Chance;
use super::fleet::{Fleet, RECOVERED, Reach, response};
use super::journal::Journal;
use super::load::Load;
use super::proof::prove;
use super::rounds;
use crate::gateway::{is_within, role};

/// A lease that nobody takes back, to see by that a gateway serves.
pub(super) async fn probe(fleet: &Fleet, reach: &Reach) -> String {
    let url = &reach.urls[0];
    let signed = response(&fleet.world.idp, "probe");
    let (status, me) = reach.post(url, &signed).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{me}");
    let order = serde_json::json!({ "user": "probe", "role_arn": role("long"), "job": "probe" });
    let path = format!("{url}/api/v1/leases");
    let made = reach.api("POST", &path, &reach.launcher, Some(&order), None);
    let (status, made) = made.await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let token = made["token"].as_str().unwrap().to_owned();
    reach.recovered(url, &token).await;
    token
}

async fn kill_at_random_moments(mut fleet: Fleet, test: &str, kills: usize) {
    let mut chance = Chance::of(test);
    let begun = Instant::now();
    let reach = fleet.reach(Vec::new()).await;
    let probe = probe(&fleet, &reach).await;
    let journal = Arc::new(Journal::default());
    let load = Load::start(&reach, &fleet.world.idp, &journal, &mut chance);
    let mut slowest = Duration::ZERO;
    let mut down = Duration::ZERO;
    for _ in 0..kills {
        tokio::time::sleep(chance.moment(700)).await;
        let number = chance.below(fleet.count());
        let killed = Instant::now();
        fleet.gateway(number).kill().await;
        tokio::time::sleep(chance.moment(300)).await;
        let (restarted, restarting) = (Instant::now(), SystemClock.now());
        fleet.gateway(number).restart().await;
        let url = &reach.urls[number % reach.urls.len()];
        reach.recovered(url, &probe).await;
        let took = restarted.elapsed();
        is_within("the start", restarting, RECOVERED);
        slowest = slowest.max(took);
        down = down.max(killed.elapsed());
        if !load.goes_on() {
            break;
        }
    }
    load.end().await;
    let worked = begun.elapsed();
    prove(&reach, &journal).await;
    println!(
        "{test}: {kills} kills in {worked:?}, proved in {:?}; slowest start to good fetch {slowest:?}\n{test}: {}",
        begun.elapsed().saturating_sub(worked),
        journal.open().summary()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_gateways_on_postgres_that_are_killed_nothing_is_lost() {
    kill_at_random_moments(Fleet::on_postgres().await, "kills on PostgreSQL", rounds(4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_gateway_on_sqlite_that_is_killed_nothing_is_lost() {
    kill_at_random_moments(Fleet::on_sqlite().await, "kills on SQLite", rounds(4)).await;
}
