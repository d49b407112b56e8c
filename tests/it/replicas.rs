//! Two gateways over one PostgreSQL: what one accepted, edited or revoked counts at the other.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use reqwest::{Client, StatusCode};
use rolegate::demo::sts::Fault;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::gateway::{Gateway, Setting, World, command, free_port, role};
use crate::parts::postgres::{Postgres, Way};

/// By when what one replica did counts at the other (DESIGN.md, "Commands").
const SEEN: Duration = Duration::from_secs(5);

/// Two replicas, a server, and a way to it for the second.
struct Pair {
    one: World,
    two: Gateway,
    way: Way,
    server: Postgres,
}

impl Pair {
    async fn start(setting: Setting) -> Self {
        Self::start_with(setting, "").await
    }

    /// As [`Pair::start`], with more lines for `[store]`.
    async fn start_with(mut setting: Setting, store: &str) -> Self {
        let server = Postgres::start();
        let way = Way::to(&server).await;
        let (url, tables) = (server.url(), &setting.tables);
        setting.tables = format!("[store]\nurl = \"{url}\"\n{store}{tables}");
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
            server,
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

/// As [`fetch`], again while the answer is on its way; how often that was is counted in `pending`.
async fn fetched(
    client: &Client,
    url: &str,
    token: &str,
    pending: &mut usize,
) -> (StatusCode, Value) {
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..300 {
        ticks.tick().await;
        let (status, answer) = fetch(client, url, token).await;
        if answer["code"] != "pending" {
            return (status, answer);
        }
        *pending += 1;
    }
    panic!("no answer in a minute");
}

/// Asks until `done`, a minute at most, and says how long after the first time it was last begun to ask in vain: what
/// is answered late, since the machine is, is not held against the gateway.
async fn until(done: impl AsyncFn() -> bool) -> Duration {
    let begun = Instant::now();
    let mut in_vain = Duration::ZERO;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while begun.elapsed() < Duration::from_mins(1) {
        ticks.tick().await;
        let asked = begun.elapsed();
        if done().await {
            return in_vain;
        }
        in_vain = asked;
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
    // Whoever is told of changes listens.
    until(async || pair.listeners().await == 2).await;
    what_one_does_counts_at_the_other(&pair).await;
    let looks = Looks::of(&pair).await;
    let mut gains = Vec::new();
    while gains.last().is_none_or(|gain| *gain > 0.6) {
        assert!(gains.len() < 5, "who is told looks no sooner: {gains:?}");
        gains.push(looks.gain(&pair).await);
    }
}

/// Where nobody can be told of changes, they are asked for.
#[tokio::test(flavor = "multi_thread")]
async fn edits_and_revocations_count_where_no_replica_can_listen() {
    let nowhere = "listen_url = \"postgres://rolegate@127.0.0.1:1/postgres?sslmode=disable\"\n";
    let pair = Pair::start_with(Setting::renewing(), nowhere).await;
    what_one_does_counts_at_the_other(&pair).await;
    assert_eq!(pair.listeners().await, 0);
    let looks = Looks::of(&pair).await;
    let mut gains = Vec::new();
    while gains.last().is_none_or(|gain| *gain < 0.6) {
        assert!(
            gains.len() < 5,
            "who cannot be told looks sooner: {gains:?}"
        );
        gains.push(looks.gain(&pair).await);
    }
}

async fn what_one_does_counts_at_the_other(pair: &Pair) {
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
    until(async || status_there().await == StatusCode::OK).await;

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

/// Hears what the server tells those who listen for changes, by the server's own client.
struct Ear {
    child: tokio::process::Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    marks: usize,
}

impl Ear {
    async fn at(server: &Postgres) -> Self {
        let mut child = tokio::process::Command::new(server.program("psql"))
            .args(["-XqAt", "-d", &server.url()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut ear = Self {
            child,
            lines,
            marks: 0,
        };
        ear.says("LISTEN rolegate;\n").await;
        ear.rings().await;
        ear
    }

    async fn says(&mut self, command: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(command.as_bytes()).await.unwrap();
    }

    /// How often it rang since this was last asked. A ring comes at the commit, so that those of what is committed by
    /// now come before a ring of our own.
    async fn rings(&mut self) -> usize {
        self.marks += 1;
        let mark = format!("mark-{}", self.marks);
        self.says(&format!("NOTIFY rolegate, '{mark}';\n")).await;
        let mut rings = 0;
        loop {
            let line = tokio::time::timeout(Duration::from_mins(1), self.lines.next_line());
            let line = line.await.expect("no word").unwrap().expect("psql ended");
            if line.contains(&format!("\"{mark}\"")) {
                return rings;
            }
            rings += usize::from(line.contains("Asynchronous notification"));
        }
    }
}

impl Pair {
    /// How many connections listen for changes.
    async fn listeners(&self) -> usize {
        let counted = tokio::process::Command::new(self.server.program("psql"))
            .args(["-XqAt", "-d", &self.server.url(), "-c"])
            .arg("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
            .output()
            .await
            .unwrap();
        let counted = String::from_utf8(counted.stdout).unwrap();
        counted.trim().parse().unwrap()
    }
}

/// How often the second replica asks the store for changes, by its metrics.
struct Looks {
    url: String,
    token: String,
}

impl Looks {
    async fn of(pair: &Pair) -> Self {
        let token = ["tokens", "create", "watch", "--role", "auditor"];
        let token = pair.one.gateway.command(&token).await.good();
        let url = pair.two.at("/metrics");
        Self { url, token }
    }

    /// How long ago it last heard from the store, in seconds, at one time as at another.
    async fn last_heard(&self) -> f64 {
        let client = Client::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(37));
        let mut heard = Vec::new();
        while heard.len() < 41 {
            ticks.tick().await;
            let asked = client.get(&self.url).bearer_auth(&self.token).send().await;
            let text = asked.unwrap().text().await.unwrap();
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("rolegate_store_last_heard_seconds "));
            heard.push(line.unwrap().parse().unwrap());
        }
        heard.sort_by(f64::total_cmp);
        heard[heard.len() / 2]
    }

    /// How much of the usual time that is where changes are told all the time.
    async fn gain(&self, pair: &Pair) -> f64 {
        let usual = self.last_heard().await;
        let mut teller = tokio::process::Command::new(pair.server.program("psql"))
            .args(["-XqAt", "-d", &pair.server.url()])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = teller.stdin.take().unwrap();
        let tell = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                stdin.write_all(b"NOTIFY rolegate;\n").await.unwrap();
            }
        };
        let told = tokio::select! {
            () = tell => f64::INFINITY,
            told = self.last_heard() => told,
        };
        told / usual
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_and_nothing_else() {
    let pair = Pair::start(Setting::renewing()).await;
    let (one, launcher) = (&pair.one, pair.one.launcher().await);
    let admin = ["tokens", "create", "ops", "--role", "admin"];
    let admin = one.gateway.command(&admin).await.good();
    let mut ear = Ear::at(&pair.server).await;
    one.sign_in().await;
    assert!(ear.rings().await > 0, "a sign-in");
    let (_, lease) = one.lease(&launcher, "long").await;
    let token = lease["token"].as_str().unwrap();
    let (status, answer) = one.fetched(token).await;
    assert_eq!(status, StatusCode::OK, "{answer}");

    // What a gateway does by itself may ring now and then, a fetch does not.
    let mut silent = false;
    for _ in 0..20 {
        ear.rings().await;
        assert_eq!(one.fetched(token).await.0, StatusCode::OK);
        silent = silent || ear.rings().await == 0;
    }
    assert!(silent);

    let arn = role("brokered");
    let deny = ["roles", "deny", &arn, "--reason", "a test"];
    let entry = one.gateway.command(&deny).await.good();
    assert!(ear.rings().await > 0, "an entry");
    let remove = ["roles", "remove", entry.lines().last().unwrap()];
    one.gateway.command(&remove).await.good();
    assert!(ear.rings().await > 0, "an entry that goes");
    let path = format!("/api/v1/leases/{}", lease["lease"].as_str().unwrap());
    one.api("DELETE", &path, &launcher, None).await;
    assert!(ear.rings().await > 0, "a lease that is revoked");
    let order = json!({ "user": "alice", "reason": "a test", "hold": true });
    let path = "/api/v1/admin/revoke";
    let (status, done) = one.api("POST", path, &admin, Some(order)).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert!(ear.rings().await > 0, "a hold");
}

/// While AWS takes its time, both are asked for the same, and neither asks it a second time.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_fetches_over_both_while_sts_is_asked_are_one_call() {
    let pair = Pair::start(Setting::renewing()).await;
    let launcher = pair.one.launcher().await;
    let client = Client::new();
    pair.one.sign_in().await;
    let sts = &pair.one.sts;
    sts.set_fault(Fault::Slow(Duration::from_secs(9)));
    let orders = pair.at("/api/v1/leases");
    // The last two want other credentials, for which another call is made.
    let policy = json!({ "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } });
    let leases = join_all((0..4).map(|number| {
        let job = format!("job-{number}");
        let mut order = json!({ "user": "alice", "role_arn": role("long"), "job": job });
        if number >= 2 {
            order["session_policy"] = policy.clone();
        }
        let call = client.post(&orders[number % 2]).bearer_auth(&launcher);
        async move {
            let answer = call.json(&order).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::CREATED);
            let lease: Value = answer.json().await.unwrap();
            lease["token"].as_str().unwrap().to_owned()
        }
    }));
    let leases = leases.await;
    until(async || sts.calls_for(&role("long")) >= 2).await;
    let urls = pair.at("/v1/credentials");
    let clients = (0..20).map(|number| {
        let (url, client) = (urls[number % 2].clone(), client.clone());
        let (token, other) = (
            leases[number / 2 % 2].clone(),
            leases[2 + number % 2].clone(),
        );
        tokio::spawn(async move {
            let mut keys = [BTreeSet::new(), BTreeSet::new()];
            let mut pending = 0;
            for at in 0..500 {
                let narrow = usize::from(at % 10 == 9);
                let token = [&token, &other][narrow];
                let (status, body) = fetched(&client, &url, token, &mut pending).await;
                assert_eq!(status, StatusCode::OK, "{body}");
                keys[narrow].insert(body["AccessKeyId"].as_str().unwrap().to_owned());
            }
            (number % 2, pending, keys)
        })
    });
    let mut all = [BTreeSet::new(), BTreeSet::new()];
    let mut waited = [0, 0];
    for client in clients.collect::<Vec<_>>() {
        let (at, pending, keys) = client.await.unwrap();
        waited[at] += pending;
        let [wide, narrow] = keys;
        all[0].extend(wide);
        all[1].extend(narrow);
    }
    assert!(waited.iter().all(|pending| *pending > 0), "{waited:?}");
    assert_eq!(all.each_ref().map(BTreeSet::len), [1, 1]);
    assert_ne!(all[0], all[1]);
    assert_eq!(sts.calls_for(&role("long")), 2);
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
    let (first, answer) = fetched(&client, &there, token, &mut 0).await;
    assert_eq!(first, StatusCode::OK, "{answer}");
    pair.way.cut();
    let away = StatusCode::SERVICE_UNAVAILABLE;
    let took = until(async || status(&there).await == away).await;
    // Five seconds of silence; nobody who asked after that was given anything. The last answer of the store may have
    // lain for a moment.
    assert!(took < SEEN + Duration::from_secs(1), "{took:?}");
    let (goes_on, answer) = fetched(&client, &here, token, &mut 0).await;
    assert_eq!(goes_on, StatusCode::OK, "the other goes on: {answer}");
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
    until(async || {
        let answer = status(&there).await;
        answers.borrow_mut().push(answer);
        answer != away
    })
    .await;
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
