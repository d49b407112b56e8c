//! Where secrets must not be, on both engines: database, log of the database, backup, dump, the server's own files,
//! logs, temporary files, what admins are shown. All that was handed out is searched for in every usual spelling.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::fleet::{Fleet, Reach, response};
use crate::gateway::{Setting, role};
use crate::parts::search::{Needles, files};

/// What stands in the open, to show that each place is searched.
const MARK: &str = "marked-0123456789-marked";

/// What was written or said, by where.
type Places = Vec<(String, Vec<u8>)>;

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// People sign in, jobs run, some are refused; every secret on the way is a needle.
async fn days(fleet: &Fleet, reach: &Reach) -> Needles {
    let mut needles = Needles::default();
    needles.add("launcher's token", &reach.launcher);
    needles.add("admin's token", &reach.admin);
    for (at, user) in [MARK, "bob", "carol"].into_iter().enumerate() {
        let url = &reach.urls[at % reach.urls.len()];
        let signed = response(&fleet.world.idp, user);
        needle_response(&mut needles, &signed);
        let (status, me) = reach.post(url, &signed).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{me}");
        // Refused, and kept for `explain`.
        assert_eq!(
            reach.post(url, &signed).await.unwrap().0,
            StatusCode::FORBIDDEN
        );
        needles.add("session's token", text(&me["session_token"]));
        let own = json!({ "role_arn": role("reader") });
        let path = format!("{url}/api/v1/credentials");
        let token = text(&me["session_token"]);
        let had = reach
            .api("POST", &path, token, Some(&own), None)
            .await
            .unwrap();
        assert_eq!(had.0, StatusCode::OK, "{}", had.1);
        needles.add("secret key", text(&had.1["SecretAccessKey"]));
        needles.add("STS's session token", text(&had.1["SessionToken"]));
        for name in ["reader", "long", "brokered"] {
            job(reach, url, user, name, &mut needles).await;
        }
    }
    let signed = {
        let mut plan = fleet.world.idp.plan("alice");
        plan.audiences = vec!["urn:somebody:else".to_owned()];
        fleet.world.idp.sign(&plan)
    };
    needle_response(&mut needles, &signed);
    let refused = reach.post(&reach.urls[0], &signed).await.unwrap();
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    needles
}

/// The form's value, and of the document what nobody else could have said.
fn needle_response(needles: &mut Needles, signed: &str) {
    let from = signed.len() / 2;
    needles.add("SAMLResponse", &signed[from..from + 60]);
    let document = String::from_utf8(STANDARD.decode(signed).unwrap()).unwrap();
    let (_, rest) = document.split_once("SignatureValue>").unwrap();
    let (value, _) = rest.split_once('<').unwrap();
    needles.add("signature", value.lines().next().unwrap().trim());
}

async fn job(reach: &Reach, url: &str, user: &str, name: &str, needles: &mut Needles) {
    let order = json!({ "user": user, "role_arn": role(name), "job": format!("{MARK}-job") });
    let path = format!("{url}/api/v1/leases");
    let key = format!("{user}-{name}");
    let made = reach.api("POST", &path, &reach.launcher, Some(&order), Some(&key));
    let (status, made) = made.await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let token = text(&made["token"]);
    needles.add("lease's token", token);
    reach.recovered(url, token).await;
    let (_, got) = reach.fetch(url, token).await.unwrap();
    needles.add("secret key", text(&got["SecretAccessKey"]));
    needles.add("STS's session token", text(&got["Token"]));
    if name == "long" {
        let path = format!("{url}/v1/web-identity-token");
        let given = reach.api("GET", &path, token, None, None).await.unwrap();
        assert_eq!(given.0, StatusCode::OK, "{}", given.1);
        for part in text(&given.1["token"]).split('.').skip(1) {
            needles.add("relay's token", part);
        }
    }
}

/// The keys that an admin put there, or rolegate made.
fn keys(folder: &Path, needles: &mut Needles) {
    let master = std::fs::read_to_string(folder.join("rolegate.key")).unwrap();
    needles.add("master key", master.trim());
    needles.add_bytes("master key", &STANDARD.decode(master.trim()).unwrap());
    needles.add("private key", "-----BEGIN PRIVATE KEY-----");
    needles.add("private key", "-----BEGIN RSA PRIVATE KEY-----");
    needles.add("private key", "-----BEGIN EC PRIVATE KEY-----");
}

/// All that admins are shown.
async fn shown(fleet: &Fleet, reach: &Reach) -> Places {
    let mut places = Vec::new();
    let revoke = ["revoke", "--user", MARK, "--reason", MARK];
    for arguments in [
        &revoke[..],
        &["audit", "export"],
        &["sessions", "list", "--json"],
        &["leases", "list", "--json"],
        &["tokens", "list", "--json"],
        &["roles", "list", "--json"],
        &["idps", "list", "--json"],
        &["check"],
    ] {
        let ended = fleet.world.gateway.command(arguments).await;
        places.push((
            arguments[..2.min(arguments.len())].join(" "),
            (ended.stdout + &ended.stderr).into(),
        ));
    }
    for path in [
        "/metrics",
        "/readyz",
        "/api/v1/admin/sessions",
        "/api/v1/leases",
    ] {
        let url = format!("{}{path}", reach.urls[0]);
        let (_, body) = reach
            .api("GET", &url, &reach.admin, None, None)
            .await
            .unwrap();
        places.push((path.to_owned(), body.to_string().into()));
    }
    let posted = json!({ "user": MARK, "reason": MARK });
    let url = format!("{}/api/v1/admin/revoke", reach.urls[0]);
    let (_, told) = reach
        .api("POST", &url, &reach.admin, Some(&posted), None)
        .await
        .unwrap();
    places.push(("revoke".to_owned(), told.to_string().into()));
    places.push(("the logs".to_owned(), fleet.log().into()));
    places
}

/// Nothing of `needles` stands in any place, and what stands in the open is found in those of `marked`.
fn search(places: &Places, needles: &Needles, marked: &[&str]) {
    let mut mark = Needles::default();
    mark.add("the mark", MARK);
    for (place, bytes) in places {
        let found = needles.found(bytes);
        assert!(
            found.is_empty(),
            "{place}: {:?}",
            &found[..found.len().min(3)]
        );
    }
    for wanted in marked {
        let mut named = places.iter().filter(|(place, _)| place.contains(wanted));
        let found = named.any(|(_, bytes)| !mark.found(bytes).is_empty());
        assert!(found, "the search does not find what stands in {wanted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_no_secret_is_in_the_clear() {
    let mut setting = Setting::renewing();
    let place = tempfile::tempdir().unwrap();
    let temporary = place.path().display().to_string();
    setting.variables.push(("TMPDIR", temporary));
    setting.variables.push(("RUST_LOG", "debug".to_owned()));
    let fleet = Fleet::on_sqlite_with(setting).await;
    let reach = fleet.reach(Vec::new()).await;
    let mut needles = days(&fleet, &reach).await;
    let folder = fleet.world.folder.path();
    keys(folder, &mut needles);
    let mut places = shown(&fleet, &reach).await;
    let backup = place.path().join("backup.db");
    let backup = ["store", "backup", backup.to_str().unwrap()];
    fleet.world.gateway.command(&backup).await.good();
    let key = |path: &Path| !path.ends_with("rolegate.key");
    places.extend(files(folder, &key));
    places.extend(files(place.path(), &key));
    let marked = [
        "rolegate.db-wal",
        "backup.db",
        "audit export",
        "leases list",
        "the logs",
    ];
    search(&places, &needles, &marked);
    // A secret in an admin's words is found as well.
    let arn = role("planted");
    let allow = ["roles", "allow", &arn, "--reason", &reach.launcher];
    fleet.world.gateway.command(&allow).await.good();
    let wrote = files(folder, &key);
    assert!(
        wrote
            .iter()
            .any(|(_, bytes)| !needles.found(bytes).is_empty())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_no_secret_is_in_the_clear() {
    let fleet = Fleet::on_postgres().await;
    let reach = fleet.reach(Vec::new()).await;
    let mut needles = days(&fleet, &reach).await;
    let folder = fleet.world.folder.path();
    keys(folder, &mut needles);
    let mut places = shown(&fleet, &reach).await;
    let postgres = fleet.postgres.as_ref().unwrap();
    let dump = std::process::Command::new("pg_dump")
        .arg(postgres.url())
        .output()
        .unwrap();
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    places.push(("pg_dump".to_owned(), dump.stdout));
    // Its tables, its log of changes, and what it wrote to its own log.
    let server = postgres.data().parent().unwrap();
    places.extend(files(server, &|_| true));
    places.extend(files(folder, &|path| !path.ends_with("rolegate.key")));
    search(
        &places,
        &needles,
        &[
            "pg_dump",
            "pg_wal",
            "audit export",
            "leases list",
            "the logs",
        ],
    );
}
