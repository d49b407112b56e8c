//! PostgreSQL that stops, crashes and comes back under load, and ways to it that break in every manner.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rolegate::model::{Clock, SystemClock};
use serde_json::json;

use super::chance::Chance;
use super::fleet::{Fleet, RECOVERED, Reach, response};
use super::journal::Journal;
use super::kills::probe;
use super::load::Load;
use super::proof::prove;
use super::rounds;
use crate::gateway::{is_within, role};
use crate::parts::postgres::{Breach, Way};

/// By when a fetch is answered (DESIGN.md), and what a busy machine adds.
const FETCH: Duration = Duration::from_secs(2);

/// By when an answer is there that may be cut off.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks both gateways until they serve; how long the later one took.
async fn both_recovered(reach: &Reach, probe: &str) -> Duration {
    let (begun, now) = (Instant::now(), SystemClock.now());
    for url in &reach.urls {
        reach.recovered(url, probe).await;
    }
    is_within("the recovery", now, RECOVERED);
    begun.elapsed()
}

/// Each fetch was answered in time, by the gateways' own count; neither was started anew.
async fn fetches_were_prompt(fleet: &Fleet) {
    for gateway in [Some(&fleet.world.gateway), fleet.other.as_ref()] {
        gateway.unwrap().is_prompt("/v1/credentials", FETCH).await;
    }
}

/// Cuts an answer off, and waits until it was, or until nobody asks any more.
async fn cut_an_answer(way: &Way, chance: &mut Chance, load: &Load) {
    let begun = Instant::now();
    while !way.has_cut() && load.goes_on() {
        assert!(begun.elapsed() < PATIENCE, "no answer to cut off");
        way.breach(Breach::CutAnswer(chance.below(60)));
        // What was to be answered may have been a farewell.
        for _ in 0..500 {
            if way.has_cut() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What each call gets while the store is away.
async fn away(fleet: &Fleet, reach: &Reach, url: &str) {
    let signed = response(&fleet.world.idp, "nobody");
    let begun = SystemClock.now();
    let answer = reach.post(url, &signed).await.unwrap();
    assert_eq!(answer.0, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.1);
    is_within("a sign-in", begun, RECOVERED);
    let order = json!({ "user": "probe", "role_arn": role("long"), "job": "away" });
    let path = format!("{url}/api/v1/leases");
    let begun = SystemClock.now();
    let made = reach.api("POST", &path, &reach.launcher, Some(&order), None);
    let made = made.await.unwrap();
    assert_eq!(made.0, StatusCode::SERVICE_UNAVAILABLE, "{}", made.1);
    is_within("a lease", begun, RECOVERED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_or_is_stopped_loses_nothing() {
    let mut fleet = Fleet::on_postgres().await;
    let mut chance = Chance::of("PostgreSQL stopped");
    let begun = Instant::now();
    let reach = fleet.reach(Vec::new()).await;
    let probe = probe(&fleet, &reach).await;
    let journal = Arc::new(Journal::default());
    let load = Load::start(&reach, &fleet.world.idp, &journal, &mut chance);
    let stops = rounds(2).div_ceil(5).max(2);
    let mut slowest = Duration::ZERO;
    for stop in 0..stops {
        tokio::time::sleep(chance.moment(1500)).await;
        let signal = if stop % 2 == 0 { "QUIT" } else { "INT" };
        fleet.postgres.as_mut().unwrap().stop(signal).await;
        if stop == 0 {
            away(&fleet, &reach, &reach.urls[0]).await;
        }
        tokio::time::sleep(chance.moment(1500)).await;
        fleet.postgres.as_mut().unwrap().start_again().await;
        slowest = slowest.max(both_recovered(&reach, &probe).await);
        if !load.goes_on() {
            break;
        }
    }
    load.end().await;
    let worked = begun.elapsed();
    prove(&reach, &journal).await;
    let summary = journal.open().summary();
    println!(
        "PostgreSQL stopped: {stops} times in {worked:?}; slowest recovery {slowest:?}\nPostgreSQL stopped: {summary}"
    );
    fetches_were_prompt(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_to_the_server_that_breaks_loses_nothing() {
    let fleet = Fleet::on_postgres().await;
    let mut chance = Chance::of("ways that break");
    let begun = Instant::now();
    let reach = fleet.reach(Vec::new()).await;
    let probe = probe(&fleet, &reach).await;
    let journal = Arc::new(Journal::default());
    let load = Load::start(&reach, &fleet.world.idp, &journal, &mut chance);
    let way = fleet.way.as_ref().unwrap();
    let (mut answers, mut slowest) = (0, Duration::ZERO);
    for round in 0..rounds(6) {
        tokio::time::sleep(chance.moment(400)).await;
        match round % 6 {
            0 => {
                way.cut();
                tokio::time::sleep(chance.moment(1500)).await;
                way.mend();
            }
            1 => {
                way.breach(Breach::Stalled);
                tokio::time::sleep(chance.moment(6000)).await;
                way.mend();
            }
            _ => {
                // Of the last round, perhaps.
                way.breach(Breach::None);
                cut_an_answer(way, &mut chance, &load).await;
                answers += usize::from(way.has_cut());
                way.mend();
            }
        }
        slowest = slowest.max(both_recovered(&reach, &probe).await);
        if !load.goes_on() {
            break;
        }
    }
    load.end().await;
    let worked = begun.elapsed();
    prove(&reach, &journal).await;
    let summary = journal.open().summary();
    println!(
        "ways that break: {} times in {worked:?}, of which {answers} answers cut off; slowest recovery {slowest:?}\n\
         ways that break: {summary}",
        rounds(6)
    );
    assert!(answers > 0, "no answer was cut off");
    fetches_were_prompt(&fleet).await;
}
