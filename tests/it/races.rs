//! What is stopped while it is on its way stays stopped, and nobody's haste is another's harm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use reqwest::StatusCode;
use rolegate::demo::sts::Fault;
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::interval;

use crate::gateway::{Setting, World, role};

/// A call whose head and first byte are sent.
async fn begun(world: &World, path: &str, token: &str, body: &str) -> TcpStream {
    let base = world.gateway.at("");
    let host = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\
         Content-Type: application/json\r\nConnection: close\r\n\r\n{{",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Sends the rest of the body; the status and the answer.
async fn ended(mut stream: TcpStream, body: &str) -> (u16, String) {
    let rest = body.strip_prefix('{').unwrap();
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launchers_token_that_is_revoked_in_mid_call_leases_nothing() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let create = ["tokens", "create", "stolen", "--role", "launcher"];
    let reach = ["--for-roles", "*", "--for-users", "*"];
    let token = world.gateway.command(&[&create[..], &reach].concat()).await;
    let token = token.good();
    let order = json!({ "user": "alice", "role_arn": role("long"), "job": "late" }).to_string();
    // Its twin, which nobody revokes.
    let stream = begun(&world, "/api/v1/leases", &token, &order).await;
    let (status, answer) = ended(stream, &order).await;
    assert_eq!(status, 201, "{answer}");
    let stream = begun(&world, "/api/v1/leases", &token, &order).await;
    // The gateway has read the head once it has read this one's, which came after.
    assert_eq!(world.fetch("rgj_unknown").await.0, StatusCode::UNAUTHORIZED);
    let revoke = ["tokens", "revoke", "stolen", "--leases"];
    world.gateway.command(&revoke).await.good();
    let (status, answer) = ended(stream, &order).await;
    assert!(matches!(status, 401 | 403), "{answer}");
    let admin = world.gateway.command(&["leases", "list", "--json"]).await;
    let leases: Value = serde_json::from_str(&admin.good()).unwrap();
    let live = leases.as_array().unwrap().iter();
    assert_eq!(
        live.filter(|lease| lease["revoked_at"].is_null()).count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_of_other_leases_hurt_no_fetch() {
    let world = World::with(Setting::renewing()).await;
    let (session, _) = world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "long").await;
    let token = lease["token"].as_str().unwrap();
    assert_eq!(world.fetched(token).await.0, StatusCode::OK);
    let noise = async {
        let client = reqwest::Client::new();
        let url = world.gateway.at("/api/v1/leases?job=nothing-at-all");
        loop {
            let answer = client.delete(&url).bearer_auth(&session).send().await;
            assert_eq!(answer.unwrap().status(), StatusCode::OK);
        }
    };
    let work = async {
        // And those that revoke something: other jobs end all the time.
        let mut late = 0;
        for at in 0..20 {
            let order =
                json!({ "user": "alice", "role_arn": role("long"), "job": format!("other-{at}") });
            let made = world.api("POST", "/api/v1/leases", &launcher, Some(order));
            let path = format!("/api/v1/leases/{}", made.await.1["lease"].as_str().unwrap());
            world.api("DELETE", &path, &launcher, None).await;
            late += usize::from(world.fetch(token).await.0 != StatusCode::OK);
            let (status, answer) = world.fetched(token).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
        }
        // A machine that stalls may keep one of them beyond its time; what is looked up anew for ever keeps all.
        assert!(late <= 5, "{late} of 20");
    };
    tokio::select! {
        () = noise => {}
        () = work => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_in_time_whatever_is_revoked_meanwhile() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let admin = world
        .gateway
        .command(&["tokens", "create", "boss", "--role", "admin"]);
    let admin = admin.await.good();
    world.sts.set_fault(Fault::Hang);
    let (_, lease) = world.lease(&launcher, "long").await;
    let token = lease["token"].as_str().unwrap();
    let noise = async {
        let mut ticks = interval(Duration::from_millis(300));
        loop {
            ticks.tick().await;
            let order = json!({ "user": "somebody-else", "reason": "a test" });
            let done = world.api("POST", "/api/v1/admin/revoke", &admin, Some(order));
            assert_eq!(done.await.0, StatusCode::OK);
        }
    };
    let fetches = async {
        for _ in 0..3 {
            let (status, answer) = world.fetch(token).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        }
    };
    tokio::select! {
        () = noise => {}
        () = fetches => {}
    }
    world.answers_in_time(3).await;
}

impl World {
    /// Asks as a person for the credentials of `name`, by the session's token.
    async fn ask(&self, session: &str, name: &str) -> (StatusCode, Value) {
        let order = json!({ "role_arn": role(name) });
        self.api("POST", "/api/v1/credentials", session, Some(order))
            .await
    }

    /// As [`World::ask`], again while the answer is on its way; gives the first that is another.
    async fn asked(&self, session: &str, name: &str) -> (StatusCode, Value) {
        let mut ticks = interval(Duration::from_millis(200));
        for _ in 0..150 {
            ticks.tick().await;
            let (status, answer) = self.ask(session, name).await;
            if answer["code"] != "pending" {
                return (status, answer);
            }
        }
        panic!("no answer in half a minute");
    }
}

/// Waits until it is so, half a minute at most.
async fn comes(so: impl Fn() -> bool) {
    let mut ticks = interval(Duration::from_millis(50));
    for _ in 0..600 {
        if so() {
            return;
        }
        ticks.tick().await;
    }
    panic!("it does not come");
}

/// Denies a role while STS is asked for it; says whether STS had not answered yet when that was seen.
async fn denied_while_sts_is_asked() -> bool {
    let world = World::with(Setting::renewing()).await;
    let (session, _) = world.sign_in().await;
    world.sts.set_fault(Fault::Slow(Duration::from_secs(8)));
    // The first is the twin, which nobody denies.
    for name in ["long", "brokered"] {
        let (status, answer) = world.ask(&session, name).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        assert_eq!(answer["code"], "pending", "{answer}");
        comes(|| world.sts.calls_for(&role(name)) == 1).await;
    }
    let arn = role("brokered");
    let deny = ["roles", "deny", &arn, "--reason", "stop"];
    world.gateway.command(&deny).await.good();
    let (status, answer) = world.asked(&session, "brokered").await;
    if !world.sts.issued_for(&arn).is_empty() {
        return false;
    }
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    let (status, answer) = world.asked(&session, "long").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    // Nor is it given what STS gave in the end.
    comes(|| !world.sts.issued_for(&arn).is_empty()).await;
    let (status, answer) = world.asked(&session, "brokered").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_denied_while_sts_is_asked_gets_nothing_of_it() {
    for _ in 0..5 {
        if denied_while_sts_is_asked().await {
            return;
        }
    }
    panic!("no denial was seen while STS was asked");
}

/// Holds a person while STS is asked for what he has already; says whether the hold stood well before his answer.
async fn held_while_sts_is_asked() -> bool {
    let world = World::with(Setting::renewing()).await;
    world.sts.set_lifetime(Some(Duration::from_secs(15)));
    let (session, _) = world.sign_in().await;
    let admin = ["tokens", "create", "boss", "--role", "admin"];
    let admin = world.gateway.command(&admin).await.good();
    let (status, had) = world.asked(&session, "brokered").await;
    assert_eq!(status, StatusCode::OK, "{had}");
    // Overdue for renewal, and still alive: in the last third of a life whose end is told in whole seconds.
    let end: DateTime<Utc> = had["Expiration"].as_str().unwrap().parse().unwrap();
    comes(|| SystemClock.now() >= end - TimeDelta::milliseconds(4500)).await;
    world.sts.set_fault(Fault::Slow(Duration::from_secs(11)));
    // While nobody holds him he is given what he had, once STS was waited for.
    let (status, answer) = world.ask(&session, "brokered").await;
    if SystemClock.now() < end {
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["AccessKeyId"], had["AccessKeyId"]);
    }
    let hold = async {
        let order = json!({ "user": "alice", "reason": "stolen", "hold": true });
        let held = world.api("POST", "/api/v1/admin/revoke", &admin, Some(order));
        let (status, answer) = held.await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        Instant::now()
    };
    let ask = async { (world.ask(&session, "brokered").await, Instant::now()) };
    let (((status, answer), answered), stood) = tokio::join!(ask, hold);
    let (after, _) = world.ask(&session, "brokered").await;
    assert_eq!(after, StatusCode::UNAUTHORIZED, "his session has ended");
    let was_in_time = stood + Duration::from_millis(300) < answered;
    if !was_in_time || SystemClock.now() >= end || answer["code"] == "pending" {
        return false;
    }
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    assert_eq!(answer["code"], "held", "{answer}");
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_held_while_sts_is_asked_gets_not_even_what_he_had() {
    for _ in 0..5 {
        if held_while_sts_is_asked().await {
            return;
        }
    }
    panic!("no hold stood before the answer");
}

/// Orders leases, each with credentials of its own, until it is told to end; how many were made.
async fn flood(world: &World, session: &str, task: usize, ended: &AtomicBool) -> usize {
    let mut made = 0;
    for at in 0.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let statement = json!({ "Sid": format!("s{task}x{at}"), "Effect": "Allow", "Action": "*", "Resource": "*" });
        let order = json!({ "user": "alice", "role_arn": role("long"), "job": "flood",
            "session_policy": { "Version": "2012-10-17", "Statement": statement } });
        let (status, _) = world
            .api("POST", "/api/v1/leases", session, Some(order))
            .await;
        made += usize::from(status == StatusCode::CREATED);
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn one_persons_flood_does_not_starve_anothers_renewal() {
    let mut setting = Setting::renewing();
    let slow = ("ROLEGATE_STS__CALLS_PER_SECOND", "5".to_owned());
    setting.variables.push(slow);
    let world = World::with(setting).await;
    let (session, _) = world.sign_in().await;
    let launcher = world.launcher().await;
    world.sts.set_lifetime(Some(Duration::from_secs(30)));
    let (_, lease) = world.lease(&launcher, "brokered").await;
    let token = lease["token"].as_str().unwrap();
    let (status, first) = world.fetched(token).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let begun = Instant::now();
    let ended = AtomicBool::new(false);
    let floods = join_all((0..16).map(|task| flood(&world, &session, task, &ended)));
    let work = async {
        let mut ticks = interval(Duration::from_millis(250));
        loop {
            ticks.tick().await;
            let (status, answer) = world.fetched(token).await;
            let after = begun.elapsed();
            assert_eq!(status, StatusCode::OK, "after {after:?}: {answer}");
            if answer["AccessKeyId"] != first["AccessKeyId"] {
                break;
            }
        }
        ended.store(true, Ordering::Relaxed);
    };
    let (made, ()) = tokio::join!(floods, work);
    let made: usize = made.into_iter().sum();
    let (calls, took) = (world.sts.calls_for(&role("long")), begun.elapsed());
    println!("{made} leases and {calls} calls in {took:?}");
    // It was one: more was wanted all the time than the budget gives.
    assert!(made > calls && calls >= 20, "{made} leases, {calls} calls");
    let budget = 5 * took.as_secs() + 15;
    assert!(u64::try_from(calls).unwrap() <= budget, "{calls} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_gives_no_lease_that_was_revoked() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let client = reqwest::Client::new();
    let ask = async || {
        let order = json!({ "user": "alice", "role_arn": role("long"), "job": "x" });
        let call = client.post(world.gateway.at("/api/v1/leases"));
        let call = call.bearer_auth(&launcher).header("Idempotency-Key", "one");
        let answer = call.json(&order).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (status, made) = ask().await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(ask().await.1, made);
    let path = format!("/api/v1/leases/{}", made["lease"].as_str().unwrap());
    world.api("DELETE", &path, &launcher, None).await;
    let (status, problem) = ask().await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::FORBIDDEN, &json!("revoked"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reckons_with_tokens_that_left() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "long").await;
    let call = reqwest::Client::new().get(world.gateway.at("/v1/web-identity-token"));
    let given = call.header("Authorization", lease["token"].as_str().unwrap());
    let given: Value = given.send().await.unwrap().json().await.unwrap();
    let revoke = [
        "revoke", "--user", "alice", "--reason", "stolen", "--hold", "--json",
    ];
    let told: Value = serde_json::from_str(&world.gateway.command(&revoke).await.good()).unwrap();
    let arn = role("long");
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", arn.as_str()),
        ("RoleSessionName", "nobody"),
        ("DurationSeconds", "43200"),
        ("WebIdentityToken", given["token"].as_str().unwrap()),
    ];
    let redeemed = reqwest::Client::new().post(world.sts.url()).form(&form);
    assert_eq!(redeemed.send().await.unwrap().status(), StatusCode::OK);
    let last = world.sts.issued_for(&arn).pop().unwrap();
    let time = |value: &Value| -> chrono::DateTime<chrono::Utc> {
        value.as_str().unwrap().parse().unwrap()
    };
    assert!(
        last.expires_at <= time(&told["credentials_valid_until"]),
        "{told}"
    );
    let advice = told["aws"].as_array().unwrap().iter();
    let advice = advice
        .clone()
        .find(|advice| advice["role_arn"] == arn)
        .unwrap();
    let statement = &advice["policy"]["Statement"][1]["Condition"];
    assert_eq!(statement["StringEquals"]["aws:SourceIdentity"], "alice");
    assert!(last.issued_at < time(&statement["DateLessThan"]["aws:TokenIssueTime"]));
    assert_eq!(last.source_identity.as_deref(), Some("alice"));
}
