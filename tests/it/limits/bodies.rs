//! Heads and bodies that are longer than anybody needs: refused early, not read to their end.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rolegate::http::ROUTES;
use tokio::io::AsyncWriteExt;

use super::client::{PATIENCE, connect, read_on, say, status};
use crate::gateway::{Setting, World};

/// What is said to follow, in bytes.
const LENGTH: u64 = 900_000_000_000;
/// The server listens for a while behind its answer, so that the client hears it, and then closes the connection.
/// What is sent would last for hours.
const LISTENED: Duration = Duration::from_mins(1);
/// Connections at once: each sends as fast as it can.
const AT_ONCE: usize = 16;
/// What the kernel and the server may take of a head that does not end, in bytes.
const TAKEN: usize = 64 << 20;

/// What is answered to a request with a body without end, and how much of it was taken.
async fn drown(url: &str, head: &str, chunk: &[u8]) -> (Option<u16>, usize) {
    let mut stream = connect(url, [0, 1]).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut answer, mut taken) = (String::new(), 0);
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < LISTENED, "{head} goes on");
        let write = tokio::time::timeout(Duration::from_millis(200), stream.write(chunk));
        let written = write.await;
        let (more, ended) = read_on(&mut stream, Duration::from_millis(1)).await;
        answer.push_str(&more);
        match written {
            Ok(Ok(written)) if !ended => taken += written,
            Err(_) if !ended => {}
            _ => return (status(&answer), taken),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_reads_a_body_to_its_end() {
    let world = World::with(Setting {
        server_lines: "limits = { request_timeout_seconds = 2, keep_alive_seconds = 1 }",
        ..Setting::default()
    })
    .await;
    let url = world.gateway.at("/");
    let before = world.gateway.resident_kib();
    let chunk = vec![b'a'; 65_536];
    let chunked = [b"10000\r\n", &chunk[..], b"\r\n"].concat();
    let mut drowned = Vec::new();
    for route in ROUTES {
        let path = route.path.replace(['{', '}'], "");
        let line = format!("{} {path} HTTP/1.1\r\nHost: gate\r\n", route.method);
        let kinds =
            "Accept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        let long = format!("{line}{kinds}Content-Length: {LENGTH}\r\n\r\n");
        let endless = format!("{line}{kinds}Transfer-Encoding: chunked\r\n\r\n");
        for (head, chunk) in [(long, chunk.clone()), (endless, chunked.clone())] {
            let (url, name) = (url.clone(), format!("{} {path}", route.method));
            drowned.push(async move {
                let (status, _) = drown(&url, &head, &chunk).await;
                // Where the refusal is lost to the reset of the connection, there is none to read.
                let told = status.unwrap_or(400);
                assert!(told < 500 || told == 503, "{name}: {status:?}");
                if name == "POST /saml/acs" || name == "POST /api/v1/login/codes" {
                    assert!([400, 413].contains(&told), "{name}: {status:?}");
                }
            });
        }
    }
    let drowned = futures_util::stream::iter(drowned);
    let all = drowned.buffer_unordered(AT_ONCE);
    all.collect::<()>().await;
    let grown = world.gateway.resident_kib().saturating_sub(before);
    assert!(grown < 100 * 1024, "{grown} KiB more");
    world.sign_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_lies_ends_the_request() {
    let world = World::start().await;
    let url = world.gateway.at("/");
    let head = "POST /saml/acs HTTP/1.1\r\nHost: gate\r\nAccept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ";
    // More follows than was said: no second request.
    let more = format!("{head}5\r\n\r\nSAMLResponse=abc and on");
    let answer = say(&url, more.as_bytes()).await;
    assert_eq!(status(&answer), Some(400), "{answer}");
    assert!(!answer.contains("200 OK"));
    // Less follows, and then no more.
    let mut stream = connect(&url, [0, 1]).await;
    let less = format!("{head}500\r\n\r\nSAMLResponse=abc");
    stream.write_all(less.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let (answer, ended) = read_on(&mut stream, PATIENCE).await;
    assert!(
        ended && status(&answer).is_none_or(|status| status == 400),
        "{answer}"
    );
    for twice in [
        "5\r\nContent-Length: 6",
        "-1",
        "5\r\nTransfer-Encoding: chunked",
        "99999999999999999999",
    ] {
        let answer = say(&url, format!("{head}{twice}\r\n\r\nSAMLR").as_bytes()).await;
        assert_eq!(status(&answer), Some(400), "{twice}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_a_length() {
    let world = World::start().await;
    let url = world.gateway.at("/");
    let with = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: gate\r\n{headers}\r\n").into_bytes()
    };
    let headers = |count: usize, size: usize| {
        let one = |at| format!("X-Pad-{at}: {}\r\n", "a".repeat(size));
        (0..count).map(one).collect::<String>()
    };
    let fine = say(&url, &with("/healthz", &headers(20, 1000))).await;
    assert_eq!(status(&fine), Some(200), "{fine}");
    let long = say(&url, &with("/healthz", &headers(64, 1024))).await;
    assert_eq!(status(&long), Some(431), "{long}");
    let target = format!("/healthz?{}", "a".repeat(20_000));
    assert_eq!(status(&say(&url, &with(&target, "")).await), Some(200));
    let target = format!("/healthz?{}", "a".repeat(40_000));
    assert_eq!(status(&say(&url, &with(&target, "")).await), Some(414));
    let many = say(&url, &with("/healthz", &headers(150, 4))).await;
    assert!(matches!(status(&many), Some(400 | 431)), "{many}");
    // One that does not end.
    let (answer, taken) = drown(
        &url,
        "GET /healthz HTTP/1.1\r\nX-Pad: ",
        &vec![b'a'; 65_536],
    )
    .await;
    assert!(matches!(answer, None | Some(400 | 431)), "{answer:?}");
    assert!(taken < TAKEN, "{taken}");
}
