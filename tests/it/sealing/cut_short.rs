//! `kill -9` in the middle of a rotation of master keys and of a removal of old audit records, while gateways serve.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use rolegate::audit::{self, Event, EventKind, Recorder};
use rolegate::model::{Clock, OsEntropy, SystemClock};
use rolegate::store::{KeySource, MasterKeyId, MasterKeyState, MasterKeys, Store, StoreSettings};
use sqlx::AnyPool;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::gateway::{Gateway, Setting, World, free_port};
use crate::parts::postgres::Postgres;

/// What takes longer on a slow machine is hung.
const PATIENCE: Duration = Duration::from_mins(1);

/// A command that is under way, in `folder`.
fn begin(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ROLEGATE_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits until `done` says so.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let waiting = async {
        while !done().await {
            ticks.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{what} does not come");
}

/// The store of a world, opened by this process with a clock of its own.
async fn opened(folder: &Path, url: String, clock: Arc<dyn Clock>) -> Store {
    let source = KeySource::File(folder.join("rolegate.key"));
    let master_keys = MasterKeys::load_or_create(source, true).await.unwrap();
    let settings = StoreSettings {
        url,
        listen_url: None,
        master_keys,
        without_assignments: std::collections::BTreeSet::new(),
    };
    let entropy = Arc::new(OsEntropy);
    Store::open(settings, clock, entropy).await.unwrap()
}

/// Two gateways on one server.
async fn two(server: &Postgres) -> (World, Gateway) {
    let mut setting = Setting::default();
    let store = format!("[store]\nurl = \"{}\"\n", server.url());
    setting.tables = format!("{store}{}", setting.tables);
    let one = World::with(setting).await;
    let listen = format!("127.0.0.1:{}", free_port());
    let variables = vec![("ROLEGATE_SERVER__LISTEN", listen.clone())];
    let url = format!("http://{listen}");
    let two = Gateway::start_with(one.folder.path(), &url, one.sts.url(), variables).await;
    (one, two)
}

/// Fetches from all of `urls` until it is told that it is over; how often it did.
fn fetch_on(urls: Vec<String>, job: String, over: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let over = Arc::clone(over);
    tokio::spawn(async move {
        let client = Client::new();
        let mut fetched = 0;
        while !over.load(Ordering::Relaxed) {
            for url in &urls {
                let request = client.get(url).header("Authorization", &job);
                let answer = request.send().await.unwrap();
                let status = answer.status();
                let told = answer.text().await.unwrap();
                // An answer may be late while the store is kept waiting; it is never a refusal.
                let late = status == StatusCode::SERVICE_UNAVAILABLE;
                assert!(status == StatusCode::OK || late, "{status}: {told}");
                fetched += usize::from(status == StatusCode::OK);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        fetched
    })
}

/// A lease that both gateways have served.
async fn job(one: &World, two: &Gateway) -> (String, Vec<String>) {
    let launcher = one.launcher().await;
    one.sign_in().await;
    let (_, lease) = one.lease(&launcher, "reader").await;
    let job = lease["token"].as_str().unwrap().to_owned();
    assert_eq!(one.fetched(&job).await.0, StatusCode::OK);
    let urls = vec![one.gateway.at("/v1/credentials"), two.at("/v1/credentials")];
    (job, urls)
}

async fn former(store: &Store) -> Vec<(MasterKeyId, u64)> {
    let mut found = Vec::new();
    for key in store.master_keys().await.unwrap() {
        if key.state == MasterKeyState::Former {
            found.push((key.id, store.sealed_under(key.id).await.unwrap()));
        }
    }
    found
}

/// The values of a table that are sealed under the key that was first.
async fn left(pool: &AnyPool, table: &str, column: &str) -> i64 {
    let sql = format!(
        "SELECT COUNT(*) FROM {table} WHERE substr({column}, 1, 4) =
         (SELECT id FROM sealing_keys ORDER BY created_at LIMIT 1)"
    );
    let counted = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    counted.fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_midway_is_finished_by_the_next_one() {
    let server = Postgres::start();
    let (one, two) = two(&server).await;
    let generate = ["keys", "generate", "--use", "signing"];
    one.gateway.command(&generate).await.good();
    let (job, urls) = job(&one, &two).await;
    let over = Arc::new(AtomicBool::new(false));
    let fetching = fetch_on(urls, job.clone(), &over);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = opened(one.folder.path(), server.url(), clock).await;
    let [old] = store.held_master_keys().try_into().unwrap();

    // Whoever seals anew gets as far as the service keys, and stands there.
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(&server.url()).await.unwrap();
    let mut barrier = pool.begin().await.unwrap();
    sqlx::query("SELECT id FROM service_keys FOR UPDATE")
        .fetch_all(&mut *barrier)
        .await
        .unwrap();
    let mut rotating = begin(one.folder.path(), &["keys", "rotate"]);
    until("the middle", async || {
        let known = store.master_keys().await.unwrap();
        known.len() == 2 && left(&pool, "sessions", "parts").await == 0
    })
    .await;
    rotating.kill().await.unwrap();
    let cut = former(&store).await;
    assert_eq!(cut.len(), 1);
    assert!(cut[0].0 == old && cut[0].1 > 0, "{cut:?}");
    assert!(left(&pool, "service_keys", "sealed").await > 0);

    // The next one goes on with it, and makes no third key.
    let mut barrier = Some(barrier);
    let told = loop {
        let mut again = begin(one.folder.path(), &["keys", "rotate"]);
        let told = said(&mut again, "no other key takes over").await;
        if told.is_ok()
            && let Some(barrier) = barrier.take()
        {
            barrier.rollback().await.unwrap();
        }
        let ended = tokio::time::timeout(PATIENCE, again.wait()).await;
        let ended = ended.expect("it does not end").unwrap();
        match told {
            Ok(told) => {
                assert!(ended.success(), "{told}");
                break told;
            }
            // Who stands at the barrier keeps others waiting for as long as a statement may take.
            Err(told) => assert!(told.contains("the store does not answer"), "{told}"),
        }
    };
    assert!(told.contains("cut short"), "{told}");
    assert_eq!(former(&store).await, [(old, 0)]);
    over.store(true, Ordering::Relaxed);
    assert!(fetching.await.unwrap() > 0);
    let retire = ["keys", "retire", &old.to_string()];
    one.gateway.command(&retire).await.good();
    let keys = store.master_keys().await.unwrap();
    assert_eq!(keys.len(), 2, "one before and one after");
    assert_eq!(one.fetched(&job).await.0, StatusCode::OK);
    let whole = one.gateway.command(&["audit", "verify"]).await.good();
    assert!(whole.contains("are as they were written"), "{whole}");
    for log in [one.gateway.log(), two.log()] {
        for trouble in ["master_key_missing", "master_keys_forged"] {
            assert!(!log.contains(trouble), "{log}");
        }
    }
}

/// Reads what a command says until `wanted` is in it, and leaves the rest; what it said instead where it ended.
async fn said(child: &mut Child, wanted: &str) -> Result<String, String> {
    use tokio::io::AsyncReadExt;
    let mut told = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let mut bytes = [0; 1024];
    let reading = async {
        while !told.contains(wanted) {
            let length = stderr.read(&mut bytes).await.unwrap();
            if length == 0 {
                return Err(told);
            }
            told.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        Ok(told)
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    // What it says later is read too, or it could not go on.
    tokio::spawn(async move { while matches!(stderr.read(&mut bytes).await, Ok(1..)) {} });
    read.expect("it says nothing")
}

async fn first_record(store: &Store) -> i64 {
    audit::list(store, 0, 1).await.unwrap()[0].seq
}

async fn is_whole(gateway: &Gateway) {
    let whole = gateway.command(&["audit", "verify"]).await.good();
    assert!(whole.contains("are as they were written"), "{whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_of_old_records_that_is_killed_midway_leaves_a_chain_that_is_proved() {
    const MANY: i64 = 6_000;
    let server = Postgres::start();
    let (one, two) = two(&server).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = opened(one.folder.path(), server.url(), Arc::clone(&clock)).await;
    let recorder = Recorder::start(store.clone(), clock);
    let all = (0..MANY).map(|_| recorder.record(Event::new(EventKind::GatewayStarted)));
    futures_util::future::try_join_all(all).await.unwrap();
    let (job, urls) = job(&one, &two).await;
    let over = Arc::new(AtomicBool::new(false));
    let fetching = fetch_on(urls, job, &over);

    let prune = ["audit", "prune", "--before", "0s"];
    let mut midway = 0;
    for _ in 0..3 {
        let before = first_record(&store).await;
        if before > MANY {
            break;
        }
        let mut pruning = begin(one.folder.path(), &prune);
        until("a removal", async || first_record(&store).await > before).await;
        pruning.kill().await.unwrap();
        is_whole(&one.gateway).await;
        midway += usize::from(first_record(&store).await <= MANY);
    }
    assert!(midway > 0, "it was over before it was killed");
    one.gateway.command(&prune).await.good();
    assert!(first_record(&store).await > MANY);
    is_whole(&one.gateway).await;
    over.store(true, Ordering::Relaxed);
    assert!(fetching.await.unwrap() > 0);
    for log in [one.gateway.log(), two.log()] {
        assert!(!log.contains("audit_put_back"), "{log}");
    }
}
