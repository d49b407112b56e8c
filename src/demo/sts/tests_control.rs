//! What tests can turn: lifetimes, faults of one role, revocation; and the federation endpoint.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::tests_account::{NEXT, account, broker};
use super::{Account, DemoPrincipal, Fault, OidcProvider, SandboxSts, StsSettings};
use crate::demo::stage::{Answer, Keys, ROLE, SHORT, Stage};
use crate::model::{Clock, OsEntropy};

#[tokio::test]
async fn credentials_can_be_made_to_end_soon() {
    let stage = Stage::start().await;
    stage.sts.set_lifetime(Some(Duration::from_secs(5)));
    let answer = stage.assume(&stage.plan()).await;
    assert_eq!(answer.text("Expiration"), "2026-03-01T12:00:05Z");
    let keys = Keys::of(&answer);
    stage.clock.advance(TimeDelta::milliseconds(4999));
    let identity = || stage.signed(&keys, "GetCallerIdentity", &[]);
    assert_eq!(identity().await.code(), "OK");
    stage.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(identity().await.code(), "ExpiredToken");
    stage.clock.advance(TimeDelta::milliseconds(700));
    let answer = stage.assume(&stage.plan()).await;
    assert_eq!(
        answer.text("Expiration"),
        "2026-03-01T12:00:10Z",
        "whole seconds"
    );
    stage.sts.set_lifetime(None);
    let answer = stage.assume(&stage.plan()).await;
    assert_eq!(answer.text("Expiration"), "2026-03-01T13:00:05Z");
}

#[tokio::test]
async fn a_fault_is_for_all_assume_actions_or_for_one_role() {
    let stage = Stage::with(account()).await;
    let response = stage.idp.sign(&stage.plan());
    let ask = |role: &'static str| {
        let form = [("RoleArn", role)];
        let response = response.clone();
        let stage = &stage;
        async move { stage.assume_with(&response, &form).await }
    };
    stage.sts.set_fault_for(ROLE, Fault::Throttle);
    assert_eq!(ask(ROLE).await.code(), "Throttling");
    assert_eq!(ask(SHORT).await.code(), "OK");
    stage.sts.set_fault(Fault::ServiceUnavailable);
    assert_eq!(
        ask(ROLE).await.code(),
        "Throttling",
        "the role's own comes first"
    );
    assert_eq!(ask(SHORT).await.code(), "ServiceUnavailable");
    for action in ["AssumeRole", "AssumeRoleWithWebIdentity"] {
        let answer = stage.signed(&broker(), action, &[("RoleArn", NEXT)]).await;
        assert_eq!(answer.code(), "ServiceUnavailable", "{action}");
    }
    let who = stage.signed(&broker(), "GetCallerIdentity", &[]).await;
    assert_eq!(who.code(), "OK", "only what assumes a role misbehaves");
    stage.sts.set_fault_for(ROLE, Fault::None);
    assert_eq!(ask(ROLE).await.code(), "ServiceUnavailable");
    assert_eq!(
        (stage.sts.calls_for(ROLE), stage.sts.calls_for(NEXT)),
        (3, 2)
    );
}

#[tokio::test]
async fn a_rate_limit_throttles_what_goes_over_it() {
    let stage = Stage::start().await;
    stage.sts.set_fault(Fault::RateLimit {
        calls: 2,
        every: Duration::from_secs(10),
    });
    for (step, code) in [
        (0, "OK"),
        (5, "OK"),
        (4, "Throttling"),
        (1, "OK"),
        (0, "Throttling"),
        (5, "OK"),
    ] {
        stage.clock.advance(TimeDelta::seconds(step));
        assert_eq!(stage.assume(&stage.plan()).await.code(), code);
    }
}

#[tokio::test]
async fn revocation_denies_a_roles_older_sessions() {
    let stage = Stage::start().await;
    let old = Keys::of(&stage.assume(&stage.plan()).await);
    let other = [("RoleArn", SHORT)];
    let response = stage.idp.sign(&stage.plan());
    let other = Keys::of(&stage.assume_with(&response, &other).await);
    stage.clock.advance(TimeDelta::seconds(1));
    stage.sts.revoke_older_than(ROLE, stage.clock.now());
    let new = Keys::of(&stage.assume(&stage.plan()).await);
    for (keys, code) in [(&old, "AccessDenied"), (&new, "OK"), (&other, "OK")] {
        let answer = stage.signed(keys, "GetCallerIdentity", &[]).await;
        assert_eq!(answer.code(), code);
    }
}

/// Status and text of a call to the federation endpoint.
async fn federation(stage: &Stage, form: &[(&str, &str)]) -> (u16, String) {
    let request = reqwest::Client::new().post(stage.sts.federation_url());
    let answer = request.form(form).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn session(answer: &Answer) -> String {
    json!({
        "sessionId": answer.text("AccessKeyId"),
        "sessionKey": answer.text("SecretAccessKey"),
        "sessionToken": answer.text("SessionToken"),
    })
    .to_string()
}

async fn signin_token(stage: &Stage, session: &str) -> String {
    let form = [("Action", "getSigninToken"), ("Session", session)];
    let (status, text) = federation(stage, &form).await;
    assert_eq!(status, 200, "{text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    body["SigninToken"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_signin_token_opens_the_console_once() {
    let stage = Stage::start().await;
    let answer = stage.assume(&stage.plan()).await;
    let token = signin_token(&stage, &session(&answer)).await;
    let login = |token: &str, destination: &str| {
        let url = url::Url::parse_with_params(
            &stage.sts.federation_url(),
            [
                ("Action", "login"),
                ("Issuer", "https://gate.example.org"),
                ("Destination", destination),
                ("SigninToken", token),
            ],
        );
        let request = reqwest::get(url.unwrap());
        async move {
            let answer = request.await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    };
    let console = "https://console.aws.amazon.com/";
    assert_eq!(login(&token, "javascript:alert(1)").await.0, 400);
    let (status, page) = login(&token, console).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains(answer.text("Arn")));
    assert_eq!(login(&token, console).await.0, 400, "used");
    assert_eq!(login("unknown", console).await.0, 400);
    let token = signin_token(&stage, &session(&answer)).await;
    stage.clock.advance(TimeDelta::minutes(15));
    assert_eq!(login(&token, console).await.0, 400, "too late");
}

#[tokio::test]
async fn only_real_credentials_get_a_signin_token() {
    let stage = Stage::with(account()).await;
    let answer = stage.assume(&stage.plan()).await;
    let good = session(&answer);
    let forged = good.replace(answer.text("SecretAccessKey"), "wrong");
    let ask = |session: &str, seconds: &str| {
        let mut form = vec![("Action", "getSigninToken"), ("Session", session)];
        form.push(("SessionDuration", seconds));
        let form: Vec<(String, String)> = form
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let stage = &stage;
        async move {
            let form: Vec<_> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            federation(stage, &form).await.0
        }
    };
    for (session, seconds, status) in [
        (good.as_str(), "", 200),
        (&good, "900", 200),
        (&good, "43200", 200),
        (&good, "899", 400),
        (&good, "43201", 400),
        (&forged, "", 400),
        ("{}", "", 400),
    ] {
        assert_eq!(ask(session, seconds).await, status, "{seconds}");
    }
    let first = [
        ("RoleArn", "arn:aws:iam::123456789012:role/first"),
        ("RoleSessionName", "alice"),
        ("ExternalId", "tenant-1"),
    ];
    let first = stage.signed(&broker(), "AssumeRole", &first).await;
    let next = [("RoleArn", NEXT), ("RoleSessionName", "alice")];
    let chained = stage.signed(&Keys::of(&first), "AssumeRole", &next).await;
    let (first, chained) = (session(&first), session(&chained));
    assert_eq!(ask(&first, "3600").await, 200);
    assert_eq!(ask(&chained, "3600").await, 400, "not for a chain");
    assert_eq!(ask(&chained, "").await, 200);
    stage.clock.advance(TimeDelta::hours(1));
    assert_eq!(ask(&good, "").await, 400, "expired");
}

#[tokio::test]
async fn an_account_that_iam_would_not_keep_does_not_start() {
    let stage = Stage::start().await;
    let start = |account: Account| {
        let settings = StsSettings {
            trusts: Vec::new(),
            providers: Vec::new(),
            clock: stage.clock.clone(),
            entropy: Arc::new(OsEntropy),
        };
        SandboxSts::start_with(settings, account)
    };
    let provider = |arn: &str, issuer: &str| Account {
        oidc_providers: vec![OidcProvider {
            arn: format!("arn:aws:iam::123456789012:oidc-provider/{arn}"),
            issuer: issuer.to_owned(),
            client_ids: Vec::new(),
        }],
        ..Account::default()
    };
    for (arn, issuer, good) in [
        ("gate.example.org/x", "https://gate.example.org/x", true),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
        ("gate.example.org", "https://gate.example.org/x", false),
        ("gate.example.org", "http://gate.example.org", false),
        (
            "gate.example.org:8443",
            "https://gate.example.org:8443",
            false,
        ),
        ("gate.example.org?x", "https://gate.example.org?x", false),
    ] {
        assert_eq!(start(provider(arn, issuer)).await.is_ok(), good, "{issuer}");
    }
    for (arn, good) in [
        ("arn:aws:iam::123456789012:user/x", true),
        ("arn:aws:iam::123456789012:role/x", false),
        ("arn:aws:iam::1:user/x", false),
    ] {
        let account = Account {
            principals: vec![DemoPrincipal {
                access_key_id: "AKIA".to_owned(),
                secret_access_key: "x".to_owned(),
                arn: arn.to_owned(),
            }],
            ..Account::default()
        };
        assert_eq!(start(account).await.is_ok(), good, "{arn}");
    }
}
