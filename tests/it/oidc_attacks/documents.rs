//! A provider's documents and answers, in every shape: what is real is taken, what is hostile harms nobody.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};

use super::stage::{Answer, Browser, Stage};
use crate::gateway::is_within;
use crate::parts::rogue_provider::{Edit, Gate, Key, Reply, RogueProvider, reply, token};

fn keys(change: impl Fn(&mut Vec<Value>) + Send + Sync + 'static) -> Edit<Reply> {
    reply(move |reply| change(reply.json["keys"].as_array_mut().unwrap()))
}

fn drop_members(names: &'static [&'static str]) -> Edit<Reply> {
    keys(move |keys| {
        for key in keys {
            let members = key.as_object_mut().unwrap();
            members.retain(|name, _| !names.contains(&name.as_str()));
        }
    })
}

/// Starts anew with this key set, and signs in.
async fn with_keys(stage: &mut Stage, edit: Edit<Reply>) -> Answer {
    stage.rogue.script(|script| script.keys = edit);
    stage.gateway.kill_and_restart().await;
    stage.ready("rogue").await;
    stage.sign_in().await
}

#[tokio::test(flavor = "multi_thread")]
async fn key_sets_are_read_as_providers_write_them() {
    let mut stage = Stage::set().await;
    let decoys: Vec<Value> = (0..1000)
        .map(|at| {
            let mut key = Key::rsa("b-key").public();
            key["kid"] = json!(format!("decoy-{at}"));
            key
        })
        .collect();
    let twin = {
        let mut key = Key::rsa("b-key").public();
        key["kid"] = json!("a-key");
        key
    };
    let strange = json!([{ "kty": "OKP", "crv": "X25519", "x": "AA" }, { "kty": "new" }, 7, null, { "kty": "oct", "k": "AAAA", "kid": "a-key" }]);
    for (what, edit) in [
        ("no alg", drop_members(&["alg"])),
        ("no use", drop_members(&["use"])),
        ("neither, and no kid", drop_members(&["alg", "use", "kid"])),
        (
            "two of one kid",
            keys(move |keys| keys.insert(0, twin.clone())),
        ),
        ("1,000 keys", keys(move |keys| keys.extend(decoys.clone()))),
        (
            "strange ones",
            keys(move |keys| {
                keys.splice(0..0, strange.as_array().unwrap().clone())
                    .for_each(drop);
            }),
        ),
        (
            "a key for encryption of that kid",
            keys(|keys| {
                let mut key = Key::rsa("b-key").public();
                key["kid"] = json!("a-key");
                key["use"] = json!("enc");
                keys.insert(0, key);
            }),
        ),
    ] {
        stage.rogue.script(|script| script.keys = edit);
        stage.gateway.kill_and_restart().await;
        stage.ready("rogue").await;
        // A restart takes what it takes on a busy machine.
        let begun = SystemClock.now();
        let answer = stage.sign_in().await;
        let log = stage.gateway.log();
        assert_eq!(answer.status, StatusCode::OK, "{what}: {log}");
        is_within(what, begun, Duration::from_secs(15));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn elliptic_keys_and_longer_digests_sign_in() {
    let stage = Stage::set().await;
    let list = vec![
        Key::p256("p256"),
        Key::p384("p384"),
        Key::rsa("a-384").by("RS384"),
        Key::rsa("b-512").by("RS512"),
        stage.rogue.key(),
    ];
    stage.rogue.set_keys(list.clone());
    for key in &list {
        let key = key.clone();
        stage.rogue.script(|script| {
            script.id_token = token(move |draft| {
                draft.header = json!({ "alg": key.algorithm, "kid": key.kid });
                draft.sign = crate::parts::rogue_provider::Sign::Key(key.clone());
            });
        });
        let answer = stage.sign_in().await;
        assert_eq!(answer.status, StatusCode::OK, "{}", stage.gateway.log());
    }
    // A curve that is not the algorithm's.
    let p384 = list[1].clone();
    stage.rogue.script(|script| {
        script.id_token = token(move |draft| {
            draft.header = json!({ "alg": "ES256", "kid": "p384" });
            draft.sign = crate::parts::rogue_provider::Sign::By(p384.clone(), "ES384");
        });
    });
    let answer = stage.sign_in().await;
    stage
        .refused(&answer, "key_unknown", "a key of another curve")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_for_something_else_verify_nothing() {
    let mut stage = Stage::set().await;
    let own = Key::p256("own");
    let list = vec![stage.rogue.key(), own.clone()];
    stage.rogue.set_keys(list);
    for (what, name, value) in [
        ("use enc", "use", json!("enc")),
        ("key_ops without verify", "key_ops", json!(["encrypt"])),
        ("alg of encryption", "alg", json!("RSA-OAEP")),
        ("alg HS256", "alg", json!("HS256")),
    ] {
        let edit = keys(move |keys| {
            keys[0][name] = value.clone();
            if name == "key_ops" {
                keys[0].as_object_mut().unwrap().remove("use");
            }
        });
        let answer = with_keys(&mut stage, edit).await;
        stage.refused(&answer, "key_unknown", what).await;
    }
    let answer = with_keys(&mut stage, None).await;
    assert_eq!(answer.status, StatusCode::OK, "the good twin");
}

fn document(name: &'static str, value: Value) -> Edit<Reply> {
    reply(move |reply| reply.json[name] = value.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discovery_document_that_cannot_be_is_not_used() {
    let mut stage = Stage::set().await;
    let trap = RogueProvider::start("nobody", "http://127.0.0.1:1/");
    let (other, trapped) = (stage.other.url().to_owned(), trap.url().to_owned());
    let slash = format!("{}/", stage.rogue.url());
    let trapped_again = format!("{trapped}/.well-known/openid-configuration");
    for (what, edit) in [
        ("another issuer", document("issuer", json!(other))),
        ("the issuer with a slash", document("issuer", json!(slash))),
        ("no issuer", document("issuer", Value::Null)),
        (
            "a token endpoint in clear",
            document("token_endpoint", json!("http://192.0.2.1/token")),
        ),
        (
            "keys in clear",
            document("jwks_uri", json!("http://192.0.2.1/jwks")),
        ),
        ("a file", document("jwks_uri", json!("file:///etc/passwd"))),
        (
            "a script",
            document("authorization_endpoint", json!("javascript:alert(1)")),
        ),
        ("no token endpoint", document("token_endpoint", Value::Null)),
        (
            "HTML",
            reply(|reply| {
                reply.kind = "text/html";
                reply.raw = Some(b"<html>".to_vec());
            }),
        ),
        (
            "two megabytes",
            reply(|reply| reply.json["padding"] = json!("x".repeat(2 << 20))),
        ),
        ("an error", reply(|reply| reply.status = 500)),
        (
            "a redirect",
            reply(move |reply| {
                reply.status = 302;
                reply.headers.push(("Location", trapped_again.clone()));
            }),
        ),
    ] {
        stage.rogue.script(|script| script.discovery = edit);
        let path = "/.well-known/openid-configuration";
        let asked = stage.rogue.count(path);
        stage.gateway.kill_and_restart().await;
        stage.ready("other").await;
        stage.rogue.asked(path, asked + 1).await;
        let answer = Browser::json()
            .get(&stage.gateway.at("/oidc/rogue/login"))
            .await;
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{what}: {}",
            answer.text
        );
        assert!(answer.header("retry-after").is_some(), "{what}");
        let seen = format!("{} {}", answer.text, trap.url());
        assert!(!answer.text.contains("192.0.2.1"), "{seen}");
    }
    assert_eq!(
        trap.strays() + trap.count("/.well-known/openid-configuration"),
        0
    );
    stage.rogue.behave();
    stage.gateway.kill_and_restart().await;
    stage.ready("rogue").await;
    assert_eq!(
        stage.sign_in().await.status,
        StatusCode::OK,
        "the good twin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_may_answer_anything() {
    let stage = Stage::set().await;
    let raw = |status: u16, kind: &'static str, body: Vec<u8>| {
        reply(move |reply| {
            reply.status = status;
            reply.kind = kind;
            reply.raw = Some(body.clone());
        })
    };
    let member =
        |name: &'static str, value: Value| reply(move |reply| reply.json[name] = value.clone());
    let error =
        |status: u16, code: &'static str| reply(move |reply| *reply = Reply::error(status, code));
    let mut outside: Option<String> = None;
    let json_kind = "application/json";
    let malformed = "provider_answer_malformed";
    for (what, code, edit) in [
        (
            "no ID token",
            "no_id_token",
            reply(|reply| {
                reply.json.as_object_mut().unwrap().remove("id_token");
            }),
        ),
        (
            "null for an ID token",
            "no_id_token",
            member("id_token", Value::Null),
        ),
        (
            "a number for an ID token",
            malformed,
            member("id_token", json!(7)),
        ),
        (
            "HTML",
            malformed,
            raw(200, "text/html", b"<html>sign in</html>".to_vec()),
        ),
        ("nothing", malformed, raw(200, json_kind, Vec::new())),
        (
            "half",
            malformed,
            raw(200, json_kind, b"{\"access_token\":".to_vec()),
        ),
        ("an array", malformed, raw(200, json_kind, b"[]".to_vec())),
        ("no text", malformed, raw(200, json_kind, vec![0xff; 100])),
        (
            "a megabyte",
            "provider_answer_too_large",
            member("padding", json!("x".repeat(1 << 20))),
        ),
        (
            "invalid_grant",
            "invalid_grant",
            error(400, "invalid_grant"),
        ),
        (
            "invalid_client",
            "token_refused",
            error(401, "invalid_client"),
        ),
    ] {
        stage.rogue.script(|script| script.exchange = edit);
        let answer = stage.sign_in().await;
        stage.refused(&answer, code, what).await;
        let first = outside.get_or_insert_with(|| answer.outside());
        assert_eq!(answer.outside(), *first, "{what}");
    }
    for (what, edit) in [
        ("500", raw(500, "text/html", b"<h1>oops</h1>".to_vec())),
        ("503", error(503, "temporarily_unavailable")),
        ("429", error(429, "slow_down")),
    ] {
        stage.rogue.script(|script| script.exchange = edit);
        let answer = stage.sign_in().await;
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{what}: {}",
            answer.text
        );
        assert!(!answer.text.contains("oops"), "{}", answer.text);
        assert!(answer.header("retry-after").is_some(), "{what}");
    }
    stage.rogue.behave();
    assert_eq!(
        stage.sign_in().await.status,
        StatusCode::OK,
        "the good twin"
    );
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_never_answers_holds_nobody_else_up() {
    let stage = Stage::set().await;
    let gate = Gate::closed();
    let held = gate.clone();
    stage.rogue.script(|script| {
        script.exchange = reply(move |reply| reply.gate = Some(held.clone()));
    });
    let slow = async {
        let begun = SystemClock.now();
        let answer = stage.sign_in().await;
        is_within("what is not answered", begun, Duration::from_secs(25));
        (answer, Instant::now())
    };
    let others = async {
        stage.rogue.asked("exchange", 1).await;
        for _ in 0..2 {
            let answer = Browser::json().sign_in(&stage, "other").await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        }
        Instant::now()
    };
    let ((answer, ended), others) = tokio::join!(slow, others);
    assert!(others < ended, "both were done while the one waited");
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.text
    );
    gate.open();
    stage.rogue.behave();
    assert_eq!(
        stage.sign_in().await.status,
        StatusCode::OK,
        "the good twin"
    );
}
