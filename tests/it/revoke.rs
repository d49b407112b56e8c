//! The kill switch on a running gateway: by the API, by the commands on its store, by a person.

mod commands;

use std::time::Duration;

use reqwest::{Client, StatusCode, redirect::Policy};
use rolegate::demo::sts::Fault;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::gateway::{Setting, World, role};

/// alice and bob signed in; alice's reader leased by `batch`, her writer by `nightly`, bob's reader by `batch`.
struct Stage {
    admin: String,
    batch: String,
    nightly: String,
    tokens: [String; 3],
    leases: [String; 3],
}

async fn token(world: &World, name: &str, kind: &str) -> String {
    let mut arguments = vec!["tokens", "create", name, "--role", kind];
    if kind == "launcher" {
        arguments.extend(["--for-roles", "*", "--for-users", "*"]);
    }
    world.gateway.command(&arguments).await.good()
}

/// Signs `user` in; returns the session's token.
async fn sign_in(world: &World, user: &str) -> String {
    let (status, me) = world.post(&response(world, user)).await;
    assert_eq!(status, StatusCode::OK, "{me}");
    me["session_token"].as_str().unwrap().to_owned()
}

fn response(world: &World, user: &str) -> String {
    let mut plan = world.plan();
    user.clone_into(&mut plan.name_id);
    plan.set_aws_attribute("RoleSessionName", &[user]);
    world.idp.sign(&plan)
}

async fn order(world: &World, launcher: &str, user: &str, name: &str) -> (StatusCode, Value) {
    let order = json!({ "user": user, "role_arn": role(name), "job": "job-1" });
    world
        .api("POST", "/api/v1/leases", launcher, Some(order))
        .await
}

impl Stage {
    async fn set(world: &World) -> Self {
        let admin = token(world, "root", "admin").await;
        let batch = token(world, "batch", "launcher").await;
        let nightly = token(world, "nightly", "launcher").await;
        let mut stage = Self {
            admin,
            batch,
            nightly,
            tokens: Default::default(),
            leases: Default::default(),
        };
        stage.begin(world).await;
        stage
    }

    /// Everybody signs in, and gets leases that serve.
    async fn begin(&mut self, world: &World) {
        sign_in(world, "alice").await;
        sign_in(world, "bob").await;
        let orders = [
            (&self.batch, "alice", "reader"),
            (&self.nightly, "alice", "writer"),
            (&self.batch, "bob", "reader"),
        ];
        for (at, (launcher, user, name)) in orders.into_iter().enumerate() {
            let (status, made) = order(world, launcher, user, name).await;
            assert_eq!(status, StatusCode::CREATED, "{made}");
            made["token"]
                .as_str()
                .unwrap()
                .clone_into(&mut self.tokens[at]);
            made["lease"]
                .as_str()
                .unwrap()
                .clone_into(&mut self.leases[at]);
        }
        assert_eq!(self.fetches(world).await, "+++");
    }

    /// Which of the three get credentials; who gets none is told in a sentence that it was revoked.
    async fn fetches(&self, world: &World) -> String {
        let mut served = String::new();
        for token in &self.tokens {
            let (status, body) = world.fetched(token).await;
            served.push(if status == StatusCode::OK { '+' } else { '-' });
            if status != StatusCode::OK {
                assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
                assert_eq!(body["code"], "revoked");
                let told = body["Message"].as_str().unwrap();
                assert!(told.contains("was revoked"), "{told}");
            }
        }
        served
    }

    async fn revoke(&self, world: &World, selector: Value, hold: bool) -> Value {
        let mut order = selector;
        order["reason"] = json!("laptop lost");
        order["hold"] = json!(hold);
        let (status, done) = self.ask(world, order).await;
        assert_eq!(status, StatusCode::OK, "{done}");
        done
    }

    async fn ask(&self, world: &World, order: Value) -> (StatusCode, Value) {
        let path = "/api/v1/admin/revoke";
        world.api("POST", path, &self.admin, Some(order)).await
    }

    async fn release(&self, world: &World, hold: &Value) {
        let path = format!("/api/v1/admin/holds/{}", hold.as_str().unwrap());
        let (status, _) = world.api("DELETE", &path, &self.admin, None).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        let (status, _) = world.api("DELETE", &path, &self.admin, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "released already");
    }

    /// The newest session of alice that goes on.
    async fn session(&self, world: &World) -> String {
        let path = "/api/v1/admin/sessions?user=alice";
        let (status, list) = world.api("GET", path, &self.admin, None).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        let items = list["items"].as_array().unwrap();
        assert!(items.iter().all(|item| item["user"] == "alice"), "{list}");
        let newest = items.iter().rfind(|item| item["ended_at"].is_null());
        newest.unwrap()["session"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_selector_stops_what_it_names_and_nothing_else() {
    let world = World::start().await;
    let mut stage = Stage::set(&world).await;
    for turn in 0..8 {
        if turn > 0 {
            stage.begin(&world).await;
        }
        let (selector, left, sessions, leases) = match turn {
            0 => (json!({ "user": "alice" }), "--+", 1, 2),
            1 => (json!({ "user": "alice", "idp": "demo" }), "--+", 1, 2),
            2 => (json!({ "role_arn": role("reader") }), "-+-", 0, 2),
            3 => (json!({ "role_arn": role("w*") }), "+-+", 0, 1),
            4 => (json!({ "launcher": "nightly" }), "+-+", 0, 1),
            5 => (
                json!({ "session": stage.session(&world).await }),
                "--+",
                1,
                2,
            ),
            6 => (json!({ "lease": stage.leases[0] }), "-++", 0, 1),
            _ => (json!({ "all": true }), "---", 2, 3),
        };
        let done = stage.revoke(&world, selector.clone(), false).await;
        assert_eq!(stage.fetches(&world).await, left, "{selector}");
        let revoked = &done["revoked"];
        // Leases and sessions of earlier turns are hit too, where the selector reaches them.
        assert!(revoked["sessions"].as_u64().unwrap() >= sessions, "{done}");
        assert!(revoked["leases"].as_u64().unwrap() >= leases, "{done}");
        assert_eq!(done["hold"], Value::Null);
        assert!(
            done["credentials_valid_until"]
                .as_str()
                .unwrap()
                .ends_with('Z')
        );
        let advice = &done["aws"][0];
        assert_eq!(advice["account_id"], "123456789012", "{done}");
        let command = advice["command"].as_str().unwrap();
        assert!(command.starts_with("aws iam put-role-policy --role-name "));
        let (_, document) = command.split_once("--policy-document '").unwrap();
        let document: Value = serde_json::from_str(document.trim_end_matches('\'')).unwrap();
        assert_eq!(document, advice["policy"], "{command}");
        assert_eq!(document["Statement"][0]["Effect"], "Deny");
    }
    let verified = world.gateway.command(&["audit", "verify"]).await;
    verified.good();
    let exported = world.gateway.command(&["audit", "export"]).await.good();
    for kind in ["access_revoked", "session_ended", "lease_revoked"] {
        assert!(exported.contains(kind), "{kind}");
    }
    assert!(exported.contains("laptop lost") && exported.contains("admin:root"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_user_is_refused_like_anybody_else_until_the_release() {
    let world = World::start().await;
    let stage = Stage::set(&world).await;
    let session = sign_in(&world, "alice").await;
    let done = stage.revoke(&world, json!({ "user": "alice" }), true).await;
    let (status, _) = world.api("GET", "/api/v1/me", &session, None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.fetches(&world).await, "--+");
    let (status, problem) = order(&world, &stage.batch, "alice", "reader").await;
    let code = problem["code"].as_str();
    assert_eq!(
        (status, code),
        (StatusCode::FORBIDDEN, Some("held")),
        "{problem}"
    );
    let title = problem["title"].as_str().unwrap();
    assert!(title.contains("held by an admin: laptop lost"), "{title}");
    let (status, made) = order(&world, &stage.batch, "bob", "reader").await;
    assert_eq!(status, StatusCode::CREATED, "{made}");

    let held = world.post(&response(&world, "alice")).await;
    let mut plan = world.plan();
    plan.audiences = vec!["urn:another".to_owned()];
    let ordinary = world.post(&world.idp.sign(&plan)).await;
    let without_reference = |(status, mut body): (StatusCode, Value)| {
        let reference = body["reference"].take();
        (status, body, reference.as_str().unwrap().to_owned())
    };
    let (status, body, reference) = without_reference(held);
    let (other_status, other_body, _) = without_reference(ordinary);
    assert_eq!((status, body), (other_status, other_body));
    let question = json!({ "reference": reference });
    let path = "/api/v1/admin/explain";
    let mut told = Value::Null;
    for _ in 0..600 {
        let asked = world.api("POST", path, &stage.admin, Some(question.clone()));
        told = asked.await.1;
        if told["checks"].to_string().contains("\"held\"") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let text = told.to_string();
    assert!(
        text.contains("laptop lost") && text.contains("rolegate release"),
        "{text}"
    );
    world.gateway.said("\"code\":\"held\"").await;

    let path = "/api/v1/admin/holds";
    let (_, list) = world.api("GET", path, &stage.admin, None).await;
    let item = &list["items"][0];
    assert_eq!(
        (&item["id"], &item["user"]),
        (&done["hold"], &json!("alice"))
    );
    assert_eq!(
        (&item["created_by"], &item["all"]),
        (&json!("admin:root"), &json!(false))
    );
    stage.release(&world, &done["hold"]).await;
    sign_in(&world, "alice").await;
    let (status, made) = order(&world, &stage.batch, "alice", "reader").await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (status, _) = world.fetch(made["token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        stage.fetches(&world).await,
        "--+",
        "what was revoked stays revoked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_on_a_role_a_launcher_and_all_refuse_what_they_name() {
    let world = World::start().await;
    let stage = Stage::set(&world).await;
    let done = stage
        .revoke(&world, json!({ "role_arn": role("reader") }), true)
        .await;
    let session = sign_in(&world, "alice").await;
    let (_, me) = world.api("GET", "/api/v1/me", &session, None).await;
    assert_eq!(me["grants"].as_array().unwrap().len(), 1, "{me}");
    assert!(
        me["denied"].to_string().contains("held by an admin"),
        "{me}"
    );
    let take = |name: &str| {
        let body = json!({ "role_arn": role(name) });
        world.api("POST", "/api/v1/credentials", &session, Some(body))
    };
    let (status, problem) = take("reader").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::FORBIDDEN, &json!("held")),
        "{problem}"
    );
    assert_eq!(take("writer").await.0, StatusCode::OK);
    assert_eq!(
        order(&world, &stage.batch, "alice", "reader").await.0,
        StatusCode::FORBIDDEN
    );
    let (_, made) = order(&world, &stage.batch, "alice", "writer").await;
    assert_eq!(
        world.fetched(made["token"].as_str().unwrap()).await.0,
        StatusCode::OK
    );
    stage.release(&world, &done["hold"]).await;
    assert_eq!(take("reader").await.0, StatusCode::OK);

    let done = stage
        .revoke(&world, json!({ "launcher": "nightly" }), true)
        .await;
    let (status, problem) = order(&world, &stage.nightly, "bob", "writer").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::FORBIDDEN, &json!("held")),
        "{problem}"
    );
    assert_eq!(
        order(&world, &stage.batch, "bob", "writer").await.0,
        StatusCode::CREATED
    );
    // A lease that slipped in beside the revocation is refused as well.
    let file = world.folder.path().join("rolegate.db");
    let database = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut database = sqlx::SqliteConnection::connect_with(&database)
        .await
        .unwrap();
    sqlx::query("UPDATE leases SET revoked_at = NULL WHERE id = $1")
        .bind(&stage.leases[1])
        .execute(&mut database)
        .await
        .unwrap();
    let (status, body) = world.fetch(&stage.tokens[1]).await;
    assert_eq!(
        (status, &body["Code"]),
        (StatusCode::FORBIDDEN, &json!("held")),
        "{body}"
    );
    assert_eq!(body["Message"], "held by an admin: laptop lost");
    stage.release(&world, &done["hold"]).await;
    assert_eq!(world.fetched(&stage.tokens[1]).await.0, StatusCode::OK);

    let done = stage.revoke(&world, json!({ "all": true }), true).await;
    assert_eq!(
        world.post(&response(&world, "bob")).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        order(&world, &stage.batch, "bob", "reader").await.1["code"],
        "held"
    );
    stage.release(&world, &done["hold"]).await;
    sign_in(&world, "bob").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_revoke_and_only_by_one_selector_with_a_reason() {
    let world = World::start().await;
    let stage = Stage::set(&world).await;
    let auditor = token(&world, "eyes", "auditor").await;
    let session = sign_in(&world, "bob").await;
    let good = json!({ "user": "alice", "reason": "r" });
    for (who, expected) in [
        (&auditor, StatusCode::FORBIDDEN),
        (&stage.batch, StatusCode::UNAUTHORIZED),
        (&session, StatusCode::UNAUTHORIZED),
    ] {
        let asked = world.api("POST", "/api/v1/admin/revoke", who, Some(good.clone()));
        assert_eq!(asked.await.0, expected);
    }
    for path in ["/api/v1/admin/sessions", "/api/v1/admin/holds"] {
        let (status, list) = world.api("GET", path, &auditor, None).await;
        assert_eq!((status, list["items"].is_array()), (StatusCode::OK, true));
    }
    for bad in [
        json!({ "reason": "r" }),
        json!({ "reason": "r", "all": false }),
        json!({ "reason": "r", "idp": "demo" }),
        json!({ "reason": "r", "idp": "demo", "all": true }),
        json!({ "reason": "r", "user": "alice", "all": true }),
        json!({ "user": "alice" }),
        json!({ "user": "alice", "reason": "  " }),
        json!({ "user": "alice", "reason": "two\nlines" }),
        json!({ "role_arn": "reader", "reason": "r" }),
        json!({ "user": "alice", "reason": "r", "everything": true }),
    ] {
        let (status, problem) = stage.ask(&world, bad.clone()).await;
        let code = problem["code"].as_str();
        assert_eq!(
            (status, code),
            (StatusCode::BAD_REQUEST, Some("bad_request")),
            "{bad}"
        );
    }
    for unknown in ["session", "lease"] {
        let id = format!("{}_1", &unknown[..3]);
        let (status, _) = stage
            .ask(&world, json!({ unknown: id, "reason": "r" }))
            .await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    assert_eq!(stage.fetches(&world).await, "+++", "nothing was hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_and_revokes_every_lease_and_makes_none() {
    let world = World::start().await;
    let stage = Stage::set(&world).await;
    let (status, list) = world.api("GET", "/api/v1/leases", &stage.admin, None).await;
    assert_eq!(
        (status, list["items"].as_array().unwrap().len()),
        (StatusCode::OK, 3)
    );
    let path = format!("/api/v1/leases/{}", stage.leases[2]);
    let (status, lease) = world.api("GET", &path, &stage.admin, None).await;
    assert_eq!((status, &lease["user"]), (StatusCode::OK, &json!("bob")));
    let (status, _) = world.api("GET", &path, &stage.nightly, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "another launcher's");
    let (status, _) = world.api("DELETE", &path, &stage.admin, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(stage.fetches(&world).await, "++-");
    let (status, _) = order(&world, &stage.admin, "alice", "reader").await;
    assert_eq!(
        status,
        StatusCode::UNAUTHORIZED,
        "not with an admin's token"
    );
}

/// The value of the form field `name` of a page.
fn field(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let (_, after) = page.split_once(&start).expect(page);
    after.split_once('"').unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_out_everywhere() {
    let world = World::with(Setting {
        idp_lines: "idp_initiated = \"allow\"",
        ..Setting::default()
    })
    .await;
    let stage = Stage::set(&world).await;
    let program = sign_in(&world, "alice").await;
    let browser = Client::builder()
        .cookie_store(true)
        .redirect(Policy::none())
        .build()
        .unwrap();
    let posted = browser
        .post(world.gateway.at("/saml/acs"))
        .form(&[("SAMLResponse", response(&world, "alice"))])
        .send();
    assert_eq!(posted.await.unwrap().status(), StatusCode::SEE_OTHER);
    let portal = browser.get(world.gateway.at("/")).send().await.unwrap();
    let portal = portal.text().await.unwrap();
    assert!(portal.contains("Sign out everywhere"), "{portal}");
    let csrf = field(&portal, "csrf");
    let out = |csrf: &str, origin: &str| {
        browser
            .post(world.gateway.at("/logout"))
            .header("Origin", origin)
            .form(&[("csrf", csrf), ("everywhere", "1")])
            .send()
    };
    let origin = world.gateway.at("");
    for (csrf, origin) in [("wrong", origin.as_str()), (&csrf, "https://evil.example")] {
        let refused = out(csrf, origin).await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(stage.fetches(&world).await, "+++");
    let done = out(&csrf, &origin).await.unwrap();
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
    assert_eq!(stage.fetches(&world).await, "--+");
    let (status, _) = world.api("GET", "/api/v1/me", &program, None).await;
    assert_eq!(
        status,
        StatusCode::UNAUTHORIZED,
        "the other session has ended too"
    );
    sign_in(&world, "alice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_is_being_asked_for_never_lands() {
    let world = World::start().await;
    let mut stage = Stage::set(&world).await;
    let before = world.sts.calls().len();
    world.sts.set_fault(Fault::Slow(Duration::from_secs(2)));
    let response = response(&world, "alice");
    // The sign-in waits for AWS; in the middle of it, everything of alice's is revoked.
    let (signed_in, done) = tokio::join!(world.post(&response), async {
        while world.sts.calls().len() == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stage
            .revoke(&world, json!({ "user": "alice" }), false)
            .await
    });
    assert_eq!(signed_in.0, StatusCode::OK, "it was accepted before");
    assert_eq!(done["revoked"]["sessions"], 2, "{done}");
    let token = signed_in.1["session_token"].as_str().unwrap();
    let order = json!({ "role_arn": role("reader") });
    let answer = world.api("POST", "/api/v1/credentials", token, Some(order));
    assert_eq!(answer.await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.fetches(&world).await, "--+");
    world.sts.set_fault(Fault::None);
    stage.begin(&world).await;
}
