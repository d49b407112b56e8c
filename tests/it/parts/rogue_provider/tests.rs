//! The provider's own strictness: a good client gets its tokens, and each departure from it nothing.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openssl::sha::sha256;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use super::{CLIENT_SECRET, Gate, Key, RogueProvider, Sign, brought, reply, token};

const BACK: &str = "http://127.0.0.1:1/oidc/rogue/callback";
const VERIFIER: &str = "0123456789-0123456789-0123456789-0123456789";

type Form = BTreeMap<&'static str, String>;

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(Policy::none());
    builder.build().unwrap()
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn request() -> Form {
    let challenge = URL_SAFE_NO_PAD.encode(sha256(VERIFIER.as_bytes()));
    Form::from([
        ("response_type", "code".to_owned()),
        ("client_id", "gate".to_owned()),
        ("redirect_uri", BACK.to_owned()),
        ("scope", "openid email".to_owned()),
        ("state", "state-0123456789-0123456789".to_owned()),
        ("nonce", "nonce-0123456789-0123456789".to_owned()),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256".to_owned()),
    ])
}

fn start() -> RogueProvider {
    RogueProvider::start("gate", BACK)
}

/// What the browser would bring back, or the status.
async fn authorize(provider: &RogueProvider, form: &Form) -> Result<Form, u16> {
    let target = format!("{}/authorize", provider.url());
    let target = url::Url::parse_with_params(&target, form).unwrap();
    let answer = client().get(target).send().await.unwrap();
    let Some(back) = answer.headers().get("location") else {
        return Err(answer.status().as_u16());
    };
    let back = url::Url::parse(back.to_str().unwrap()).unwrap();
    assert!(back.as_str().starts_with(BACK));
    let names = ["code", "state", "iss"].into_iter();
    Ok(names
        .filter_map(|name| {
            let mut pairs = back.query_pairs();
            let value = pairs.find(|(found, _)| found == name)?.1.into_owned();
            Some((name, value))
        })
        .collect())
}

async fn ask(provider: &RogueProvider, form: &Form, secret: &str) -> (u16, Value) {
    let target = format!("{}/token", provider.url());
    let basic = format!("{}:{}", encoded("gate"), encoded(secret));
    let basic = format!("Basic {}", STANDARD.encode(basic));
    let request = client().post(target).header("Authorization", basic);
    let answer = request.form(form).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

fn exchange(code: &str) -> Form {
    Form::from([
        ("grant_type", "authorization_code".to_owned()),
        ("code", code.to_owned()),
        ("redirect_uri", BACK.to_owned()),
        ("code_verifier", VERIFIER.to_owned()),
    ])
}

fn refresh(token: &Value) -> Form {
    let token = token.as_str().unwrap().to_owned();
    let kind = "refresh_token".to_owned();
    Form::from([("grant_type", kind), ("refresh_token", token)])
}

async fn signed_in(provider: &RogueProvider) -> Value {
    let back = authorize(provider, &request()).await.unwrap();
    let (status, tokens) = ask(provider, &exchange(&back["code"]), CLIENT_SECRET).await;
    assert_eq!(status, 200, "{tokens}");
    tokens
}

fn part(token: &Value, at: usize) -> Value {
    let text = token.as_str().unwrap().split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_client_gets_what_it_asked_for() {
    let provider = start();
    let back = authorize(&provider, &request()).await.unwrap();
    assert_eq!(back["state"], request()["state"]);
    assert_eq!(back["iss"], provider.url());
    let tokens = signed_in(&provider).await;
    let claims = part(&tokens["id_token"], 1);
    assert_eq!(claims["nonce"], request()["nonce"]);
    assert_eq!(claims["aud"], "gate");
    let (status, again) = ask(&provider, &refresh(&tokens["refresh_token"]), CLIENT_SECRET).await;
    assert_eq!(status, 200);
    assert!(part(&again["id_token"], 1)["nonce"].is_null());
    assert_ne!(again["refresh_token"], tokens["refresh_token"]);
    assert_eq!(
        (provider.count("exchange"), provider.count("refresh")),
        (1, 1)
    );
    assert!(provider.breaches().is_empty(), "{:?}", provider.breaches());
    let secrets = provider.secrets();
    assert_eq!(secrets.codes.len(), 2);
    assert_eq!(secrets.refresh_tokens.len(), 2);
    assert!(secrets.verifiers.contains(VERIFIER));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_departure_of_a_request_is_refused() {
    let provider = start();
    for (name, value) in [
        ("response_type", "id_token"),
        ("client_id", "other"),
        ("redirect_uri", "http://127.0.0.1:1/oidc/rogue/callback/"),
        ("scope", "email"),
        ("scope", "openid offline_access"),
        ("state", ""),
        ("nonce", "short"),
        ("nonce", "state-0123456789-0123456789"),
        ("code_challenge", ""),
        ("code_challenge", VERIFIER),
        ("code_challenge_method", "plain"),
        ("client_secret", CLIENT_SECRET),
    ] {
        let mut bad = request();
        bad.insert(name, value.to_owned());
        let before = provider.breaches().len();
        assert_eq!(authorize(&provider, &bad).await, Err(400), "{name}={value}");
        assert_eq!(provider.breaches().len(), before + 1, "{name}={value}");
    }
    let mut good = request();
    good.insert("scope", "openid offline_access".to_owned());
    good.insert("prompt", "consent".to_owned());
    assert!(authorize(&provider, &good).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_departure_of_an_exchange_is_refused() {
    let provider = start();
    for (name, value) in [
        ("grant_type", "password"),
        ("code", "another"),
        ("redirect_uri", "http://127.0.0.1:1/"),
        (
            "code_verifier",
            "another-0123456789-0123456789-0123456789-01",
        ),
        ("code_verifier", ""),
        ("client_id", "other"),
        ("client_secret", CLIENT_SECRET),
    ] {
        let back = authorize(&provider, &request()).await.unwrap();
        let mut bad = exchange(&back["code"]);
        bad.insert(name, value.to_owned());
        let before = provider.breaches().len();
        let (status, _) = ask(&provider, &bad, CLIENT_SECRET).await;
        assert!(matches!(status, 400 | 401), "{name}={value}");
        assert_eq!(provider.breaches().len(), before + 1, "{name}={value}");
    }
    let back = authorize(&provider, &request()).await.unwrap();
    let good = exchange(&back["code"]);
    assert_eq!(ask(&provider, &good, "another").await.0, 401);
    assert_eq!(ask(&provider, &good, CLIENT_SECRET).await.0, 200);
    assert_eq!(
        ask(&provider, &good, CLIENT_SECRET).await.0,
        400,
        "once only"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_of_old_ends_them_all() {
    let provider = start();
    let first = signed_in(&provider).await["refresh_token"].clone();
    let (_, second) = ask(&provider, &refresh(&first), CLIENT_SECRET).await;
    let second = second["refresh_token"].clone();
    let (status, answer) = ask(&provider, &refresh(&first), CLIENT_SECRET).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
    let (status, _) = ask(&provider, &refresh(&second), CLIENT_SECRET).await;
    assert_eq!(status, 400, "the newest is ended too");
    assert_eq!(provider.breaches(), ["a refresh token was used twice"]);
    provider.script(|script| script.rotates = false);
    let kept = signed_in(&provider).await["refresh_token"].clone();
    for _ in 0..2 {
        let (status, answer) = ask(&provider, &refresh(&kept), CLIENT_SECRET).await;
        assert_eq!(status, 200, "without rotation it is good again and again");
        assert!(answer["refresh_token"].is_null());
    }
    provider.revoke_all();
    assert_eq!(ask(&provider, &refresh(&kept), CLIENT_SECRET).await.0, 400);
    assert_eq!(
        provider.breaches().len(),
        1,
        "which is the provider's doing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_changes_every_answer() {
    let provider = start();
    provider.script(|script| {
        script.id_token = token(|draft| {
            draft.header["alg"] = json!("none");
            draft.claims["sub"] = json!("mallory");
            draft.sign = Sign::Nothing;
        });
        script.authorization = brought(|pairs| pairs.retain(|(name, _)| name != "iss"));
        script.keys = reply(|reply| reply.json = json!({ "keys": [] }));
    });
    let back = authorize(&provider, &request()).await.unwrap();
    assert!(!back.contains_key("iss"));
    let (_, tokens) = ask(&provider, &exchange(&back["code"]), CLIENT_SECRET).await;
    let token = tokens["id_token"].as_str().unwrap();
    assert!(token.ends_with('.'));
    assert_eq!(part(&tokens["id_token"], 0)["alg"], "none");
    assert_eq!(part(&tokens["id_token"], 1)["sub"], "mallory");
    assert!(provider.secrets().id_tokens.contains(token));
    let keys = client().get(format!("{}/jwks", provider.url())).send();
    assert_eq!(keys.await.unwrap().text().await.unwrap(), "{\"keys\":[]}");
    provider.behave();
    let tokens = signed_in(&provider).await;
    assert_eq!(part(&tokens["id_token"], 0)["alg"], "RS256");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_signs_what_its_public_half_verifies() {
    use josekit::jwk::Jwk;
    use josekit::jws::{ES256, ES384, JwsVerifier, PS256, RS256, RS384, RS512};
    let rsa = Key::rsa("a-key");
    for key in [
        rsa.clone(),
        rsa.clone().by("RS384"),
        rsa.clone().by("RS512"),
        rsa.clone().by("PS256"),
        Key::p256("p"),
        Key::p384("q"),
    ] {
        let algorithm = key.algorithm;
        let public = Jwk::from_map(key.bare().as_object().unwrap().clone()).unwrap();
        let verifier: Box<dyn JwsVerifier> = match algorithm {
            "RS256" => Box::new(RS256.verifier_from_jwk(&public).unwrap()),
            "RS384" => Box::new(RS384.verifier_from_jwk(&public).unwrap()),
            "RS512" => Box::new(RS512.verifier_from_jwk(&public).unwrap()),
            "PS256" => Box::new(PS256.verifier_from_jwk(&public).unwrap()),
            "ES256" => Box::new(ES256.verifier_from_jwk(&public).unwrap()),
            _ => Box::new(ES384.verifier_from_jwk(&public).unwrap()),
        };
        for (sign, good) in [(Sign::Key(key.clone()), true), (Sign::Cut(key), false)] {
            let draft = super::Draft {
                header: json!({ "alg": algorithm }),
                claims: json!({ "sub": "x" }),
                sign,
            };
            let token = draft.finish();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let held = verifier.verify(message.as_bytes(), &signature).is_ok();
            assert_eq!(held, good, "{algorithm}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_for_its_gate() {
    let provider = start();
    let gate = Gate::closed();
    let held = gate.clone();
    provider.script(|script| {
        script.discovery = reply(move |reply| reply.gate = Some(held.clone()));
    });
    let path = "/.well-known/openid-configuration";
    let get = client().get(format!("{}{path}", provider.url())).send();
    let waiting = tokio::spawn(get);
    provider.asked(path, 1).await;
    assert!(!waiting.is_finished());
    gate.open();
    let document: Value = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(document["issuer"], provider.url());
}
