//! Forged ID tokens: algorithm, signature, keys, issuer, audience, times, nonce.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::stage::{Browser, CLIENTS, Stage};
use crate::parts::rogue_provider::{Draft, Edit, Key, RogueProvider, Sign, token};

/// A change of the token, and the code that it is refused by, or none where it is taken.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) code: Option<&'static str>,
    pub(super) edit: Edit<Draft>,
}

/// A token that is refused by `code`.
pub(super) fn bad(
    name: &'static str,
    code: &'static str,
    edit: impl Fn(&mut Draft) + Send + Sync + 'static,
) -> Case {
    Case {
        name,
        code: Some(code),
        edit: token(edit),
    }
}

/// A token that signs in.
pub(super) fn good(name: &'static str, edit: impl Fn(&mut Draft) + Send + Sync + 'static) -> Case {
    Case {
        name,
        code: None,
        edit: token(edit),
    }
}

/// Signs in by each case; all that is refused looks the same.
pub(super) async fn hold(stage: &Stage, cases: Vec<Case>) {
    let mut outside: Option<String> = None;
    for case in cases {
        stage.rogue.script(|script| script.id_token = case.edit);
        let answer = stage.sign_in().await;
        let Some(code) = case.code else {
            let log = stage.gateway.log();
            let last = log
                .lines()
                .rev()
                .find(|line| line.contains("sign_in_refused"));
            assert_eq!(answer.status, StatusCode::OK, "{}: {last:?}", case.name);
            continue;
        };
        stage.refused(&answer, code, case.name).await;
        let seen = answer.outside();
        let first = outside.get_or_insert_with(|| seen.clone());
        assert_eq!(seen, *first, "{}", case.name);
    }
    stage.rogue.behave();
    let answer = stage.sign_in().await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    stage.audited().await;
    assert!(
        stage.rogue.breaches().is_empty(),
        "{:?}",
        stage.rogue.breaches()
    );
}

/// The time of a draft.
pub(super) fn now(draft: &Draft) -> i64 {
    draft.claims["iat"].as_i64().unwrap()
}

fn hmac(algorithm: &'static str, secret: Vec<u8>) -> impl Fn(&mut Draft) {
    move |draft| {
        draft.header["alg"] = json!(algorithm);
        draft.sign = Sign::Hmac(secret.clone());
    }
}

/// Signed by `key` under a header that names `algorithm`.
fn signed_by(key: Key, algorithm: &'static str) -> impl Fn(&mut Draft) {
    move |draft| {
        draft.header["alg"] = json!(algorithm);
        draft.sign = Sign::Key(key.clone());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_provider_s_key_by_an_allowed_algorithm_signs_in() {
    let stage = Stage::set().await;
    let key = stage.rogue.key();
    let (pem, der) = key.public_bytes();
    let jwk = key.public().to_string().into_bytes();
    let modulus = key.bare()["n"].as_str().unwrap().as_bytes().to_vec();
    let client_secret = crate::parts::rogue_provider::CLIENT_SECRET;
    let nothing = |alg: Value| {
        move |draft: &mut Draft| {
            draft.header["alg"] = alg.clone();
            draft.sign = Sign::Nothing;
        }
    };
    let mut cases = vec![
        bad("alg none", "algorithm", nothing(json!("none"))),
        bad("alg None", "algorithm", nothing(json!("None"))),
        bad("alg nOnE", "algorithm", nothing(json!("nOnE"))),
        bad("alg empty", "algorithm", nothing(json!(""))),
        bad("alg rs256", "algorithm", signed_lower(key.clone())),
        bad("HS256, PEM", "algorithm", hmac("HS256", pem.clone())),
        bad(
            "HS256, PEM without its last newline",
            "algorithm",
            hmac("HS256", trimmed(&pem)),
        ),
        bad("HS256, DER", "algorithm", hmac("HS256", der.clone())),
        bad("HS256, JWK", "algorithm", hmac("HS256", jwk)),
        bad("HS256, modulus", "algorithm", hmac("HS256", modulus)),
        bad("HS384, PEM", "algorithm", hmac("HS384", pem.clone())),
        bad("HS512, DER", "algorithm", hmac("HS512", der)),
        bad(
            "HS256, the client's secret",
            "algorithm",
            hmac("HS256", client_secret.into()),
        ),
        bad("PS256", "algorithm", signed_by(key.clone(), "PS256")),
        bad("PS384", "algorithm", signed_by(key.clone(), "PS384")),
        bad("PS512", "algorithm", signed_by(key.clone(), "PS512")),
        bad("ES512", "algorithm", signed_by(Key::p521("x"), "ES512")),
        bad("EdDSA", "algorithm", signed_by(Key::ed25519("x"), "EdDSA")),
        good("RS256", |_| ()),
    ];
    // The key set says RS256 of its key: another is not taken by it.
    cases.push(bad(
        "RS512 by a key for RS256",
        "key_unknown",
        signed_by(key.clone(), "RS512"),
    ));
    cases.push(bad("no signature", "signature", |draft| {
        draft.sign = Sign::Nothing;
    }));
    let cut = key.clone();
    cases.push(bad("a cut signature", "signature", move |draft| {
        draft.sign = Sign::Cut(cut.clone());
    }));
    let over = key.clone();
    cases.push(bad(
        "claims exchanged after the signature",
        "signature",
        move |draft| {
            let mut before = draft.claims.clone();
            before["sub"] = json!("mallory");
            draft.sign = Sign::Over(over.clone(), before);
        },
    ));
    cases.push(bad("another key of that kid", "signature", |draft| {
        draft.sign = Sign::Key(Key::rsa("b-key"));
    }));
    let by_pss = key.clone();
    cases.push(bad("PSS under the name RS256", "signature", move |draft| {
        draft.sign = Sign::By(by_pss.clone(), "PS256");
    }));
    cases.push(bad(
        "HMAC under the name RS256",
        "signature",
        move |draft| {
            draft.sign = Sign::Hmac(pem.clone());
        },
    ));
    cases.push(bad("a kid that nobody has", "key_unknown", |draft| {
        draft.header["kid"] = json!("another");
    }));
    cases.push(bad("a kid with a path", "key_unknown", |draft| {
        draft.header["kid"] = json!("../../dev/null");
        draft.sign = Sign::Hmac(vec![0; 32]);
    }));
    cases.push(good("without kid", |draft| {
        draft.header.as_object_mut().unwrap().remove("kid");
    }));
    cases.push(good("without typ", |draft| {
        draft.header.as_object_mut().unwrap().remove("typ");
    }));
    hold(&stage, cases).await;
}

fn trimmed(pem: &[u8]) -> Vec<u8> {
    pem.strip_suffix(b"\n").unwrap_or(pem).to_vec()
}

fn signed_lower(key: Key) -> impl Fn(&mut Draft) {
    move |draft| {
        draft.header["alg"] = json!("rs256");
        draft.sign = Sign::By(key.clone(), "RS256");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_token_brings_along_is_never_looked_at() {
    let stage = Stage::set().await;
    let trap = RogueProvider::start("nobody", "http://127.0.0.1:1/");
    let mine = Key::rsa("b-key");
    let keys = json!({ "keys": [mine.public()] });
    let url = format!("{}/keys", trap.url());
    let certificate = STANDARD.encode(mine.public_bytes().1);
    let parameters: [(&'static str, Value); 5] = [
        ("jwk", mine.public()),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!([certificate])),
        ("jwks", keys),
    ];
    let mut cases = Vec::new();
    for (name, value) in parameters {
        let (mine, again) = (mine.clone(), value.clone());
        cases.push(bad(name, "signature", move |draft| {
            draft.header[name] = value.clone();
            draft.sign = Sign::Key(mine.clone());
        }));
        let (mine, value) = (Key::rsa("b-key"), again.clone());
        cases.push(bad("with a kid of its own", "key_unknown", move |draft| {
            draft.header[name] = value.clone();
            draft.header["kid"] = json!(mine.kid);
            draft.sign = Sign::Key(mine.clone());
        }));
        // What is not looked at does no harm either.
        cases.push(good("signed by the provider", move |draft| {
            draft.header[name] = again.clone();
        }));
    }
    hold(&stage, cases).await;
    assert_eq!(trap.strays(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_must_be_understood_refuses() {
    let stage = Stage::set().await;
    let key = stage.rogue.key();
    let text =
        |text: &'static str| move |draft: &mut Draft| draft.sign = Sign::Text(text.to_owned());
    let long = move |draft: &mut Draft| {
        draft.claims["padding"] = json!("x".repeat(20_000));
        draft.sign = Sign::Key(key.clone());
    };
    let cases = vec![
        bad("crit", "token_form", |draft| {
            draft.header["crit"] = json!(["exp"]);
            draft.header["exp"] = json!(9_999_999_999_i64);
        }),
        bad("crit b64", "token_form", |draft| {
            draft.header["crit"] = json!(["b64"]);
            draft.header["b64"] = json!(true);
        }),
        bad("crit empty", "token_form", |draft| {
            draft.header["crit"] = json!([]);
        }),
        bad("no parts", "token_form", text("x")),
        bad("four parts", "token_form", text("e30.e30.e30.e30")),
        bad(
            "five parts, as encrypted",
            "token_form",
            text("e30.e30.e30.e30.e30"),
        ),
        bad("no base64", "token_form", text("!!!.e30.e30")),
        bad("longer than AWS takes", "token_form", long),
        good("long", |draft| {
            draft.claims["padding"] = json!("x".repeat(10_000));
        }),
    ];
    hold(&stage, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_another_or_of_another_time_is_refused() {
    let stage = Stage::set().await;
    let client = CLIENTS[0].1;
    let other = stage.other.url().to_owned();
    let issuer = stage.rogue.url().to_owned();
    let claim = |name: &'static str, value: Value| {
        move |draft: &mut Draft| draft.claims[name] = value.clone()
    };
    let parties = |aud: Value, azp: Value| {
        move |draft: &mut Draft| {
            draft.claims["aud"] = aud.clone();
            draft.claims["azp"] = azp.clone();
        }
    };
    let shift = |name: &'static str, by: i64| {
        move |draft: &mut Draft| draft.claims[name] = json!(now(draft) + by)
    };
    let aged = |by: i64| {
        move |draft: &mut Draft| {
            draft.claims["iat"] = json!(now(draft) - by);
        }
    };
    let mut cases = vec![
        bad("another issuer", "issuer", claim("iss", json!(other))),
        bad(
            "the issuer with a slash",
            "issuer",
            claim("iss", json!(format!("{issuer}/"))),
        ),
        bad(
            "the issuer in capitals",
            "issuer",
            claim("iss", json!(issuer.to_uppercase())),
        ),
        bad(
            "another audience",
            "audience",
            claim("aud", json!("gate-at-other")),
        ),
        bad("no audience", "audience", claim("aud", json!([]))),
        bad(
            "audiences without ours",
            "audience",
            parties(json!(["a", "b"]), json!(client)),
        ),
        bad(
            "two audiences, no azp",
            "azp",
            claim("aud", json!([client, "b"])),
        ),
        bad(
            "two audiences, another azp",
            "azp",
            parties(json!([client, "b"]), json!("b")),
        ),
        bad(
            "one audience, another azp",
            "azp",
            parties(json!(client), json!("b")),
        ),
        good(
            "two audiences, our azp",
            parties(json!(["b", client]), json!(client)),
        ),
        good("one audience in an array", claim("aud", json!([client]))),
        good(
            "one audience, our azp",
            parties(json!(client), json!(client)),
        ),
        bad("expired", "expired", shift("exp", -61)),
        good("expired within the skew", shift("exp", -30)),
        bad("nbf in the future", "not_yet_valid", shift("nbf", 90)),
        good("nbf in the future within the skew", shift("nbf", 30)),
        bad("iat in the future", "not_yet_valid", aged(-90)),
        bad("iat long ago", "issued_too_long_ago", aged(700)),
        good("iat some time ago", aged(500)),
        bad(
            "another nonce",
            "nonce",
            claim("nonce", json!("nonce-0123456789-0123456789")),
        ),
        bad("an empty nonce", "nonce", claim("nonce", json!(""))),
        bad("no nonce", "nonce", |draft| {
            draft.claims.as_object_mut().unwrap().remove("nonce");
        }),
    ];
    for name in ["iss", "aud", "exp", "iat"] {
        cases.push(bad(name, "claims_malformed", move |draft| {
            draft.claims.as_object_mut().unwrap().remove(name);
        }));
    }
    for (name, value) in [
        ("exp", json!("soon")),
        ("exp", json!(-1)),
        ("iat", json!([1])),
        ("nbf", json!("later")),
        ("exp", json!(1e300)),
    ] {
        cases.push(bad(name, "claims_malformed", claim(name, value)));
    }
    hold(&stage, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_asks_for_the_keys_once() {
    let stage = Stage::set().await;
    assert_eq!(stage.sign_in().await.status, StatusCode::OK);
    let before = stage.rogue.count("/jwks");
    stage.rogue.script(|script| {
        script.id_token = token(|draft| draft.header["kid"] = json!("another"));
    });
    // Made before: fifty take longer than the gateway waits for the request on a connection.
    let browsers: Vec<Browser> = (0..50).map(|_| Browser::json()).collect();
    let flood = browsers.iter().map(|one| one.sign_in(&stage, "rogue"));
    for answer in futures_util::future::join_all(flood).await {
        stage.refused(&answer, "key_unknown", "the flood").await;
    }
    assert_eq!(stage.rogue.count("/jwks"), before + 1);
    stage.rogue.behave();
    assert_eq!(
        stage.sign_in().await.status,
        StatusCode::OK,
        "the good twin"
    );
    stage.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_the_provider_is_learned_at_once() {
    let stage = Stage::set().await;
    let before = stage.rogue.count("/jwks");
    stage
        .rogue
        .set_keys(vec![Key::p256("new"), stage.rogue.key()]);
    let browsers: Vec<Browser> = (0..8).map(|_| Browser::json()).collect();
    let sign_ins = browsers.iter().map(|one| one.sign_in(&stage, "rogue"));
    let answers = futures_util::future::join_all(sign_ins).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(stage.rogue.count("/jwks"), before + 1);
}
