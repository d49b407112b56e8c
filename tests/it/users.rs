//! Roles that an admin assigns, on a running gateway: by the commands on its store, by the API, by `--url`.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::gateway::{Ended, Setting, World, command, role};

/// By contract a running gateway takes a change up within a second.
const SOON: Duration = Duration::from_secs(1);

const PATH: &str = "/api/v1/admin/users/alice/role-arns";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

/// The setting of these tests: `long` by relay, `brokered` by broker, `reader` by saml.
fn setting() -> Setting {
    Setting::renewing()
}

/// A second one who signs people in, so that `--idp` is needed.
fn with_provider(mut setting: Setting) -> Setting {
    setting.tables += "\n[[oidc.provider]]\nname = \"entra\"\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"rolegate\"\nclient_secret = \"none-of-it\"\n";
    setting
}

/// Signs alice in with these Role values, none at all where there are none.
async fn sign_in(world: &World, roles: &[&str]) -> (String, Value) {
    let mut plan = world.plan();
    if roles.is_empty() {
        plan.remove_aws_attribute("Role");
    } else {
        plan.set_aws_attribute("Role", roles);
    }
    let (status, me) = world.post(&world.idp.sign(&plan)).await;
    assert_eq!(status, StatusCode::OK, "{me}");
    (me["session_token"].as_str().unwrap().to_owned(), me)
}

async fn token(world: &World, name: &str, kind: &str) -> String {
    let arguments = ["tokens", "create", name, "--role", kind];
    world.gateway.command(&arguments).await.good()
}

async fn users(world: &World, arguments: &[&str]) -> Ended {
    world
        .gateway
        .command(&[&["users"], arguments].concat())
        .await
}

async fn assign(world: &World, names: &[&str]) -> Ended {
    let arns: Vec<String> = names.iter().map(|name| role(name)).collect();
    users(world, &["set-role-arns", "alice", &arns.join(",")]).await
}

/// The audit's events of one kind, oldest first.
async fn audited(world: &World, kind: &str) -> Vec<Value> {
    let text = world.gateway.command(&["audit", "export"]).await.good();
    let lines = text.lines().map(parsed);
    lines.filter(|event| event["kind"] == kind).collect()
}

/// Asks again until the answer is `wanted`; the contract says within a second, a busy machine gets more.
async fn until<F>(wanted: StatusCode, mut ask: impl FnMut() -> F) -> Value
where
    F: Future<Output = (StatusCode, Value)>,
{
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        let (status, answer) = ask().await;
        if status == wanted {
            return answer;
        }
        assert!(begun.elapsed() < 30 * SOON, "{status}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assigned_roles_reach_a_session_that_lives_and_its_jobs() {
    let world = World::with(setting()).await;
    let (session, me) = sign_in(&world, &[]).await;
    assert_eq!((&me["grants"], &me["denied"]), (&json!([]), &json!([])));
    let launcher = world.launcher().await;
    let (status, none) = world.lease(&launcher, "long").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{none}");
    assert_eq!(none["code"], "not_offered");

    let set = assign(&world, &["long", "reader"]).await;
    assert!(set.stderr.contains("use relay or broker"), "{}", set.stderr);
    assert_eq!(set.good(), "alice of demo is assigned 2 roles");
    let made = until(StatusCode::CREATED, || world.lease(&launcher, "long")).await;
    assert_eq!(made["method"], "relay");
    let (status, served) = world.fetched(made["token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{served}");
    let issued = world.sts.issued_for(&role("long"));
    assert!(issued[0].arn.ends_with("assumed-role/long/alice"));

    let (_, me) = world.api("GET", "/api/v1/me", &session, None).await;
    assert_eq!(me["grants"][0]["role_arn"], role("long"), "{me}");
    assert_eq!(me["denied"][0]["role_arn"], role("reader"), "{me}");
    let reasons = me["denied"][0]["reasons"].to_string();
    assert!(reasons.contains("relay or broker"), "{reasons}");
    let (status, refused) = world.lease(&launcher, "reader").await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::FORBIDDEN, &json!("not_allowed"))
    );

    // A second sign-in without roles goes on with it.
    let (_, me) = sign_in(&world, &[]).await;
    assert_eq!(me["grants"][0]["role_arn"], role("long"), "{me}");
    let (status, _) = world.fetch(made["token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    let [event] = audited(&world, "assignment_set").await.try_into().unwrap();
    assert_eq!(event["roles"], json!([role("long"), role("reader")]));
    assert!(
        event["by"].as_str().unwrap().starts_with("local:"),
        "{event}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_with_any_role_value_ends_the_assignment() {
    let world = World::with(setting()).await;
    let launcher = world.launcher().await;
    for value in ["no role at all", &role("brokered")] {
        assign(&world, &["long"]).await.good();
        sign_in(&world, &[]).await;
        let made = until(StatusCode::CREATED, || world.lease(&launcher, "long")).await;
        let lease = made["token"].as_str().unwrap();
        assert_eq!(world.fetched(lease).await.0, StatusCode::OK);
        sign_in(&world, &[value]).await;
        let refused = until(StatusCode::FORBIDDEN, || world.fetch(lease)).await;
        assert_eq!(refused["code"], "not_offered", "{refused}");
        let gone = users(&world, &["get-role-arns", "alice"]).await;
        assert_eq!(gone.status.code(), Some(1));
        assert!(gone.stderr.contains("has no assignment"), "{}", gone.stderr);
    }
    let told = audited(&world, "assignment_overwritten").await;
    assert_eq!(told.len(), 2, "{told:?}");
    for event in told {
        assert_eq!(event["roles_before"], json!([role("long")]));
        assert_eq!(event["person"], json!({ "idp": "demo", "user": "alice" }));
        assert!(event["session"].is_string(), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_an_assignment_away_stops_a_lease_that_runs() {
    let world = World::with(setting()).await;
    let launcher = world.launcher().await;
    assign(&world, &["brokered", "long"]).await.good();
    sign_in(&world, &[]).await;
    let (status, made) = world.lease(&launcher, "brokered").await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let lease = made["token"].as_str().unwrap();
    assert_eq!(world.fetched(lease).await.0, StatusCode::OK);
    let unset = ["unset-role-arns", "alice", "--reason", "left the team"];
    let done = users(&world, &unset).await.good();
    assert_eq!(done, "alice of demo is no longer assigned 2 roles");
    let refused = until(StatusCode::FORBIDDEN, || world.fetch(lease)).await;
    assert_eq!(refused["code"], "not_offered", "{refused}");
    let again = users(&world, &unset).await;
    assert_eq!(again.status.code(), Some(1));
    let [event] = audited(&world, "assignment_removed")
        .await
        .try_into()
        .unwrap();
    assert_eq!(
        event["roles_before"],
        json!([role("brokered"), role("long")])
    );
    assert_eq!(event["reason"], "left the team");
    let verdict = world.gateway.command(&["audit", "verify"]).await;
    verdict.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idp_without_assignments_has_none() {
    let mut world = World::with(setting()).await;
    let launcher = world.launcher().await;
    assign(&world, &["long"]).await.good();
    let file = world.folder.path().join("rolegate.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let off = "metadata_file = \"idp.xml\"\nassignments = \"off\"";
    std::fs::write(&file, text.replace("metadata_file = \"idp.xml\"", off)).unwrap();
    world.gateway.kill_and_restart().await;
    sign_in(&world, &[]).await;
    let (status, refused) = world.lease(&launcher, "long").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
    assert_eq!(refused["code"], "not_offered");
    let set = assign(&world, &["long"]).await;
    assert_eq!(set.status.code(), Some(1));
    assert!(
        set.stderr.contains("assignments = \"off\""),
        "{}",
        set.stderr
    );
    let admin = token(&world, "root", "admin").await;
    let body = json!({ "role_arns": [role("long")] });
    let (status, problem) = world.api("PUT", PATH, &admin, Some(body)).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert_eq!(problem["code"], "assignments_off");
    // What stood before can be looked at, and taken away.
    let kept = users(&world, &["get-role-arns", "alice"]).await.good();
    assert_eq!(kept, role("long"));
    users(&world, &["unset-role-arns", "alice"]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_does_what_the_commands_do() {
    let world = World::with(with_provider(setting())).await;
    let admin = token(&world, "root", "admin").await;
    let auditor = token(&world, "eyes", "auditor").await;
    let at_demo = format!("{PATH}?idp=demo");
    let body = || json!({ "role_arns": [role("long")], "reason": "ticket 7" });

    let (status, problem) = world.api("PUT", PATH, &admin, Some(body())).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    assert_eq!(
        (&problem["code"], &problem["idps"]),
        (&json!("idp_needed"), &json!(["demo", "entra"]))
    );
    let (status, problem) = world.api("GET", &at_demo, &auditor, None).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::NOT_FOUND, &json!("not_assigned"))
    );
    let unknown = format!("{PATH}?idp=okta");
    let (status, problem) = world.api("PUT", &unknown, &admin, Some(body())).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::NOT_FOUND, &json!("unknown_idp"))
    );

    let (status, set) = world.api("PUT", &at_demo, &admin, Some(body())).await;
    assert_eq!(status, StatusCode::OK, "{set}");
    assert!(set["at"].as_str().unwrap().ends_with('Z'), "{set}");
    let wanted = json!({
        "user": "alice", "idp": "demo", "role_arns": [role("long")],
        "by": "admin:root", "reason": "ticket 7", "at": set["at"],
    });
    assert_eq!(set, wanted);
    let (status, got) = world.api("GET", &at_demo, &auditor, None).await;
    assert_eq!((status, &got), (StatusCode::OK, &wanted));
    let get = ["get-role-arns", "alice", "--idp", "demo", "--json"];
    assert_eq!(parsed(&users(&world, &get).await.good()), wanted);
    let (_, list) = world
        .api("GET", "/api/v1/admin/role-arns", &auditor, None)
        .await;
    assert_eq!(list, json!({ "items": [wanted], "next": null }));

    let (_, me) = sign_in(&world, &[]).await;
    assert_eq!(me["grants"][0]["role_arn"], role("long"), "{me}");
    let launcher = world.launcher().await;
    let (status, made) = world.lease(&launcher, "long").await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    // This process hears of it at once.
    let (status, _) = world.api("DELETE", &at_demo, &admin, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, refused) = world.fetch(made["token"].as_str().unwrap()).await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::FORBIDDEN, &json!("not_offered"))
    );
    let (status, _) = world.api("DELETE", &at_demo, &admin, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for (method, body) in [("PUT", Some(body())), ("DELETE", None)] {
        let (status, _) = world.api(method, &at_demo, &auditor, body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} by an auditor");
    }
}

/// Each command on the store and on the running gateway, with the same words and codes.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_do_the_same_by_url() {
    let world = World::with(with_provider(setting())).await;
    let admin = token(&world, "root", "admin").await;
    let url = world.gateway.at("");
    let remote = [("ROLEGATE_TOKEN", admin.as_str()), ("ROLEGATE_URL", &url)];
    let reserved =
        "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_1";
    let (long, late) = (role("long"), role("late"));
    let both = format!("{long}, {late}");
    let calls: &[(&[&str], i32, &str)] = &[
        (
            &["get-role-arns", "alice", "--idp", "demo"],
            1,
            "has no assignment",
        ),
        (&["set-role-arns", "alice", &both], 2, "--idp is missing"),
        (&["get-role-arns", "alice"], 2, "demo, entra"),
        (&["unset-role-arns", "alice"], 2, "--idp is missing"),
        (
            &["set-role-arns", "alice", "reader", "--idp", "demo"],
            2,
            "reader",
        ),
        (
            &["set-role-arns", "alice", &both, "--idp", "okta"],
            1,
            "no configured IdP",
        ),
        (
            &["set-role-arns", "alice", reserved, "--idp", "demo"],
            1,
            "belong to AWS",
        ),
        (
            &["set-role-arns", "alice", &both, "--idp", "demo"],
            0,
            "does not allow it yet",
        ),
        (
            &["set-role-arns", "alice", &long, "--idp", "entra"],
            0,
            "assigned 1 role",
        ),
        (&["get-role-arns", "alice", "--idp", "demo"], 0, &late),
        (&["list"], 0, "alice  entra"),
        (
            &["list", "--idp", "entra", "--json"],
            0,
            "\"idp\": \"entra\"",
        ),
        (
            &["unset-role-arns", "alice", "--idp", "demo"],
            0,
            "no longer assigned 2 roles",
        ),
        (
            &["unset-role-arns", "alice", "--idp", "entra", "--json"],
            0,
            "\"role_arns\"",
        ),
        (&["list", "--json"], 0, "[]"),
    ];
    for variables in [&[][..], &remote[..]] {
        for (arguments, code, words) in calls {
            let arguments = [&["users"], *arguments].concat();
            let ended = command(world.folder.path(), &arguments, variables).await;
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert_eq!(ended.status.code(), Some(*code), "{arguments:?}: {said}");
            let said = said
                .split('\n')
                .map(str::trim)
                .collect::<Vec<_>>()
                .join("\n");
            assert!(said.contains(words), "{arguments:?}: {said}");
        }
    }
    let by: Vec<Value> = audited(&world, "assignment_set").await;
    let by: Vec<&str> = by
        .iter()
        .map(|event| event["by"].as_str().unwrap())
        .collect();
    assert_eq!(by.len(), 4);
    assert!(by[..2].iter().all(|by| by.starts_with("local:")), "{by:?}");
    assert_eq!(by[2..], ["admin:root", "admin:root"]);
}
