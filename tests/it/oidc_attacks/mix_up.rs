//! Two providers, one of them hostile: no code of one ever reaches the other (RFC 9207, RFC 9700 4.4).

use reqwest::StatusCode;
use url::Url;

use super::callback::{changed, set, value};
use super::stage::{Browser, CLIENTS, Stage};
use crate::parts::rogue_provider::{RogueProvider, brought, reply};

/// No code of one provider was sent to the other.
fn kept_apart(stage: &Stage) {
    for (one, other) in [(&stage.rogue, &stage.other), (&stage.other, &stage.rogue)] {
        let requests = other.token_requests().join("\n");
        for code in one.secrets().codes {
            let encoded: String = url::form_urlencoded::byte_serialize(code.as_bytes()).collect();
            assert!(
                !requests.contains(&code) && !requests.contains(&encoded),
                "{code}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_name_its_provider_is_refused() {
    let stage = Stage::set().await;
    let other = stage.other.url().to_owned();
    let own = stage.rogue.url().to_owned();
    let with_slash = format!("{own}/");
    let mut outside: Option<String> = None;
    for (what, issuer) in [
        ("missing", None),
        ("empty", Some("")),
        ("the other's", Some(other.as_str())),
        ("with a slash", Some(with_slash.as_str())),
    ] {
        let issuer = issuer.map(str::to_owned);
        stage.rogue.script(|script| {
            script.authorization = brought(move |pairs| {
                pairs.retain(|(name, _)| name != "iss");
                pairs.extend(issuer.clone().map(|issuer| ("iss".to_owned(), issuer)));
            });
        });
        let answer = stage.sign_in().await;
        stage.refused(&answer, "mix_up", what).await;
        let first = outside.get_or_insert_with(|| answer.outside());
        assert_eq!(answer.outside(), *first, "{what}");
    }
    assert_eq!(stage.rogue.count("/token") + stage.other.count("/token"), 0);
    stage.rogue.behave();
    assert_eq!(
        stage.sign_in().await.status,
        StatusCode::OK,
        "the good twin"
    );
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_announces_no_iss_may_leave_it_out_but_not_lie() {
    let mut stage = Stage::set().await;
    stage.rogue.script(|script| script.names_itself = false);
    stage.gateway.kill_and_restart().await;
    stage.ready("rogue").await;
    assert_eq!(
        stage.sign_in().await.status,
        StatusCode::OK,
        "the good twin"
    );
    let other = stage.other.url().to_owned();
    stage.rogue.script(|script| {
        script.authorization = brought(move |pairs| pairs.push(("iss".to_owned(), other.clone())));
    });
    let answer = stage.sign_in().await;
    stage.refused(&answer, "mix_up", "the other's").await;
    assert_eq!(stage.rogue.count("exchange"), 1);
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_one_provider_is_not_answered_by_the_other() {
    let stage = Stage::set().await;
    let browser = Browser::json();
    let back = browser.callback(&stage, "rogue").await;
    // The one's answer at the other's callback, as it is and with everything of the other's but the state.
    let mut elsewhere = back.clone();
    elsewhere.set_path("/oidc/other/callback");
    let answer = browser.get(elsewhere.as_str()).await;
    stage
        .refused(&answer, "mix_up", "the other's callback")
        .await;
    let dressed = changed(&elsewhere, set("iss", stage.other.url()));
    let dressed = browser.get(dressed.as_str()).await;
    stage
        .refused(&dressed, "mix_up", "in the other's name")
        .await;
    assert_eq!(answer.outside(), dressed.outside());
    let own = Browser::json();
    let of_other = own.callback(&stage, "other").await;
    let swapped = changed(&of_other, set("state", &value(&back, "state")));
    let swapped = own.get(swapped.as_str()).await;
    stage
        .refused(&swapped, "mix_up", "the state of the other")
        .await;
    kept_apart(&stage);
    assert_eq!(stage.rogue.count("/token") + stage.other.count("/token"), 0);
    for (browser, back) in [(&browser, &back), (&own, &of_other)] {
        let answer = browser.get(back.as_str()).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "the good twin: {}",
            answer.text
        );
    }
    kept_apart(&stage);
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_provider_that_hands_the_browser_on_gets_no_code() {
    let mut stage = Stage::set().await;
    // The hostile one announces no iss, so that none is missed.
    stage.rogue.script(|script| script.names_itself = false);
    stage.gateway.kill_and_restart().await;
    stage.ready("rogue").await;
    let browser = Browser::json();
    let asked = browser.begin(&stage, "/oidc/rogue/login").await;
    // It sends the browser to the honest one, under that one's client id, with the request's own values.
    let honest = format!("{}/authorize", stage.other.url());
    let mut handed: Url = honest.parse().unwrap();
    handed.set_query(asked.query());
    let as_client = changed(&handed, set("client_id", CLIENTS[1].1));
    let answer = browser.get(as_client.as_str()).await;
    assert_eq!(
        answer.status,
        StatusCode::BAD_REQUEST,
        "each has a redirect URL of its own"
    );
    let redirect = stage.gateway.at("/oidc/other/callback");
    let as_client = changed(&as_client, set("redirect_uri", &redirect));
    let back = browser.visit(&as_client).await;
    let answer = browser.get(back.as_str()).await;
    stage
        .refused(&answer, "mix_up", "the honest one's answer")
        .await;
    let mut to_hostile = back.clone();
    to_hostile.set_path("/oidc/rogue/callback");
    let answer = browser.get(to_hostile.as_str()).await;
    stage
        .refused(
            &answer,
            "mix_up",
            "the honest one's answer at the hostile one's",
        )
        .await;
    kept_apart(&stage);
    assert_eq!(stage.rogue.count("/token") + stage.other.count("/token"), 0);
    let twin = Browser::json().sign_in(&stage, "other").await;
    assert_eq!(twin.status, StatusCode::OK, "{}", twin.text);
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_other_provider_is_no_token_of_this_one() {
    let stage = Stage::set().await;
    // All of the other's: issuer, client, key. What the hostile one can replay is refused by the first check.
    let (issuer, key) = (stage.other.url().to_owned(), stage.other.key());
    stage.rogue.script(|script| {
        script.id_token = crate::parts::rogue_provider::token(move |draft| {
            draft.claims["iss"] = issuer.clone().into();
            draft.claims["aud"] = CLIENTS[1].1.into();
            draft.header["kid"] = key.kid.clone().into();
            draft.sign = crate::parts::rogue_provider::Sign::Key(key.clone());
        });
    });
    let answer = stage.sign_in().await;
    let code = stage
        .logged_code(answer.json()["reference"].as_str().unwrap())
        .await;
    assert!(
        matches!(code.as_str(), "signature" | "key_unknown" | "issuer"),
        "{code}"
    );
    stage.rogue.behave();
    assert_eq!(
        stage.sign_in().await.status,
        StatusCode::OK,
        "the good twin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_name_from_two_providers_is_two_people() {
    let stage = Stage::set().await;
    let one = Browser::json().sign_in(&stage, "rogue").await.json();
    let two = Browser::json().sign_in(&stage, "other").await.json();
    assert_eq!(
        (&one["user"], &one["idp"]),
        (&"alice".into(), &"rogue".into())
    );
    assert_eq!(
        (&two["user"], &two["idp"]),
        (&"alice".into(), &"other".into())
    );
    let launcher = stage.gateway.launcher().await;
    let order = serde_json::json!({ "user": "alice", "role_arn": crate::gateway::role("long"), "job": "j" });
    let (status, answer) = stage
        .call("POST", "/api/v1/leases", &launcher, Some(order))
        .await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &"user_ambiguous".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_endpoint_s_redirect_is_not_followed() {
    let stage = Stage::set().await;
    let trap = RogueProvider::start("nobody", "http://127.0.0.1:1/");
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{}/token", trap.url());
        stage.rogue.script(|script| {
            script.exchange = reply(move |reply| {
                reply.status = status;
                reply.headers.push(("Location", target.clone()));
            });
        });
        let answer = stage.sign_in().await;
        assert!(!answer.status.is_success(), "{status}");
    }
    assert_eq!(trap.strays() + trap.count("/token"), 0);
    stage.rogue.behave();
    assert_eq!(
        stage.sign_in().await.status,
        StatusCode::OK,
        "the good twin"
    );
}
