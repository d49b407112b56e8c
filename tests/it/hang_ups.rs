//! Clients that reset the connection, and processes that are killed, between what is committed and its record: the
//! audit has it all the same, or it was never in force.

use std::time::Duration;

use reqwest::StatusCode;
use rolegate::demo::sts::Fault;
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::gateway::{Setting, World, role};
use crate::parts::postgres::{Postgres, Way};

/// A gateway on PostgreSQL, whose audit can be held up.
struct Stage {
    world: World,
    /// Holds the audit.
    lock: sqlx::PgConnection,
    /// Looks.
    eye: sqlx::PgConnection,
    /// The gateway's way to its store.
    way: Way,
    _postgres: Postgres,
}

impl Stage {
    async fn start() -> Self {
        let postgres = Postgres::start();
        let (url, way) = (postgres.url(), Way::to(&postgres).await);
        let world = World::with(Setting {
            tables: format!("[store]\nurl = \"{}\"\n", way.url()),
            ..Setting::default()
        });
        Self {
            world: world.await,
            lock: sqlx::PgConnection::connect(&url).await.unwrap(),
            eye: sqlx::PgConnection::connect(&url).await.unwrap(),
            way,
            _postgres: postgres,
        }
    }

    /// From now on nobody writes to the audit. A writer waits four seconds at most.
    async fn hold_audit(&mut self) {
        for statement in ["BEGIN", "LOCK TABLE audit IN EXCLUSIVE MODE"] {
            sqlx::query(statement)
                .execute(&mut self.lock)
                .await
                .unwrap();
        }
    }

    async fn release_audit(&mut self) {
        sqlx::query("ROLLBACK")
            .execute(&mut self.lock)
            .await
            .unwrap();
    }

    async fn count(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&mut self.eye)
            .await
            .unwrap()
    }

    /// Until `sql` counts to `wanted`, for ten seconds at most.
    async fn until(&mut self, sql: &'static str, wanted: i64) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let mut last = None;
        for _ in 0..500 {
            ticks.tick().await;
            last = Some(self.count(sql).await);
            if last == Some(wanted) {
                return;
            }
        }
        panic!("{sql}: {last:?} and not {wanted}");
    }

    /// Sends a request, resets the connection while its record waits for the audit, and lets the audit go on.
    async fn hang_up(&mut self, head: &str, kind: &str, body: &str) {
        self.hold_audit().await;
        let connection = send(&self.world, head, kind, body).await;
        self.until(WAITING, 1).await;
        connection.set_zero_linger().unwrap();
        drop(connection);
        // Nothing tells when the server has heard of a reset; it takes a moment.
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.release_audit().await;
    }
}

/// Who waits for the audit.
const WAITING: &str =
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit'::regclass";
const ACCEPTED: &str = "SELECT count(*) FROM audit WHERE kind = 'sign_in_accepted'";
const CONFIRMED: &str = "SELECT count(*) FROM sessions WHERE state = 'confirmed'";

/// Sends a request of `head`, a request line and lines of headers, and `body`; the answer is not read.
async fn send(world: &World, head: &str, kind: &str, body: &str) -> TcpStream {
    let url = world.gateway.at("");
    let host = url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(host).await.unwrap();
    let head = head.replace('\n', "\r\n");
    let text = format!(
        "{head}\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(text.as_bytes()).await.unwrap();
    connection
}

const FORM: &str = "application/x-www-form-urlencoded";
const SIGN_IN: &str = "POST /saml/acs HTTP/1.1\nAccept: application/json";

fn form_of(response: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("SAMLResponse", response)
        .finish()
}

/// Signs in and leases `reader`; the lease's token and its first credentials' id.
async fn job(world: &World) -> (String, Value) {
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (status, lease) = world.lease(&launcher, "reader").await;
    assert_eq!(status, StatusCode::CREATED, "{lease}");
    let token = lease["token"].as_str().unwrap().to_owned();
    let (status, credentials) = world.fetched(&token).await;
    assert_eq!(status, StatusCode::OK, "{credentials}");
    (token, credentials["AccessKeyId"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_goes_on_though_its_client_is_gone() {
    let mut stage = Stage::start().await;
    let (token, before) = job(&stage.world).await;
    let form = form_of(&stage.world.response());
    stage.hang_up(SIGN_IN, FORM, &form).await;
    stage.until(ACCEPTED, 2).await;
    stage.until(CONFIRMED, 2).await;
    // And the running job has what came of it.
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut last = Value::Null;
    for _ in 0..100 {
        ticks.tick().await;
        let (status, credentials) = stage.world.fetched(&token).await;
        assert_eq!(status, StatusCode::OK, "{credentials}");
        last = credentials["AccessKeyId"].clone();
        if last != before {
            break;
        }
    }
    assert_ne!(last, before);
    assert_eq!(stage.world.sts.calls_for(&role("reader")), 2);
    stage
        .world
        .gateway
        .command(&["audit", "verify"])
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_draws_on_a_sign_in_that_was_killed_before_the_audit_had_it() {
    let mut stage = Stage::start().await;
    let (token, before) = job(&stage.world).await;
    stage.hold_audit().await;
    let form = form_of(&stage.world.response());
    let connection = send(&stage.world, SIGN_IN, FORM, &form).await;
    stage.until(WAITING, 1).await;
    stage.world.gateway.kill().await;
    drop(connection);
    stage.release_audit().await;
    stage.world.gateway.restart().await;
    assert_eq!(stage.count(ACCEPTED).await, 1);
    assert_eq!(stage.count(CONFIRMED).await, 1);
    let (status, credentials) = stage.world.fetched(&token).await;
    assert_eq!(
        (status, &credentials["AccessKeyId"]),
        (StatusCode::OK, &before)
    );
    // The next one counts.
    stage.world.sign_in().await;
    assert_eq!(stage.count(ACCEPTED).await, 2);
    assert_eq!(stage.count(CONFIRMED).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_is_recorded_though_its_client_is_gone() {
    let mut stage = Stage::start().await;
    job(&stage.world).await;
    let admin = ["tokens", "create", "root", "--role", "admin"];
    let admin = stage.world.gateway.command(&admin).await.good();
    let launcher = stage.world.launcher().await;
    let (_, lease) = stage.world.lease(&launcher, "reader").await;
    let lease = lease["lease"].as_str().unwrap();
    let order = json!({ "user": "alice", "role_arn": role("writer"), "job": "gone" });
    let roles = json!({ "role_arns": [role("writer")] });
    let revocation = json!({ "user": "alice", "reason": "laptop lost" });
    let calls = [
        (
            "POST /api/v1/leases".to_owned(),
            &launcher,
            order,
            "SELECT count(*) FROM audit WHERE kind = 'lease_created' AND record LIKE '%gone%'",
        ),
        (
            format!("DELETE /api/v1/leases/{lease}"),
            &launcher,
            Value::Null,
            "SELECT count(*) FROM audit WHERE kind = 'lease_revoked'",
        ),
        (
            "PUT /api/v1/admin/users/alice/role-arns".to_owned(),
            &admin,
            roles,
            "SELECT count(*) FROM audit WHERE kind = 'assignment_set'",
        ),
        (
            "POST /api/v1/admin/revoke".to_owned(),
            &admin,
            revocation,
            "SELECT count(*) FROM audit WHERE kind = 'access_revoked'",
        ),
    ];
    for (line, token, body, recorded) in calls {
        assert_eq!(stage.count(recorded).await, 0, "{line}");
        let head = format!("{line} HTTP/1.1\nAuthorization: Bearer {token}");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        stage.hang_up(&head, "application/json", &body).await;
        stage.until(recorded, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_mint_was_cut_off_older_credentials_go_on() {
    let mut world = World::start().await;
    let (token, before) = job(&world).await;
    world.sts.set_fault(Fault::Hang);
    let asked = world.sts.calls().len();
    let form = form_of(&world.response());
    let connection = send(&world, SIGN_IN, FORM, &form).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..500 {
        if world.sts.calls().len() > asked {
            break;
        }
        ticks.tick().await;
    }
    assert!(world.sts.calls().len() > asked, "STS is asked");
    world.gateway.kill().await;
    drop(connection);
    world.sts.set_fault(Fault::None);
    world.gateway.restart().await;
    // The claim lapses after eight seconds, and after ten nobody takes the credentials to be on their way any more.
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    for _ in 0..26 {
        ticks.tick().await;
        let (status, credentials) = world.fetched(&token).await;
        assert_eq!(
            (status, &credentials["AccessKeyId"]),
            (StatusCode::OK, &before),
            "{credentials}"
        );
    }
    world.sign_in().await;
    let (status, credentials) = world.fetched(&token).await;
    assert_eq!(status, StatusCode::OK, "{credentials}");
    assert_ne!(credentials["AccessKeyId"], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sts_gave_waits_for_a_store_that_blinks() {
    const CLAIMED: &str = "SELECT count(*) FROM credentials WHERE claimant IS NOT NULL";
    const KEPT: &str = "SELECT count(*) FROM credentials WHERE sealed IS NOT NULL";
    let mut stage = Stage::start().await;
    let (token, before) = job(&stage.world).await;
    stage.until(KEPT, 2).await;
    stage
        .world
        .sts
        .set_fault(Fault::Slow(Duration::from_secs(2)));
    let asked = stage.world.sts.calls().len();
    let form = form_of(&stage.world.response());
    let connection = send(&stage.world, SIGN_IN, FORM, &form).await;
    stage.until(CLAIMED, 2).await;
    stage.way.cut();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..500 {
        if stage.world.sts.calls().len() >= asked + 2 {
            break;
        }
        ticks.tick().await;
    }
    assert_eq!(stage.world.sts.calls().len(), asked + 2);
    // It has met a store that is away.
    stage.world.gateway.logged("store_away").await;
    stage.way.mend();
    stage.until(KEPT, 4).await;
    drop(connection);
    let mut last = Value::Null;
    for _ in 0..500 {
        ticks.tick().await;
        // The gateway serves again once it has heard from its store.
        let (status, credentials) = stage.world.fetched(&token).await;
        last = credentials["AccessKeyId"].clone();
        if status == StatusCode::OK && last != before {
            break;
        }
    }
    assert!(last.is_string() && last != before, "{last}");
}
