//! What a proxy says of the person counts; what others say of themselves does not.

use reqwest::header::{HeaderValue, LOCATION};
use reqwest::{Client, RequestBuilder, StatusCode, redirect::Policy};
use serde_json::Value;

use crate::gateway::{Setting, World};

async fn behind_a_proxy() -> World {
    World::with(Setting {
        scheme: "https",
        server_lines: "behind_proxy = true\ntrusted_proxies = [\"127.0.0.9\"]",
        ..Setting::default()
    })
    .await
}

/// By plain http, as the proxy reaches the gateway.
fn inside(world: &World, path: &str) -> String {
    world.gateway.at(path).replacen("https", "http", 1)
}

fn from(last: u8) -> Client {
    let client = Client::builder().redirect(Policy::none());
    let client = client.local_address(Some([127, 0, 0, last].into()));
    client.build().unwrap()
}

async fn told(request: RequestBuilder, proto: &str) -> reqwest::Response {
    let request = request.header("X-Forwarded-Proto", proto);
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_to_the_proxy_in_the_clear_is_sent_to_https() {
    let world = behind_a_proxy().await;
    let page = inside(&world, "/saml/metadata?return_to=/x");
    let sent = told(from(9).get(&page).header("Host", "evil.example"), "http").await;
    assert_eq!(sent.status(), StatusCode::PERMANENT_REDIRECT);
    assert_eq!(
        sent.headers()[LOCATION].to_str().unwrap(),
        world.gateway.at("/saml/metadata?return_to=/x"),
        "the public URL's, whatever the Host header says"
    );
    for proto in ["HTTP", "http, https", " http"] {
        let sent = told(from(9).get(&page), proto).await;
        assert_eq!(sent.status(), StatusCode::PERMANENT_REDIRECT, "{proto}");
    }
    for proto in ["https", "https, http", ""] {
        let shown = told(from(9).get(&page), proto).await;
        assert_eq!(shown.status(), StatusCode::OK, "{proto}");
    }
    assert!(
        from(9)
            .get(&page)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    // Nobody else is asked.
    assert_eq!(
        told(from(1).get(&page), "http").await.status(),
        StatusCode::OK
    );
    // A balancer asks by the way that it has.
    let health = told(from(9).get(inside(&world, "/healthz")), "http").await;
    assert_eq!(health.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_carries_something_is_refused_in_the_clear() {
    let world = behind_a_proxy().await;
    let post = |last| {
        let form = [("SAMLResponse", world.response())];
        let post = from(last).post(inside(&world, "/saml/acs")).form(&form);
        post.header("Accept", "application/json")
    };
    let refused = told(post(9), "http").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "https_needed");
    assert!(problem["title"].as_str().unwrap().contains("over https"));
    assert_eq!(told(post(9), "https").await.status(), StatusCode::OK);
    assert_eq!(
        told(post(1), "http").await.status(),
        StatusCode::OK,
        "no proxy of ours"
    );
    let fetch = from(9).get(inside(&world, "/v1/credentials"));
    let refused = told(fetch.header("Authorization", "rgj_x"), "http").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let read: Value = refused.json().await.unwrap();
    assert_eq!(read["code"], "https_needed");
    assert_eq!(read["Code"], "https_needed", "as SDKs read it");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_with_a_token_want_https_like_everything_with_a_token() {
    let world = behind_a_proxy().await;
    let auditor = ["tokens", "create", "eyes", "--role", "auditor"];
    let auditor = world.gateway.command(&auditor).await.good();
    let scrape = |proto| {
        let scrape = from(9).get(inside(&world, "/metrics"));
        told(scrape.bearer_auth(&auditor), proto)
    };
    let refused = scrape("http").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(refused.text().await.unwrap().contains("over https"));
    assert_eq!(scrape("https").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_wrote_hides_nothing_that_the_proxy_wrote_behind_it() {
    let world = behind_a_proxy().await;
    for (written, path) in [
        (&b"\xff, 203.0.113.7"[..], "/login"),
        (&b"203.0.113.9, \xff"[..], "/saml/metadata"),
    ] {
        let written = HeaderValue::from_bytes(written).unwrap();
        let asked = from(9).get(inside(&world, path));
        let asked = asked.header("X-Forwarded-For", written).send().await;
        assert_eq!(asked.unwrap().status(), StatusCode::OK);
    }
    world.gateway.logged_times("request", 2).await;
    let log = world.gateway.log();
    assert!(log.contains("\"peer\":\"203.0.113.7\""), "{log}");
    assert!(log.contains("\"peer\":\"127.0.0.9\""), "{log}");
    assert!(!log.contains("203.0.113.9"), "no proxy of ours wrote that");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_client_and_nothing_is_made_of_a_host_header() {
    let world = behind_a_proxy().await;
    for last in [9, 1] {
        let begun = from(last)
            .get(inside(&world, "/saml/demo/login"))
            .header("X-Forwarded-For", "203.0.113.7")
            .header("X-Forwarded-Host", "evil.example")
            .header("Forwarded", "host=evil.example;proto=http")
            .header("Host", "evil.example")
            .send()
            .await
            .unwrap();
        assert_eq!(begun.status(), StatusCode::SEE_OTHER);
        assert!(!format!("{:?}", begun.headers()).contains("evil"));
    }
    world.gateway.logged_times("request", 2).await;
    let log = world.gateway.log();
    assert!(log.contains("\"peer\":\"203.0.113.7\""), "{log}");
    assert!(log.contains("\"peer\":\"127.0.0.1\""), "{log}");
    assert!(!log.contains("evil.example"));
}
