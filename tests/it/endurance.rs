//! Jobs that go on for days, in seconds: the SDKs that users have, credentials of twenty seconds, a gateway that is
//! killed in the middle, an STS that takes five seconds.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;
use rolegate::demo::sts::Fault;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::gateway::{Setting, World, role};
use crate::parts::long_job::{Call, Limits, LongJob};
use crate::parts::{node, python, rust};

/// How long credentials live: a job may well be kept waiting between its fetch and its call.
const LIFE: Duration = Duration::from_secs(20);

type Start = fn(Limits, &[(&str, &str)]) -> LongJob;

const CLIENTS: [(&str, Start); 4] = [
    ("boto3", python::long_job),
    ("awscli", python::cli_job),
    ("JavaScript", node::long_job),
    ("Rust", rust::long_job),
];

/// What a lease's `env` says, and where STS is.
fn environment<'a>(lease: &'a Value, sts: &'a str) -> [(&'static str, &'a str); 3] {
    let names = [
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ];
    let [uri, token] = names.map(|name| (name, lease["env"][name].as_str().unwrap()));
    [uri, token, ("AWS_ENDPOINT_URL_STS", sts)]
}

async fn leased(world: &World, launcher: &str, user: &str, job: &str, more: Value) -> Value {
    let mut order = json!({ "user": user, "role_arn": role("long"), "job": job });
    for (key, value) in more.as_object().unwrap() {
        order[key] = value.clone();
    }
    let (status, lease) = world
        .api("POST", "/api/v1/leases", launcher, Some(order))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{lease}");
    lease
}

/// What a job told so far, and when it was read.
type Told = Arc<Mutex<Vec<(Instant, Call)>>>;

/// Writes down what `job` tells, until it is told to stop.
async fn listen(mut job: LongJob, told: Told, mut stop: watch::Receiver<bool>) {
    loop {
        let call = tokio::select! {
            call = job.next() => call.expect("it ended by itself"),
            _ = stop.changed() => break,
        };
        told.lock().unwrap().push((Instant::now(), call));
    }
    let rest = job.stop().await.calls.into_iter();
    let rest = rest.map(|call| (Instant::now(), call));
    told.lock().unwrap().extend(rest);
}

/// Waits until `done`, at most five minutes.
async fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_mins(5), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Kills the gateway and starts it anew; when, and until when a call may fail for it: it was begun while nobody
/// served, and SDKs give up after a few attempts.
async fn killed(world: &mut World) -> (Instant, Instant) {
    let begun = Instant::now();
    world.gateway.kill_and_restart().await;
    (begun, Instant::now() + Duration::from_secs(10))
}

/// Credentials live twenty seconds, the jobs more than five such lives.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_outlive_five_lifetimes_and_a_gateway_that_is_killed() {
    let mut world = World::with(Setting::renewing()).await;
    world.sts.set_lifetime(Some(LIFE));
    world.sign_in().await;
    let launcher = world.launcher().await;
    let begun = Instant::now();
    let limits = Limits::calls(10_000, Duration::from_secs(1));
    let (stop, stopped) = watch::channel(false);
    let mut jobs: Vec<(&str, Told, JoinHandle<()>)> = Vec::new();
    for (name, start) in CLIENTS {
        let lease = leased(&world, &launcher, "alice", name, json!({})).await;
        let job = start(limits, &environment(&lease, world.sts.url()));
        let told = Told::default();
        let listening = listen(job, Arc::clone(&told), stopped.clone());
        jobs.push((name, told, tokio::spawn(listening)));
    }
    let since = |time: Instant, count: usize| {
        jobs.iter().all(|(_, told, listening)| {
            assert!(!listening.is_finished(), "a job ended by itself");
            let told = told.lock().unwrap();
            told.iter().filter(|(at, _)| *at > time).count() >= count
        })
    };
    // Killed once each job has begun, and again when all have gone on.
    until("the first calls", || since(begun, 1)).await;
    let first = killed(&mut world).await;
    until("calls after the first kill", || since(first.1, 3)).await;
    let second = killed(&mut world).await;
    let role = role("long");
    until("five lives and calls in them", || {
        world.sts.calls_for(&role) > 5 && since(second.1, 3)
    })
    .await;
    stop.send(true).unwrap();
    let (lives, lasted) = (world.sts.calls_for(&role), begun.elapsed());
    for (name, told, listening) in jobs {
        listening.await.unwrap();
        for (at, call) in told.lock().unwrap().iter() {
            let is_excused = [first, second]
                .iter()
                .any(|(from, to)| from < at && at < to);
            if is_excused && matches!(call, Call::Failed { .. }) {
                continue;
            }
            assert!(call.arn().ends_with(":assumed-role/long/alice"), "{name}");
        }
    }
    // Renewed at two thirds of a life, for all jobs together, and a little more for the restarts.
    let most = lasted.as_secs_f64() / (LIFE.as_secs_f64() * 2.0 / 3.0) + 4.0;
    let lives = u32::try_from(lives).unwrap();
    assert!(f64::from(lives) <= most, "{lives} calls in {lasted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sts_fails_no_sdk() {
    let world = World::with(Setting::renewing()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    world.sts.set_fault(Fault::Slow(Duration::from_secs(5)));
    let limits = Limits::calls(1, Duration::ZERO);
    let jobs = CLIENTS.map(|(name, start)| {
        let (world, launcher) = (&world, &launcher);
        async move {
            // A policy of its own, so that each waits for a call of its own.
            let policy = json!({ "session_policy": { "Version": "2012-10-17",
                "Statement": { "Sid": name, "Effect": "Allow", "Action": "*", "Resource": "*" } } });
            let lease = leased(world, launcher, "alice", name, policy).await;
            let job = start(limits, &environment(&lease, world.sts.url()));
            (name, job.end().await)
        }
    });
    for (name, ended) in join_all(jobs).await {
        assert_eq!(ended.code, Some(0), "{name} {ended:?}");
        ended.calls[0].arn();
    }
    assert_eq!(world.sts.calls_for(&role("long")), CLIENTS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_of_one_role_never_see_each_other() {
    let world = World::with(Setting::renewing()).await;
    world.sts.set_lifetime(Some(LIFE));
    world.sign_in().await;
    let mut plan = world.plan();
    plan.name_id = "bob".to_owned();
    let names = plan
        .attributes
        .iter_mut()
        .filter(|(name, _)| name.ends_with("RoleSessionName"));
    names.for_each(|(_, values)| *values = vec!["bob".to_owned()]);
    let (status, me) = world.post(&world.idp.sign(&plan)).await;
    assert_eq!((status, &me["user"]), (StatusCode::OK, &json!("bob")));
    let launcher = world.launcher().await;
    let limits = Limits::calls(12, Duration::from_millis(1500));
    let jobs = ["alice", "bob"].map(|user| {
        let (world, launcher) = (&world, &launcher);
        async move {
            let lease = leased(world, launcher, user, "same-job", json!({})).await;
            let job = python::long_job(limits, &environment(&lease, world.sts.url()));
            (user, job.end().await)
        }
    });
    for (user, ended) in join_all(jobs).await {
        assert_eq!((ended.calls.len(), ended.code), (12, Some(0)), "{ended:?}");
        for call in &ended.calls {
            let wanted = format!(":assumed-role/long/{user}");
            assert!(call.arn().ends_with(&wanted), "{user} is {}", call.arn());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_redeems_the_relays_token_itself() {
    let world = World::with(Setting::renewing()).await;
    world.sts.set_lifetime(Some(LIFE));
    world.sign_in().await;
    let launcher = world.launcher().await;
    let lease = leased(&world, &launcher, "alice", "job", json!({})).await;
    let env = [
        (
            "ROLEGATE_URL",
            lease["agent_env"]["ROLEGATE_URL"].as_str().unwrap(),
        ),
        ("ROLEGATE_LEASE_TOKEN", lease["token"].as_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", world.sts.url()),
    ];
    let before = world.sts.calls_for(&role("long"));
    let agent = Path::new(env!("CARGO_BIN_EXE_rolegate-agent"));
    let limits = Limits::calls(6, Duration::from_secs(1));
    let job = python::long_job_under(agent, &["exec", "--web-identity", "--"], limits, &env);
    let ended = job.end().await;
    assert_eq!((ended.calls.len(), ended.code), (6, Some(0)), "{ended:?}");
    for call in &ended.calls {
        // boto3 names the session itself: the token's source identity says who it is.
        assert!(call.arn().contains(":assumed-role/long/"), "{}", call.arn());
    }
    assert!(world.sts.calls_for(&role("long")) > before + 1);
    let sessions = world.sts.issued_for(&role("long"));
    let who = |session: &rolegate::demo::sts::IssuedSession| session.source_identity.clone();
    assert!(
        sessions
            .iter()
            .all(|session| who(session).as_deref() == Some("alice"))
    );
}
