//! The audit from outside: exported by command and API, pruned, copied, and flooded by a stranger.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Setting, World, command, role};

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn of<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records
        .iter()
        .filter(|record| record["kind"] == kind)
        .collect()
}

async fn exported(world: &World, more: &[&str]) -> Vec<Value> {
    let arguments = [&["audit", "export"], more].concat();
    lines(&world.gateway.command(&arguments).await.good())
}

async fn token(world: &World, role: &str) -> String {
    let create = ["tokens", "create", "eyes", "--role", role];
    world.gateway.command(&create).await.good()
}

/// Edits the database as an intruder does.
fn tamper(world: &World, sql: &str) {
    let edit = format!(
        "import sqlite3; db = sqlite3.connect('rolegate.db'); db.executescript({sql:?}); db.commit()"
    );
    let edited = std::process::Command::new(crate::parts::python::python())
        .args(["-c", &edit])
        .current_dir(world.folder.path())
        .status()
        .unwrap();
    assert!(edited.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_the_same_by_command_and_by_api() {
    let world = World::start().await;
    world.sign_in().await;
    world.sign_in().await;
    let eyes = token(&world, "auditor").await;
    let here = world.gateway.command(&["audit", "export"]).await.good();
    let url = world.gateway.at("");
    let remote = [
        ("ROLEGATE_URL", url.as_str()),
        ("ROLEGATE_TOKEN", eyes.as_str()),
    ];
    let nowhere = tempfile::tempdir().unwrap();
    let there = command(nowhere.path(), &["audit", "export"], &remote).await;
    assert_eq!(there.good(), here, "to the letter");

    let all = lines(&here);
    let by_kind = exported(&world, &["--kind", "sign_in_accepted", "--user", "alice"]).await;
    assert_eq!(by_kind.len(), 2);
    assert_eq!(
        by_kind[0]["person"],
        json!({ "idp": "demo", "user": "alice" })
    );
    assert_eq!(by_kind[0]["address"], "127.0.0.1");
    let after = by_kind[0]["seq"].to_string();
    let export = [
        "audit",
        "export",
        "--kind",
        "sign_in_accepted",
        "--kind",
        "decision",
        "--after",
        &after,
    ];
    let rest = command(nowhere.path(), &export, &remote).await.good();
    let rest = lines(&rest);
    assert!(
        rest.iter()
            .all(|record| record["seq"].as_i64() > by_kind[0]["seq"].as_i64())
    );
    assert_eq!(of(&rest, "sign_in_accepted").len(), 1);
    assert!(
        of(&rest, "decision").len() >= 3,
        "those of the second sign-in"
    );
    assert_eq!(exported(&world, &["--from", "1h"]).await, all);
    assert!(exported(&world, &["--to", "1h"]).await.is_empty());
    assert!(exported(&world, &["--idp", "other"]).await.is_empty());

    for (wrong, part) in [
        (["--from", "yesterday"], "2026-01-31T12:00:00Z"),
        (["--to", "12"], "how long ago"),
        (["--after", "x"], "invalid digit"),
        (["--kind", "sign_in"], "sign_in_accepted"),
        (["--user", "a"], "--user"),
    ] {
        let told = world
            .gateway
            .command(&["audit", "export", wrong[0], wrong[1]])
            .await;
        assert_eq!(told.status.code(), Some(2), "{wrong:?}");
        assert!(told.stderr.contains(part), "{}", told.stderr);
    }
    let backwards = ["audit", "export", "--from", "1h", "--to", "2h"];
    for environment in [&[][..], &remote] {
        let told = command(world.folder.path(), &backwards, environment).await;
        assert_eq!(told.status.code(), Some(2));
        assert!(told.stderr.contains("exchange them"), "{}", told.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_proved_or_revoked_of_a_database_that_is_not_there() {
    let elsewhere = tempfile::tempdir().unwrap();
    let run = async |arguments: &[&str]| command(elsewhere.path(), arguments, &[]).await;
    run(&["init"]).await.good();
    let commands: [&[&str]; 7] = [
        &["audit", "verify"],
        &["audit", "export"],
        &["audit", "prune", "--before", "1d"],
        &["revoke", "--all", "--reason", "incident"],
        &["holds", "list"],
        &["tokens", "list"],
        &["keys", "list"],
    ];
    for arguments in commands {
        let told = run(arguments).await;
        assert_eq!(told.status.code(), Some(1), "{arguments:?}");
        let says = "there is no database yet where `store.url` of rolegate.toml points";
        assert!(told.stderr.contains(says), "{}", told.stderr);
    }
    assert!(!elsewhere.path().join("rolegate.db").exists());
    assert!(!elsewhere.path().join("rolegate.key").exists());
    run(&["store", "migrate"]).await.good();
    assert!(
        run(&["audit", "verify"])
            .await
            .good()
            .contains("all 0 records")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_pages_and_says_what_to_write() {
    let world = World::start().await;
    let (session, _) = world.sign_in().await;
    let eyes = token(&world, "auditor").await;
    let ask = async |query: &str| {
        let path = format!("/api/v1/admin/audit{query}");
        world.api("GET", &path, &eyes, None).await
    };
    let (status, all) = ask("").await;
    assert_eq!(status, StatusCode::OK);
    let all = all["items"].as_array().unwrap().clone();
    let mut paged = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let (_, page) = ask(&query).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        paged.extend(items.clone());
        match page["next"].as_i64() {
            Some(next) => query = format!("?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    for (query, part) in [
        ("?since=1h", "write after, from, to, kind"),
        ("?limit=1001", "from 1 to 1000"),
        ("?from=soon", "2026-01-31T12:00:00Z"),
        ("?kind=signed", "sign_in_accepted"),
        ("?user=ann&user=bob", "stands twice"),
    ] {
        let (status, told) = ask(query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(told["title"].as_str().unwrap().contains(part), "{told}");
    }
    let (status, _) = world
        .api("GET", "/api/v1/admin/audit", &session, None)
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "no auditor");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pruned_is_kept_in_a_file_and_the_rest_is_proved() {
    let world = World::start().await;
    world.sign_in().await;
    let before = exported(&world, &[]).await;
    let prune = ["audit", "prune", "--before", "0s", "--export", "gone.jsonl"];
    let told = world.gateway.command(&prune).await.good();
    let last = before.last().unwrap()["seq"].as_i64().unwrap();
    assert_eq!(told, format!("records 1 to {last} were removed"));
    world.sign_in().await;
    let told = world.gateway.command(&["audit", "verify"]).await.good();
    assert!(
        told.starts_with(&format!(
            "records 1 to {last} were removed by retention at "
        )),
        "{told}"
    );
    assert!(told.ends_with("are as they were written"), "{told}");
    let kept = std::fs::read_to_string(world.folder.path().join("gone.jsonl")).unwrap();
    assert_eq!(lines(&kept), before);
    let proved = world
        .gateway
        .command(&["audit", "verify", "gone.jsonl"])
        .await
        .good();
    assert!(
        proved.contains("the store names the last one's hash"),
        "{proved}"
    );
    let nowhere = tempfile::tempdir().unwrap();
    std::fs::copy(
        world.folder.path().join("gone.jsonl"),
        nowhere.path().join("gone.jsonl"),
    )
    .unwrap();
    let alone = command(nowhere.path(), &["audit", "verify", "gone.jsonl"], &[])
        .await
        .good();
    assert!(alone.contains("no store is at hand"), "{alone}");
    std::fs::write(
        nowhere.path().join("gone.jsonl"),
        kept.replace("alice", "bobby"),
    )
    .unwrap();
    let changed = command(nowhere.path(), &["audit", "verify", "gone.jsonl"], &[]).await;
    assert_eq!(changed.status.code(), Some(1));
    assert!(changed.stderr.contains("was changed"), "{}", changed.stderr);

    let removal = exported(&world, &["--kind", "audit_pruned"]).await;
    assert_eq!(removal[0]["last_seq"], last);
    assert!(removal[0]["by"].as_str().unwrap().starts_with("local:"));
    let again = world.gateway.command(&prune).await;
    assert_eq!(again.status.code(), Some(1), "the file is there");
    let future = world
        .gateway
        .command(&["audit", "prune", "--before", "2999-01-01"])
        .await;
    assert_eq!(future.status.code(), Some(2));

    tamper(
        &world,
        &format!("DELETE FROM audit WHERE seq = {}", last + 1),
    );
    let told = world.gateway.command(&["audit", "verify"]).await;
    assert_eq!(told.status.code(), Some(1));
    let first = format!("record {} is missing", last + 1);
    assert!(told.stderr.contains(&first), "{}", told.stderr);
    tamper(&world, "DELETE FROM meta WHERE name = 'audit_base'");
    let told = world.gateway.command(&["audit", "verify"]).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(told.stderr.contains("audit_base"), "{}", told.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_follows_a_rotated_file_and_misses_nothing() {
    let world = World::with(Setting {
        tables: "[audit]\ncopy = \"audit.jsonl\"\n".to_owned(),
        ..Setting::default()
    })
    .await;
    let folder = world.folder.path().to_owned();
    let (path, moved) = (folder.join("audit.jsonl"), folder.join("audit.jsonl.1"));
    world.sign_in().await;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let issued = |text: String| text.matches("\"kind\":\"credentials_issued\"").count();
    while issued(std::fs::read_to_string(&path).unwrap_or_default()) < 2 {
        ticks.tick().await;
    }
    std::fs::rename(&path, &moved).unwrap();
    world.sign_in().await;
    let records = exported(&world, &[]).await;
    let World { gateway, .. } = world;
    let stdout = gateway.stop().await;
    assert_eq!(stdout, "", "nothing of it on standard output");
    let first = std::fs::read_to_string(&moved).unwrap();
    let second = std::fs::read_to_string(&path).unwrap();
    assert!(!second.is_empty());
    let copied = lines(&(first + &second));
    assert!(copied.len() >= records.len());
    assert_eq!(copied[..records.len()], records[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_standard_output_stand_records_alone() {
    let world = World::with(Setting {
        tables: "[audit]\ncopy = \"stdout\"\n".to_owned(),
        ..Setting::default()
    })
    .await;
    world.sign_in().await;
    let records = exported(&world, &[]).await;
    let World { gateway, .. } = world;
    let copied = lines(&gateway.stop().await);
    assert_eq!(copied[..records.len()], records[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_copy_stops_no_sign_in() {
    let world = World::with(Setting {
        tables: "[audit]\ncopy = \"/dev/full\"\n".to_owned(),
        ..Setting::default()
    })
    .await;
    for _ in 0..5 {
        world.sign_in().await;
    }
    world.gateway.logged("audit_copy_failed").await;
    world.sign_in().await;
    let log = world.gateway.log();
    assert_eq!(
        log.matches("\"event\":\"audit_copy_failed\"").count(),
        1,
        "once"
    );
    world.gateway.command(&["audit", "verify"]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_bad_posts_leave_few_records_with_their_number() {
    let world = World::start().await;
    let eyes = token(&world, "auditor").await;
    let (client, acs) = (Client::new(), world.gateway.at("/saml/acs"));
    let mut references = Vec::new();
    for _ in 0..20 {
        let posts = (0..50).map(|_| {
            let form = [("SAMLResponse", "bm90IHhtbA==")];
            let post = client.post(&acs).header("Accept", "application/json");
            post.form(&form).send()
        });
        for answer in join_all(posts).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            let told: Value = answer.json().await.unwrap();
            references.push(told["reference"].as_str().unwrap().to_owned());
        }
    }
    // One whose signature holds is recorded in the middle of it.
    let mut plan = world.plan();
    plan.audiences = vec!["urn:other".to_owned()];
    let (_, signed) = world.post(&world.idp.sign(&plan)).await;
    world.sign_in().await;
    let logged = world.gateway.log();
    assert_eq!(
        logged.matches("\"event\":\"sign_in_refused\"").count(),
        1001,
        "a line for each"
    );

    let World {
        gateway, folder, ..
    } = world;
    let url = gateway.at("");
    let last = references.last().unwrap().clone();
    let asked = [
        ("ROLEGATE_URL", url.as_str()),
        ("ROLEGATE_TOKEN", eyes.as_str()),
    ];
    // Kept check by check, or not known by itself.
    command(folder.path(), &["explain", "--reference", &last], &asked).await;
    gateway.stop().await;
    let export = command(folder.path(), &["audit", "export"], &[])
        .await
        .good();
    let records = lines(&export);
    let refused = of(&records, "sign_in_refused");
    let (by_signed, strangers): (Vec<&Value>, Vec<&Value>) = refused
        .into_iter()
        .partition(|record| record["reference"] == signed["reference"]);
    assert_eq!(by_signed.len(), 1);
    let counted = of(&records, "refusals_counted");
    let number: u64 = counted
        .iter()
        .map(|one| one["count"].as_u64().unwrap())
        .sum();
    assert_eq!(strangers.len() + usize::try_from(number).unwrap(), 1000);
    assert!(
        strangers.len() <= 40 && counted.len() <= 3,
        "{} {}",
        strangers.len(),
        counted.len()
    );
    assert_eq!(counted[0]["address"], "127.0.0.1");
    assert_eq!(counted[0]["counted_kind"], "sign_in_refused");

    // Whatever became of its check results, each reference is answered.
    for reference in [&references[0], &references[500], &last] {
        let told = command(folder.path(), &["explain", "--reference", reference], &[]).await;
        assert_eq!(told.status.code(), Some(1));
        assert!(!told.stdout.is_empty(), "{reference}: {}", told.stderr);
    }
    let strange = "ref_00000000000000000000000000";
    let told = command(folder.path(), &["explain", "--reference", strange], &[]).await;
    assert!(told.stdout.is_empty(), "{}", told.stdout);
    command(folder.path(), &["audit", "verify"], &[])
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_fetch_and_a_refused_lease_are_recorded_and_a_loop_is_counted() {
    let world = World::start().await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (status, lease) = world.lease(&launcher, "reader").await;
    assert_eq!(status, StatusCode::CREATED, "{lease}");
    let job = lease["token"].as_str().unwrap();
    assert_eq!(world.fetched(job).await.0, StatusCode::OK);
    let path = format!("/api/v1/leases/{}", lease["lease"].as_str().unwrap());
    world.api("DELETE", &path, &launcher, None).await;
    for _ in 0..50 {
        assert_eq!(world.fetch(job).await.0, StatusCode::FORBIDDEN);
    }
    let (status, refused) = world.lease(&launcher, "admin").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
    let World {
        gateway, folder, ..
    } = world;
    gateway.stop().await;
    let export = command(folder.path(), &["audit", "export"], &[])
        .await
        .good();
    let records = lines(&export);
    let fetches = of(&records, "fetch_refused");
    let number: u64 = of(&records, "refusals_counted")
        .iter()
        .map(|one| one["count"].as_u64().unwrap())
        .sum();
    assert_eq!(fetches.len() + usize::try_from(number).unwrap(), 50);
    assert!(fetches.len() <= 40);
    assert_eq!(fetches[0]["lease"], lease["lease"]);
    assert_eq!(fetches[0]["person"]["user"], "alice");
    assert!(
        fetches[0]["reason"]
            .as_str()
            .unwrap()
            .starts_with("revoked: ")
    );
    let refused = of(&records, "lease_refused");
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["role"], role("admin"));
    assert_eq!(refused[0]["launcher"], "batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signed_response_sent_again_and_again_does_not_fill_the_audit() {
    let world = World::start().await;
    let used = world.response();
    assert_eq!(world.post(&used).await.0, StatusCode::OK);
    let (client, acs) = (Client::new(), world.gateway.at("/saml/acs"));
    for _ in 0..10 {
        let posts = (0..50).map(|_| {
            let post = client.post(&acs).header("Accept", "application/json");
            post.form(&[("SAMLResponse", &used)]).send()
        });
        for answer in join_all(posts).await {
            assert!(answer.unwrap().status().is_client_error());
        }
    }
    let World {
        gateway, folder, ..
    } = world;
    gateway.stop().await;
    let export = command(folder.path(), &["audit", "export"], &[]).await;
    let records = lines(&export.good());
    let refused = of(&records, "sign_in_refused");
    assert!((100..=200).contains(&refused.len()), "{}", refused.len());
    let counted: u64 = of(&records, "refusals_counted")
        .iter()
        .map(|one| one["count"].as_u64().unwrap())
        .sum();
    assert_eq!(refused.len() + usize::try_from(counted).unwrap(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_is_put_back_is_told_by_the_gateway_and_by_who_noted_its_end() {
    let world = World::start().await;
    let verified = async |more: &[&str]| {
        let verify = [&["audit", "verify"], more].concat();
        world.gateway.command(&verify).await
    };
    let noted = async || {
        let told = verified(&[]).await;
        let stderr = told.stderr.clone();
        told.good();
        let (_, end) = stderr.trim().rsplit_once(' ').unwrap();
        end.to_owned()
    };
    world.sign_in().await;
    let early = noted().await;
    let (seq, _) = early.split_once(':').unwrap();
    tamper(
        &world,
        "INSERT INTO meta (name, value) SELECT 'kept', value FROM meta WHERE name = 'audit_head'",
    );
    world.sign_in().await;
    let late = noted().await;
    for end in [&early, &late] {
        verified(&["--at-least", end]).await.good();
    }

    tamper(
        &world,
        &format!(
            "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'kept') WHERE name = 'audit_head';
             DELETE FROM meta WHERE name = 'kept'; DELETE FROM audit WHERE seq > {seq}"
        ),
    );
    verified(&[]).await.good();
    verified(&["--at-least", &early]).await.good();
    let refused = verified(&["--at-least", &late]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("put back"), "{}", refused.stderr);
    let misread = verified(&["--at-least", "12"]).await;
    assert_eq!(misread.status.code(), Some(2));

    world.sign_in().await;
    world.gateway.logged("audit_put_back").await;
    let alarms = exported(&world, &["--kind", "alarm"]).await;
    assert_eq!(alarms.len(), 1);
    let reason = alarms[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("audit_put_back: record "), "{reason}");
}
