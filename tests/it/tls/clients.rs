//! Launchers that are known by a client's certificate, beside a token or without one.

use std::process::Stdio;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::certify;
use super::pki::{Authority, Pair, Says, client};
use crate::gateway::{Setting, World, role};

const SUBJECT: &str = "CN=launcher,O=Example";
const SPIFFE: &str = "spiffe://example.org/launcher";
const REACH: [&str; 6] = ["--role", "launcher", "--for-roles", "*", "--for-users", "*"];

/// A gateway that asks clients for certificates of `ca`, with `alice` signed in.
struct Stage {
    world: World,
    ca: Authority,
}

impl Stage {
    async fn set() -> Self {
        let setting = Setting {
            scheme: "https",
            server_lines: "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\", client_ca_file = \"ca.pem\" }",
            prepare: |folder| {
                certify(folder);
                Authority::new("first").written(folder);
            },
            ..Setting::default()
        };
        let world = World::with(setting).await;
        let ca = Authority::new("clients").written(world.folder.path());
        let stage = Self { world, ca };
        stage.takes_up("tls_client_ca_changed", 1).await;
        stage.sign_in().await;
        stage
    }

    async fn takes_up(&self, event: &str, times: usize) {
        self.world.gateway.hang_up();
        self.world.gateway.logged_times(event, times).await;
    }

    fn client(&self, pair: Option<&Pair>) -> Client {
        client(self.world.folder.path(), pair)
    }

    fn certified(&self, says: &Says<'_>) -> Client {
        self.client(Some(&self.ca.certify(says)))
    }

    /// Signs `alice` in; returns her session's token.
    async fn sign_in(&self) -> String {
        let answer = self
            .client(None)
            .post(self.world.gateway.at("/saml/acs"))
            .header("Accept", "application/json")
            .form(&[("SAMLResponse", self.world.response())])
            .send()
            .await
            .unwrap();
        let me: Value = answer.json().await.unwrap();
        me["session_token"].as_str().unwrap().to_owned()
    }

    /// `tokens create NAME` for a launcher that reaches everything.
    async fn create(&self, name: &str, more: &[&str]) -> String {
        let begin = ["tokens", "create", name];
        let arguments = [&begin[..], &REACH, more].concat();
        self.world.gateway.command(&arguments).await.good()
    }

    async fn ask(
        &self,
        by: &Client,
        token: Option<&str>,
    ) -> Result<(StatusCode, Value), reqwest::Error> {
        let order = json!({ "user": "alice", "role_arn": role("reader"), "job": "job-1" });
        let request = by
            .post(self.world.gateway.at("/api/v1/leases"))
            .json(&order);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await?;
        Ok((answer.status(), answer.json().await?))
    }

    async fn status(&self, by: &Client, token: Option<&str>) -> StatusCode {
        self.ask(by, token).await.unwrap().0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_alone_is_its_launcher_until_revoked() {
    let stage = Stage::set().await;
    let good = stage.certified(&Says::default());
    assert_eq!(stage.status(&good, None).await, StatusCode::UNAUTHORIZED);
    let alone = ["--certificate-subject", SUBJECT, "--without-token"];
    let id = stage.create("batch", &alone).await;
    assert!(!id.starts_with("rgl_"), "{id}");
    let (status, lease) = stage.ask(&good, None).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{lease}");
    // Over the connection that stands, and a new one.
    assert_eq!(stage.status(&good, None).await, StatusCode::CREATED);

    for says in [
        Says {
            subject: &[("O", "Example"), ("CN", "other")],
            ..Says::default()
        },
        Says {
            subject: &[("CN", "launcher"), ("O", "Example")],
            ..Says::default()
        },
        Says {
            subject: &[("CN", "launcher")],
            uri: Some(SPIFFE),
            ..Says::default()
        },
    ] {
        let other = stage.certified(&says);
        assert_eq!(stage.status(&other, None).await, StatusCode::UNAUTHORIZED);
    }
    let nobody = stage.client(None);
    assert_eq!(stage.status(&nobody, None).await, StatusCode::UNAUTHORIZED);
    // A token that is shown decides, and a page may not have a browser's certificate speak for it.
    let unknown = format!("rgl_{}", "a".repeat(43));
    assert_eq!(
        stage.status(&good, Some(&unknown)).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        stage.status(&good, Some("x")).await,
        StatusCode::UNAUTHORIZED
    );
    let leases = stage.world.gateway.at("/api/v1/leases");
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Sec-Fetch-Site", "same-origin"),
    ] {
        let asked = good.get(&leases).header(name, value).send().await.unwrap();
        assert_eq!(asked.status(), StatusCode::UNAUTHORIZED, "{name}");
    }
    let listed: Value = good
        .get(&leases)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");

    let shown = stage
        .world
        .gateway
        .command(&["tokens", "list", "--json"])
        .await
        .good();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown[0]["certificate_subject"],
        format!("subject:{SUBJECT}")
    );
    assert_eq!(shown[0]["without_token"], true);
    stage
        .world
        .gateway
        .command(&["tokens", "revoke", &id])
        .await
        .good();
    assert_eq!(stage.status(&good, None).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_verify_gets_no_connection() {
    let stage = Stage::set().await;
    let alone = ["--certificate-subject", SUBJECT, "--without-token"];
    stage.create("batch", &alone).await;
    let good = stage.certified(&Says::default());
    assert_eq!(stage.status(&good, None).await, StatusCode::CREATED);
    let foreign = Authority::new("clients").certify(&Says::default());
    let foreign = stage.client(Some(&foreign));
    let expired = stage.certified(&Says {
        days: (2, -1),
        ..Says::default()
    });
    let early = stage.certified(&Says {
        days: (-1, 2),
        ..Says::default()
    });
    let server = stage.certified(&Says {
        for_servers: true,
        ..Says::default()
    });
    for bad in [foreign, expired, early, server] {
        assert!(stage.ask(&bad, None).await.is_err());
        let health = bad.get(stage.world.gateway.at("/healthz")).send().await;
        assert!(health.is_err(), "not for anything else either");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_counts_with_its_certificate_alone() {
    let stage = Stage::set().await;
    let name = format!("uri:{SPIFFE}");
    let bound = stage
        .create("bound", &["--certificate-subject", &name])
        .await;
    let host = ["--certificate-subject", "dns:Batch.Example.org"];
    let by_host = stage.create("by-host", &host).await;
    let plain = stage.create("plain", &[]).await;
    let good = stage.certified(&Says {
        uri: Some(SPIFFE),
        ..Says::default()
    });
    let of_host = stage.certified(&Says {
        dns: Some("batch.example.org"),
        ..Says::default()
    });
    let other = stage.certified(&Says {
        uri: Some("spiffe://example.org/other"),
        ..Says::default()
    });
    let nobody = stage.client(None);
    assert_eq!(stage.status(&good, Some(&bound)).await, StatusCode::CREATED);
    assert_eq!(
        stage.status(&of_host, Some(&by_host)).await,
        StatusCode::CREATED
    );
    for (by, token) in [(&other, &bound), (&nobody, &bound), (&good, &by_host)] {
        let (status, refused) = stage.ask(by, Some(token)).await.unwrap();
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(refused["code"], "client_certificate_needed");
    }
    let needed = "client_certificate_needed";
    stage.world.gateway.logged_times(needed, 3).await;
    assert!(!stage.world.gateway.log().contains(&bound));
    // The certificate without the token is nobody, and a token without one counts with any and with none.
    assert_eq!(stage.status(&good, None).await, StatusCode::UNAUTHORIZED);
    for by in [&good, &other, &nobody] {
        assert_eq!(stage.status(by, Some(&plain)).await, StatusCode::CREATED);
    }
    // Persons and jobs have nothing to do with it.
    let session = stage.sign_in().await;
    let me = other.get(stage.world.gateway.at("/api/v1/me"));
    let me = me.bearer_auth(session).send().await.unwrap();
    assert_eq!(me.status(), StatusCode::OK);
    let (_, lease) = stage.ask(&good, Some(&bound)).await.unwrap();
    for by in [&other, &nobody] {
        let fetch = by.get(stage.world.gateway.at("/v1/credentials"));
        let fetch = fetch.bearer_auth(lease["token"].as_str().unwrap());
        assert_eq!(fetch.send().await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_token_may_be_bound_and_a_certificate_alone_is_one_launchers() {
    let stage = Stage::set().await;
    let gateway = &stage.world.gateway;
    let create = ["tokens", "create", "root", "--role", "admin"];
    let bound = [&create[..], &["--certificate-subject", SUBJECT]].concat();
    let admin = gateway.command(&bound).await.good();
    let good = stage.certified(&Says::default());
    let nobody = stage.client(None);
    for (by, status) in [(&good, StatusCode::OK), (&nobody, StatusCode::FORBIDDEN)] {
        let asked = by
            .get(gateway.at("/api/v1/admin/sessions"))
            .bearer_auth(&admin);
        assert_eq!(asked.send().await.unwrap().status(), status);
    }
    let refused = gateway
        .command(&[&bound[..], &["--without-token"]].concat())
        .await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        refused.stderr.contains("for launchers"),
        "{}",
        refused.stderr
    );

    let alone = ["--certificate-subject", SUBJECT, "--without-token"];
    stage.create("batch", &alone).await;
    let other = [&["tokens", "create", "other"][..], &REACH, &alone].concat();
    let refused = gateway.command(&other).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("tokens revoke batch"),
        "{}",
        refused.stderr
    );
    // The next of the same name rolls over without a gap.
    let json = [&alone[..], &["--json"]].concat();
    let next: Value = serde_json::from_str(&stage.create("batch", &json).await).unwrap();
    assert_eq!(next["certificate_subject"], format!("subject:{SUBJECT}"));
    assert!(next.get("token").is_none(), "{next}");
    assert_eq!(stage.status(&good, None).await, StatusCode::CREATED);
    for bad in ["launcher", "CN=a+OU=b", "dns:*.example.org"] {
        let refused = ["tokens", "create", "x", "--certificate-subject", bad];
        let refused = gateway.command(&[&refused[..], &REACH].concat()).await;
        assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("write") || refused.stderr.contains("name the"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_change_without_a_restart_and_bad_ones_do_not() {
    let stage = Stage::set().await;
    let folder = stage.world.folder.path();
    let alone = ["--certificate-subject", SUBJECT, "--without-token"];
    stage.create("batch", &alone).await;
    let pair = stage.ca.certify(&Says::default());
    let standing = stage.client(Some(&pair));
    assert_eq!(stage.status(&standing, None).await, StatusCode::CREATED);

    std::fs::write(folder.join("ca.pem"), "no certificate").unwrap();
    stage.takes_up("tls_client_ca_bad", 1).await;
    let again = stage.client(Some(&pair));
    assert_eq!(stage.status(&again, None).await, StatusCode::CREATED);

    // Beside another one, both count, also over a connection that stands.
    let next = Authority::new("next");
    let of_next = next.certify(&Says::default());
    let mut both = stage.ca.certificate.to_pem().unwrap();
    both.extend(next.certificate.to_pem().unwrap());
    std::fs::write(folder.join("ca.pem"), both).unwrap();
    stage.takes_up("tls_client_ca_changed", 2).await;
    assert_eq!(stage.status(&standing, None).await, StatusCode::CREATED);
    let new = stage.client(Some(&of_next));
    assert_eq!(stage.status(&new, None).await, StatusCode::CREATED);

    // One that is gone counts no more, also over a connection that stands.
    let _next = next.written(folder);
    stage.takes_up("tls_client_ca_changed", 3).await;
    assert_eq!(
        stage.status(&standing, None).await,
        StatusCode::UNAUTHORIZED
    );
    assert!(stage.ask(&stage.client(Some(&pair)), None).await.is_err());
    assert_eq!(stage.status(&new, None).await, StatusCode::CREATED);
}

/// A request over `openssl s_client`, with these arguments; what it wrote.
async fn s_client(world: &World, arguments: &[&str]) -> String {
    let url: url::Url = world.gateway.at("/").parse().unwrap();
    let mut child = Command::new("openssl")
        .args(["s_client", "-ign_eof", "-connect"])
        .arg(format!("127.0.0.1:{}", url.port().unwrap()))
        .args(arguments)
        .current_dir(world.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let request = "GET /api/v1/leases HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let mut input = child.stdin.take().unwrap();
    input.write_all(request.as_bytes()).await.unwrap();
    let patience = std::time::Duration::from_secs(20);
    let output = tokio::time::timeout(patience, child.wait_with_output()).await;
    drop(input);
    String::from_utf8_lossy(&output.unwrap().unwrap().stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_resumed_and_lends_nobody_a_certificate() {
    let stage = Stage::set().await;
    let folder = stage.world.folder.path();
    let alone = ["--certificate-subject", SUBJECT, "--without-token"];
    stage.create("batch", &alone).await;
    let pair = stage.ca.certify(&Says::default());
    std::fs::write(folder.join("client.pem"), &pair.certificate).unwrap();
    std::fs::write(folder.join("client.key"), &pair.key).unwrap();
    let shown = ["-cert", "client.pem", "-key", "client.key"];
    for version in ["-tls1_2", "-tls1_3"] {
        let session = format!("session{version}");
        let first = [&shown[..], &[version, "-sess_out", &session]].concat();
        let first = s_client(&stage.world, &first).await;
        assert!(first.contains("HTTP/1.1 200"), "{first}");
        assert!(
            !folder.join(session).exists(),
            "no session to come back with"
        );
    }
    // Where no certificates are asked for, there is one.
    let setting = Setting {
        scheme: "https",
        server_lines: "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\" }",
        prepare: |folder| drop(certify(folder)),
        ..Setting::default()
    };
    let other = World::with(setting).await;
    let told = s_client(&other, &["-tls1_2", "-sess_out", "session"]).await;
    assert!(told.contains("HTTP/1.1 401"), "{told}");
    assert!(other.folder.path().join("session").exists());
    for version in ["-tls1", "-tls1_1"] {
        let old = [&shown[..], &[version, "-cipher", "ALL:@SECLEVEL=0"]].concat();
        assert!(!s_client(&stage.world, &old).await.contains("HTTP/1.1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_offers_http_2_speaks_http_1_with_its_certificate() {
    let stage = Stage::set().await;
    let folder = stage.world.folder.path();
    let alone = ["--certificate-subject", SUBJECT, "--without-token"];
    stage.create("batch", &alone).await;
    let pair = stage.ca.certify(&Says::default());
    std::fs::write(folder.join("client.pem"), &pair.certificate).unwrap();
    std::fs::write(folder.join("client.key"), &pair.key).unwrap();
    for (shown, status) in [
        (&["--cert", "client.pem", "--key", "client.key"][..], "200"),
        (&[], "401"),
    ] {
        let output = Command::new("curl")
            .args(["-sS", "--http2", "--cacert", "gate.pem", "-o", "/dev/null"])
            .args(["-w", "%{http_version} %{http_code}"])
            .args(shown)
            .arg(stage.world.gateway.at("/api/v1/leases"))
            .current_dir(folder)
            .output()
            .await
            .unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told, format!("1.1 {status}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_asked_for_a_certificate_that_is_said() {
    let world = World::start().await;
    let bound = [
        "tokens",
        "create",
        "batch",
        "--certificate-subject",
        SUBJECT,
    ];
    let made = world.gateway.command(&[&bound[..], &REACH].concat()).await;
    let (stderr, token) = (made.stderr.clone(), made.good());
    assert!(stderr.contains("server.tls.client_ca_file"), "{stderr}");
    let (status, refused) = world.lease(&token, "reader").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
    let checked = world.gateway.command(&["check"]).await;
    assert!(checked.status.success(), "{}", checked.stderr);
    assert!(
        checked
            .stderr
            .contains("warning: server.tls.client_ca_file: launcher batch"),
        "{}",
        checked.stderr
    );
    world
        .gateway
        .command(&["tokens", "revoke", "batch"])
        .await
        .good();
    let checked = world.gateway.command(&["check"]).await;
    assert!(
        !checked.stderr.contains("client_ca_file"),
        "{}",
        checked.stderr
    );
}
