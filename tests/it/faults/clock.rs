//! A clock that jumps while the gateway runs, by libfaketime, which `tests/setup test` installs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use reqwest::StatusCode;
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};

use super::fleet::{Fleet, RECOVERED, Reach, response};
use super::kills::probe;
use crate::gateway::{Setting, Variables, is_within, role};

/// The library that tells a process another time.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    let candidates = folders
        .map(|folder| folder.unwrap().path())
        .chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")])
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = candidates.into_iter().find(|path| path.exists());
    found.expect("no libfaketime: run tests/setup test")
}

/// The clock of a gateway.
struct Hands(PathBuf);

impl Hands {
    fn in_folder(folder: &Path) -> Self {
        let hands = Self(folder.join("clock"));
        hands.put(TimeDelta::zero());
        hands
    }

    fn variables(&self) -> Variables {
        vec![
            ("LD_PRELOAD", library().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }

    /// Puts it so far ahead of the true time, or behind it.
    fn put(&self, offset: TimeDelta) {
        let text = format!("{:+}", offset.num_seconds());
        // At once: half a line would be another time.
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }
}

/// Signs `user` in by a response made `offset` from now; what is answered, and the response.
async fn sign_in(
    fleet: &Fleet,
    reach: &Reach,
    user: &str,
    offset: TimeDelta,
) -> (StatusCode, Value, String) {
    let idp = &fleet.world.idp;
    let mut plan = idp.plan("alice");
    user.clone_into(&mut plan.name_id);
    plan.set_aws_attribute("RoleSessionName", &[user]);
    plan.shift(offset);
    let signed = idp.sign(&plan);
    let (status, answer) = reach.post(&reach.urls[0], &signed).await.unwrap();
    (status, answer, signed)
}

async fn leased(reach: &Reach, user: &str) -> (String, String) {
    let order = json!({ "user": user, "role_arn": role("long"), "job": user });
    let path = format!("{}/api/v1/leases", reach.urls[0]);
    let made = reach.api("POST", &path, &reach.launcher, Some(&order), None);
    let (status, made) = made.await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("lease"), text("token"))
}

/// The time that the gateway's process has been at work.
fn worked(fleet: &mut Fleet) -> Duration {
    let stat = format!("/proc/{}/stat", fleet.gateway(0).pid());
    let stat = std::fs::read_to_string(stat).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// A gateway that nobody asks for anything does next to nothing, whatever the clock did: one that turns in a circle
/// is at work all the time. What was asked before may go on in the first second.
async fn is_idle(fleet: &mut Fleet) {
    let mut shares = Vec::new();
    for _ in 0..5 {
        let (before, begun) = (worked(fleet), Instant::now());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let spent = worked(fleet).saturating_sub(before);
        let share = spent.as_secs_f64() / begun.elapsed().as_secs_f64();
        if share < 0.5 {
            return;
        }
        shares.push(share);
    }
    panic!("it is at work for {shares:?} of its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_opens_nothing_and_stops_nothing() {
    let place = tempfile::tempdir().unwrap();
    let hands = Hands::in_folder(place.path());
    let mut setting = Setting::renewing();
    setting.variables.extend(hands.variables());
    let mut fleet = Fleet::on_sqlite_with(setting).await;
    let reach = fleet.reach(hands.variables()).await;
    let url = reach.urls[0].clone();
    let probe = probe(&fleet, &reach).await;
    let (status, _, first) = sign_in(&fleet, &reach, "first", TimeDelta::zero()).await;
    assert_eq!(status, StatusCode::OK);
    let (_, kept) = leased(&reach, "first").await;
    reach.recovered(&url, &kept).await;
    let (revoked, revoked_token) = leased(&reach, "first").await;
    let path = format!("{url}/api/v1/leases/{revoked}");
    let gone = reach
        .api("DELETE", &path, &reach.launcher, None, None)
        .await;
    assert!(gone.unwrap().0.is_success());
    let mut accepted = vec![first];
    let mut slowest = Duration::ZERO;
    let steps = [2, -2, 25, -25].map(TimeDelta::hours);
    for (at, step) in steps.into_iter().enumerate() {
        hands.put(step);
        // By the gateway's clock, what was signed now is of another time.
        let (status, _, _) =
            sign_in(&fleet, &reach, &format!("late-{at}"), TimeDelta::zero()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{step}");
        let (status, answer, signed) = sign_in(&fleet, &reach, &format!("then-{at}"), step).await;
        assert_eq!(status, StatusCode::OK, "{step}: {answer}");
        accepted.push(signed);
        nothing_old(&reach, &url, &kept, step).await;
        let (status, body) = reach.fetch(&url, &revoked_token).await.unwrap();
        assert_eq!(status, StatusCode::FORBIDDEN, "{step}: {body}");
        is_idle(&mut fleet).await;
        if at == 2 {
            // One that starts while the clock is wrong tidies up at once.
            fleet.gateway(0).kill_and_restart().await;
        }
        hands.put(TimeDelta::zero());
        let (begun, back) = (Instant::now(), SystemClock.now());
        for token in [&probe, &kept] {
            reach.recovered(&url, token).await;
        }
        is_within("the recovery", back, RECOVERED);
        slowest = slowest.max(begun.elapsed());
        let user = format!("again-{at}");
        let (status, answer, signed) = sign_in(&fleet, &reach, &user, TimeDelta::zero()).await;
        assert_eq!(status, StatusCode::OK, "{step}: {answer}");
        accepted.push(signed);
        let (_, token) = leased(&reach, &user).await;
        let leased = SystemClock.now();
        reach.recovered(&url, &token).await;
        is_within("a new lease", leased, RECOVERED);
        for signed in &accepted {
            let (status, answer) = reach.post(&url, signed).await.unwrap();
            assert_eq!(status, StatusCode::FORBIDDEN, "{step}: {answer}");
        }
        let (status, body) = reach.fetch(&url, &revoked_token).await.unwrap();
        assert_eq!(status, StatusCode::FORBIDDEN, "{step}: {body}");
        let whole = reach.command(&["audit", "verify"]).await.unwrap();
        assert!(whole.ends_with("are as they were written"), "{whole}");
        is_idle(&mut fleet).await;
    }
    let nobody = response(&fleet.world.idp, "nobody");
    assert_eq!(reach.post(&url, &nobody).await.unwrap().0, StatusCode::OK);
    println!("clock put by ±2 h and ±25 h: slowest recovery {slowest:?}");
}

/// What is served while the clock is wrong ends after both times, the true one and the gateway's.
async fn nothing_old(reach: &Reach, url: &str, token: &str, step: TimeDelta) {
    let (status, body) = reach.fetch(url, token).await.unwrap();
    if status != StatusCode::OK {
        let refused = [StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE];
        assert!(refused.contains(&status), "{body}");
        return;
    }
    let end: chrono::DateTime<chrono::Utc> = body["Expiration"].as_str().unwrap().parse().unwrap();
    let now = SystemClock.now();
    assert!(now < end && now + step < end, "{step}: {end}");
}
