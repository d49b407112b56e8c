//! The job side, beside a gateway that has every trouble and beside the real one.

mod exec;
mod login;
mod process;
mod program;
mod renewal;
mod serve;
mod upstream;

use crate::gateway::{Setting, World, role};
use crate::tls::certify;
use program::{Desk, JOB, LEASE, Running, end, program, rolegate};
use reqwest::StatusCode;

/// What `ldd` would say: the names of libraries stand in the program as they are.
fn needs(program: &str, library: &str) -> bool {
    let bytes = std::fs::read(program).unwrap();
    bytes
        .windows(library.len())
        .any(|part| part == library.as_bytes())
}

#[test]
fn the_agent_links_no_xml_library() {
    for library in ["libxml2.so", "libxmlsec1"] {
        assert!(needs(env!("CARGO_BIN_EXE_rolegate"), library), "{library}");
        let agent = env!("CARGO_BIN_EXE_rolegate-agent");
        assert!(!needs(agent, library), "{library}");
        assert!(needs(agent, "libssl.so"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_what_its_lease_gives_also_while_the_gateway_is_away() {
    let mut world = World::start().await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let token = lease["token"].as_str().unwrap();
    let (_, direct) = world.fetch(token).await;
    let url = lease["agent_env"]["ROLEGATE_URL"].as_str().unwrap();
    let home = tempfile::tempdir().unwrap();
    let lease_of = |mut command: tokio::process::Command| {
        command.env("ROLEGATE_LEASE_TOKEN", token);
        command
    };
    let exec = [&["exec"], &JOB[..]].concat();
    let mut job = Running::start(lease_of(rolegate(home.path(), url, &exec)));
    let desk = Desk::of_job(&mut job).await;
    assert_eq!(desk.get().await, (StatusCode::OK, direct.clone()));
    world.gateway.kill_and_restart().await;
    assert_eq!(desk.get().await, (StatusCode::OK, direct.clone()));
    assert_eq!(job.end().await.0, Some(7));

    let printed = end(lease_of(program(home.path(), url, &["credential-process"]))).await;
    let printed: serde_json::Value = serde_json::from_str(&printed.good()).unwrap();
    assert_eq!(printed["AccessKeyId"], direct["AccessKeyId"]);
    assert_eq!(printed["SessionToken"], direct["Token"]);

    let id = lease["lease"].as_str().unwrap();
    let path = format!("/api/v1/leases/{id}");
    world.api("DELETE", &path, &launcher, None).await;
    let (_, sentence) = world.fetch(token).await;
    let refused = end(lease_of(program(home.path(), url, &exec))).await;
    assert_eq!(refused.status.code(), Some(1));
    let message = sentence["message"].as_str().unwrap();
    assert!(refused.stderr.contains(message), "{}", refused.stderr);
    assert!(!refused.stderr.contains(token));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_what_their_session_gives() {
    let world = World::start().await;
    let (session, me) = world.sign_in().await;
    let home = tempfile::tempdir().unwrap();
    let url = world.gateway.at("");
    login::keep(home.path(), &url, &session, &me["session_expires_at"]);
    let reader = role("reader");
    let arguments = ["credential-process", "--role", &reader];
    let mut command = program(home.path(), &url, &arguments);
    command.env_remove("ROLEGATE_LEASE_TOKEN");
    let printed = end(command).await.good();
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["Version"], 1);
    let order = serde_json::json!({ "role_arn": reader });
    let path = "/api/v1/credentials";
    let (_, direct) = world.api("POST", path, &session, Some(order)).await;
    assert_eq!(printed, direct);
    let admin = role("admin");
    let mut command = program(home.path(), &url, &["exec", "--role", &admin, "--", "true"]);
    command.env_remove("ROLEGATE_LEASE_TOKEN");
    assert_eq!(end(command).await.status.code(), Some(1), "not allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_where_ssl_cert_file_names_it() {
    let setting = Setting {
        scheme: "https",
        server_lines: "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\" }",
        prepare: |folder| drop(certify(folder)),
        ..Setting::default()
    };
    let world = World::with(setting).await;
    let home = tempfile::tempdir().unwrap();
    let url = world.gateway.at("");
    let stranger = end(program(home.path(), &url, &["credential-process"])).await;
    assert!(
        stranger.stderr.contains("certificate"),
        "{}",
        stranger.stderr
    );
    let mut command = program(home.path(), &url, &["credential-process"]);
    command.env("SSL_CERT_FILE", world.folder.path().join("gate.pem"));
    let known = end(command).await;
    assert!(known.stderr.contains("401"), "{}", known.stderr);
    assert!(!known.stderr.contains(LEASE));
    let mut command = program(home.path(), &url, &["credential-process"]);
    command.env("SSL_CERT_FILE", home.path().join("none.pem"));
    let none = end(command).await;
    assert!(none.stderr.contains("SSL_CERT_FILE"), "{}", none.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let says = async |url: &str, token: &str, arguments: &[&str]| {
        let mut command = program(home.path(), url, arguments);
        command.env("ROLEGATE_LEASE_TOKEN", token);
        let ended = end(command).await;
        let is_usage = !ended.stderr.contains("you are not signed in");
        let code = if is_usage { 2 } else { 1 };
        assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
        ended.stderr
    };
    let process = ["credential-process"];
    let good = "http://127.0.0.1:9";
    assert!(says("", LEASE, &process).await.contains("ROLEGATE_URL"));
    let secret = "https://user:hunter2@gate.example.org";
    let said = says(secret, LEASE, &process).await;
    assert!(
        said.contains("password") && !said.contains("hunter2"),
        "{said}"
    );
    let plain = "http://gate.example.org";
    assert!(says(plain, LEASE, &process).await.contains("in the clear"));
    let said = says(good, "", &process).await;
    assert!(said.contains("--lease-token-file") && said.contains("rolegate login"));
    assert!(says(good, "rgs_other", &process).await.contains("rgj_"));
    let person = ["credential-process", "--role", &role("reader")];
    assert!(says(good, "", &person).await.contains("rolegate login"));
    let open = ["agent", "--listen", "0.0.0.0:0"];
    assert!(says(good, LEASE, &open).await.contains("loopback"));
    let file = ["exec", "--web-identity", "--", "true"];
    assert!(says(good, "", &file).await.contains("ROLEGATE_LEASE_TOKEN"));
}
