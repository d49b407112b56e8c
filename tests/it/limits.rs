//! How often a stranger may guess, and that nobody else is kept waiting for it.

use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::gateway::{Setting, World};

#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_are_limited_by_address_and_good_ones_are_not() {
    let world = World::with(Setting {
        server_lines: "limits = { bad_tokens_per_minute = 5 }",
        ..Setting::default()
    })
    .await;
    let launcher = world.launcher().await;
    let (session, _) = world.sign_in().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let (_, revoked) = world.lease(&launcher, "reader").await;
    let token = |lease: &Value| lease["token"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/leases/{}", revoked["lease"].as_str().unwrap());
    let (status, _) = world.api("DELETE", &path, &launcher, None).await;
    assert!(status.is_success());
    // Neither a revoked lease nor a call without any token is a guess.
    for _ in 0..10 {
        assert_eq!(world.fetch(&token(&revoked)).await.0, StatusCode::FORBIDDEN);
        let bare = Client::new().get(world.gateway.at("/v1/credentials"));
        assert_eq!(
            bare.send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED
        );
    }
    let guess = format!("rgj_{}", "A".repeat(43));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(world.fetch(&guess).await.0);
        statuses.push(world.api("GET", "/api/v1/me", "rgs_guess", None).await.0);
    }
    assert_eq!(statuses[..5], [StatusCode::UNAUTHORIZED; 5]);
    assert_eq!(statuses[5], StatusCode::TOO_MANY_REQUESTS);
    let request = Client::new()
        .get(world.gateway.at("/v1/credentials"))
        .header("Authorization", &guess);
    let limited = request.send().await.unwrap();
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = limited.headers()["Retry-After"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(limited.headers()["Cache-Control"], "no-store");
    let body: Value = limited.json().await.unwrap();
    assert_eq!(
        (&body["code"], &body["Code"]),
        (&"too_many".into(), &"too_many".into())
    );
    // From the same address.
    assert_eq!(world.fetch(&token(&lease)).await.0, StatusCode::OK);
    assert_eq!(world.fetch(&token(&revoked)).await.0, StatusCode::FORBIDDEN);
    let (status, _) = world.api("GET", "/api/v1/me", &session, None).await;
    assert_eq!(status, StatusCode::OK);
}
