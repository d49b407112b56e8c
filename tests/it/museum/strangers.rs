//! What a stranger gains with a browser of his own or somebody else's: nowhere to send it, no session, no hint.

use std::collections::BTreeMap;

use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::Value;

use super::posts::codes;
use super::{folder, manifest};
use crate::gateway::{Setting, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_state_leads_nowhere_else_and_writes_no_header_or_log_line() {
    let world = World::with(Setting {
        idp_lines: "idp_initiated = \"allow\"",
        ..Setting::default()
    })
    .await;
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let sent = |state: &str| {
        let form = [
            ("SAMLResponse", world.response()),
            ("RelayState", state.to_owned()),
        ];
        client
            .post(world.gateway.at("/saml/acs"))
            .form(&form)
            .send()
    };
    for state in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/%0d%0aSet-Cookie: a=b\r\nSet-Cookie: c=d",
        "javascript:alert(1)",
        "data:text/html,x",
        "/a\0b",
        "/a\u{202e}b",
        "/../../evil",
        "\n{\"event\":\"forged\"}",
        &format!("/{}", "a".repeat(5000)),
    ] {
        let answer = sent(state).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{state:?}");
        assert_eq!(answer.headers()["location"], "/", "{state:?}");
        let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
        assert!(
            cookies
                .iter()
                .all(|cookie| cookie.to_str().unwrap().contains("rolegate")),
            "{cookies:?}"
        );
    }
    codes(&world);
    let answer = sent("/jobs?x=1").await.unwrap();
    assert_eq!(answer.headers()["location"], "/jobs?x=1", "the good twin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_makes_a_session_of_its_own() {
    let world = World::with(Setting {
        idp_lines: "idp_initiated = \"allow\"",
        ..Setting::default()
    })
    .await;
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let sign_in = |cookie: Option<String>| {
        let mut request = client.post(world.gateway.at("/saml/acs"));
        if let Some(cookie) = cookie {
            request = request.header("Cookie", cookie);
        }
        request.form(&[("SAMLResponse", world.response())]).send()
    };
    let given = |answer: &reqwest::Response| {
        let cookies = answer.headers().get_all("set-cookie");
        let whole = cookies
            .iter()
            .map(|cookie| {
                cookie
                    .to_str()
                    .unwrap()
                    .split(';')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .find(|cookie| cookie.contains("=rgs_"));
        whole.expect("a session cookie")
    };
    let first = given(&sign_in(None).await.unwrap());
    let second = given(&sign_in(Some(first.clone())).await.unwrap());
    assert_ne!(first, second, "the one that was sent along is not kept");
    let (name, _) = first.split_once('=').unwrap();
    let planted = format!("{name}=rgs_{}", "A".repeat(43));
    let third = given(&sign_in(Some(planted.clone())).await.unwrap());
    assert_ne!(third, planted);
    let portal = |cookie: String| {
        client
            .get(world.gateway.at("/"))
            .header("Cookie", cookie)
            .send()
    };
    assert_eq!(
        portal(planted).await.unwrap().status(),
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        portal(third).await.unwrap().status(),
        StatusCode::OK,
        "the good twin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_tell_one_refused_document_from_another() {
    let world = World::start().await;
    let mut one_each = BTreeMap::new();
    for exhibit in manifest() {
        if exhibit.expect != "accepted" {
            one_each
                .entry(exhibit.expect.clone())
                .or_insert(exhibit.file);
        }
    }
    assert!(one_each.len() > 40, "{one_each:?}");
    let mut answers = BTreeMap::new();
    for file in one_each.values() {
        let document = std::fs::read(folder().join(file)).unwrap();
        let encoded = openssl::base64::encode_block(&document);
        let request = Client::new().post(world.gateway.at("/saml/acs"));
        let request = request.header("Accept", "application/json");
        let answer = request
            .form(&[("SAMLResponse", encoded)])
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let headers: BTreeMap<String, String> = answer
            .headers()
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| (name.to_string(), format!("{value:?}")))
            .collect();
        let mut body: Value = answer.json().await.unwrap();
        body.as_object_mut()
            .unwrap()
            .remove("reference")
            .expect("a reference");
        answers.insert(format!("{status} {headers:?} {body}"), file);
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    let inside: std::collections::BTreeSet<String> = codes(&world).into_iter().collect();
    assert!(inside.len() > 25, "the log tells them apart: {inside:?}");
    assert_eq!(
        world.post(&world.response()).await.0,
        StatusCode::OK,
        "the good twin"
    );
}
