//! Jobs that never lose their credentials: relay and broker, made once for all, renewed ahead of their end.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{join, join_all};
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

    /// Asserts that fetches, at least `times`, were answered within the time that is promised, as the gateway itself
    /// counts: this process may have to wait for a processor. So may the gateway, but not each time.
    pub(crate) async fn answers_in_time(&self, times: usize) {
        let took = || self.gateway.microseconds("/v1/credentials");
        reached(|| took().len(), times).await;
        let took = took();
        let late = took.iter().filter(|took| **took > 1_700_000).count();
        assert!(2 * late <= took.len(), "{took:?}");
        assert!(took.iter().all(|took| *took < 5_000_000), "{took:?}");
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
        let (status, credentials) = world.fetched(token(&lease)).await;
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

/// While AWS takes its time, leases are ordered and fetched for; none of that is a second call.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_fetches_while_sts_is_asked_make_one_call() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    world.sts.set_fault(Fault::Slow(Duration::from_secs(8)));
    let order = |job: String, more: Value| {
        let (world, launcher) = (&world, &launcher);
        async move { world.leased(launcher, "long", &job, more).await }
    };
    // The fifth wants other credentials, for which another call is made.
    let policy = json!({ "session_policy": { "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } } });
    let wide = (0..4).map(|at| order(format!("job-{at}"), json!({})));
    let (wide, narrow) = join(join_all(wide), order("narrow".to_owned(), policy)).await;
    called(&world, 2).await;
    let client = reqwest::Client::new();
    let fetches = join_all((0..1000).map(|at| {
        let fetch = client.get(world.gateway.at("/v1/credentials"));
        let fetch = fetch.header("Authorization", token(&wide[at % 4])).send();
        async {
            let answer = fetch.await.unwrap();
            (answer.status(), answer.json::<Value>().await.unwrap())
        }
    }));
    let mut pending = 0;
    let mut keys = BTreeSet::new();
    for (status, answer) in fetches.await {
        if status == StatusCode::OK {
            keys.insert(answer["AccessKeyId"].to_string());
        } else {
            assert_eq!(answer["code"], "pending", "{answer}");
            pending += 1;
        }
    }
    assert!(pending > 0, "none came while STS was asked");
    for lease in &wide {
        let (status, answer) = world.fetched(token(lease)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        keys.insert(answer["AccessKeyId"].to_string());
    }
    assert_eq!(keys.len(), 1);
    let (status, other) = world.fetched(token(&narrow)).await;
    assert_eq!(status, StatusCode::OK, "{other}");
    assert!(keys.insert(other["AccessKeyId"].to_string()));
    assert_eq!(world.sts.calls_for(&role("long")), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sts_is_answered_for_in_time() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    world.sts.set_fault(Fault::Slow(Duration::from_secs(8)));
    let lease = world.leased(&launcher, "long", "job", json!({})).await;
    let mut pending = 0;
    for _ in 0..4 {
        let (status, answer) = world.fetch(token(&lease)).await;
        if status != StatusCode::OK {
            assert_eq!(answer["code"], "pending", "{answer}");
            pending += 1;
        }
    }
    assert!(pending >= 1);
    assert_eq!(world.fetched(token(&lease)).await.0, StatusCode::OK);
    world.answers_in_time(4).await;
    assert_eq!(world.sts.calls_for(&role("long")), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lives_goes_on_while_sts_is_away_and_nothing_expired_is_served() {
    let world = World::with(Setting::renewing()).await;
    world.sts.set_lifetime(Some(Duration::from_secs(9)));
    world.sign_in().await;
    let launcher = world.launcher().await;
    let lease = world.leased(&launcher, "long", "job", json!({})).await;
    let (status, mut first) = world.fetched(token(&lease)).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    world.sts.set_fault(Fault::ServiceUnavailable);
    // They may have been renewed just before.
    for _ in 0..2 {
        let (status, answer) = world.fetch(token(&lease)).await;
        if status == StatusCode::OK {
            first = answer;
        }
    }
    let end: DateTime<Utc> = first["Expiration"].as_str().unwrap().parse().unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    let refused = loop {
        ticks.tick().await;
        let before = SystemClock.now();
        let (status, answer) = world.fetch(token(&lease)).await;
        // The gateway judged at some time between the two.
        if SystemClock.now() < end {
            assert_eq!(status, StatusCode::OK, "{answer}");
            assert_eq!(answer, first);
        } else if before >= end {
            break (status, answer);
        }
    };
    let (status, answer) = refused;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(
        answer["code"] == "sts_away" || answer["code"] == "pending",
        "{answer}"
    );
    // A failure is remembered, and not multiplied: two calls each, and fewer of them while there was time.
    let calls = world.sts.calls_for(&role("long"));
    assert!(calls <= 10, "{calls} calls");
    world.sts.set_fault(Fault::None);
    let mut last = None;
    for _ in 0..150 {
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
    let count = || world.sts.calls_for(&role("long"));
    reached(count, times).await;
}

/// Waits until STS issued `times` times for the role, with nobody fetching.
async fn issued(world: &World, times: usize) {
    let count = || world.sts.issued_for(&role("long")).len();
    reached(count, times).await;
}

async fn reached(count: impl Fn() -> usize, times: usize) {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..600 {
        if count() >= times {
            return;
        }
        ticks.tick().await;
    }
    panic!("{} of {times} in a minute, without a fetch", count());
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_renewed_ahead_of_their_end_without_being_asked_for() {
    let mut world = World::with(Setting::renewing()).await;
    world.sts.set_lifetime(Some(Duration::from_secs(6)));
    world.sign_in().await;
    let launcher = world.launcher().await;
    let lease = world.leased(&launcher, "long", "job", json!({})).await;
    let (status, answer) = world.fetched(token(&lease)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    issued(&world, 2).await;
    // Long enough to be served still by a gateway that takes seconds to start anew.
    world.sts.set_lifetime(Some(Duration::from_secs(30)));
    issued(&world, 3).await;
    // They are kept before the gateway is killed: a fetch has them.
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let long = || world.sts.issued_for(&role("long")).pop().unwrap();
    let lives = |answer: &Value| {
        let newest = long();
        let life = newest.expires_at - newest.issued_at;
        life.num_seconds() > 15 && answer["AccessKeyId"] == *newest.access_key_id
    };
    let mut before = Value::Null;
    for _ in 0..300 {
        before = world.fetch(token(&lease)).await.1;
        if lives(&before) {
            break;
        }
        ticks.tick().await;
    }
    assert!(lives(&before), "{before}");
    // Killed and started again, the very same credentials are served, and renewed in their turn.
    let times = world.sts.issued_for(&role("long")).len();
    world.gateway.kill_and_restart().await;
    let (status, answer) = world.fetched(token(&lease)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer, before);
    issued(&world, times + 1).await;
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
            let (status, answer) = world.fetched(token(lease)).await;
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
    assert_eq!(world.fetched(token(&lease)).await.0, StatusCode::OK);
    let mut plan = world.plan();
    let roles = plan.attributes.iter_mut().map(|(_, values)| values);
    roles.for_each(|values| values.retain(|value| !value.contains("/long")));
    let (status, me) = world.post(&world.idp.sign(&plan)).await;
    assert_eq!(status, StatusCode::OK, "{me}");
    let (status, answer) = world.fetch(token(&lease)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(answer["code"], "not_offered", "{answer}");
    world.sign_in().await;
    assert_eq!(world.fetched(token(&lease)).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_leaves_rolegate_only_where_the_entry_says_so() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let client = reqwest::Client::new();
    let ask = async |lease: &Value| {
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        for _ in 0..150 {
            ticks.tick().await;
            let asked = client.get(world.gateway.at("/v1/web-identity-token"));
            let answer = asked.header("Authorization", token(lease)).send().await;
            let answer = answer.unwrap();
            let status = answer.status();
            let answer = answer.json::<Value>().await.unwrap();
            if answer["code"] != "pending" {
                return (status, answer);
            }
        }
        panic!("no answer in half a minute");
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
