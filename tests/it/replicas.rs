//! Two gateways over one PostgreSQL: what one accepted, edited or revoked counts at the other.

use std::time::{Duration, Instant};

use futures_util::future::join;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setting, World, command, free_port, role};
use crate::parts::postgres::{Postgres, Way};

/// By when what one replica did counts at the other (DESIGN.md, "Commands").
const SEEN: Duration = Duration::from_secs(5);

/// Two replicas, a server, and a way to it for the second.
struct Pair {
    one: World,
    two: Gateway,
    way: Way,
    _server: Postgres,
}

impl Pair {
    async fn start(mut setting: Setting) -> Self {
        let server = Postgres::start();
        let way = Way::to(&server).await;
        setting.tables = format!("[store]\nurl = \"{}\"\n{}", server.url(), setting.tables);
        let mut variables = setting.variables.clone();
        let one = World::with(setting).await;
        let listen = format!("127.0.0.1:{}", free_port());
        variables.push(("ROLEGATE_SERVER__LISTEN", listen.clone()));
        variables.push(("ROLEGATE_STORE__URL", way.url()));
        let (folder, url) = (one.folder.path(), format!("http://{listen}"));
        let two = Gateway::start_with(folder, &url, one.sts.url(), variables).await;
        Self {
            one,
            two,
            way,
            _server: server,
        }
    }

    /// The URLs of `path` at both.
    fn at(&self, path: &str) -> [String; 2] {
        [self.one.gateway.at(path), self.two.at(path)]
    }
}

async fn post(client: &Client, acs: &str, response: &str) -> (StatusCode, Value) {
    let answer = client
        .post(acs)
        .header("Accept", "application/json")
        .form(&[("SAMLResponse", response)])
        .send()
        .await
        .unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn fetch(client: &Client, url: &str, token: &str) -> (StatusCode, Value) {
    let request = client.get(url).header("Authorization", token);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Asks until `done`, and says how long that took.
async fn until(done: impl AsyncFn() -> bool) -> Duration {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while begun.elapsed() < 2 * SEEN {
        ticks.tick().await;
        if done().await {
            return begun.elapsed();
        }
    }
    panic!("it did not happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_posted_to_both_at_once_is_one_sign_in() {
    let pair = Pair::start(Setting::default()).await;
    let client = Client::new();
    let [here, there] = pair.at("/saml/acs");
    for round in 0..200 {
        let response = pair.one.response();
        let both = join(
            post(&client, &here, &response),
            post(&client, &there, &response),
        );
        let (a, b) = both.await;
        let mut statuses = [a.0, b.0];
        statuses.sort();
        assert_eq!(
            statuses,
            [StatusCode::OK, StatusCode::FORBIDDEN],
            "round {round}"
        );
    }
    let sessions = pair
        .one
        .gateway
        .command(&["sessions", "list", "--json"])
        .await;
    let sessions: Value = serde_json::from_str(&sessions.good()).unwrap();
    assert_eq!(sessions.as_array().unwrap().len(), 200);
    let whole = pair.one.gateway.command(&["audit", "verify"]).await.good();
    assert!(whole.ends_with("are as they were written"), "{whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_revocations_at_one_count_at_the_other() {
    let pair = Pair::start(Setting::renewing()).await;
    let client = Client::new();
    let launcher = pair.one.launcher().await;
    let (token, _) = pair.one.sign_in().await;
    let [_, me] = pair.at("/api/v1/me");
    let known = client.get(&me).bearer_auth(&token).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::OK);
    let (status, lease) = pair.one.lease(&launcher, "long").await;
    assert_eq!(status, StatusCode::CREATED, "{lease}");
    let lease_token = lease["token"].as_str().unwrap();
    let [_, credentials] = pair.at("/v1/credentials");
    let status_there = async || fetch(&client, &credentials, lease_token).await.0;
    assert_eq!(status_there().await, StatusCode::OK);

    let arn = role("long");
    let deny = ["roles", "deny", &arn, "--reason", "a test"];
    let entry = pair.one.gateway.command(&deny).await.good();
    let took = until(async || status_there().await == StatusCode::FORBIDDEN).await;
    assert!(took < SEEN, "{took:?}");
    let remove = ["roles", "remove", entry.lines().last().unwrap()];
    pair.one.gateway.command(&remove).await.good();
    let took = until(async || status_there().await == StatusCode::OK).await;
    assert!(took < SEEN, "{took:?}");

    let admin = ["tokens", "create", "ops", "--role", "admin"];
    let admin = pair.one.gateway.command(&admin).await.good();
    let order = json!({ "user": "alice", "reason": "a test" });
    let (status, done) = pair
        .one
        .api("POST", "/api/v1/admin/revoke", &admin, Some(order))
        .await;
    assert_eq!(status, StatusCode::OK, "{done}");
    let took = until(async || status_there().await == StatusCode::FORBIDDEN).await;
    assert!(took < SEEN, "{took:?}");
    let gone = client.get(&me).bearer_auth(&token).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_fetches_over_both_are_one_call_of_sts() {
    let pair = Pair::start(Setting::renewing()).await;
    let launcher = pair.one.launcher().await;
    pair.one.sign_in().await;
    let (_, lease) = pair.one.lease(&launcher, "long").await;
    let token = lease["token"].as_str().unwrap().to_owned();
    let urls = pair.at("/v1/credentials");
    let clients = (0..20).map(|number| {
        let (url, token, client) = (urls[number % 2].clone(), token.clone(), Client::new());
        tokio::spawn(async move {
            let mut keys = std::collections::BTreeSet::new();
            for _ in 0..500 {
                let (status, body) = fetch(&client, &url, &token).await;
                assert_eq!(status, StatusCode::OK, "{body}");
                keys.insert(body["AccessKeyId"].as_str().unwrap().to_owned());
            }
            keys
        })
    });
    let mut all = std::collections::BTreeSet::new();
    for client in clients.collect::<Vec<_>>() {
        all.extend(client.await.unwrap());
    }
    assert_eq!(all.len(), 1);
    assert_eq!(pair.one.sts.calls_for(&role("long")), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_cut_off_from_the_store_hands_out_nothing_and_recovers() {
    let pair = Pair::start(Setting::renewing()).await;
    let client = Client::new();
    let launcher = pair.one.launcher().await;
    let (session, _) = pair.one.sign_in().await;
    let (_, lease) = pair.one.lease(&launcher, "long").await;
    let token = lease["token"].as_str().unwrap();
    let [here, there] = pair.at("/v1/credentials");
    let status = async |url: &str| fetch(&client, url, token).await.0;
    assert_eq!(status(&there).await, StatusCode::OK);
    pair.way.cut();
    let away = StatusCode::SERVICE_UNAVAILABLE;
    let took = until(async || status(&there).await == away).await;
    // Five seconds of silence, and what the question itself takes.
    assert!(took < SEEN + Duration::from_secs(2), "{took:?}");
    assert_eq!(status(&here).await, StatusCode::OK, "the other goes on");
    let [_, acs] = pair.at("/saml/acs");
    assert_eq!(post(&client, &acs, &pair.one.response()).await.0, away);
    let [_, me] = pair.at("/api/v1/me");
    let unknown = client.get(&me).bearer_auth(&session).send().await.unwrap();
    assert_eq!(unknown.status(), away);

    // What was revoked meanwhile is known before anything is served again.
    let id = lease["lease"].as_str().unwrap();
    let revoke = ["revoke", "--lease", id, "--reason", "a test"];
    pair.one.gateway.command(&revoke).await.good();
    pair.way.mend();
    let answers = std::cell::RefCell::new(Vec::new());
    let took = until(async || {
        let answer = status(&there).await;
        answers.borrow_mut().push(answer);
        answer != away
    });
    let took = took.await;
    assert!(took < 2 * SEEN, "{took:?}");
    assert_eq!(answers.borrow().last(), Some(&StatusCode::FORBIDDEN));
    let known = client.get(&me).bearer_auth(&session).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_copy_say_what_is_wrong_with_a_server() {
    let server = Postgres::start();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [there, here] = folders.each_ref().map(tempfile::TempDir::path);
    let written = |folder: &std::path::Path, store: &str| {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://127.0.0.1:1\"\n[store]\n{store}\n"
        );
        std::fs::write(folder.join("rolegate.toml"), text).unwrap();
    };
    let url = server.url();
    let listen = |at: &str| format!("url = \"{url}\"\nlisten_url = \"{at}\"");
    written(there, &listen(&url));
    command(there, &["store", "migrate"], &[]).await.good();
    let checked = command(there, &["check"], &[]).await;
    assert!(!checked.stderr.contains("listen_url"), "{}", checked.stderr);
    written(there, &listen("postgres://gate:hunter2@127.0.0.1:1/gate"));
    let checked = command(there, &["check"], &[]).await;
    let (shown, _) = (checked.stderr.clone(), checked.good());
    assert!(shown.contains("store.listen_url") && shown.contains("refused"));
    assert!(!shown.contains("hunter2"), "{shown}");

    written(here, "url = \"sqlite:rolegate.db\"");
    command(here, &["store", "migrate"], &[]).await.good();
    let refused = command(here, &["store", "copy", &url], &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("used already"),
        "sealed with another key: {}",
        refused.stderr
    );
}
