//! A disk that is full under load: a small file system in memory, filled up and freed again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rolegate::model::{Clock, SystemClock};
use serde_json::json;

use super::chance::Chance;
use super::fleet::{Fleet, RECOVERED, Reach, response};
use super::journal::Journal;
use super::kills::probe;
use super::load::Load;
use super::proof::prove;
use super::rounds;
use crate::gateway::{Setting, is_within, role};

/// Says that this process has user and mount namespaces of its own.
const INSIDE: &str = "ROLEGATE_FAULTS_INSIDE";

/// A file system of twelve MiB; it goes with the value.
struct Disk(tempfile::TempDir);

impl Disk {
    /// None where this process may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m,mode=0700", "none"])
            .arg(folder.path())
            .output()
            .unwrap();
        mounted.status.success().then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes what room there is, to the last byte.
    fn fill(&self) {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.filler())
            .unwrap();
        for size in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Runs this test in namespaces of its own, where anybody may mount.
fn inside() {
    assert!(
        std::env::var_os(INSIDE).is_none(),
        "no tmpfs can be mounted, neither as root nor by unshare -rm: run the tests where one of them may"
    );
    let here = std::env::current_exe().unwrap();
    let run = Command::new("unshare")
        .arg("-rm")
        .arg(here)
        .args(["--exact", "--nocapture"])
        .arg("faults::disk::a_full_disk_refuses_and_loses_nothing")
        .env(INSIDE, "1")
        .status();
    assert!(run.unwrap().success());
}

/// Signs people in until one gets `wanted`; how long that took.
async fn until(fleet: &Fleet, reach: &Reach, wanted: StatusCode, chance: &mut Chance) -> Duration {
    let begun = Instant::now();
    while begun.elapsed() < 2 * RECOVERED {
        let user = format!("disk-{}", chance.below(1_000_000_000));
        let signed = response(&fleet.world.idp, &user);
        let (status, answer) = reach.post(&reach.urls[0], &signed).await.unwrap();
        if status == wanted {
            return begun.elapsed();
        }
        assert!(
            matches!(status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE),
            "{answer}"
        );
    }
    panic!("no {wanted} in {:?}: {}", begun.elapsed(), fleet.log());
}

/// Asks for leases until `/readyz` answers so: the gateway knows of a full disk once it could not write a record.
async fn until_ready_is(reach: &Reach, wanted: StatusCode) {
    let url = &reach.urls[0];
    let path = format!("{url}/api/v1/leases");
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < 6 * RECOVERED {
        let answer = reqwest::get(format!("{url}/readyz")).await.unwrap();
        if answer.status() == wanted {
            return;
        }
        last = answer.text().await.unwrap();
        let order = json!({ "user": "probe", "role_arn": role("long"), "job": "full" });
        let asked = reach.api("POST", &path, &reach.launcher, Some(&order), None);
        asked.await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("/readyz is not {wanted}: {last}");
}

/// What does not go while the disk is full, and what does.
async fn refuses(reach: &Reach, probe: &str) {
    let url = &reach.urls[0];
    let order = json!({ "user": "probe", "role_arn": role("long"), "job": "full" });
    let path = format!("{url}/api/v1/leases");
    let made = reach.api("POST", &path, &reach.launcher, Some(&order), None);
    let (status, made) = made.await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{made}");
    let arn = role("full");
    let allow = ["roles", "allow", &arn, "--reason", "a test"];
    let refused = reach.command(&allow).await.unwrap_err();
    assert!(refused.contains("disk has room"), "{refused}");
    // What was handed out and recorded before needs no disk.
    let (status, body) = reach.fetch(url, probe).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
}

/// What SQLite itself says of the file.
async fn integrity(path: &Path) -> String {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite:{}", path.display());
    let pool = sqlx::AnyPool::connect(&url).await.unwrap();
    let found = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&pool)
        .await
        .unwrap();
    pool.close().await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_loses_nothing() {
    let Some(disk) = Disk::mount() else {
        return inside();
    };
    let mut setting = Setting::renewing();
    let database = disk.path().join("rolegate.db");
    setting.tables = format!(
        "[store]\nurl = \"sqlite:{}\"\n{}",
        database.display(),
        setting.tables
    );
    let mut fleet = Fleet::on_sqlite_with(setting).await;
    let mut chance = Chance::of("disk full");
    let begun = Instant::now();
    let reach = fleet.reach(Vec::new()).await;
    let probe = probe(&fleet, &reach).await;
    let journal = Arc::new(Journal::default());
    let load = Load::start(&reach, &fleet.world.idp, &journal, &mut chance);
    let times = rounds(2).div_ceil(10).max(2);
    let mut slowest = Duration::ZERO;
    for _ in 0..times {
        tokio::time::sleep(chance.moment(500)).await;
        disk.fill();
        until(&fleet, &reach, StatusCode::SERVICE_UNAVAILABLE, &mut chance).await;
        // What SQLite had room for in its log is used up too.
        disk.fill();
        until(&fleet, &reach, StatusCode::SERVICE_UNAVAILABLE, &mut chance).await;
        refuses(&reach, &probe).await;
        until_ready_is(&reach, StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(fleet.gateway(0).runs());
        disk.free();
        let freed = SystemClock.now();
        let took = until(&fleet, &reach, StatusCode::OK, &mut chance).await;
        is_within("the recovery", freed, RECOVERED);
        until_ready_is(&reach, StatusCode::OK).await;
        slowest = slowest.max(took);
        if !load.goes_on() {
            break;
        }
    }
    load.end().await;
    assert!(fleet.gateway(0).runs());
    prove(&reach, &journal).await;
    assert_eq!(integrity(&database).await, "ok");
    println!(
        "disk full: {times} times in {:?}; slowest recovery {slowest:?}\ndisk full: {}",
        begun.elapsed(),
        journal.open().summary()
    );
}
