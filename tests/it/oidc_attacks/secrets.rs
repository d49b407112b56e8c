//! Where secrets must not be: after a whole life of sign-ins, the bytes of everything that rolegate wrote or said
//! are searched for every secret that the provider gave or was given, in every usual spelling.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::callback::{changed, set};
use super::stage::{Answer, Browser, Stage};
use crate::gateway::role;
use crate::parts::rogue_provider::{CLIENT_SECRET, Reply, Secrets, brought, reply, token};
use crate::parts::search::{Needles, files};

/// Every text that is looked for, with what it is of.
fn needles(secrets: &Secrets) -> Needles {
    let mut needles = Needles::default();
    for (kind, known) in [
        ("code", &secrets.codes),
        ("verifier", &secrets.verifiers),
        ("nonce", &secrets.nonces),
        ("access token", &secrets.access_tokens),
        ("refresh token", &secrets.refresh_tokens),
    ] {
        assert!(!known.is_empty(), "no {kind}");
        for secret in known {
            needles.add(kind, secret);
        }
    }
    for secret in &secrets.id_tokens {
        // Claims and signature; the header is the same for all.
        for part in secret.split('.').skip(1).filter(|part| part.len() >= 20) {
            needles.add("ID token", part);
        }
    }
    needles.add("client secret", CLIENT_SECRET);
    needles
}

/// All files of `folder` but those that an admin put there, with their bytes.
fn ours(folder: &Path) -> Vec<(String, Vec<u8>)> {
    files(folder, &|path| {
        path.extension().is_none_or(|kind| kind != "secret")
    })
}

/// What was said in the whole life, by where.
#[derive(Default)]
struct Said(Vec<(String, Vec<u8>)>);

impl Said {
    fn add(&mut self, place: &str, text: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), text.into()));
    }

    /// An answer: its body, and its headers but the way to the provider, which is the protocol's.
    fn answer(&mut self, stage: &Stage, place: &str, answer: &Answer) {
        self.add(place, answer.text.clone());
        for (name, value) in &answer.headers {
            let away = name == "location" && value.starts_with(stage.rogue.url());
            if !away {
                self.add(&format!("{place}, {name}"), value.clone());
            }
        }
    }

    fn value(&mut self, place: &str, (status, answer): (StatusCode, Value)) -> StatusCode {
        self.add(place, answer.to_string());
        status
    }
}

/// The value of the form field `name`.
fn field(page: &str, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    let after = page.split_once(&mark).expect(page).1;
    after.split_once('"').unwrap().0.to_owned()
}

/// Sign-ins in a browser and in a program, pages, leases, refreshes.
async fn good_days(stage: &Stage, said: &mut Said, browser: &Browser) {
    stage.rogue.script(|script| {
        script.life = 50;
        script.refreshed_life = 50;
    });
    let begun = browser.get(&stage.gateway.at("/oidc/rogue/login")).await;
    said.answer(stage, "the way to the provider", &begun);
    let target = begun.header("location").unwrap().parse().unwrap();
    let back = browser.visit(&target).await;
    let answer = browser.get(back.as_str()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    said.answer(stage, "the callback", &answer);
    for page in ["/", "/login"] {
        let answer = browser.get(&stage.gateway.at(page)).await;
        said.answer(stage, page, &answer);
    }
    let answer = stage.sign_in().await;
    said.answer(stage, "a program's callback", &answer);
    let session = answer.token();
    let launcher = stage.gateway.launcher().await;
    let mut leases = vec![stage.lease(&launcher, "long", json!({})).await];
    for at in 0..2 {
        let policy = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": "s3:GetObject", "Resource": format!("arn:aws:s3:::{at}/*") } ] });
        let more = json!({ "session_policy": policy });
        leases.push(stage.lease(&launcher, "wide", more).await);
    }
    for lease in &leases {
        let status = said.value("a fetch", stage.fetch(lease).await);
        assert_eq!(status, StatusCode::OK);
    }
    assert!(stage.rogue.count("refresh") >= 1);
    for path in ["/api/v1/me", "/api/v1/leases"] {
        said.value(path, stage.call("GET", path, &session, None).await);
    }
    let own = json!({ "role_arn": role("long") });
    let own = stage.call("POST", "/api/v1/credentials", &session, Some(own));
    said.value("credentials", own.await);
}

/// Refusals of every kind, and a provider in trouble.
async fn bad_days(stage: &Stage, said: &mut Said, browser: &Browser) {
    let wrong =
        |name: &'static str, value: Value| token(move |draft| draft.claims[name] = value.clone());
    for edit in [
        wrong("nonce", json!("another-nonce-0123456789")),
        wrong("aud", json!("another")),
        wrong("exp", json!(1)),
        wrong("sub", json!(7)),
        wrong("aws_role_session_name", json!("a/b")),
        token(|draft| draft.header["alg"] = json!("RS512")),
        token(|draft| draft.claims["padding"] = json!("x".repeat(20_000))),
    ] {
        stage.rogue.script(|script| script.id_token = edit);
        let answer = browser.sign_in(stage, "rogue").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
        said.answer(stage, "a refusal", &answer);
    }
    stage.rogue.behave();
    let code = |pairs: &mut Vec<(String, String)>| {
        pairs
            .iter()
            .find(|pair| pair.0 == "code")
            .unwrap()
            .1
            .clone()
    };
    stage.rogue.script(|script| {
        // Secrets where no secret belongs.
        script.authorization = brought(move |pairs| {
            let code = code(pairs);
            pairs.push(("session_state".to_owned(), code));
        });
    });
    let back = browser.callback(stage, "rogue").await;
    for change in [
        set("state", "another"),
        set("code", ""),
        set("iss", "http://127.0.0.1:1"),
    ] {
        let bad = changed(&back, change);
        let answer = browser.get(bad.as_str()).await;
        said.answer(stage, "a refused callback", &answer);
    }
    stage.rogue.behave();
    for edit in [
        reply(|reply| reply.status = 500),
        reply(|reply| reply.status = 400),
        reply(|reply| reply.json["token_type"] = json!(7)),
        reply(|reply| *reply = Reply::error(400, "invalid_grant")),
    ] {
        stage.rogue.script(|script| script.exchange = edit);
        let answer = browser.sign_in(stage, "rogue").await;
        assert!(!answer.status.is_success(), "{}", answer.text);
        said.answer(stage, "a failed exchange", &answer);
    }
    stage.rogue.behave();
    // Refreshes that fail.
    let launcher = stage.gateway.launcher().await;
    assert_eq!(stage.sign_in().await.status, StatusCode::OK);
    let lease = stage.lease(&launcher, "long", json!({})).await;
    for edit in [
        reply(|reply| reply.status = 500),
        reply(|reply| reply.json["id_token"] = json!("a.b.c")),
        reply(|reply| *reply = Reply::error(400, "invalid_grant")),
    ] {
        stage.rogue.script(|script| {
            script.life = 50;
            script.refresh = edit;
        });
        assert_eq!(stage.sign_in().await.status, StatusCode::OK);
        said.value("a fetch in vain", stage.fetch(&lease).await);
    }
    stage.rogue.behave();
}

/// Signs the browser out, here and at the provider.
async fn sign_out(stage: &Stage, said: &mut Said, browser: &Browser) {
    let answer = browser.sign_in(stage, "rogue").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let portal = browser.get(&stage.gateway.at("/")).await;
    let form = [("csrf", field(&portal.text, "csrf"))];
    let request = browser.client.post(stage.gateway.at("/logout"));
    let request = request.header("Origin", stage.gateway.at("")).form(&form);
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert!(!answer.status.is_client_error(), "{}", answer.text);
    said.answer(stage, "a sign-out", &answer);
    let pattern = regex_lite::Regex::new("/oidc/rogue/logout\\?request=[A-Za-z0-9_-]+").unwrap();
    let whole = format!(
        "{} {}",
        answer.header("location").unwrap_or(""),
        answer.text
    );
    if let Some(way) = pattern.find(&whole) {
        let answer = browser.get(&stage.gateway.at(way.as_str())).await;
        said.answer(stage, "the way out", &answer);
        let target: url::Url = answer.header("location").unwrap().parse().unwrap();
        assert!(target.as_str().starts_with(stage.rogue.url()), "{target}");
        browser.get(target.as_str()).await;
        assert_eq!(stage.rogue.count("/end_session"), 1);
    }
    let portal = browser.get(&stage.gateway.at("/")).await;
    assert_eq!(portal.header("location"), Some("/login"));
}

/// The references that the log names.
fn references(log: &str) -> Vec<String> {
    let lines = log.lines().map(serde_json::from_str::<Value>);
    let all: BTreeSet<String> = lines
        .filter_map(|line| {
            line.unwrap()["fields"]["reference"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert!(all.len() >= 10, "{all:?}");
    all.into_iter().collect()
}

/// What admins see.
async fn look_round(stage: &Stage, said: &mut Said, references: &[String]) {
    for arguments in [
        &["audit", "export"][..],
        &["idps", "list", "--json"],
        &["sessions", "list", "--json"],
        &["leases", "list", "--json"],
        &["roles", "list", "--json"],
        &["check"],
        &["explain", "--user", "alice", "--idp", "rogue"],
    ] {
        let ended = stage.gateway.command(arguments).await;
        said.add(&arguments.join(" "), ended.stdout + &ended.stderr);
    }
    let admin = ["tokens", "create", "boss", "--role", "admin"];
    let admin = stage.gateway.command(&admin).await.good();
    for path in [
        "/api/v1/admin/idps",
        "/api/v1/admin/sessions",
        "/api/v1/admin/audit",
        "/api/v1/users/alice/grants?idp=rogue",
        "/metrics",
        "/readyz",
    ] {
        said.value(path, stage.call("GET", path, &admin, None).await);
    }
    for reference in references {
        let order = Some(json!({ "reference": reference }));
        let told = stage.call("POST", "/api/v1/admin/explain", &admin, order);
        said.value("explain", told.await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_anything_that_rolegate_wrote_or_said() {
    let mut stage = Stage::with(vec![("RUST_LOG", "trace".to_owned())]).await;
    let mut said = Said::default();
    let browser = Browser::html();
    good_days(&stage, &mut said, &browser).await;
    bad_days(&stage, &mut said, &Browser::html()).await;
    let log = stage.gateway.log();
    let references = references(&log);
    look_round(&stage, &mut said, &references).await;
    said.add("the log", stage.gateway.log());
    stage.gateway.kill_and_restart().await;
    stage.ready("rogue").await;
    sign_out(&stage, &mut said, &browser).await;
    look_round(&stage, &mut said, &references).await;
    said.add("the log after the restart", stage.gateway.log());
    let folder = stage.folder.path().to_owned();
    let wrote = ours(&folder);
    let wal = wrote
        .iter()
        .any(|(name, bytes)| name.ends_with("-wal") && !bytes.is_empty());
    let database = wrote
        .iter()
        .any(|(_, bytes)| bytes.starts_with(b"SQLite format 3"));
    assert!(
        wal && database,
        "{:?}",
        wrote.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    let secrets = stage.rogue.secrets();
    let needles = needles(&secrets);
    for (place, bytes) in wrote.iter().chain(&said.0) {
        let found = needles.found(bytes);
        assert!(
            found.is_empty(),
            "{place}: {:?}",
            &found[..found.len().min(3)]
        );
    }
    // The search does find: a secret in an admin's words stands in a clear column, and in what lists it.
    let planted = secrets.refresh_tokens.first().unwrap();
    let arn = role("planted");
    let allow = [
        "roles",
        "allow",
        &arn,
        "--method",
        "web-identity",
        "--reason",
        planted,
    ];
    stage.gateway.command(&allow).await.good();
    let listed = stage
        .gateway
        .command(&["roles", "list", "--json"])
        .await
        .good();
    assert!(!needles.found(listed.as_bytes()).is_empty());
    let wrote = ours(&folder);
    assert!(
        wrote
            .iter()
            .any(|(_, bytes)| !needles.found(bytes).is_empty())
    );
}
