//! The commands, on the store of a running gateway and on a gateway elsewhere.

use std::time::Duration;

use reqwest::StatusCode;
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};

use super::{Stage, order, response, sign_in, token};
use crate::gateway::{Setting, World, command, is_within, role};
use crate::parts::postgres::Postgres;

/// By contract a second, which a machine that does much else may make longer.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn the_command_on_the_store_stops_the_running_gateway_within_a_second() {
    let world = World::start().await;
    let stage = Stage::set(&world).await;
    let why = ["--reason", "laptop lost"];
    let reader = role("reader");
    for wrong in [
        &["revoke", "--reason", "r"][..],
        &["revoke", "--user", "alice"],
        &["revoke", "--user", "alice", "--reason", " "],
        &["revoke", "--user", "alice", "--all", "--reason", "r"],
        &[
            "revoke", "--role", &reader, "--idp", "demo", "--reason", "r",
        ],
        &["release", "alice"],
    ] {
        let ended = world.gateway.command(wrong).await;
        assert_eq!(ended.status.code(), Some(2), "{wrong:?} {}", ended.stderr);
    }
    let unknown = [&["revoke", "--session", "ses_1"][..], &why].concat();
    assert_eq!(world.gateway.command(&unknown).await.status.code(), Some(1));
    let unknown = world.gateway.command(&["release", "hld_1"]).await;
    assert_eq!(unknown.status.code(), Some(1), "{}", unknown.stderr);

    let revoke = [&["revoke", "--user", "alice", "--hold"][..], &why].concat();
    let told = world.gateway.command(&revoke).await.good();
    let begun = SystemClock.now();
    while stage.fetches(&world).await != "--+" {
        is_within("the revocation", begun, SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        told.contains("revoked: 1 session, 2 leases, 2 credentials"),
        "{told}"
    );
    for needed in [
        "cannot call back",
        "aws iam put-role-policy --role-name reader --policy-name AWSRevokeOlderSessions-alice --policy-document '{",
        "\"aws:userid\": \"*:alice\"",
        "aws:TokenIssueTime",
        "account 123456789012",
    ] {
        assert!(told.contains(needed), "{needed}: {told}");
    }
    assert_eq!(
        world.post(&response(&world, "alice")).await.0,
        StatusCode::FORBIDDEN
    );
    // The fetches may have been refused by the store itself, before the gateway's memory has the hold.
    let code = async || {
        let (_, problem) = order(&world, &stage.batch, "alice", "reader").await;
        problem["code"].as_str().unwrap().to_owned()
    };
    let begun = SystemClock.now();
    while code().await != "held" {
        is_within("the hold", begun, SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listed = world
        .gateway
        .command(&["holds", "list", "--json"])
        .await
        .good();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["reason"], "laptop lost");
    let by = listed[0]["created_by"].as_str().unwrap();
    assert!(by.starts_with("local:"), "{by}");
    let hold = listed[0]["id"].as_str().unwrap();
    let table = world.gateway.command(&["holds", "list"]).await.good();
    assert!(
        table.contains("user alice") && table.contains(hold),
        "{table}"
    );
    assert_eq!(world.gateway.command(&["release", hold]).await.good(), hold);
    sign_in(&world, "alice").await;

    let pattern = role("**");
    let revoke = [&["revoke", "--role", &pattern, "--json"][..], &why].concat();
    let done = world.gateway.command(&revoke).await.good();
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!(
        (&done["revoked"]["leases"], &done["hold"]),
        (&json!(1), &Value::Null)
    );
    let condition = &done["aws"][0]["policy"]["Statement"][0]["Condition"];
    assert_eq!(
        condition.as_object().unwrap().len(),
        1,
        "the whole role: {condition}"
    );
    world.gateway.command(&["audit", "verify"]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_act_on_a_gateway_elsewhere() {
    let world = World::start().await;
    let stage = Stage::set(&world).await;
    let auditor = token(&world, "eyes", "auditor").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let url = world.gateway.at("");
    let run = |arguments: &[&str], token: &str| {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let (url, token, here) = (url.clone(), token.to_owned(), elsewhere.path().to_owned());
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let variables = [("ROLEGATE_URL", url.as_str()), ("ROLEGATE_TOKEN", &token)];
            command(&here, &arguments, &variables).await
        }
    };
    let json = |text: String| serde_json::from_str::<Value>(&text).expect("JSON");
    let revoke = [
        "revoke", "--user", "alice", "--hold", "--reason", "lost", "--json",
    ];
    let refused = run(&revoke, &auditor).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("auditor"), "{}", refused.stderr);
    assert_eq!(run(&revoke, "").await.status.code(), Some(2), "no token");
    assert_eq!(stage.fetches(&world).await, "+++");

    let leases = json(
        run(&["leases", "list", "--json"], &stage.admin)
            .await
            .good(),
    );
    assert_eq!(leases.as_array().unwrap().len(), 3);
    let done = json(run(&revoke, &stage.admin).await.good());
    assert_eq!(
        done["revoked"],
        json!({ "sessions": 1, "leases": 2, "credentials": 2 })
    );
    assert_eq!(stage.fetches(&world).await, "--+", "at once");
    let holds = json(run(&["holds", "list", "--json"], &stage.admin).await.good());
    assert_eq!(
        (&holds[0]["id"], &holds[0]["created_by"]),
        (&done["hold"], &json!("admin:root"))
    );
    let sessions = json(run(&["sessions", "list", "--json"], &auditor).await.good());
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    let table = run(&["sessions", "list"], &stage.admin).await.good();
    assert!(table.contains("bob") && table.contains("ended "), "{table}");
    let table = run(&["leases", "list"], &stage.admin).await.good();
    assert!(
        table.contains("nightly") && table.contains("revoked "),
        "{table}"
    );
    let hold = holds[0]["id"].as_str().unwrap();
    assert_eq!(
        run(&["release", hold], &auditor).await.status.code(),
        Some(1)
    );
    assert_eq!(run(&["release", hold], &stage.admin).await.good(), hold);
    sign_in(&world, "alice").await;
    assert!(!elsewhere.path().join("rolegate.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_store_that_is_away_it_says_why_and_what_to_do() {
    let mut postgres = Postgres::start();
    let store = ("ROLEGATE_STORE__URL", postgres.url());
    let world = World::with(Setting {
        variables: vec![store.clone()],
        ..Setting::default()
    })
    .await;
    let run = async |arguments: &[&str], more: &[(&str, &str)]| {
        let variables = [&[(store.0, store.1.as_str())], more].concat();
        command(world.folder.path(), arguments, &variables).await
    };
    let create = ["tokens", "create", "root", "--role", "admin"];
    let token = run(&create, &[]).await.good();
    let url = world.gateway.at("");
    let there = [
        ("ROLEGATE_URL", url.as_str()),
        ("ROLEGATE_TOKEN", token.as_str()),
    ];
    let revoke = ["revoke", "--all", "--reason", "stolen"];
    run(&revoke, &[]).await.good();
    run(&revoke, &there).await.good();
    postgres.stop("INT").await;
    for (variables, why, what) in [
        (
            &there[..0],
            "the database server cannot be used",
            "that the server runs",
        ),
        (
            &there[..],
            "does not hear from its store",
            "look at the database",
        ),
    ] {
        let told = run(&revoke, variables).await;
        assert_eq!(told.status.code(), Some(1), "{}", told.stdout);
        assert!(told.stderr.contains(why), "{}", told.stderr);
        assert!(told.stderr.contains(what), "{}", told.stderr);
    }
    postgres.start_again().await;
    run(&revoke, &[]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tokens_leases_go_with_it_unless_they_are_anothers_too() {
    let world = World::start().await;
    world.sign_in().await;
    let create = ["tokens", "create", "nightly", "--role", "launcher"];
    let create = [&create[..], &["--for-roles", "*", "--for-users", "*"]].concat();
    let old = world.gateway.command(&create).await.good();
    let new = world.gateway.command(&create).await.good();
    let (status, lease) = world.lease(&new, "reader").await;
    assert_eq!(status, StatusCode::CREATED, "{lease}");
    let fetch = async || world.fetch(lease["token"].as_str().unwrap()).await.0;
    assert_eq!(fetch().await, StatusCode::OK);
    let listed = world.gateway.command(&["tokens", "list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed.good()).unwrap();
    let ids = listed.as_array().unwrap().iter();
    let ids: Vec<&str> = ids
        .filter(|one| one["name"] == "nightly")
        .map(|one| one["id"].as_str().unwrap())
        .collect();

    // The newer one's jobs go on while the older one is taken away.
    let refused = world
        .gateway
        .command(&["tokens", "revoke", ids[0], "--leases"])
        .await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains(ids[1]), "{}", refused.stderr);
    assert_eq!(world.lease(&old, "reader").await.0, StatusCode::CREATED);
    let revoked = world.gateway.command(&["tokens", "revoke", ids[0]]).await;
    assert_eq!(revoked.good(), ids[0]);
    assert_eq!(
        world.lease(&old, "reader").await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(fetch().await, StatusCode::OK);

    let all = ["tokens", "revoke", "nightly", "--leases"];
    for round in ["first", "again"] {
        let revoked = world.gateway.command(&all).await;
        let leases = if round == "first" { 2 } else { 0 };
        let told = format!("{leases} leases of launcher nightly revoked");
        assert!(
            revoked.stderr.contains(&told),
            "{round}: {}",
            revoked.stderr
        );
        assert!(revoked.good().contains(ids[1]), "{round}");
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut asked = 0;
    while fetch().await != StatusCode::FORBIDDEN {
        asked += 1;
        assert!(asked < 100, "the gateway does not hear of it");
        ticks.tick().await;
    }
    let records = world.gateway.command(&["audit", "export"]).await.good();
    let told = |kind: &str, by: &str| {
        let kind = format!("\"kind\":\"{kind}\"");
        let of_kind = records.lines().filter(|line| line.contains(&kind));
        of_kind.filter(|line| line.contains(by)).count()
    };
    assert_eq!(told("lease_revoked", "the launcher's token was revoked"), 2);
    assert_eq!(told("lease_revoked", "revoked before"), 2);
    assert_eq!(told("token_revoked", ids[1]), 2);
    let nobody = world
        .gateway
        .command(&["tokens", "revoke", "nobody", "--leases"])
        .await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(nobody.stderr.contains("tokens list"), "{}", nobody.stderr);
}
