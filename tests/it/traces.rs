//! Traces at a collector: what a sign-in and a fetch look like there, what never stands in them, and that a collector
//! that is away or slow costs nothing.

pub(crate) mod collector;

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::StatusCode;
use rolegate::model::{Clock, SystemClock, hex};

use crate::gateway::{ACCOUNT, Setting, World, is_within, silent_port};
use collector::{Collector, text};

fn traced(url: &str, lines: &str) -> Setting {
    Setting {
        tables: format!("[telemetry]\notlp_endpoint = \"{url}\"\n{lines}\n"),
        prepare: |folder| {
            let headers = "# of the collector\nX-Api-Key: collector-key-5f1e\n";
            std::fs::write(folder.join("otlp.headers"), headers).unwrap();
        },
        ..Setting::default()
    }
}

const ALL: &str = "sample_ratio = 1\notlp_headers_file = \"otlp.headers\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_and_a_fetch_are_told_step_by_step_and_without_a_secret() {
    let collector = Collector::start();
    let mut world = World::with(traced(&collector.url, ALL)).await;
    let response = world.response();
    let (status, me) = world.post(&response).await;
    assert_eq!(status, StatusCode::OK, "{me}");
    let (status, refusal) = world.post(&response).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refusal}");
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let token = lease["token"].as_str().unwrap();
    let stranger = "4bf92f3577b34da6a3ce929d0e0e4736";
    let fetched = reqwest::Client::new()
        .get(world.gateway.at("/v1/credentials"))
        .header("Authorization", token)
        .header("traceparent", format!("00-{stranger}-00f067aa0ba902b7-01"))
        .send()
        .await
        .unwrap();
    let credentials: serde_json::Value = fetched.json().await.unwrap();
    assert!(world.gateway.end().await.success());

    let spans = collector.spans();
    let posted = spans.first("POST /saml/acs");
    assert_eq!(posted.kind(), SpanKind::Server);
    assert!(posted.parent_span_id.is_empty());
    let of = |key| text(&posted.attributes, key);
    assert_eq!(of("http.request.method").as_deref(), Some("POST"));
    assert_eq!(of("http.route").as_deref(), Some("/saml/acs"));
    assert_eq!(of("http.response.status_code").as_deref(), Some("200"));
    assert_eq!(of("url.scheme").as_deref(), Some("http"));
    for step in [
        "saml.verify",
        "store.accept",
        "store.open_session",
        "audit.record",
    ] {
        spans.child(posted, step);
    }
    let mint = spans.child(posted, "mint");
    spans.child(mint, "decide");
    spans.child(mint, "store.claim");
    let asked = spans.child(mint, "STS/AssumeRoleWithSAML");
    assert_eq!(asked.kind(), SpanKind::Client);
    assert!(text(&asked.attributes, "aws.request_id").is_some_and(|id| !id.is_empty()));
    assert_eq!(spans.named("STS/AssumeRoleWithSAML").len(), 2);

    let refused = spans.named("POST /saml/acs")[1];
    assert_eq!(
        text(&refused.attributes, "rolegate.reference").as_deref(),
        refusal["reference"].as_str()
    );
    assert!(!spans.below(refused).contains(&"mint"));
    let fetch = spans.first("GET /v1/credentials");
    for step in ["store.lease", "decide", "audit.record"] {
        spans.child(fetch, step);
    }
    assert_ne!(fetch.trace_id, posted.trace_id);
    let ids = spans.0.iter().map(|span| hex(&span.trace_id));
    assert_eq!(ids.filter(|id| id == stranger).count(), 0, "a stranger's");

    assert_eq!(collector.sender("service.name"), "rolegate");
    let head = &collector.heads()[0];
    assert!(head.starts_with("post /v1/traces "), "{head}");
    assert!(head.contains("x-api-key: collector-key-5f1e\r\n"), "{head}");

    let sent = String::from_utf8_lossy(&collector.bytes()).into_owned();
    let mut secrets = vec![
        "collector-key-5f1e",
        "alice",
        ACCOUNT,
        "reader",
        &response[100..140],
        &launcher,
        token,
        me["session_token"].as_str().unwrap(),
    ];
    let keys = ["AccessKeyId", "SecretAccessKey", "Token"];
    secrets.extend(keys.map(|key| credentials[key].as_str().unwrap()));
    for secret in secrets {
        assert!(!secret.is_empty() && !sent.contains(secret), "{secret}");
    }
    let log = world.gateway.log();
    assert!(
        !log.contains("\"span") && !log.contains("collector-key"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_is_not_sent() {
    let collector = Collector::start();
    let mut world = World::with(traced(&collector.url, "sample_ratio = 0")).await;
    world.sign_in().await;
    assert!(world.gateway.end().await.success());
    assert!(collector.heads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_is_told_of_once_and_so_is_its_return() {
    let (kept, port) = silent_port();
    let address = format!("127.0.0.1:{port}");
    let mut world = World::with(traced(&format!("http://{address}"), ALL)).await;
    world.sign_in().await;
    world.gateway.logged("traces_lost").await;
    world.sign_in().await;
    // Longer than spans wait for each other: a second batch is lost, and nothing more is said.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    drop(kept);
    let collector = Collector::start_at(&address);
    world.sign_in().await;
    world.gateway.logged("traces_back").await;
    assert!(world.gateway.end().await.success());
    let log = world.gateway.log();
    for event in ["traces_lost", "traces_back"] {
        assert_eq!(log.matches(&format!("\"event\":\"{event}\"")).count(), 1);
    }
    assert!(!collector.spans().named("POST /saml/acs").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_slows_nobody_and_keeps_no_gateway_from_ending() {
    let collector = Collector::silent();
    let mut world = World::with(traced(&collector.url, ALL)).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let token = lease["token"].as_str().unwrap();
    let begun = Instant::now();
    let mut first = Duration::MAX;
    // More spans than the queue has room for.
    let client = reqwest::Client::new();
    for round in 0..30 {
        let fetches = (0..100).map(|_| {
            let fetch = client.get(world.gateway.at("/v1/credentials"));
            fetch.header("Authorization", token).send()
        });
        for answer in futures_util::future::join_all(fetches).await {
            assert_eq!(answer.unwrap().status(), StatusCode::OK);
        }
        if round == 2 {
            first = begun.elapsed();
        }
    }
    let serving = begun.elapsed();
    while collector.heads().is_empty() {
        assert!(begun.elapsed() < Duration::from_mins(2), "it is not asked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(client);
    let told = SystemClock.now();
    assert!(world.gateway.end().await.success());
    is_within("the end", told, Duration::from_secs(8));
    // As fast as while there was room for all spans.
    let most = first * 30 + Duration::from_secs(10);
    assert!(serving < most, "{serving:?} after {first:?}");
}
