//! `exec`: the child's environment, signals and end.

use std::os::unix::fs::PermissionsExt;

use reqwest::StatusCode;

use super::program::{Desk, JOB, LEASE, Running, end, program};
use super::upstream::{Plan, Upstream, refusal};

fn exec<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&["exec"], rest].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_alone_is_served_on_loopback_and_its_exit_status_passes_through() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3600)).await;
    let home = tempfile::tempdir().unwrap();
    let mut job = Running::start(program(home.path(), &upstream.url, &exec(&JOB)));
    let desk = Desk::of_job(&mut job).await;
    assert!(desk.uri.starts_with("http://127.0.0.1:"), "{}", desk.uri);
    let (status, body) = desk.get().await;
    assert_eq!(
        (status, &body["AccessKeyId"]),
        (StatusCode::OK, &"ASIAONE".into())
    );
    assert!(body["Expiration"].as_str().unwrap().ends_with('Z'));
    let asked = upstream.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "GET /v1/credentials HTTP/1.1");
    assert_eq!(asked[0].authorization, LEASE);

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let root = desk.uri.replace("/v1/credentials", "/");
    let get = |uri: &str| client.get(uri).header("Authorization", &desk.token);
    let wrong = desk.token.replace(|_| true, "x");
    for (request, status) in [
        (get(&desk.uri), 200),
        (get(&desk.uri).header("Host", "localhost:1"), 200),
        (client.get(&desk.uri), 401),
        (client.get(&desk.uri).header("Authorization", wrong), 401),
        (client.get(&desk.uri).header("Authorization", LEASE), 401),
        (get(&desk.uri).header("Host", "evil.example.org"), 403),
        (get(&root), 404),
        (
            client.post(&desk.uri).header("Authorization", &desk.token),
            405,
        ),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["message"], body["Message"]);
        assert_eq!(body["code"].is_string(), status != 200, "{body}");
    }
    assert_eq!(upstream.asked().len(), 1);
    let arguments = std::fs::read(format!("/proc/{}/cmdline", job.child.id().unwrap())).unwrap();
    let arguments = String::from_utf8(arguments).unwrap();
    assert!(!arguments.contains(LEASE) && !arguments.contains(&desk.token));
    let (code, errors) = job.end().await;
    assert_eq!((code, errors.as_str()), (Some(7), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_gets_the_environment_without_what_would_win() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3600)).await;
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path(), &upstream.url, &exec(&["--", "env"]));
    command
        .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/task")
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/file")
        .env("AWS_ACCESS_KEY_ID", "AKIA")
        .env("AWS_SECRET_ACCESS_KEY", "static")
        .env("AWS_PROFILE", "other")
        .env("AWS_ROLE_ARN", "arn")
        .env("ROLEGATE_TOKEN", "rga_")
        .env("AWS_REGION", "eu-west-1")
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9");
    let printed = end(command).await.good();
    let names: std::collections::BTreeSet<_> = printed
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("AWS_") || name.starts_with("ROLEGATE_"))
        .collect();
    let wanted = [
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_REGION",
        "ROLEGATE_URL",
    ];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), wanted);
    assert!(printed.contains("no_proxy=127.0.0.1") && printed.contains("NO_PROXY=127.0.0.1"));
    assert!(!printed.contains(LEASE));
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_as_a_shell_says_that_the_child_did() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3600)).await;
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("script");
    std::fs::write(&script, "#!/bin/sh\nexit 3\n").unwrap();
    let mode = |mode| std::fs::set_permissions(&script, PermissionsExt::from_mode(mode)).unwrap();
    let code = async |command: &[&str]| {
        let arguments = [&["exec", "--"], command].concat();
        end(program(home.path(), &upstream.url, &arguments))
            .await
            .status
            .code()
    };
    mode(0o644);
    assert_eq!(code(&["./script"]).await, Some(126));
    mode(0o755);
    assert_eq!(code(&["./script"]).await, Some(3));
    assert_eq!(code(&["true"]).await, Some(0));
    assert_eq!(code(&["no-such-command-here"]).await, Some(127));
    assert_eq!(code(&["sh", "-c", "kill -KILL $$"]).await, Some(137));
    assert_eq!(code(&["sh", "-c", "kill -TERM $$"]).await, Some(143));
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_child_once() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3600)).await;
    let home = tempfile::tempdir().unwrap();
    let script = "for name in TERM INT HUP USR1 USR2 QUIT; do trap \"echo $name\" $name; done; \
        echo ready; while [ ! -e stop ]; do sleep 0.05; done; exit 9";
    let arguments = exec(&["--", "sh", "-c", script]);
    let mut job = Running::start(program(home.path(), &upstream.url, &arguments));
    assert_eq!(job.line().await, "ready");
    for name in ["TERM", "INT", "HUP", "USR1", "USR2", "QUIT", "TERM"] {
        job.signal(name);
        assert_eq!(job.line().await, name);
    }
    std::fs::write(home.path().join("stop"), "").unwrap();
    assert_eq!(job.end().await.0, Some(9));
    let arguments = exec(&["--", "sh", "-c", "echo ready; exec sleep 60"]);
    let mut job = Running::start(program(home.path(), &upstream.url, &arguments));
    assert_eq!(job.line().await, "ready");
    job.signal("TERM");
    assert_eq!(job.end().await.0, Some(143));
}

/// Runs its arguments at a terminal of their own, and types ^C once they are ready.
const TERMINAL: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b""
while True:
    try:
        said += os.read(terminal, 1000)
    except OSError:
        break
    if said.strip() == b"ready":
        os.write(terminal, b"\x03")
print(said.count(b"interrupted"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_at_a_terminal_reaches_the_child_once() {
    let upstream = Upstream::start(Plan::Credentials("ASIAONE", 3600)).await;
    let home = tempfile::tempdir().unwrap();
    // The twenty rounds after the first signal leave time for a second one.
    let script = "trap 'echo interrupted; left=20' INT; echo ready; left=400; \
        while [ $left -gt 0 ]; do sleep 0.05; left=$((left-1)); done; exit 6";
    let agent = env!("CARGO_BIN_EXE_rolegate-agent");
    let mut command = tokio::process::Command::new("env");
    command
        .args(["--default-signal=HUP,INT,QUIT", "python3", "-c", TERMINAL])
        .args([agent, "exec", "--", "sh", "-c", script])
        .env("ROLEGATE_URL", &upstream.url)
        .env("ROLEGATE_LEASE_TOKEN", LEASE)
        .current_dir(home.path())
        .stdout(std::process::Stdio::piped());
    let ended = end(command).await;
    assert_eq!(
        (ended.stdout.as_str(), ended.status.code()),
        ("1\n", Some(6))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_nothing_where_the_gateway_refuses() {
    let home = tempfile::tempdir().unwrap();
    for (status, code) in [
        (401, "unknown_token"),
        (403, "revoked"),
        (409, "sign_in_needed"),
    ] {
        let sentence = "the lease was revoked by carol";
        let upstream = Upstream::start(refusal(status, code, sentence)).await;
        let arguments = exec(&["--", "touch", "started"]);
        let ended = end(program(home.path(), &upstream.url, &arguments)).await;
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains(sentence), "{}", ended.stderr);
        assert!(!ended.stderr.contains(LEASE));
        assert!(!home.path().join("started").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_gateway_that_comes_back_but_not_for_ever() {
    let home = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(refusal(503, "unavailable", "STS is away")).await;
    let job = Running::start(program(home.path(), &upstream.url, &exec(&JOB)));
    upstream.asked_times(2).await;
    upstream.then(Plan::Credentials("ASIALATE", 3600));
    assert_eq!(job.end().await.0, Some(7));
    upstream.then(Plan::Drop);
    let ended = end(program(home.path(), &upstream.url, &exec(&["--", "true"]))).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.contains("cannot be reached"),
        "{}",
        ended.stderr
    );
    let mut waiting = Running::start(program(home.path(), &upstream.url, &exec(&JOB)));
    upstream.asked_again().await;
    waiting.signal("TERM");
    assert_eq!(waiting.child.wait().await.unwrap().code(), Some(143));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_token_is_kept_fresh_in_a_file() {
    let upstream = Upstream::start(Plan::Drop).await;
    let path = "/v1/web-identity-token";
    upstream.plan(path, Plan::WebIdentity(4));
    let home = tempfile::tempdir().unwrap();
    let script = "echo $AWS_WEB_IDENTITY_TOKEN_FILE; env; echo end; read line; exit 5";
    let arguments = exec(&["--web-identity", "--", "sh", "-c", script]);
    let mut job = Running::start(program(home.path(), &upstream.url, &arguments));
    let file = std::path::PathBuf::from(job.line().await);
    let mut variables = Vec::new();
    loop {
        match job.line().await {
            line if line == "end" => break,
            line => variables.push(line),
        }
    }
    assert!(variables.contains(&"AWS_ROLE_ARN=arn:aws:iam::123456789012:role/reader".to_owned()));
    assert!(
        !variables
            .iter()
            .any(|line| line.starts_with("AWS_CONTAINER"))
    );
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("web.identity.")
    );
    // The third question is asked when the second answer is written.
    upstream.asked_times(3).await;
    let later = std::fs::read_to_string(&file).unwrap();
    assert!(
        later != "web.identity.0" && later.starts_with("web.identity."),
        "{later}"
    );
    assert_eq!(upstream.asked()[0].authorization, LEASE);
    upstream.plan(path, refusal(403, "revoked", "revoked"));
    upstream.asked_again().await;
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    while file.exists() {
        ticks.tick().await;
    }
    assert_eq!(job.end().await.0, Some(5));
    assert!(!file.parent().unwrap().exists());

    upstream.plan(
        path,
        refusal(409, "method_cannot", "the entry hands out no tokens"),
    );
    let ended = end(program(home.path(), &upstream.url, &arguments)).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("hands out no tokens"));
}
