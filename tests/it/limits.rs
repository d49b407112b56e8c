//! How often a stranger may guess, and that nobody else is kept waiting for it.

mod ahead;
mod bodies;
mod client;
mod connections;
mod ending;
mod flood;
mod proxy;
mod slow;

use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::Value;

use crate::gateway::{Setting, World};

#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_are_limited_by_address_and_good_ones_are_not() {
    let world = World::with(Setting {
        server_lines: "limits = { bad_tokens_per_minute = 3 }",
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
    // Another guess is given back after twenty seconds.
    for _ in 0..2 {
        statuses.push(world.fetch(&guess).await.0);
        statuses.push(world.api("GET", "/api/v1/me", "rgs_guess", None).await.0);
    }
    assert_eq!(statuses[..3], [StatusCode::UNAUTHORIZED; 3]);
    assert_eq!(statuses[3], StatusCode::TOO_MANY_REQUESTS);
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
    assert_eq!(world.fetched(&token(&lease)).await.0, StatusCode::OK);
    assert_eq!(world.fetch(&token(&revoked)).await.0, StatusCode::FORBIDDEN);
    let (status, _) = world.api("GET", "/api/v1/me", &session, None).await;
    assert_eq!(status, StatusCode::OK);
}

fn wait_of(answer: &reqwest::Response) -> u64 {
    let wait = answer.headers()["Retry-After"].to_str().unwrap();
    wait.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_sign_ins_are_limited_by_address_and_good_ones_are_not() {
    let world = World::with(Setting {
        server_lines: "limits = { refused_sign_ins_per_minute = 3 }",
        ..Setting::default()
    })
    .await;
    let used = world.response();
    assert_eq!(world.post(&used).await.0, StatusCode::OK);
    for _ in 0..3 {
        world.sign_in().await;
    }
    // Another refusal is given back twenty seconds after the first.
    assert_eq!(world.post(&used).await.0, StatusCode::FORBIDDEN, "a replay");
    let empty = Client::new().post(world.gateway.at("/saml/acs"));
    let empty = empty.header("Accept", "application/json").send().await;
    assert_eq!(empty.unwrap().status(), StatusCode::BAD_REQUEST);
    let logout = format!("{}?SAMLRequest=no", world.gateway.at("/saml/slo"));
    let logout = reqwest::get(&logout).await.unwrap();
    assert_eq!(logout.status(), StatusCode::FORBIDDEN);
    let (status, body) = world.post(&used).await;
    assert_eq!((status.as_u16(), &body["code"]), (429, &"too_many".into()));
    let form = [("SAMLResponse", used.as_str())];
    let spelt = Client::new().post(world.gateway.at("/saml/%61cs"));
    let spelt = spelt.form(&form).send().await.unwrap();
    assert_eq!(spelt.status(), StatusCode::TOO_MANY_REQUESTS);
    let post = Client::new()
        .post(world.gateway.at("/saml/acs"))
        .form(&form);
    let page = post.header("Accept", "text/html").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=60).contains(&wait_of(&page)));
    assert_eq!(page.headers()["Content-Type"], "text/html; charset=utf-8");
    // An office behind one address.
    for _ in 0..10 {
        world.sign_in().await;
    }
    // Another address is told what is wrong.
    let other = Client::builder().local_address(Some([127, 0, 0, 2].into()));
    let post = other.build().unwrap().post(world.gateway.at("/saml/acs"));
    let refused = post.form(&form).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn beginnings_are_limited_by_address_and_sign_ins_are_not() {
    let world = World::with(Setting {
        server_lines: "limits = { sign_in_starts_per_minute = 3 }",
        ..Setting::default()
    })
    .await;
    let begin = async |address: [u8; 4]| {
        let client = Client::builder().redirect(Policy::none());
        let client = client.local_address(Some(address.into())).build().unwrap();
        let begun = client
            .get(world.gateway.at("/saml/demo/login"))
            .send()
            .await;
        (client, begun.unwrap())
    };
    for _ in 0..3 {
        assert_eq!(
            begin([127, 0, 0, 1]).await.1.status(),
            StatusCode::SEE_OTHER
        );
    }
    let (client, limited) = begin([127, 0, 0, 1]).await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=60).contains(&wait_of(&limited)));
    assert!(!limited.headers().contains_key("Set-Cookie"));
    let code = client.post(world.gateway.at("/api/v1/login/codes"));
    let code = code.send().await.unwrap();
    assert_eq!(code.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(code.headers()["Content-Type"], "application/problem+json");
    // The same by another spelling.
    for path in ["/saml/demo/%6cogin", "/%73aml/demo/login"] {
        let spelled = client.get(world.gateway.at(path)).send().await.unwrap();
        assert_eq!(spelled.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
    let login = client.get(world.gateway.at("/login")).send().await.unwrap();
    assert_eq!(login.status(), StatusCode::OK);
    assert_eq!(
        begin([127, 0, 0, 2]).await.1.status(),
        StatusCode::SEE_OTHER
    );
    world.sign_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_beginnings_go_where_there_are_too_many() {
    let world = World::with(Setting {
        server_lines: "limits = { open_sign_ins = 100, sign_in_starts_per_minute = 10000 }",
        ..Setting::default()
    })
    .await;
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    for at in 0..110 {
        let begun = client
            .get(world.gateway.at("/saml/demo/login"))
            .send()
            .await;
        assert_eq!(begun.unwrap().status(), StatusCode::SEE_OTHER);
        if at == 99 {
            assert!(!world.gateway.log().contains("sign_ins_forgotten"));
        }
    }
    world.gateway.logged("sign_ins_forgotten").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_limited_by_token_and_good_requests_are_not() {
    let world = World::with(Setting {
        server_lines: "limits = { refusals_per_minute_and_token = 3 }",
        ..Setting::default()
    })
    .await;
    let launcher = world.launcher().await;
    world.sign_in().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let (_, revoked) = world.lease(&launcher, "reader").await;
    let token = |lease: &Value| lease["token"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/leases/{}", revoked["lease"].as_str().unwrap());
    assert!(
        world
            .api("DELETE", &path, &launcher, None)
            .await
            .0
            .is_success()
    );
    for _ in 0..3 {
        assert_eq!(world.fetch(&token(&revoked)).await.0, StatusCode::FORBIDDEN);
        let (status, _) = world
            .api("GET", "/api/v1/leases/lea_none", &launcher, None)
            .await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    let request = Client::new()
        .get(world.gateway.at("/v1/credentials"))
        .header("Authorization", format!("Bearer {}", token(&revoked)));
    let limited = request.send().await.unwrap();
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=60).contains(&wait_of(&limited)));
    let body: Value = limited.json().await.unwrap();
    assert_eq!(
        (&body["code"], &body["Code"]),
        (&"too_many".into(), &"too_many".into())
    );
    assert!(
        body["Message"]
            .as_str()
            .unwrap()
            .contains("refused too often")
    );
    let (status, body) = world
        .api("GET", "/api/v1/leases/lea_none", &launcher, None)
        .await;
    assert_eq!((status.as_u16(), &body["code"]), (429, &"too_many".into()));
    // What is good passes, of the same launcher and of other leases.
    for _ in 0..6 {
        assert_eq!(
            world.lease(&launcher, "reader").await.0,
            StatusCode::CREATED
        );
        assert_eq!(world.fetched(&token(&lease)).await.0, StatusCode::OK);
    }
    // Whoever has no known token is not remembered by it.
    for _ in 0..6 {
        let (status, _) = world.api("GET", "/nowhere", "rgs_guess", None).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}
