//! rolegate as an OIDC issuer: its two public documents, the export for a bucket, and the keys' commands.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::gateway::{Setting, World, command, role};

const KEYS: &str = "/.well-known/jwks.json";
const CONFIGURATION: &str = "/.well-known/openid-configuration";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

fn read(path: &Path) -> Value {
    parsed(&std::fs::read_to_string(path).unwrap())
}

fn kids(jwks: &Value) -> Vec<&str> {
    let keys = jwks["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap()).collect()
}

/// What the gateway answers to somebody without any token, and how long it may be kept.
async fn get(world: &World, path: &str) -> (Value, String) {
    let answer = reqwest::get(world.gateway.at(path)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    let caching = header("cache-control");
    (answer.json().await.unwrap(), caching)
}

/// Waits until the gateway publishes `count` keys: by contract within a second.
async fn published(world: &World, count: usize) -> Value {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..1200 {
        ticks.tick().await;
        let (jwks, _) = get(world, KEYS).await;
        if kids(&jwks).len() == count {
            return jwks;
        }
    }
    panic!("not {count} keys: {}", world.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_reads_the_two_documents_and_they_agree() {
    let world = World::start().await;
    let (told, caching) = get(&world, CONFIGURATION).await;
    assert_eq!(caching, "public, max-age=300");
    assert_eq!(told["issuer"], world.gateway.at(""));
    assert_eq!(told["jwks_uri"], world.gateway.at(KEYS));
    let (jwks, caching) = get(&world, KEYS).await;
    assert_eq!(caching, "public, max-age=300");
    let [key] = jwks["keys"].as_array().unwrap().as_slice() else {
        panic!("{jwks}");
    };
    assert_eq!(
        (&key["use"], &key["alg"], &key["kty"]),
        (&json!("sig"), &json!("RS256"), &json!("RSA"))
    );
    for hidden in ["d", "p", "q", "dp", "dq", "qi", "key_ops", "x5c"] {
        assert!(key.get(hidden).is_none(), "{hidden}");
    }
    assert_eq!(get(&world, KEYS).await.0, jwks);
    let posted = reqwest::Client::new().post(world.gateway.at(KEYS)).send();
    let posted = posted.await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(posted.headers()["cache-control"], "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rolled_over_and_retired_by_command() {
    let world = World::start().await;
    let first = published(&world, 1).await;
    let generate = ["keys", "generate", "--use", "relay"];
    let next = world.gateway.command(&generate).await.good();
    let both = published(&world, 2).await;
    assert_eq!(kids(&both), [kids(&first)[0], &next]);
    let again = world.gateway.command(&generate).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stderr.contains(&next), "{}", again.stderr);

    let listed = world.gateway.command(&["keys", "list", "--json"]).await;
    let listed = parsed(&listed.good());
    let relays = listed.as_array().unwrap().iter();
    let relays: Vec<&Value> = relays.filter(|key| key["use"] == "relay").collect();
    let [old, new] = relays.as_slice() else {
        panic!("{listed}");
    };
    assert_eq!((&old["use"], &new["id"]), (&json!("relay"), &json!(next)));
    assert!(old["not_after"].is_string() && new["not_after"].is_null());
    assert!(old["signs_from"].as_str() < new["signs_from"].as_str());

    world
        .gateway
        .command(&["keys", "retire", &next])
        .await
        .good();
    assert_eq!(published(&world, 1).await, first);
    let gone = world.gateway.command(&["keys", "retire", &next]).await;
    assert_eq!(gone.status.code(), Some(1));
    let audit = world.gateway.command(&["audit", "export"]).await.good();
    for told in ["service_key_created", "service_key_retired"] {
        let about = |line: &&str| line.contains(told) && line.contains(&next);
        assert!(audit.lines().any(|line| about(&line)), "{told}: {audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_gets_what_the_gateway_would_answer() {
    let world = World::with(Setting {
        tables: "[relay]\nissuer = \"https://keys.example.org/gate\"\n".to_owned(),
        ..Setting::default()
    })
    .await;
    let here = world.folder.path();
    let ended = world.gateway.command(&["relay", "export", "out"]).await;
    assert!(ended.stderr.contains("upload both"), "{}", ended.stderr);
    let told = ended.good();
    for name in ["openid-configuration", "jwks.json"] {
        let line = format!(
            "out/gate/.well-known/{name} -> https://keys.example.org/gate/.well-known/{name}"
        );
        assert!(told.contains(&line), "{told}");
        let file = here.join("out/gate/.well-known").join(name);
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{name}");
    }
    let file = |name: &str| read(&here.join("out/gate/.well-known").join(name));
    let configuration = file("openid-configuration");
    assert_eq!(configuration["issuer"], "https://keys.example.org/gate");
    let (served, _) = get(&world, CONFIGURATION).await;
    assert_eq!(served, configuration);
    assert_eq!(published(&world, 1).await, file("jwks.json"));
    let left = std::fs::read_dir(here.join("out/gate/.well-known")).unwrap();
    assert_eq!(left.count(), 2, "no half file stays");

    let checked = world.gateway.command(&["check"]).await;
    assert!(
        checked.stderr.contains("relay export"),
        "{}",
        checked.stderr
    );
    let next = ["keys", "generate", "--use", "relay"];
    let next = world.gateway.command(&next).await;
    assert!(next.stderr.contains("relay export"), "{}", next.stderr);
    let next = next.good();
    let checked = world.gateway.command(&["check"]).await;
    let warned = format!("must publish key {next} before");
    assert!(checked.stderr.contains(&warned), "{}", checked.stderr);
    let again = world.gateway.command(&["relay", "export", "out"]).await;
    assert!(
        again.stderr.contains("upload before then"),
        "{}",
        again.stderr
    );
    assert_eq!(kids(&file("jwks.json")).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn export_works_without_a_gateway_and_says_what_it_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    command(here, &["init"], &[]).await.good();
    command(here, &["relay", "export", "out"], &[]).await.good();
    let jwks = read(&here.join("out/.well-known/jwks.json"));
    assert_eq!(kids(&jwks).len(), 1);
    std::fs::write(here.join("file"), "").unwrap();
    let refused = command(here, &["relay", "export", "file"], &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("file/.well-known"),
        "{}",
        refused.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_policy_is_printed_for_each_method() {
    let world = World::start().await;
    let reader = role("reader");
    let relay = [
        "trust-policy",
        &reader,
        "--method",
        "relay",
        "--user",
        "alice",
    ];
    let policy = parsed(&world.gateway.command(&relay).await.good());
    let issuer = world.gateway.at("");
    let issuer = issuer.strip_prefix("http://").unwrap();
    let condition = &policy["Statement"][0]["Condition"]["StringEquals"];
    let subject = "role:123456789012/reader:idp:demo:user:alice";
    assert_eq!(condition[format!("{issuer}:sub")], subject);
    assert_eq!(condition[format!("{issuer}:aud")], "sts.amazonaws.com");

    let allow = [
        "roles",
        "allow",
        &reader,
        "--method",
        "broker",
        "--external-id",
        "tenant-1",
    ];
    let allow = [&allow[..], &["--reason", "a test"]].concat();
    world.gateway.command(&allow).await.good();
    let own = "arn:aws:iam::111111111111:role/gate";
    let broker = [
        "trust-policy",
        &reader,
        "--method",
        "broker",
        "--principal",
        own,
    ];
    let policy = parsed(&world.gateway.command(&broker).await.good());
    let statement = &policy["Statement"][0];
    assert_eq!(statement["Principal"]["AWS"], own);
    assert_eq!(
        statement["Condition"]["StringEquals"]["sts:ExternalId"],
        "tenant-1"
    );
}

/// Answers every request as STS answers `GetCallerIdentity`, and keeps what it was asked.
async fn caller_identity(arn: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            while !text.contains("Version=2011-06-15") {
                let mut buffer = [0; 8192];
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(length > 0, "no whole request: {text}");
                text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            kept.lock().unwrap().push(text);
            let body = format!(
                r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>AROAEXAMPLE:i-1</UserId><Account>111111111111</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"#
            );
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_of_the_process_is_found_as_every_sdk_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    command(here, &["init"], &[]).await.good();
    let session = "arn:aws:sts::111111111111:assumed-role/gate/i-1";
    let (url, asked) = caller_identity(session).await;
    let file = here.join("credentials");
    let profile = "[default]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\n";
    std::fs::write(&file, profile).unwrap();
    let none = here.join("none");
    let (file, none) = (file.to_str().unwrap(), none.to_str().unwrap());
    let reader = role("reader");
    let broker = ["trust-policy", &reader, "--method", "broker"];
    for (key, variables) in [
        (
            "AKIAENVIRONMENT",
            vec![
                ("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
            ],
        ),
        ("AKIAPROFILE", vec![("AWS_SHARED_CREDENTIALS_FILE", file)]),
    ] {
        let more = [("AWS_ENDPOINT_URL_STS", &*url), ("AWS_CONFIG_FILE", none)];
        let ended = command(here, &broker, &[&more[..], &variables[..]].concat()).await;
        assert!(ended.stderr.contains(session), "{}", ended.stderr);
        let policy = parsed(&ended.good());
        let principal = &policy["Statement"][0]["Principal"]["AWS"];
        assert_eq!(*principal, "arn:aws:iam::111111111111:role/gate");
        let requests = asked.lock().unwrap().split_off(0);
        let [request] = requests.as_slice() else {
            panic!("{requests:?}");
        };
        assert!(request.contains(&format!("Credential={key}/")), "{request}");
    }
    let nothing = [
        ("AWS_ENDPOINT_URL_STS", &*url),
        ("AWS_CONFIG_FILE", none),
        ("AWS_SHARED_CREDENTIALS_FILE", none),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let ended = command(here, &broker, &nothing).await;
    assert!(ended.stderr.contains("--principal ARN"), "{}", ended.stderr);
    let policy = parsed(&ended.good());
    let principal = policy["Statement"][0]["Principal"]["AWS"].as_str();
    assert!(principal.unwrap().starts_with("REPLACE"), "{policy}");
    assert!(asked.lock().unwrap().is_empty());
}
