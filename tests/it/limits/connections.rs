//! How many connections an address may have, counted from their first moment on, and what those are counted as that
//! are cut.

use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::client::{PATIENCE, connect, connect_deaf, many_sockets, read_on, status};
use crate::gateway::{Setting, World, free_port};
use crate::tls::certify;

/// The first bytes of a ClientHello.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01";

/// A gateway with the lines of `server`, over TLS where `scheme` says so, and the address of its metrics.
async fn start(scheme: &'static str, server: &'static str) -> (World, String) {
    let listen = format!("127.0.0.1:{}", free_port());
    let world = World::with(Setting {
        scheme,
        server_lines: server,
        prepare: |folder| drop(certify(folder)),
        variables: vec![("ROLEGATE_SERVER__METRICS_LISTEN", listen.clone())],
        ..Setting::default()
    })
    .await;
    (world, format!("http://{listen}/metrics"))
}

/// How many each of `limits` turned away.
async fn turned_away<const N: usize>(metrics: &str, limits: [&str; N]) -> [u64; N] {
    let text = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    limits.map(|limit| {
        let series = format!("rolegate_limits_turned_away_total{{limit=\"{limit}\"}} ");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(&series));
        lines.next().unwrap().parse().unwrap()
    })
}

/// Waits until each of `limits` turned away as many as `expected`.
async fn turns_away<const N: usize>(metrics: &str, limits: [&str; N], expected: [u64; N]) {
    let begun = Instant::now();
    loop {
        let seen = turned_away(metrics, limits).await;
        if seen == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{limits:?}: {seen:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// A client over TLS from 127.0.`from`.
fn client(world: &World, from: [u8; 2]) -> Client {
    let pem = std::fs::read(world.folder.path().join("gate.pem")).unwrap();
    let client = Client::builder().add_root_certificate(Certificate::from_pem(&pem).unwrap());
    let client = client.local_address(Some([127, 0, from[0], from[1]].into()));
    client.pool_max_idle_per_host(0).build().unwrap()
}

/// Whether `stream` has ended by now.
async fn has_ended(stream: &mut TcpStream) -> bool {
    let (answer, ended) = read_on(stream, Duration::from_millis(1)).await;
    assert_eq!(answer, "");
    ended
}

/// The status of the answer that is on its way.
async fn answered(stream: &mut TcpStream) -> Option<u16> {
    let begun = Instant::now();
    let mut answer = String::new();
    while answer.is_empty() && begun.elapsed() < PATIENCE {
        answer = read_on(stream, Duration::from_millis(50)).await.0;
    }
    status(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_never_end_are_counted_by_their_address() {
    many_sockets();
    let lines = "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\" }\nlimits = { connections_per_address = 20, max_connections = 100, tls_handshake_timeout_seconds = 60, workers = 1 }";
    let (world, metrics) = start("https", lines).await;
    let url = world.gateway.at("/");
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(&url, [0, 1]).await;
        // One that is closed already takes nothing.
        let _cut = stream.write_all(HELLO).await;
        open.push(stream);
    }
    // Twice as many as there is room for: those of another address are served all the same.
    let healthz = world.gateway.at("/healthz");
    for _ in 0..5 {
        let served = client(&world, [0, 2]).get(&healthz).send().await.unwrap();
        assert_eq!(served.status(), StatusCode::OK);
    }
    turns_away(
        &metrics,
        ["connections_of_address", "slow_handshakes"],
        [180, 0],
    )
    .await;
    let mut ended = 0;
    for stream in &mut open {
        ended += usize::from(has_ended(stream).await);
    }
    assert_eq!(ended, 180, "the others go on");
    assert!(client(&world, [0, 1]).get(&healthz).send().await.is_err());
    // A place is given back by a handshake that breaks off.
    drop(open);
    let begun = Instant::now();
    while client(&world, [0, 1]).get(&healthz).send().await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "no place is given back");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_too_many_brings_along_is_not_read() {
    let lines = "limits = { connections_per_address = 20, keep_alive_seconds = 60, request_timeout_seconds = 60, workers = 1 }";
    let (world, metrics) = start("http", lines).await;
    let url = world.gateway.at("/");
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(connect(&url, [0, 2]).await);
    }
    let whole = b"GET /login HTTP/1.1\r\nHost: gate\r\n\r\n";
    let mut beyond = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&url, [0, 2]).await;
        let _cut = stream.write_all(whole).await;
        beyond.push(stream);
    }
    for mut stream in beyond {
        let (answer, ended) = read_on(&mut stream, PATIENCE).await;
        assert!(ended && answer.is_empty(), "{answer}");
    }
    turns_away(&metrics, ["connections_of_address"], [20]).await;
    // One that there is a place for, after them.
    let mut other = connect(&url, [0, 4]).await;
    other.write_all(whole).await.unwrap();
    assert_eq!(answered(&mut other).await, Some(200));
    world.gateway.logged_times("request", 1).await;
    let log = world.gateway.log();
    assert_eq!(log.matches("\"route\":\"/login\"").count(), 1, "{log}");
}

const CUTS: [&str; 3] = ["slow_heads", "malformed", "head"];

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_come_whole_are_counted() {
    let lines = "limits = { request_timeout_seconds = 2, keep_alive_seconds = 5 }";
    let (world, metrics) = start("http", lines).await;
    let url = world.gateway.at("/");
    let whole = b"GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n";
    let begun = b"GET /healthz HTTP/1.1\r\nHost:";
    // A request that comes whole, whose connection is idle behind it until it is closed.
    let mut good = connect(&url, [0, 1]).await;
    good.write_all(whole).await.unwrap();
    let (answer, ended) = read_on(&mut good, PATIENCE).await;
    assert!(ended && status(&answer) == Some(200), "{answer}");
    assert_eq!(turned_away(&metrics, CUTS).await, [0, 0, 0]);

    let mut first = connect(&url, [0, 1]).await;
    first.write_all(begun).await.unwrap();
    let (answer, ended) = read_on(&mut first, PATIENCE).await;
    assert!(ended && status(&answer) == Some(408), "{answer}");
    turns_away(&metrics, CUTS, [1, 0, 0]).await;

    let mut second = connect(&url, [0, 1]).await;
    second.write_all(whole).await.unwrap();
    assert_eq!(answered(&mut second).await, Some(200));
    second.write_all(begun).await.unwrap();
    let (answer, ended) = read_on(&mut second, PATIENCE).await;
    assert!(ended && answer.is_empty(), "{answer}");
    turns_away(&metrics, CUTS, [2, 0, 0]).await;

    let mut nonsense = connect(&url, [0, 1]).await;
    nonsense.write_all(b"\x01\x02\x03\r\n\r\n").await.unwrap();
    let (answer, ended) = read_on(&mut nonsense, PATIENCE).await;
    assert!(ended && status(&answer) == Some(400), "{answer}");
    turns_away(&metrics, CUTS, [2, 1, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_take_too_long_are_counted() {
    let lines = "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\" }\nlimits = { tls_handshake_timeout_seconds = 2 }";
    let (world, metrics) = start("https", lines).await;
    let limits = ["slow_handshakes", "slow_heads"];
    let healthz = client(&world, [0, 1]).get(world.gateway.at("/healthz"));
    assert_eq!(healthz.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(turned_away(&metrics, limits).await, [0, 0]);
    let mut stalled = connect(&world.gateway.at("/"), [0, 1]).await;
    stalled.write_all(HELLO).await.unwrap();
    let (answer, ended) = read_on(&mut stalled, PATIENCE).await;
    assert!(ended && answer.is_empty(), "{answer}");
    turns_away(&metrics, limits, [1, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_are_counted() {
    let lines = "limits = { unread_answer_timeout_seconds = 2, workers = 1 }";
    let (world, metrics) = start("http", lines).await;
    let url = world.gateway.at("/");
    let limits = ["unread_answers", "requests_ahead", "slow_heads"];
    let ask = b"GET /assets/style.css HTTP/1.1\r\nHost: gate\r\n\r\n";
    let mut reading = connect(&url, [0, 1]).await;
    reading.write_all(ask).await.unwrap();
    assert_eq!(answered(&mut reading).await, Some(200));
    let mut deaf = connect_deaf(&url, [0, 1]).await;
    let begun = Instant::now();
    while turned_away(&metrics, limits).await == [0, 0, 0] {
        assert!(begun.elapsed() < PATIENCE, "nobody cuts it");
        // One after the other, so that none comes ahead of the answer to the one before it.
        let written = timeout(Duration::from_millis(20), deaf.write_all(ask)).await;
        if written.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(turned_away(&metrics, limits).await, [1, 0, 0]);
}
