//! Clients that take their time: none of them keeps anybody else from being served, and each is cut.

use std::io::Write;
use std::net::TcpStream as Plain;
use std::time::{Duration, Instant};

use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};
use reqwest::{Certificate, Client, StatusCode};
use rolegate::model::{Clock, SystemClock};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{interval, sleep, timeout};

use super::client::{
    PATIENCE, address, connect, connect_deaf, many_sockets, read_answer, read_on, status,
};
use crate::gateway::{Setting, World, each_request, is_within};
use crate::tls::certify;

/// What the gateways of these tests give a request.
const REQUEST: Duration = Duration::from_secs(5);

/// By when a good client is answered: sooner than a slow one is cut.
const SOON: Duration = Duration::from_secs(4);

/// How a slow client begins; a byte a second follows.
const HEAD: &str = "GET /v1/credentials HTTP/1.1\r\nHost: gate\r\nX-Slow: ";
const BODY: &str = "POST /saml/acs HTTP/1.1\r\nHost: gate\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\nSAMLResponse=";

/// Sends a byte a second until it is cut; how long that took.
async fn trickle(mut stream: TcpStream, begin: &'static str) -> Duration {
    let started = Instant::now();
    stream.write_all(begin.as_bytes()).await.unwrap();
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let (_, ended) = read_on(&mut stream, Duration::from_millis(1)).await;
        if ended || stream.write_all(b"a").await.is_err() {
            return started.elapsed();
        }
        assert!(started.elapsed() < PATIENCE, "nobody cuts it");
    }
}

/// A sign-in and a fetch, each soon, again and again for `time`: a client's clock sees what is kept waiting before
/// the gateway has it.
async fn serve_on(world: &World, client: &Client, lease: &str, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        let begun = SystemClock.now();
        let post = client
            .post(world.gateway.at("/saml/acs"))
            .header("Accept", "application/json")
            .form(&[("SAMLResponse", world.response())]);
        let signed_in = post.send().await.unwrap();
        assert_eq!(signed_in.status(), StatusCode::OK);
        is_within("a sign-in", begun, SOON);
        let begun = SystemClock.now();
        let get = client.get(world.gateway.at("/v1/credentials"));
        let fetched = get.header("Authorization", lease).send().await.unwrap();
        assert_eq!(fetched.status(), StatusCode::OK);
        is_within("a fetch", begun, SOON);
        sleep(Duration::from_millis(300)).await;
    }
    let promise = Duration::from_secs(2);
    world.gateway.is_prompt("/v1/credentials", promise).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_slow_clients_do_not_stop_a_good_one() {
    many_sockets();
    let world = World::with(Setting {
        server_lines: "limits = { request_timeout_seconds = 5 }",
        variables: vec![each_request()],
        ..Setting::default()
    })
    .await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let lease = lease["token"].as_str().unwrap();
    let before = world.gateway.resident_kib();
    let mut slow = Vec::new();
    for at in 0..2000 {
        let from = [1, u8::try_from(1 + at % 10).unwrap()];
        let stream = connect(&world.gateway.at("/"), from).await;
        let begin = if at % 2 == 0 { HEAD } else { BODY };
        slow.push(tokio::spawn(trickle(stream, begin)));
    }
    serve_on(&world, &Client::new(), lease, REQUEST).await;
    let grown = world.gateway.resident_kib().saturating_sub(before);
    assert!(grown < 150 * 1024, "{grown} KiB more");
    for one in slow {
        let took = one.await.unwrap();
        // A busy machine may be late, and so is a client that looks once a second.
        assert!(took < REQUEST * 6, "{took:?}");
    }
    serve_on(&world, &Client::new(), lease, Duration::from_secs(1)).await;
}

fn handshake(url: &str) -> Option<SslStream<Plain>> {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let plain = Plain::connect(address(url)).unwrap();
    let connector = connector.build().configure().unwrap();
    let connected = connector.verify_hostname(false).connect("gate", plain);
    connected.ok()
}

fn over_tls(lines: &'static str) -> Setting {
    Setting {
        scheme: "https",
        server_lines: lines,
        prepare: |folder| drop(certify(folder)),
        variables: vec![each_request()],
        ..Setting::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_over_tls_are_cut_also_within_the_handshake() {
    many_sockets();
    let world = World::with(over_tls(
        "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\" }\n\
         limits = { request_timeout_seconds = 5, tls_handshake_timeout_seconds = 3, workers = 2 }",
    ))
    .await;
    let pem = std::fs::read(world.folder.path().join("gate.pem")).unwrap();
    let client = Client::builder()
        .add_root_certificate(Certificate::from_pem(&pem).unwrap())
        .build()
        .unwrap();
    let post = client
        .post(world.gateway.at("/saml/acs"))
        .header("Accept", "application/json")
        .form(&[("SAMLResponse", world.response())]);
    assert_eq!(post.send().await.unwrap().status(), StatusCode::OK);
    let launcher = world.launcher().await;
    let order = serde_json::json!({ "user": "alice", "role_arn": crate::gateway::role("reader"), "job": "j" });
    let lease = client.post(world.gateway.at("/api/v1/leases"));
    let lease = lease.bearer_auth(&launcher).json(&order).send().await;
    let lease: serde_json::Value = lease.unwrap().json().await.unwrap();
    let lease = lease["token"].as_str().unwrap();
    // More than the server lets shake hands at once by itself, on two workers.
    let mut stalled = Vec::new();
    for at in 0..700 {
        let from = [1, u8::try_from(1 + at % 10).unwrap()];
        let mut stream = connect(&world.gateway.at("/"), from).await;
        // The first bytes of a ClientHello.
        stream.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        stalled.push(stream);
    }
    let url = world.gateway.at("/");
    let slow = tokio::task::spawn_blocking(move || {
        // Whoever came too late with a handshake, or with what follows, is cut already.
        let begun = (0..60).filter_map(|at| {
            let mut stream = handshake(&url)?;
            let begin = if at % 2 == 0 { HEAD } else { BODY };
            stream.write_all(begin.as_bytes()).ok()?;
            stream.get_ref().set_nonblocking(true).unwrap();
            Some(stream)
        });
        begun.collect::<Vec<_>>()
    });
    serve_on(&world, &client, lease, Duration::from_secs(3)).await;
    for mut stream in stalled {
        let (answer, ended) = read_on(&mut stream, PATIENCE).await;
        assert!(ended && answer.is_empty(), "a handshake goes on: {answer}");
    }
    let mut slow = slow.await.unwrap();
    assert!(slow.len() > 20, "{} shook hands", slow.len());
    let begun = Instant::now();
    while !slow.is_empty() {
        assert!(begun.elapsed() < REQUEST * 6, "{} go on", slow.len());
        slow.retain_mut(|stream| {
            let mut socket = stream.get_ref();
            let gone = matches!(std::io::Read::read(&mut socket, &mut [0; 4096]), Ok(0));
            !gone && stream.write_all(b"a").is_ok()
        });
        sleep(Duration::from_millis(500)).await;
    }
    serve_on(&world, &client, lease, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_on_a_connection_has_no_more_time_than_the_first() {
    let world = World::with(Setting {
        server_lines: "limits = { request_timeout_seconds = 2, keep_alive_seconds = 2 }",
        ..Setting::default()
    })
    .await;
    let mut stream = connect(&world.gateway.at("/"), [0, 1]).await;
    for _ in 0..2 {
        let whole = b"GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n";
        stream.write_all(whole).await.unwrap();
        let (answer, ended) = read_answer(&mut stream).await;
        assert!(!ended && status(&answer) == Some(200), "{answer}");
    }
    let begun = SystemClock.now();
    trickle(stream, HEAD).await;
    is_within("the second request", begun, Duration::from_secs(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_no_answer_is_cut_and_holds_nothing() {
    let world = World::with(Setting {
        server_lines: "limits = { unread_answer_timeout_seconds = 2, request_timeout_seconds = 2, workers = 1 }",
        ..Setting::default()
    })
    .await;
    let before = world.gateway.resident_kib();
    let mut deaf = Vec::new();
    for _ in 0..5 {
        let mut stream = connect_deaf(&world.gateway.at("/"), [0, 3]).await;
        deaf.push(tokio::spawn(async move {
            let request = b"GET /assets/style.css HTTP/1.1\r\nHost: gate\r\n\r\n".repeat(100);
            let begun = Instant::now();
            // Written until nothing is taken any more, and then until the other side gives up.
            while stream.write_all(&request).await.is_ok() {}
            begun.elapsed()
        }));
    }
    for _ in 0..10 {
        let begun = SystemClock.now();
        let healthy = reqwest::get(world.gateway.at("/healthz")).await;
        assert!(healthy.unwrap().status().is_success());
        is_within("/healthz", begun, Duration::from_secs(2));
        sleep(Duration::from_millis(200)).await;
    }
    for one in deaf {
        let cut = timeout(PATIENCE, one).await;
        cut.expect("nobody cuts it").unwrap();
    }
    let grown = world.gateway.resident_kib().saturating_sub(before);
    assert!(grown < 50 * 1024, "{grown} KiB more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections_and_others_have_theirs() {
    let world = World::with(Setting {
        server_lines: "limits = { connections_per_address = 20, keep_alive_seconds = 60 }",
        ..Setting::default()
    })
    .await;
    let url = world.gateway.at("/");
    let whole = b"GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n";
    let ask = async |stream: &mut TcpStream| {
        let _cut = stream.write_all(whole).await;
        let (answer, ended) = read_answer(stream).await;
        (status(&answer), ended)
    };
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&url, [0, 2]).await;
        assert_eq!(ask(&mut stream).await, (Some(200), false));
        open.push(stream);
    }
    let mut beyond = connect(&url, [0, 2]).await;
    assert_eq!(ask(&mut beyond).await, (None, true), "it is closed");
    let mut other = connect(&url, [0, 4]).await;
    assert_eq!(ask(&mut other).await, (Some(200), false));
    drop(open.pop());
    let mut again = None;
    for _ in 0..200 {
        let mut stream = connect(&url, [0, 2]).await;
        again = ask(&mut stream).await.0;
        if again.is_some() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(again, Some(200), "a place that was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_not_spoken() {
    let world = World::with(over_tls(
        "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\" }",
    ))
    .await;
    let url = world.gateway.at("/");
    let offer = |protocols: &[u8]| {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_verify(SslVerifyMode::NONE);
        connector.set_alpn_protos(protocols).unwrap();
        let plain = Plain::connect(address(&url)).unwrap();
        let connector = connector.build().configure().unwrap();
        let stream = connector.verify_hostname(false).connect("gate", plain);
        stream.map(|stream| stream.ssl().selected_alpn_protocol().map(<[u8]>::to_vec))
    };
    let chosen = offer(b"\x02h2\x08http/1.1").unwrap();
    assert_eq!(chosen.as_deref(), Some(&b"http/1.1"[..]));
    assert!(offer(b"\x02h2").is_err(), "nothing is agreed on");
}
