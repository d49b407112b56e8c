//! Jobs that never lose their credentials: relay and broker, made once for all, renewed ahead of their end.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use rolegate::demo::sts::Fault;
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::gateway::{Setting, World, role};

impl World {
    /// A lease of `name` for `job`, with more to it.
    async fn leased(&self, launcher: &str, name: &str, job: &str, more: Value) -> Value {
        let mut order = json!({ "user": "alice", "role_arn": role(name), "job": job });
        for (key, value) in more.as_object().unwrap() {
            order[key] = value.clone();
        }
        let (status, lease) = self
            .api("POST", "/api/v1/leases", launcher, Some(order))
            .await;
        assert_eq!(status, StatusCode::CREATED, "{lease}");
        lease
    }
}

fn token(lease: &Value) -> &str {
    lease["token"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_and_broker_issue_by_the_trust_policies_that_we_print() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    for (name, method) in [("long", "relay"), ("brokered", "broker")] {
        let lease = world.leased(&launcher, name, "job", json!({})).await;
        assert_eq!(lease["method"], method);
        assert_eq!(lease["limited_by"], "lease");
        let (status, credentials) = world.fetch(token(&lease)).await;
        assert_eq!(status, StatusCode::OK, "{credentials}");
        let sessions = world.sts.issued_for(&role(name));
        let [session] = sessions.as_slice() else {
            panic!("{} sessions of {name}", sessions.len());
        };
        assert!(session.arn.ends_with(&format!("assumed-role/{name}/alice")));
        assert_eq!(session.source_identity.as_deref(), Some("alice"));
        let tags: Vec<_> = session.tags.iter().collect();
        assert_eq!(tags.len(), 2, "{tags:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_fetches_make_one_call() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let leases = join_all((0..4).map(|at| {
        let job = format!("job-{at}");
        let (world, launcher) = (&world, &launcher);
        async move { world.leased(launcher, "long", &job, json!({})).await }
    }));
    let leases = leases.await;
    // What came of the leases is forgotten, so that all fetch at once what nobody has.
    let first = token(&leases[0]).to_owned();
    let done = ["revoke", "--role", &role("long"), "--reason", "a test"];
    world.gateway.command(&done).await.good();
    let refused = world.fetch(&first).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN, "{}", refused.1);
    let before = world.sts.calls_for(&role("long"));
    assert_eq!(before, 1);

    let slow = Fault::Slow(Duration::from_millis(300));
    world.sts.set_fault(slow);
    let leases = join_all((0..4).map(|at| {
        let job = format!("again-{at}");
        let (world, launcher) = (&world, &launcher);
        async move { world.leased(launcher, "long", &job, json!({})).await }
    }));
    let leases = leases.await;
    let client = reqwest::Client::new();
    let fetches = join_all((0..1000).map(|at| {
        let fetch = client.get(world.gateway.at("/v1/credentials"));
        fetch.header("Authorization", token(&leases[at % 4])).send()
    }));
    for answer in fetches.await {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(world.sts.calls_for(&role("long")), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sts_is_answered_for_in_time() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    world.sts.set_fault(Fault::Slow(Duration::from_secs(5)));
    let lease = world.leased(&launcher, "long", "job", json!({})).await;
    let (mut pending, mut last) = (0, StatusCode::OK);
    for _ in 0..6 {
        let (status, answer) = world.fetch(token(&lease)).await;
        last = status;
        if status == StatusCode::OK {
            break;
        }
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        pending += 1;
    }
    assert_eq!(last, StatusCode::OK);
    assert!(pending >= 1);
    // As the gateway itself counts: this process may have to wait for a processor.
    let took = world.gateway.microseconds("/v1/credentials");
    assert!(!took.is_empty());
    assert!(took.iter().all(|took| *took < 1_700_000), "{took:?}");
    assert_eq!(world.sts.calls_for(&role("long")), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lives_goes_on_while_sts_is_away_and_nothing_expired_is_served() {
    let world = World::with(Setting::renewing()).await;
    world.sts.set_lifetime(Some(Duration::from_secs(6)));
    world.sign_in().await;
    let launcher = world.launcher().await;
    let lease = world.leased(&launcher, "long", "job", json!({})).await;
    let (_, first) = world.fetch(token(&lease)).await;
    world.sts.set_fault(Fault::ServiceUnavailable);
    let end: chrono::DateTime<chrono::Utc> = first["Expiration"].as_str().unwrap().parse().unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    let mut refused = None;
    for _ in 0..60 {
        ticks.tick().await;
        let before = SystemClock.now();
        let (status, answer) = world.fetch(token(&lease)).await;
        if before < end - chrono::TimeDelta::milliseconds(300) {
            assert_eq!(status, StatusCode::OK, "{answer}");
            assert_eq!(answer, first);
        } else if SystemClock.now() >= end + chrono::TimeDelta::milliseconds(300) {
            refused = Some((status, answer));
            break;
        }
    }
    let (status, answer) = refused.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer["code"], "sts_away", "{answer}");
    // A failure is remembered, and not multiplied: two calls each, and fewer of them while there was time.
    let calls = world.sts.calls_for(&role("long"));
    assert!(calls <= 10, "{calls} calls");
    world.sts.set_fault(Fault::None);
    let mut last = None;
    for _ in 0..50 {
        ticks.tick().await;
        let (status, answer) = world.fetch(token(&lease)).await;
        last = Some((status, answer));
        if status == StatusCode::OK {
            break;
        }
    }
    assert_eq!(last.unwrap().0, StatusCode::OK);
}

/// Waits until STS was asked for the role `times` times, with nobody fetching.
async fn called(world: &World, times: usize) {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..200 {
        if world.sts.calls_for(&role("long")) >= times {
            return;
        }
        ticks.tick().await;
    }
    let calls = world.sts.calls_for(&role("long"));
    panic!("{calls} calls of {times} in 20 s, without a fetch");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_renewed_ahead_of_their_end_without_being_asked_for() {
    let mut world = World::with(Setting::renewing()).await;
    world.sts.set_lifetime(Some(Duration::from_secs(6)));
    world.sign_in().await;
    let launcher = world.launcher().await;
    let lease = world.leased(&launcher, "long", "job", json!({})).await;
    let (status, _) = world.fetch(token(&lease)).await;
    assert_eq!(status, StatusCode::OK);
    called(&world, 2).await;
    // The next are kept before the gateway is killed: a fetch has them.
    world.sts.set_lifetime(Some(Duration::from_secs(15)));
    called(&world, 3).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut before = Value::Null;
    for _ in 0..30 {
        before = world.fetch(token(&lease)).await.1;
        let issued = world.sts.issued_for(&role("long"));
        if (issued.get(2)).is_some_and(|third| before["AccessKeyId"] == *third.access_key_id) {
            break;
        }
        ticks.tick().await;
    }
    // Killed and started again, the very same credentials are served, and renewed in their turn.
    world.gateway.kill_and_restart().await;
    let (status, answer) = world.fetched(token(&lease)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer, before);
    called(&world, 4).await;
    let id = lease["lease"].as_str().unwrap();
    let (status, _) = world
        .api("DELETE", &format!("/api/v1/leases/{id}"), &launcher, None)
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, answer) = world.fetch(token(&lease)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(answer["code"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_job_never_gets_the_wide_credentials() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" }] });
    for name in ["long", "brokered"] {
        let wide = world.leased(&launcher, name, "wide", json!({})).await;
        let narrowed = json!({ "session_policy": policy });
        let narrow = world.leased(&launcher, name, "narrow", narrowed).await;
        let tagged = json!({ "tags": { "Project": "apollo" } });
        let tagged = world.leased(&launcher, name, "tagged", tagged).await;
        let mut keys = Vec::new();
        for lease in [&wide, &narrow, &tagged, &wide, &narrow, &tagged] {
            let (status, answer) = world.fetch(token(lease)).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            keys.push(answer["AccessKeyId"].as_str().unwrap().to_owned());
        }
        assert_eq!(keys[..3], keys[3..]);
        let sessions = world.sts.issued_for(&role(name));
        assert_eq!(sessions.len(), 3);
        let of = |key: &String| {
            let mut found = sessions
                .iter()
                .filter(|session| session.access_key_id == *key);
            found.next().unwrap()
        };
        assert_eq!(of(&keys[0]).policy, None);
        assert_eq!(
            of(&keys[1]).policy.as_deref(),
            Some(policy.to_string().as_str())
        );
        assert_eq!(of(&keys[0]).tags.len(), 2);
        assert_eq!(of(&keys[2]).tags.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_the_newest_sign_in_no_longer_offers_stops() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let lease = world.leased(&launcher, "long", "job", json!({})).await;
    assert_eq!(world.fetch(token(&lease)).await.0, StatusCode::OK);
    let mut plan = world.plan();
    let roles = plan.attributes.iter_mut().map(|(_, values)| values);
    roles.for_each(|values| values.retain(|value| !value.contains("/long")));
    let (status, me) = world.post(&world.idp.sign(&plan)).await;
    assert_eq!(status, StatusCode::OK, "{me}");
    let (status, answer) = world.fetch(token(&lease)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(answer["code"], "not_offered", "{answer}");
    world.sign_in().await;
    assert_eq!(world.fetch(token(&lease)).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_leaves_rolegate_only_where_the_entry_says_so() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let ask = async |lease: &Value| {
        let answer = reqwest::Client::new()
            .get(world.gateway.at("/v1/web-identity-token"))
            .header("Authorization", token(lease))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        (status, answer.json::<Value>().await.unwrap())
    };
    let lease = world.leased(&launcher, "long", "job", json!({})).await;
    let (status, answer) = ask(&lease).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["role_arn"], role("long"));
    assert_eq!(answer["token"].as_str().unwrap().split('.').count(), 3);
    let policy = json!({ "session_policy": { "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } } });
    let narrow = world.leased(&launcher, "long", "narrow", policy).await;
    let brokered = world.leased(&launcher, "brokered", "job", json!({})).await;
    let by_saml = world.leased(&launcher, "reader", "job", json!({})).await;
    for lease in [&narrow, &brokered, &by_saml] {
        let (status, answer) = ask(lease).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert_eq!(answer["code"], "method_cannot", "{answer}");
    }
}
