//! Clients that send requests ahead of the answers: a few are answered in order, and who sends many is cut at once.

use std::time::{Duration, Instant};

use rolegate::model::{Clock, SystemClock};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use super::client::{PATIENCE, connect, connect_deaf, many_sockets, read_on};
use crate::gateway::{World, is_within};

/// As much as the server takes in at most before it looks.
const MUCH: usize = 128 * 1024;

fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gate\r\nAuthorization: rgs_{:A<43}\r\n\r\n",
        ""
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_requests_in_one_write_are_answered_in_order() {
    let world = World::start().await;
    let mut stream = connect(&world.gateway.at("/"), [0, 4]).await;
    let paths = ["/healthz", "/login", "/api/v1/me", "/nowhere"];
    let all: String = paths
        .iter()
        .cycle()
        .take(16)
        .map(|at| request(at))
        .collect();
    stream.write_all(all.as_bytes()).await.unwrap();
    let statuses = async |stream: &mut _, wanted: usize| {
        let (begun, mut text) = (Instant::now(), String::new());
        while text.matches("HTTP/1.1 ").count() < wanted && begun.elapsed() < PATIENCE {
            let (more, ended) = read_on(stream, Duration::from_millis(100)).await;
            text.push_str(&more);
            assert!(!ended, "{text}");
        }
        let answers = text.split("HTTP/1.1 ").skip(1);
        answers
            .map(|answer| answer[..3].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        statuses(&mut stream, 16).await,
        ["200", "200", "401", "404"].repeat(4)
    );
    // And whoever waits for each answer may ask for ever.
    for _ in 0..40 {
        stream
            .write_all(request("/healthz").as_bytes())
            .await
            .unwrap();
        assert_eq!(statuses(&mut stream, 1).await, ["200"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_many_ahead_is_cut_at_once_and_holds_no_memory() {
    many_sockets();
    let world = World::start().await;
    let before = world.gateway.resident_kib();
    let senders: Vec<_> = (0..50)
        .map(|at| {
            let url = world.gateway.at("/");
            // One that is answered at once, and one that waits for the store.
            let request = request(["/login", "/api/v1/me"][at % 2]);
            tokio::spawn(async move {
                let mut stream = connect_deaf(&url, [0, 5]).await;
                let many = request.repeat(MUCH / request.len());
                while stream.write_all(many.as_bytes()).await.is_ok() {}
            })
        })
        .collect();
    let (begun, mut most) = (SystemClock.now(), before);
    while !senders.iter().all(tokio::task::JoinHandle::is_finished) {
        most = most.max(world.gateway.resident_kib());
        // Sooner than one that reads nothing is given up.
        is_within("cutting them", begun, Duration::from_secs(25));
        sleep(Duration::from_millis(10)).await;
    }
    let grown = most - before;
    // The system takes some 20 KiB of each at once; without a bound it would be 500 MiB and more.
    assert!(grown < 80 * 1024, "{grown} KiB more");
    let healthy = timeout(PATIENCE, reqwest::get(world.gateway.at("/healthz")));
    assert!(healthy.await.unwrap().unwrap().status().is_success());
}
