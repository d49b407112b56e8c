//! Leases and credentials, and what STS's troubles do to them.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rolegate::demo::sts::Fault;
use serde_json::json;
use sqlx::Connection;

use crate::gateway::{Setting, World, pair, role};

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_gives_a_job_what_sdks_read() {
    let world = World::start().await;
    let (session, _) = world.sign_in().await;
    let launcher = world.launcher().await;
    let (status, lease) = world.lease(&launcher, "reader").await;
    assert_eq!(status, StatusCode::CREATED, "{lease}");
    assert_eq!(lease["method"], "saml");
    assert_eq!(
        lease["env"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        world.gateway.at("/v1/credentials")
    );
    assert_eq!(lease["agent_env"]["ROLEGATE_LEASE_TOKEN"], lease["token"]);
    let token = lease["token"].as_str().unwrap();
    assert!(token.starts_with("rgj_"));
    let (status, credentials) = world.fetched(token).await;
    assert_eq!(status, StatusCode::OK, "{credentials}");
    assert_eq!(credentials["RoleArn"], role("reader"));
    assert_eq!(credentials["AccountId"], "123456789012");
    assert!(
        credentials["Expiration"].as_str().unwrap().ends_with("00Z")
            || credentials["Expiration"].as_str().unwrap().ends_with('Z')
    );
    assert_eq!(world.fetch(&format!("Bearer {token}")).await.1, credentials);
    let order = json!({ "role_arn": role("reader") });
    let (_, own) = world
        .api("POST", "/api/v1/credentials", &session, Some(order))
        .await;
    assert_eq!(
        (&own["AccessKeyId"], &own["Version"]),
        (&credentials["AccessKeyId"], &json!(1))
    );

    let id = lease["lease"].as_str().unwrap();
    let (status, list) = world
        .api("GET", "/api/v1/leases?user=alice", &launcher, None)
        .await;
    assert_eq!(
        (status, &list["items"][0]["lease"]),
        (StatusCode::OK, &json!(id))
    );
    let (status, _) = world
        .api("DELETE", &format!("/api/v1/leases/{id}"), &launcher, None)
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, error) = world.fetch(token).await;
    assert_eq!(
        (status, error["code"].as_str()),
        (StatusCode::FORBIDDEN, Some("revoked")),
        "{error}"
    );
    assert_eq!(error["Message"], error["message"]);
    assert_eq!(
        world.fetch("rgj_nonsense").await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launcher_reaches_as_far_as_its_token() {
    let world = World::start().await;
    let launcher = world.launcher().await;
    let (status, problem) = world.lease(&launcher, "reader").await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (StatusCode::CONFLICT, Some("sign_in_needed"))
    );
    assert_eq!(problem["login_url"], world.gateway.at("/login"));
    world.sign_in().await;
    assert_eq!(
        world.lease(&launcher, "reader").await.0,
        StatusCode::CREATED
    );
    let (status, problem) = world.lease(&launcher, "admin").await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (StatusCode::FORBIDDEN, Some("not_allowed"))
    );
    let (status, problem) = world.lease(&launcher, "unheard-of").await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (StatusCode::FORBIDDEN, Some("not_offered"))
    );

    let pattern = role("wri*");
    let narrow = [
        "tokens",
        "create",
        "narrow",
        "--role",
        "launcher",
        "--for-roles",
        &pattern,
        "--for-users",
        "al*",
    ];
    let narrow = world.gateway.command(&narrow).await.good();
    assert_eq!(world.lease(&narrow, "writer").await.0, StatusCode::CREATED);
    let (status, problem) = world.lease(&narrow, "reader").await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (StatusCode::FORBIDDEN, Some("outside_token"))
    );
    let bob = json!({ "user": "bob", "role_arn": role("writer"), "job": "x" });
    let (status, problem) = world
        .api("POST", "/api/v1/leases", &narrow, Some(bob))
        .await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (StatusCode::FORBIDDEN, Some("outside_token"))
    );
    world
        .gateway
        .command(&["tokens", "revoke", "narrow"])
        .await
        .good();
    assert_eq!(
        world.lease(&narrow, "writer").await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_leases_for_himself_alone() {
    let world = World::start().await;
    let (session, _) = world.sign_in().await;
    assert_eq!(world.lease(&session, "reader").await.0, StatusCode::CREATED);
    let bob = json!({ "user": "bob", "role_arn": role("reader"), "job": "x" });
    let (status, problem) = world
        .api("POST", "/api/v1/leases", &session, Some(bob))
        .await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (StatusCode::FORBIDDEN, Some("outside_token"))
    );
    let far = json!({ "user": "alice", "role_arn": role("reader"), "job": "x", "needed_until": "2999-01-01T00:00:00Z" });
    let (status, problem) = world
        .api("POST", "/api/v1/leases", &session, Some(far))
        .await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (StatusCode::CONFLICT, Some("would_expire_early"))
    );
    let tagged = json!({ "user": "alice", "role_arn": role("reader"), "job": "x", "tags": { "Project": "x" } });
    let (status, problem) = world
        .api("POST", "/api/v1/leases", &session, Some(tagged))
        .await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (StatusCode::CONFLICT, Some("method_cannot"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_at_sts_denies_the_grant_and_not_the_sign_in() {
    for fault in [
        Fault::Throttle,
        Fault::ServiceUnavailable,
        Fault::Garbage,
        Fault::WrongRole,
        Fault::WrongAudience,
        Fault::Denied,
        Fault::DropConnection,
        Fault::Hang,
    ] {
        let name = format!("{fault:?}");
        let world = World::with(Setting {
            roles: vec![pair("reader")],
            ..Setting::default()
        })
        .await;
        world.sts.set_fault(fault);
        let response = world.response();
        let (status, me) = world.post(&response).await;
        assert_eq!(status, StatusCode::OK, "{name}: {me}");
        let promise = Duration::from_secs(5);
        world.gateway.is_prompt("/saml/acs", promise).await;
        let token = me["session_token"].as_str().unwrap();
        let me = eventually_denied(&world, token).await;
        let reason = me["denied"][0]["reasons"][0].as_str().unwrap();
        assert!(reason.len() > 20, "{name}: {reason}");
        world.sts.set_fault(Fault::None);
        assert_eq!(
            world.post(&response).await.0,
            StatusCode::FORBIDDEN,
            "{name}: the id stays used"
        );
        let launcher = world.launcher().await;
        let (status, problem) = world.lease(&launcher, "reader").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{name}: {problem}");
        world.sign_in().await;
        assert_eq!(
            world.lease(&launcher, "reader").await.0,
            StatusCode::CREATED,
            "{name}: the good twin"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sign_in_prolongs_a_running_job_and_a_failed_mint_does_not_stop_it() {
    let world = World::start().await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let token = lease["token"].as_str().unwrap();
    let (_, first) = world.fetched(token).await;
    world.sts.set_fault(Fault::Denied);
    world.sign_in().await;
    let (status, second) = world.fetched(token).await;
    assert_eq!(
        (status, &second["AccessKeyId"]),
        (StatusCode::OK, &first["AccessKeyId"])
    );
    world.sts.set_fault(Fault::None);
    world.sign_in().await;
    let (status, third) = world.fetched(token).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(
        third["AccessKeyId"], first["AccessKeyId"],
        "newer ones are given at once"
    );
    let mut without = world.plan();
    without
        .attributes
        .retain(|(name, _)| !name.ends_with("/Role"));
    assert_eq!(
        world.post(&world.idp.sign(&without)).await.0,
        StatusCode::OK
    );
    let (status, error) = world.fetch(token).await;
    assert_eq!(
        (status, error["code"].as_str()),
        (StatusCode::FORBIDDEN, Some("not_offered")),
        "{error}"
    );
}

/// What `me` says once the mint has ended; it is asked a bounded number of times.
async fn eventually_denied(world: &World, token: &str) -> serde_json::Value {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..600 {
        ticks.tick().await;
        let (_, me) = world.api("GET", "/api/v1/me", token, None).await;
        if me["grants"].as_array().unwrap().is_empty() {
            return me;
        }
    }
    panic!("the grant is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_counts_within_a_second_for_what_was_minted() {
    let world = World::start().await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let token = lease["token"].as_str().unwrap();
    assert_eq!(world.fetched(token).await.0, StatusCode::OK);
    // It counts each time; a machine that does much else may keep it from counting within a second now and then.
    let mut waits = Vec::new();
    for _ in 0..5 {
        let deny = ["roles", "deny", &role("reader"), "--reason", "test"];
        let entry = world.gateway.command(&deny).await.good();
        let (error, denied) = becomes(&world, token, StatusCode::FORBIDDEN).await;
        assert_eq!(error["code"], "not_allowed", "{error}");
        let remove = ["roles", "remove", &entry];
        world.gateway.command(&remove).await.good();
        let (_, allowed) = becomes(&world, token, StatusCode::OK).await;
        if denied.max(allowed) < Duration::from_secs(1) {
            return;
        }
        waits.push((denied, allowed));
    }
    panic!("never within a second: {waits:?}");
}

/// Fetches until it ends so; with what, and after how long.
async fn becomes(world: &World, token: &str, wanted: StatusCode) -> (serde_json::Value, Duration) {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        let (status, answer) = world.fetch(token).await;
        let took = started.elapsed();
        if status == wanted {
            return (answer, took);
        }
        assert!(took < Duration::from_mins(1), "{status}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_allowed_while_running_is_minted_at_the_next_sign_in() {
    let world = World::start().await;
    let (token, _) = world.sign_in().await;
    let allow = [
        "roles",
        "allow",
        &role("admin"),
        "--reason",
        "on call",
        "--when",
        "groups=science",
    ];
    world.gateway.command(&allow).await.good();
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut reason = String::new();
    for _ in 0..600 {
        ticks.tick().await;
        let (_, me) = world.api("GET", "/api/v1/me", &token, None).await;
        reason = me["denied"][0]["reasons"][0].as_str().unwrap().to_owned();
        if reason.contains("sign in again") {
            break;
        }
    }
    assert!(reason.contains("sign in again"), "{reason}");
    let (_, me) = world.sign_in().await;
    assert_eq!(me["grants"].as_array().unwrap().len(), 3, "{me}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_or_in_clear_in_the_store() {
    let world = World::start().await;
    let response = world.response();
    let (_, me) = world.post(&response).await;
    let session = me["session_token"].as_str().unwrap();
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let token = lease["token"].as_str().unwrap();
    let (_, credentials) = world.fetched(token).await;
    let key = credentials["AccessKeyId"].as_str().unwrap();
    let secret = credentials["SecretAccessKey"].as_str().unwrap();
    let session_token = credentials["Token"].as_str().unwrap();
    let log = world.gateway.log();
    assert!(log.contains("\"event\":\"request\""), "the log was read");
    let mut files = Vec::new();
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        let file = file.unwrap();
        if file
            .file_name()
            .to_string_lossy()
            .starts_with("rolegate.db")
        {
            files.push(std::fs::read(file.path()).unwrap());
        }
    }
    let holds = |needle: &str| {
        files.iter().any(|file| {
            file.windows(needle.len())
                .any(|part| part == needle.as_bytes())
        })
    };
    assert!(
        holds(key),
        "the files that were searched are the right ones"
    );
    for (what, secret) in [
        ("response", &response[200..280]),
        ("session token", session),
        ("launcher token", launcher.as_str()),
        ("lease token", token),
        ("secret key", secret),
        ("AWS session token", session_token),
    ] {
        assert!(!log.contains(secret), "{what} in the log");
        assert!(!holds(secret), "{what} in the store");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_served_on_a_record_that_was_lost() {
    let world = World::start().await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let token = lease["token"].as_str().unwrap();
    let database =
        sqlx::sqlite::SqliteConnectOptions::new().filename(world.folder.path().join("rolegate.db"));
    let mut other = sqlx::SqliteConnection::connect_with(&database)
        .await
        .unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let (status, _) = world.fetch(token).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(world.fetched(token).await.0, StatusCode::OK);
    let recorded: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit WHERE kind = 'credentials_fetched' AND record LIKE $1",
    )
    .bind(format!("%{}%", lease["lease"].as_str().unwrap()))
    .fetch_one(&mut other)
    .await
    .unwrap();
    assert!(recorded >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_many_leases_loses_them_all() {
    let world = World::start().await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let mut last = json!(null);
    for _ in 0..101 {
        last = world.lease(&launcher, "reader").await.1;
    }
    let (status, answer) = world
        .api("DELETE", "/api/v1/leases?job=job-1", &launcher, None)
        .await;
    assert_eq!(
        (status, answer),
        (StatusCode::OK, json!({ "revoked": 101 }))
    );
    let (status, _) = world.fetch(last["token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let audited = async || {
        let export = ["audit", "export", "--kind", "lease_revoked"];
        world.gateway.command(&export).await.good()
    };
    assert_eq!(audited().await.lines().count(), 101);
    // Nobody knows whether the first call came as far as the audit, so that it hears of each once more.
    let (status, answer) = world
        .api("DELETE", "/api/v1/leases?job=job-1", &launcher, None)
        .await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "revoked": 0 })));
    let audited = audited().await;
    let again = audited
        .lines()
        .filter(|line| line.contains("revoked before"));
    assert_eq!((audited.lines().count(), again.count()), (202, 101));
}
