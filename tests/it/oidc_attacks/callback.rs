//! The callback: whose answer it is, to which request, in which browser, and how often.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;
use url::Url;

use super::stage::{Answer, Browser, Stage};
use crate::parts::rogue_provider::{Brought, brought};

/// A change of what a browser brings.
type Change<'a> = Box<dyn Fn(&mut Brought) + 'a>;

/// `url` with the parameters that `change` makes of its own.
pub(super) fn changed(url: &Url, change: impl Fn(&mut Brought)) -> Url {
    let mut pairs: Brought = url.query_pairs().into_owned().collect();
    change(&mut pairs);
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url
}

fn with(name: &str, value: &str) -> impl Fn(&mut Brought) {
    move |pairs| pairs.push((name.to_owned(), value.to_owned()))
}

fn without(name: &str) -> impl Fn(&mut Brought) {
    move |pairs| pairs.retain(|(known, _)| known != name)
}

/// With `value` in place of what `name` had.
pub(super) fn set(name: &str, value: &str) -> impl Fn(&mut Brought) {
    move |pairs| {
        without(name)(pairs);
        with(name, value)(pairs);
    }
}

pub(super) fn value(url: &Url, name: &str) -> String {
    let mut pairs = url.query_pairs();
    pairs
        .find(|(known, _)| known == name)
        .unwrap()
        .1
        .into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_taken_once() {
    let stage = Stage::set().await;
    let browser = Browser::json();
    let back = browser.callback(&stage, "rogue").await;
    let first = browser.get(back.as_str()).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    let again = browser.get(back.as_str()).await;
    stage
        .refused(&again, "request_unknown", "the second time")
        .await;
    assert_eq!(stage.rogue.count("exchange"), 1);
    assert_eq!(stage.sessions().await, 1);
    let token = first.token();
    assert!(stage.is_signed_in(&token).await, "the first goes on");
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_copies_at_once_are_one_sign_in() {
    let mut stage = Stage::set().await;
    let browser = Browser::json();
    let back = browser.callback(&stage, "rogue").await;
    let answers = join_all((0..32).map(|_| browser.get(back.as_str()))).await;
    let (taken, refused): (Vec<&Answer>, Vec<&Answer>) = answers
        .iter()
        .partition(|answer| answer.status == StatusCode::OK);
    assert_eq!((taken.len(), refused.len()), (1, 31));
    for answer in refused {
        stage.refused(answer, "request_unknown", "a copy").await;
    }
    assert_eq!(stage.rogue.count("exchange"), 1);
    assert_eq!(stage.sessions().await, 1);
    stage.audited().await;
    stage.gateway.kill_and_restart().await;
    stage.ready("rogue").await;
    let again = browser.get(back.as_str()).await;
    assert_eq!(
        again.status,
        StatusCode::FORBIDDEN,
        "a restart forgets nothing"
    );
    assert_eq!(
        stage.sign_in().await.status,
        StatusCode::OK,
        "the good twin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_belongs_to_the_browser_that_asked() {
    let stage = Stage::set().await;
    let (alice, mallory, stranger) = (Browser::json(), Browser::json(), Browser::json());
    let of_alice = alice.callback(&stage, "rogue").await;
    let of_mallory = mallory.callback(&stage, "rogue").await;
    let what = "without a cookie";
    let none = stranger.get(of_mallory.as_str()).await;
    stage
        .refused(&none, "request_of_another_browser", what)
        .await;
    // Sign-in CSRF: the victim's browser, with a sign-in of its own under way, is made to open the attacker's.
    let forced = alice.get(of_mallory.as_str()).await;
    stage
        .refused(&forced, "request_of_another_browser", "another's answer")
        .await;
    let swapped = changed(&of_alice, set("state", &value(&of_mallory, "state")));
    let swapped = alice.get(swapped.as_str()).await;
    stage
        .refused(&swapped, "request_of_another_browser", "another's state")
        .await;
    assert_eq!(none.outside(), forced.outside());
    assert_eq!(none.outside(), swapped.outside());
    assert_eq!(
        stage.rogue.count("exchange"),
        0,
        "nothing was asked for any of them"
    );
    for (browser, back) in [(&alice, &of_alice), (&mallory, &of_mallory)] {
        let answer = browser.get(back.as_str()).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "the good twin: {}",
            answer.text
        );
    }
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_another_sign_in_is_of_no_use() {
    let stage = Stage::set().await;
    let (alice, mallory) = (Browser::json(), Browser::json());
    let of_alice = alice.callback(&stage, "rogue").await;
    let of_mallory = mallory.callback(&stage, "rogue").await;
    // The victim's code in the attacker's own sign-in: PKCE and nonce are another's.
    let injected = changed(&of_mallory, set("code", &value(&of_alice, "code")));
    let answer = mallory.get(injected.as_str()).await;
    stage
        .refused(&answer, "invalid_grant", "another's code")
        .await;
    assert_eq!(
        stage.rogue.breaches(),
        ["the verifier is not the challenge's"]
    );
    assert_eq!(stage.sessions().await, 0);
    assert_eq!(
        stage.sign_in().await.status,
        StatusCode::OK,
        "the good twin"
    );
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_of_a_provider_is_refused() {
    let stage = Stage::set().await;
    let long = "x".repeat(20_000);
    let mut outside: Option<String> = None;
    let cases: Vec<(&str, Change<'_>)> = vec![
        ("two states", Box::new(|pairs| pairs.push(pairs[1].clone()))),
        ("another state", Box::new(with("state", "another"))),
        ("two codes", Box::new(with("code", "another"))),
        ("two iss", Box::new(with("iss", "http://127.0.0.1:1"))),
        (
            "a code and an error",
            Box::new(with("error", "access_denied")),
        ),
        ("no state", Box::new(without("state"))),
        ("an empty state", Box::new(set("state", ""))),
        ("no code", Box::new(without("code"))),
        ("an empty code", Box::new(set("code", ""))),
        ("a code too long", Box::new(set("code", &long))),
        ("nothing", Box::new(Vec::clear)),
    ];
    for (what, change) in cases {
        let browser = Browser::json();
        let back = browser.callback(&stage, "rogue").await;
        let bad = changed(&back, change);
        let answer = browser.get(bad.as_str()).await;
        stage.refused(&answer, "callback_malformed", what).await;
        let first = outside.get_or_insert_with(|| answer.outside());
        assert_eq!(answer.outside(), *first, "{what}");
        let unknown = changed(&back, |pairs| {
            pairs.push(("session_state".into(), "1".into()));
        });
        let answer = browser.get(unknown.as_str()).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "the good twin of {what}: {}",
            answer.text
        );
    }
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_not_ours_is_refused() {
    let stage = Stage::set().await;
    for state in [
        "x",
        "_0123456789abcdef0123456789abcdef",
        "' OR 1=1 --",
        "\u{0}",
        "\u{1f600}",
    ] {
        let browser = Browser::json();
        let back = browser.callback(&stage, "rogue").await;
        let bad = changed(&back, set("state", state));
        let answer = browser.get(bad.as_str()).await;
        stage.refused(&answer, "request_unknown", state).await;
        let answer = browser.get(back.as_str()).await;
        assert_eq!(answer.status, StatusCode::OK, "the good twin");
    }
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_a_hundred_kibibytes_harms_nobody() {
    let stage = Stage::set().await;
    let browser = Browser::json();
    let back = browser.callback(&stage, "rogue").await;
    let huge = changed(&back, set("code", &"x".repeat(100 * 1024)));
    let request = browser.client.get(huge).send();
    // The server may break off, or answer; it never signs in and never asks the provider.
    if let Ok(answer) = request.await {
        assert!(answer.status().is_client_error(), "{}", answer.status());
    }
    assert_eq!(stage.rogue.count("exchange"), 0);
    let answer = browser.get(back.as_str()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    // The provider's own long code, within what is taken, is carried through whole.
    let long = Browser::json();
    let back = long.callback(&stage, "rogue").await;
    let code = "x".repeat(8 * 1024);
    let answer = long.get(changed(&back, set("code", &code)).as_str()).await;
    stage
        .refused(&answer, "invalid_grant", "an unknown long code")
        .await;
    let requests = stage.rogue.token_requests();
    assert!(requests.last().unwrap().contains(&code));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_says_is_no_page_and_no_line_of_ours() {
    let stage = Stage::set().await;
    let script = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let forged =
        "x\n{\"level\":\"ERROR\",\"fields\":{\"event\":\"forged\"}}\r\nforged=1\u{1b}[31m\u{202e}";
    let long = "y".repeat(5000);
    let mut outside: Option<String> = None;
    for (error, description) in [
        ("access_denied", script),
        (script, "plain"),
        ("access_denied", forged),
        (forged, forged),
        ("server_error", &long),
        (&long, ""),
    ] {
        let (error, description) = (error.to_owned(), description.to_owned());
        stage.rogue.script(|script| {
            script.authorization = brought(move |pairs| {
                without("code")(pairs);
                with("error", &error)(pairs);
                with("error_description", &description)(pairs);
                with("error_uri", "javascript:alert(1)")(pairs);
            });
        });
        let answer = Browser::html().sign_in(&stage, "rogue").await;
        stage.refused(&answer, "provider_error", "an error").await;
        let first = outside.get_or_insert_with(|| answer.outside());
        assert_eq!(answer.outside(), *first);
        for never in ["<script>alert", "onerror", "forged", "yyyy", "javascript:"] {
            assert!(!answer.text.contains(never), "{never} in {}", answer.text);
        }
    }
    assert_eq!(stage.rogue.count("exchange"), 0);
    let told = stage.gateway.log();
    for line in told.lines() {
        let line: Value = serde_json::from_str(line).expect(line);
        assert_ne!(line["fields"]["event"], "forged");
    }
    assert!(
        !told.contains('\u{1b}') && !told.contains('\u{202e}'),
        "{told}"
    );
    assert!(told.contains("access_denied"), "the reason is kept");
    assert!(!told.contains(&"y".repeat(257)), "and cut");
    stage.audited().await;
    for record in stage.audit().await {
        let reason = record["reason"].as_str().unwrap_or("");
        assert!(!reason.chars().any(char::is_control), "{reason:?}");
        assert!(!reason.contains(&"y".repeat(257)), "{reason}");
    }
    stage.rogue.behave();
    let answer = Browser::html().sign_in(&stage, "rogue").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "the good twin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_returned_to_places_of_ours_alone() {
    let stage = Stage::set().await;
    for (target, reached) in [
        ("/", "/"),
        ("/?from=job", "/?from=job"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("\\\\evil.example/", "/"),
        ("/%5cevil.example/", "/%5cevil.example/"),
        ("/\t/evil.example/", "/"),
        ("/\r\nSet-Cookie: rolegate=x", "/"),
        ("javascript:alert(1)", "/"),
        ("data:text/html,x", "/"),
        ("http:evil.example", "/"),
        ("", "/"),
    ] {
        let browser = Browser::html();
        let mut path = Url::parse(&stage.gateway.at("/oidc/rogue/login")).unwrap();
        path.query_pairs_mut().append_pair("return_to", target);
        let url = browser.visit(&path).await;
        let back = browser.visit(&url).await;
        let answer = browser.get(back.as_str()).await;
        assert_eq!(
            answer.status,
            StatusCode::SEE_OTHER,
            "{target}: {}",
            answer.text
        );
        assert_eq!(answer.header("location"), Some(reached), "{target}");
        let portal = browser.get(&stage.gateway.at("/")).await;
        assert_eq!(portal.status, StatusCode::OK, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_the_provider_gives_nothing_away() {
    let stage = Stage::set().await;
    let browser = Browser::html();
    let answer = browser.get(&stage.gateway.at("/oidc/rogue/login")).await;
    let target: Url = answer.header("location").unwrap().parse().unwrap();
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let nonce = value(&target, "nonce");
    let challenge = value(&target, "code_challenge");
    for secret in [&nonce, &challenge, &value(&target, "state")] {
        assert!(!cookie.contains(secret.as_str()), "{cookie}");
    }
    let names: Vec<String> = target
        .query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name == "code_verifier" || name == "client_secret")
    );
    let back = browser.visit(&target).await;
    let secret = stage.rogue.secrets();
    assert!(secret.nonces.contains(&nonce));
    let answer = browser.get(back.as_str()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let verifiers = stage.rogue.secrets().verifiers;
    assert_eq!(verifiers.len(), 1);
    let referrer = answer.header("referrer-policy");
    assert!(
        referrer
            .is_some_and(|policy| policy.contains("no-referrer") || policy.contains("same-origin"))
    );
    assert_eq!(
        answer.header("cache-control"),
        Some("no-store"),
        "{:?}",
        answer.headers
    );
}
