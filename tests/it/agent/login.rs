//! `login` and `logout`: a code confirmed elsewhere becomes a session here.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rolegate::model::hex;
use serde_json::{Value, json};

use super::program::{end, program};
use super::upstream::{Plan, Upstream, in_seconds};
use crate::gateway::Ended;

const SESSION: &str = "rgs_sssssssssssssssssssssssssssssssssssssssssss";
const TOKENS: &str = "/api/v1/login/tokens";

fn file(home: &Path, url: &str) -> PathBuf {
    let name = hex(&openssl::sha::sha256(url.as_bytes()));
    home.join(format!(".local/state/rolegate/sessions/{name}.json"))
}

/// Leaves what `login` would have kept.
pub(super) fn keep(home: &Path, url: &str, token: &str, expires_at: &Value) {
    let file = file(home, url);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let session = json!({
        "session_token": token, "user": "alice", "idp": "demo", "expires_at": expires_at,
    });
    std::fs::write(file, session.to_string()).unwrap();
}

async fn upstream(expires_in: u64) -> Upstream {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3600)).await;
    let code = json!({
        "device_code": "device", "user_code": "BCDF-GHJK", "verification_uri": "https://gate.example.org/device",
        "verification_uri_complete": "https://gate.example.org/device?code=BCDF-GHJK",
        "expires_in": expires_in, "interval": 1,
    });
    upstream.plan("/api/v1/login/codes", Plan::Answer(201, code));
    upstream.plan(TOKENS, problem("authorization_pending"));
    upstream
}

fn problem(code: &str) -> Plan {
    Plan::Answer(
        400,
        json!({ "type": "about:blank", "title": code, "status": 400, "code": code }),
    )
}

async fn run(home: &Path, upstream: &Upstream, arguments: &[&str]) -> Ended {
    let mut command = program(home, &upstream.url, arguments);
    command.env_remove("ROLEGATE_LEASE_TOKEN");
    end(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_code_becomes_a_session_until_logout() {
    let upstream = upstream(60).await;
    let home = tempfile::tempdir().unwrap();
    let login = run(home.path(), &upstream, &["login", "--no-browser"]);
    let confirm = async {
        upstream.asked_times(3).await;
        upstream.plan(TOKENS, Plan::Drop);
        upstream.asked_times(4).await;
        let session = json!({
            "session_token": SESSION, "user": "alice", "idp": "demo", "expires_at": in_seconds(3600),
        });
        upstream.plan(TOKENS, Plan::Answer(200, session));
    };
    let (login, ()) = tokio::join!(login, confirm);
    assert!(
        login.stderr.contains("https://gate.example.org/device"),
        "{}",
        login.stderr
    );
    assert!(login.stderr.contains("BCDF-GHJK") && !login.stderr.contains(SESSION));
    assert!(login.good().contains("alice (demo)"));
    assert_eq!(upstream.asked()[1].body, r#"{"device_code":"device"}"#);
    let kept = file(home.path(), &upstream.url);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&kept), mode(kept.parent().unwrap())), (0o600, 0o700));

    let role = crate::gateway::role("reader");
    let process = ["credential-process", "--role", &role];
    assert!(
        run(home.path(), &upstream, &process)
            .await
            .good()
            .contains("ASIAONE")
    );
    let asked = upstream.asked().last().unwrap().clone();
    assert_eq!(asked.line, "POST /api/v1/credentials HTTP/1.1");
    assert_eq!(asked.authorization, format!("Bearer {SESSION}"));
    assert_eq!(asked.body, json!({ "role_arn": role }).to_string());

    let exec = ["exec", "--role", &role, "--", "true"];
    run(home.path(), &upstream, &exec).await.good();
    upstream.plan(
        "/api/v1/credentials",
        Plan::Answer(401, json!({ "title": "no" })),
    );
    let over = run(home.path(), &upstream, &exec).await;
    assert_eq!(over.status.code(), Some(1));
    assert!(over.stderr.contains("rolegate login"), "{}", over.stderr);

    run(home.path(), &upstream, &["logout"]).await.good();
    assert!(!kept.exists());
    let count = upstream.asked().len();
    let gone = run(home.path(), &upstream, &exec).await;
    assert!(gone.stderr.contains("rolegate login"), "{}", gone.stderr);
    assert_eq!(upstream.asked().len(), count, "nothing to ask with");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_nobody_confirms_or_somebody_refuses_leaves_nothing() {
    for (code, expires_in, said) in [
        ("access_denied", 60, "was refused"),
        ("expired_token", 60, "in time"),
        ("authorization_pending", 3, "in time"),
    ] {
        let upstream = upstream(expires_in).await;
        upstream.plan(TOKENS, problem(code));
        let home = tempfile::tempdir().unwrap();
        let login = run(home.path(), &upstream, &["login", "--no-browser"]).await;
        assert_eq!(login.status.code(), Some(1));
        assert!(login.stderr.contains(said), "{code}: {}", login.stderr);
        assert!(!file(home.path(), &upstream.url).exists());
    }
}
