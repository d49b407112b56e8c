//! `agent`: what a prolog or a sidecar finds, and that nothing of it stays.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reqwest::StatusCode;

use super::program::{Desk, Running, program};
use super::upstream::{Plan, Upstream};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_what_the_environment_needs_and_ends_at_a_signal() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3600)).await;
    let home = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        let mut agent = Running::start(program(home.path(), &upstream.url, &["agent"]));
        let mut text = String::new();
        while !text.contains("AUTHORIZATION_TOKEN=") {
            text.push_str(&agent.line().await);
            text.push('\n');
        }
        assert!(text.contains("unset AWS_CONTAINER_CREDENTIALS_RELATIVE_URI\n"));
        let desk = Desk::of_lines(&text);
        assert_eq!(desk.get().await.0, StatusCode::OK);
        agent.signal("HUP");
        assert_eq!(desk.get().await.0, StatusCode::OK);
        agent.signal(signal);
        assert_eq!(agent.end().await, (Some(0), String::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_files_for_those_who_wait_for_them_and_removes_them() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3600)).await;
    let home = tempfile::tempdir().unwrap();
    let arguments = [
        "agent",
        "--env-file",
        "env",
        "--token-file",
        "token",
        "--pid-file",
        "pid",
        "--listen",
        "127.0.0.1:0",
    ];
    let agent = Running::start(program(home.path(), &upstream.url, &arguments));
    let [env, token, pid] = ["env", "token", "pid"].map(|name| home.path().join(name));
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
    while !env.exists() {
        ticks.tick().await;
    }
    assert_eq!(
        (mode(&env), mode(&token), mode(&pid)),
        (0o600, 0o400, 0o600)
    );
    let desk = Desk::of_lines(&std::fs::read_to_string(&env).unwrap());
    assert_eq!(
        std::fs::read_to_string(&token).unwrap(),
        desk.token,
        "no newline"
    );
    let id = std::fs::read_to_string(&pid).unwrap();
    assert_eq!(id.trim(), agent.child.id().unwrap().to_string());
    assert_eq!(desk.get().await.0, StatusCode::OK);
    agent.signal("TERM");
    assert_eq!(agent.end().await.0, Some(0));
    assert!(!env.exists() && !token.exists() && !pid.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_a_web_identity_token_where_it_is_told() {
    let upstream = Upstream::start(Plan::Drop).await;
    upstream.plan("/v1/web-identity-token", Plan::WebIdentity(300));
    let home = tempfile::tempdir().unwrap();
    let arguments = ["agent", "--web-identity-token-file", "jwt"];
    let mut agent = Running::start(program(home.path(), &upstream.url, &arguments));
    let mut lines = Vec::new();
    while lines.last()
        != Some(&"export AWS_ROLE_ARN=arn:aws:iam::123456789012:role/reader".to_owned())
    {
        lines.push(agent.line().await);
    }
    let file = home.path().join("jwt");
    let named = format!("export AWS_WEB_IDENTITY_TOKEN_FILE={}", file.display());
    assert!(lines.contains(&named), "{lines:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "web.identity.0");
    assert_eq!(mode(&file), 0o600);
    agent.signal("TERM");
    assert_eq!(agent.end().await.0, Some(0));
    assert!(!file.exists());
}
