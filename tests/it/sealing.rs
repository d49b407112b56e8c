//! Another master key takes over while gateways serve: from a file, among replicas, from a command.

mod cut_short;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::gateway::{Gateway, Setting, World, free_port};
use crate::parts::postgres::Postgres;

/// The keys of a file: what stands on its lines that are no comments.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

async fn master_keys(gateway: &Gateway) -> Vec<(String, String)> {
    let listed = gateway.command(&["keys", "list", "--json"]).await.good();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let keys = listed.as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    keys.filter(|key| key["use"] == "master")
        .map(|key| (text(&key["id"]), text(&key["state"])))
        .collect()
}

async fn is_fetched(url: &str, token: &str) -> StatusCode {
    let request = Client::new().get(url).header("Authorization", token);
    request.send().await.unwrap().status()
}

/// Asks until it says `wanted`, for a minute at most.
async fn becomes(wanted: StatusCode, ask: impl AsyncFn() -> StatusCode) {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut last = wanted;
    for _ in 0..600 {
        ticks.tick().await;
        last = ask().await;
        if last == wanted {
            return;
        }
    }
    panic!("it stays {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_takes_over_while_jobs_fetch_and_people_sign_in() {
    let mut world = World::start().await;
    let key_file = world.folder.path().join("rolegate.key");
    let launcher = world.launcher().await;
    let (session, _) = world.sign_in().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let job = lease["token"].as_str().unwrap().to_owned();
    let before = lines(&key_file);
    let [(old, _)] = master_keys(&world.gateway).await.try_into().unwrap();

    let over = Arc::new(AtomicBool::new(false));
    let fetching = {
        let (over, job) = (Arc::clone(&over), job.clone());
        let url = world.gateway.at("/v1/credentials");
        tokio::spawn(async move {
            let client = Client::new();
            let mut fetched = 0;
            while !over.load(Ordering::Relaxed) {
                let request = client.get(&url).header("Authorization", &job);
                let answer = request.send().await.unwrap();
                let status = answer.status();
                let told = answer.text().await.unwrap();
                assert_eq!(status, StatusCode::OK, "{told}");
                fetched += 1;
            }
            fetched
        })
    };
    let rotating = async {
        let rotated = world.gateway.command(&["keys", "rotate", "--json"]).await;
        let told = rotated.stderr.clone();
        let rotated: Value = serde_json::from_str(&rotated.good()).unwrap();
        assert!(
            told.contains(&format!("rolegate keys retire {old}")),
            "{told}"
        );
        let retired = world.gateway.command(&["keys", "retire", &old]).await;
        retired.good();
        over.store(true, Ordering::Relaxed);
        rotated
    };
    let signing_in = async {
        let mut signed_in = 0;
        while !over.load(Ordering::Relaxed) {
            world.sign_in().await;
            signed_in += 1;
        }
        signed_in
    };
    let (rotated, signed_in) = futures_util::future::join(rotating, signing_in).await;
    assert!(fetching.await.unwrap() > 0 && signed_in > 0);
    assert!(rotated["resealed"].as_u64().unwrap() > 0, "{rotated}");
    let new = rotated["id"].as_str().unwrap().to_owned();
    let known = master_keys(&world.gateway).await;
    let of = |id: &str| {
        known
            .iter()
            .find(|key| key.0 == id)
            .map(|key| key.1.as_str())
    };
    assert_eq!((of(&old), of(&new)), (Some("retired"), Some("current")));
    let after = lines(&key_file);
    assert!(after.len() == 1 && after != before, "the new key alone");

    world.gateway.kill_and_restart().await;
    assert_eq!(world.fetched(&job).await.0, StatusCode::OK);
    let (status, me) = world.api("GET", "/api/v1/me", &session, None).await;
    assert_eq!(status, StatusCode::OK, "{me}");
    let whole = world.gateway.command(&["audit", "verify"]).await.good();
    assert!(whole.ends_with("are as they were written"), "{whole}");
    let audit = world.gateway.command(&["audit", "export"]).await.good();
    for (kind, id) in [
        ("master_key_added", &new),
        ("master_key_rotated", &new),
        ("master_key_retired", &old),
    ] {
        let told = audit.lines().any(|line| {
            line.contains(kind) && line.contains(id.as_str()) && line.contains("local:")
        });
        assert!(told, "{kind}");
    }
    // The old key alone is the wrong one from now on.
    std::fs::write(&key_file, &before[0]).unwrap();
    let refused = world.gateway.command(&["roles", "list"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("rolegate.key"),
        "{}",
        refused.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_the_new_key_is_named_and_once_it_has_it_all_goes_on() {
    let server = Postgres::start();
    let store = format!("[store]\nurl = \"{}\"\n", server.url());
    let mut setting = Setting::default();
    setting.tables = format!("{store}{}", setting.tables);
    let one = World::with(setting).await;
    let (key, copy) = (
        one.folder.path().join("rolegate.key"),
        one.folder.path().join("copy.key"),
    );
    std::fs::copy(&key, &copy).unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let variables = vec![
        ("ROLEGATE_SERVER__LISTEN", listen.clone()),
        ("ROLEGATE_STORE__MASTER_KEY_FILE", "copy.key".to_owned()),
    ];
    let url = format!("http://{listen}");
    let two = Gateway::start_with(one.folder.path(), &url, one.sts.url(), variables).await;
    let launcher = one.launcher().await;
    one.sign_in().await;
    let (_, lease) = one.lease(&launcher, "reader").await;
    let job = lease["token"].as_str().unwrap();
    let there = two.at("/v1/credentials");
    becomes(StatusCode::OK, async || is_fetched(&there, job).await).await;
    let [(old, _)] = master_keys(&one.gateway).await.try_into().unwrap();

    let refused = one.gateway.command(&["keys", "rotate"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let host = whoami::hostname().unwrap();
    let lacks = format!("in the store: {host} (");
    assert!(refused.stderr.contains(&lacks), "{}", refused.stderr);
    assert!(!refused.stderr.contains("), "), "one: {}", refused.stderr);
    assert!(refused.stderr.contains("copy "), "{}", refused.stderr);
    let states = master_keys(&one.gateway).await;
    assert_eq!(states[0], (old.clone(), "current".to_owned()));
    let (new, state) = states[1].clone();
    assert_eq!(state, "next");
    let checked = one.gateway.command(&["check"]).await;
    assert!(checked.stderr.contains(&new), "{}", checked.stderr);

    std::fs::copy(&key, &copy).unwrap();
    let rotated = one.gateway.command(&["keys", "rotate"]).await.good();
    assert_eq!(rotated, new, "the very key that was made before");
    one.gateway.command(&["keys", "retire", &old]).await.good();
    let (_, fresh) = one.lease(&launcher, "writer").await;
    for token in [job, fresh["token"].as_str().unwrap()] {
        becomes(StatusCode::OK, async || is_fetched(&there, token).await).await;
        assert_eq!(one.fetched(token).await.0, StatusCode::OK);
    }
    for log in [one.gateway.log(), two.log()] {
        assert!(!log.contains("master_key_missing"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_command_prints_are_rotated_by_whoever_keeps_them() {
    let key = |byte: u8| openssl::base64::encode_block(&[byte; 32]);
    let setting = Setting {
        prepare: |folder| {
            let line = openssl::base64::encode_block(&[1; 32]);
            std::fs::write(folder.join("vault"), line).unwrap();
        },
        tables: "[store]\nmaster_key_command = [\"cat\", \"vault\"]\n".to_owned(),
        ..Setting::default()
    };
    let mut world = World::with(setting).await;
    let vault = world.folder.path().join("vault");
    assert!(!world.folder.path().join("rolegate.key").exists());
    let launcher = world.launcher().await;
    world.sign_in().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let job = lease["token"].as_str().unwrap();
    let [(old, _)] = master_keys(&world.gateway).await.try_into().unwrap();

    let none = world.gateway.command(&["keys", "rotate"]).await;
    assert_eq!(none.status.code(), Some(1));
    assert!(
        none.stderr.contains("openssl rand -base64 32"),
        "{}",
        none.stderr
    );
    std::fs::write(&vault, format!("{}\n{}\n", key(1), key(2))).unwrap();
    world.gateway.hang_up();
    world.gateway.logged("master_keys_read").await;
    let new = world.gateway.command(&["keys", "rotate"]).await.good();

    // Not retired yet, the old key is needed.
    std::fs::write(&vault, key(2)).unwrap();
    let lacking = world.gateway.command(&["check"]).await;
    assert_eq!(lacking.status.code(), Some(1));
    let (told, wanted) = (&lacking.stderr, format!("line with {old} back"));
    assert!(
        told.contains(&wanted) && told.contains("the command cat"),
        "{told}"
    );
    std::fs::write(&vault, format!("{}\n{}\n", key(1), key(2))).unwrap();
    let retired = world.gateway.command(&["keys", "retire", &old]).await;
    assert!(retired.stderr.contains("take it out"), "{}", retired.stderr);
    retired.good();
    std::fs::write(&vault, key(2)).unwrap();
    world.gateway.kill_and_restart().await;
    assert_eq!(world.fetched(job).await.0, StatusCode::OK);
    let states = master_keys(&world.gateway).await;
    assert!(states.contains(&(new, "current".to_owned())), "{states:?}");

    // Its own words for what is wrong, and nothing of what it printed.
    std::fs::remove_file(&vault).unwrap();
    let failed = world.gateway.command(&["roles", "list"]).await;
    assert_eq!(failed.status.code(), Some(1));
    assert!(failed.stderr.contains("No such file"), "{}", failed.stderr);
    assert_eq!(world.fetched(job).await.0, StatusCode::OK, "it serves on");
}
