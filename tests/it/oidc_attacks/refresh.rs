//! Refreshes by a provider that does whatever it wants: what sessions, leases and credentials come to.

use std::time::Duration;

use reqwest::StatusCode;
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};

use super::stage::{Stage, ticks};
use crate::gateway::role;
use crate::parts::rogue_provider::{Draft, Key, Reply, Script, Sign, reply, token};

/// An ID token with less than the minute left that STS is given: it is renewed before it is used.
const SHORT: i64 = 50;

/// How long credentials live.
const LIFE: Duration = Duration::from_secs(3);

/// A job of somebody who signs in again and again, each time with a token that must be renewed: its lease draws on
/// the newest sign-in.
struct Job {
    launcher: String,
    lease: String,
    /// The newest sign-in's.
    session: String,
}

impl Job {
    /// Leased by the good days' sign-in.
    async fn leased(stage: &Stage) -> Self {
        // What this sign-in leaves must soon end, since a job may go on with it after another sign-in.
        stage.sts.set_lifetime(Some(LIFE));
        let session = stage.sign_in().await.token();
        let launcher = stage.gateway.launcher().await;
        let lease = stage.lease(&launcher, "long", json!({})).await;
        Self {
            launcher,
            lease,
            session,
        }
    }

    /// Signs in under a script.
    async fn under(&mut self, stage: &Stage, change: impl FnOnce(&mut Script)) {
        stage.rogue.behave();
        stage.rogue.script(|script| {
            script.life = SHORT;
            change(script);
        });
        self.session = stage.sign_in().await.token();
        let left = stage.sts.issued_for(&role("long"));
        let ends = left.iter().map(|session| session.expires_at).max();
        let mut ticks = ticks();
        while ends.is_some_and(|end| SystemClock.now() < end) {
            ticks.tick().await;
        }
    }

    /// Signs in with an honest provider, and gets credentials.
    async fn twin(&mut self, stage: &Stage) {
        stage.rogue.behave();
        stage.rogue.script(|script| script.life = SHORT);
        self.session = stage.sign_in().await.token();
        let (status, answer) = stage.fetch(&self.lease).await;
        assert_eq!(status, StatusCode::OK, "the good twin: {answer}");
        let breaches = stage.rogue.breaches();
        assert!(breaches.is_empty(), "{breaches:?}");
    }
}

/// How many records of the audit give `code` as their reason.
async fn recorded(stage: &Stage, code: &str) -> usize {
    let records = stage.audit().await;
    let reasons = records
        .iter()
        .filter_map(|record| record["reason"].as_str());
    let wanted = format!("{code}: ");
    reasons.filter(|reason| reason.starts_with(&wanted)).count()
}

/// Waits until there are more than `before`.
async fn recorded_once_more(stage: &Stage, code: &str, before: usize) {
    let mut ticks = ticks();
    for _ in 0..200 {
        if recorded(stage, code).await > before {
            return;
        }
        ticks.tick().await;
    }
    panic!("{code} is not in {:?}", stage.audit().await);
}

fn signed_by(key: Key) -> impl Fn(&mut Draft) {
    move |draft| draft.sign = Sign::Key(key.clone())
}

type Change = Box<dyn Fn(&mut Draft) + Send + Sync>;

fn claim(name: &'static str, value: Value) -> Change {
    Box::new(move |draft: &mut Draft| draft.claims[name] = value.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_token_of_another_is_not_taken() {
    let stage = Stage::set().await;
    let mut job = Job::leased(&stage).await;
    let (pem, _) = stage.rogue.key().public_bytes();
    let other = stage.other.url().to_owned();
    let cases: Vec<(&str, &str, Change)> = vec![
        (
            "another sub",
            "subject_differs",
            claim("sub", json!("mallory")),
        ),
        ("another issuer", "issuer", claim("iss", json!(other))),
        (
            "another audience",
            "audience",
            claim("aud", json!("gate-at-other")),
        ),
        ("another azp", "azp", claim("azp", json!("gate-at-other"))),
        (
            "another nonce",
            "nonce",
            claim("nonce", json!("nonce-0123456789-0123456789")),
        ),
        ("no sub", "claims_malformed", claim("sub", Value::Null)),
        (
            "expired",
            "expired",
            Box::new(|draft: &mut Draft| {
                draft.claims["exp"] = json!(draft.claims["iat"].as_i64().unwrap() - 61);
            }),
        ),
        (
            "HMAC",
            "algorithm",
            Box::new(move |draft: &mut Draft| {
                draft.header["alg"] = json!("HS256");
                draft.sign = Sign::Hmac(pem.clone());
            }),
        ),
        (
            "no algorithm",
            "algorithm",
            Box::new(|draft: &mut Draft| {
                draft.header["alg"] = json!("none");
                draft.sign = Sign::Nothing;
            }),
        ),
        (
            "another key",
            "signature",
            Box::new(signed_by(Key::rsa("b-key"))),
        ),
        (
            "no token",
            "token_form",
            Box::new(|draft: &mut Draft| {
                draft.sign = Sign::Text("none.of.it".to_owned());
            }),
        ),
    ];
    for (what, code, change) in cases {
        let edit = token(change);
        let told = recorded(&stage, code).await;
        job.under(&stage, |script| script.refreshed = edit).await;
        let before = stage.sts.calls_for(&role("long"));
        let (status, answer) = stage.fetch(&job.lease).await;
        assert!(
            matches!(
                status,
                StatusCode::FORBIDDEN | StatusCode::SERVICE_UNAVAILABLE
            ),
            "{what}: {status} {answer}"
        );
        assert!(answer["AccessKeyId"].is_null(), "{what}: {answer}");
        let told_job = answer.to_string();
        assert!(!told_job.contains("mallory"), "{what}: {told_job}");
        assert_eq!(
            stage.sts.calls_for(&role("long")),
            before,
            "{what}: STS saw nothing of it"
        );
        recorded_once_more(&stage, code, told).await;
        assert!(
            stage.is_signed_in(&job.session).await,
            "{what}: the session goes on"
        );
    }
    job.twin(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_the_provider_ended_is_the_end_of_the_session() {
    let stage = Stage::set().await;
    let mut job = Job::leased(&stage).await;
    // Two people, of whom one is ended.
    let bob =
        json!({ "sub": "bob-1", "aws_role_session_name": "bob", "aws_role_arn": [role("long")] });
    stage.rogue.person(bob);
    let bob = stage.sign_in().await.token();
    stage.rogue.person(super::stage::alice());
    job.under(&stage, |script| {
        script.refresh = reply(|reply| *reply = Reply::error(400, "invalid_grant"));
    })
    .await;
    let (status, answer) = stage.fetch(&job.lease).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::FORBIDDEN, &json!("sign_in_needed")),
        "{answer}"
    );
    assert!(
        !stage.is_signed_in(&job.session).await,
        "the session is over"
    );
    assert!(stage.is_signed_in(&bob).await, "nobody else's is");
    recorded_once_more(&stage, "session-ended-by-provider", 0).await;
    let asked = stage.rogue.count("refresh");
    for _ in 0..5 {
        assert_eq!(stage.fetch(&job.lease).await.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(stage.rogue.count("refresh"), asked, "it is not asked again");
    let order = json!({ "user": "alice", "idp": "rogue", "role_arn": role("long"), "job": "late" });
    let (status, answer) = stage
        .call("POST", "/api/v1/leases", &job.launcher, Some(order))
        .await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("sign_in_needed")),
        "{answer}"
    );
    // Who signs in again has the running job back.
    stage.rogue.behave();
    stage.sign_in().await.token();
    let (status, answer) = stage.fetch(&job.lease).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_good_goes_on_while_the_provider_fails() {
    let stage = Stage::set().await;
    let launcher = stage.gateway.launcher().await;
    stage.sts.set_lifetime(Some(Duration::from_secs(24)));
    // Good enough for STS at first, and for no second time.
    stage.rogue.script(|script| {
        script.life = 72;
        script.refresh = reply(|reply| *reply = Reply::error(500, "server_error"));
    });
    let session = stage.sign_in().await.token();
    let lease = stage.lease(&launcher, "long", json!({})).await;
    let (status, first) = stage.fetch(&lease).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let calls = stage.sts.calls_for(&role("long"));
    // Renewal is due at two thirds of the credentials' life, and the token is too old by then.
    stage.rogue.asked("refresh", 1).await;
    let (status, again) = stage.fetch(&lease).await;
    assert_eq!(
        (status, &again),
        (StatusCode::OK, &first),
        "the last good ones go on"
    );
    assert!(stage.is_signed_in(&session).await);
    assert_eq!(stage.sts.calls_for(&role("long")), calls);
    stage.rogue.behave();
    let mut ticks = ticks();
    for _ in 0..1500 {
        let (status, answer) = stage.fetch(&lease).await;
        assert!(
            matches!(status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE),
            "{status} {answer}"
        );
        if status == StatusCode::OK && answer["AccessKeyId"] != first["AccessKeyId"] {
            assert!(
                stage.rogue.breaches().is_empty(),
                "{:?}",
                stage.rogue.breaches()
            );
            return;
        }
        ticks.tick().await;
    }
    panic!("never renewed: {}", stage.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_in_trouble_is_503_and_asked_now_and_then() {
    let stage = Stage::set().await;
    let mut job = Job::leased(&stage).await;
    for (what, edit) in [
        (
            "500",
            reply(|reply| *reply = Reply::error(500, "server_error")),
        ),
        (
            "HTML",
            reply(|reply| {
                reply.status = 503;
                reply.kind = "text/html";
                reply.raw = Some(b"<html>".to_vec());
            }),
        ),
        (
            "429",
            reply(|reply| *reply = Reply::error(429, "slow_down")),
        ),
    ] {
        let before = stage.rogue.count("refresh");
        job.under(&stage, |script| script.refresh = edit).await;
        for _ in 0..20 {
            let (status, answer) = stage.fetch(&job.lease).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{what}: {answer}");
        }
        let asked = stage.rogue.count("refresh") - before;
        assert!((1..=4).contains(&asked), "{what}: asked {asked} times");
        assert!(stage.is_signed_in(&job.session).await, "{what}");
    }
    job.twin(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_without_an_id_token_leaves_what_there_is() {
    let stage = Stage::set().await;
    let mut job = Job::leased(&stage).await;
    let none = reply(|reply| {
        reply.json.as_object_mut().unwrap().remove("id_token");
    });
    job.under(&stage, |script| script.refresh = none).await;
    let (status, answer) = stage.fetch(&job.lease).await;
    // What is left of the old one is under a minute, but it is good: either it is used, or nothing is.
    if status != StatusCode::OK {
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::FORBIDDEN, &json!("sign_in_needed")),
            "{answer}"
        );
    }
    assert!(stage.is_signed_in(&job.session).await);
    job.twin(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_a_refreshed_token_replace_the_others_and_none_leave_them() {
    let stage = Stage::set().await;
    let mut job = Job::leased(&stage).await;
    job.under(&stage, |script| {
        script.refreshed = token(|draft| {
            draft.claims.as_object_mut().unwrap().remove("aws_role_arn");
        });
    })
    .await;
    assert_eq!(
        stage.fetch(&job.lease).await.0,
        StatusCode::OK,
        "none leaves them"
    );
    job.under(&stage, |script| {
        script.refreshed = token(|draft| draft.claims["aws_role_arn"] = json!([role("wide")]));
    })
    .await;
    let before = stage.sts.calls_for(&role("long"));
    let mut ticks = ticks();
    let mut last = (StatusCode::OK, Value::Null);
    for _ in 0..20 {
        last = stage.fetch(&job.lease).await;
        if last.0 == StatusCode::FORBIDDEN {
            break;
        }
        ticks.tick().await;
    }
    assert_eq!(
        (last.0, &last.1["code"]),
        (StatusCode::FORBIDDEN, &json!("not_offered")),
        "{}",
        last.1
    );
    assert_eq!(
        stage.sts.calls_for(&role("long")),
        before,
        "STS is not asked for what is gone"
    );
    let (_, me) = stage.call("GET", "/api/v1/me", &job.session, None).await;
    assert_eq!(me["grants"][0]["role_arn"], role("wide"), "{me}");
    assert_eq!(me["grants"].as_array().unwrap().len(), 1, "{me}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_is_not_rotated_goes_on() {
    let stage = Stage::set().await;
    let mut job = Job::leased(&stage).await;
    job.under(&stage, |script| {
        script.rotates = false;
        script.refreshed_life = SHORT;
    })
    .await;
    assert_eq!(stage.fetch(&job.lease).await.0, StatusCode::OK);
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" }] });
    let narrow = stage
        .lease(&job.launcher, "long", json!({ "session_policy": policy }))
        .await;
    let (status, answer) = stage.fetch(&narrow).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(stage.rogue.count("refresh") >= 2);
    assert!(
        stage.rogue.breaches().is_empty(),
        "{:?}",
        stage.rogue.breaches()
    );
}
