//! More than can be done at once: told to come again, while what is cheap goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use rolegate::demo::sts::Fault;

use crate::gateway::{Setting, World, each_request, pair, role};

/// By when a fetch is answered, under a flood, by the gateway's own count.
const FETCH: Duration = Duration::from_secs(2);

/// Alice is offered `hanging` roles that STS never answers for, and `reader` behind them all, so that the credentials
/// of a sign-in take longer than its answer: three seconds for each ten.
pub(super) async fn with_a_long_sign_in(hanging: usize, server_lines: &'static str) -> World {
    let names: Vec<String> = (0..hanging).map(|at| format!("hangs-{at:02}")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("reader");
    let world = World::with(Setting {
        roles: names.iter().map(|name| pair(name)).collect(),
        allowed: names.iter().map(|name| role(name)).collect(),
        server_lines,
        ..Setting::default()
    })
    .await;
    let quick = Fault::Slow(Duration::from_millis(1));
    world.sts.set_fault_for(&role("reader"), quick);
    world.sts.set_fault(Fault::Hang);
    world
}

/// Fetches as a job does, which comes again where it is told to, and soon with success.
async fn first_fetch(world: &World, token: &str) {
    let first = Instant::now();
    loop {
        let (status, body) = world.fetch(token).await;
        if status == StatusCode::OK {
            return;
        }
        assert_eq!((status.as_u16(), &body["code"]), (503, &"pending".into()));
        assert!(first.elapsed() < Duration::from_mins(1), "{body}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_sign_ins_is_turned_away_and_fetches_go_on() {
    let world = Arc::new(
        World::with(Setting {
            server_lines: "limits = { verifications_waiting = 1, refused_sign_ins_per_minute = 100000, connections_per_address = 5000 }",
            variables: vec![each_request()],
            ..Setting::default()
        })
        .await,
    );
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let lease = lease["token"].as_str().unwrap().to_owned();
    let (_, new) = world.lease(&launcher, "reader").await;
    let new = new["token"].as_str().unwrap().to_owned();
    let used = world.response();
    assert_eq!(world.post(&used).await.0, StatusCode::OK);
    // A lease's first fetch is written to the audit, behind what the flood writes.
    assert_eq!(world.fetched(&lease).await.0, StatusCode::OK);
    let before = world.gateway.resident_kib();
    let client = Client::new();
    let flood: Vec<_> = (0..64)
        .map(|_| {
            let (client, url) = (client.clone(), world.gateway.at("/saml/acs"));
            let used = used.clone();
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for _ in 0..40 {
                    let post = client.post(&url).header("Accept", "application/json");
                    let answer = post.form(&[("SAMLResponse", &used)]).send().await.unwrap();
                    let wait = answer.headers().contains_key("Retry-After");
                    answers.push((answer.status().as_u16(), wait));
                }
                answers
            })
        })
        .collect();
    let first = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { first_fetch(&world, &new).await })
    };
    while !flood.iter().all(tokio::task::JoinHandle::is_finished) {
        let (status, body) = world.fetched(&lease).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    first.await.unwrap();
    world.gateway.is_prompt("/v1/credentials", FETCH).await;
    let answers: Vec<_> = join_all(flood)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    assert!(count((503, true)) > 0, "nobody was turned away");
    assert!(count((403, false)) > 0, "nobody was looked at");
    assert_eq!(
        count((503, true)) + count((403, false)),
        answers.len(),
        "{answers:?}"
    );
    let grown = world.gateway.resident_kib().saturating_sub(before);
    assert!(grown < 100 * 1024, "{grown} KiB more");
    world.sign_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_sts_has_no_turn_for_is_not_used_up() {
    // The only turn is taken for eighteen seconds, of which the two answers wait for eight.
    let world = with_a_long_sign_in(53, "limits = { sign_ins_minting = 1 }").await;
    let (first, second) = (world.response(), world.response());
    assert_eq!(
        world.post(&first).await.0,
        StatusCode::OK,
        "STS goes on behind the answer"
    );
    let (status, body) = world.post(&second).await;
    assert_eq!((status.as_u16(), &body["code"]), (503, &"busy".into()));
    let promise = Duration::from_secs(7);
    world.gateway.is_prompt("/saml/acs", promise).await;
    world.sts.set_fault(Fault::None);
    let mut status = StatusCode::SERVICE_UNAVAILABLE;
    for _ in 0..20 {
        status = world.post(&second).await.0;
        if status != StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
    }
    assert_eq!(status, StatusCode::OK);
}
