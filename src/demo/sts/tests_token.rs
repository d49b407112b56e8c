//! `AssumeRoleWithWebIdentity`: the keys, the token's claims, and the trust policy on them.

use std::collections::HashMap;
use std::path::Path;

use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jws::{self, ES256, ES384, ES512, JwsHeader, JwsSigner, RS256, RS384, RS512};
use serde_json::{Value, json};

use super::{Account, OidcProvider, Role};
use crate::demo::stage::{Answer, Keys, Stage};

const ISSUER: &str = "https://gate.example.org/oidc";
const ARN: &str = "arn:aws:iam::123456789012:oidc-provider/gate.example.org/oidc";
const JOB: &str = "arn:aws:iam::123456789012:role/jobs/relay";
const BARE: &str = "arn:aws:iam::123456789012:role/bare";
const CLIENT: &str = "sts.amazonaws.com";
const TOKEN: &str = "InvalidIdentityToken";

/// An issuer whose documents lie in a folder.
struct Issuer {
    folder: tempfile::TempDir,
    key: Jwk,
    stage: Stage,
}

fn write(folder: &Path, issuer: &str, keys: &[Jwk]) {
    let document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{ISSUER}/.well-known/jwks.json"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| Value::Object(public(key).into()))
        .collect();
    let known = folder.join(".well-known");
    std::fs::create_dir_all(&known).unwrap();
    std::fs::write(known.join("openid-configuration"), document.to_string()).unwrap();
    std::fs::write(known.join("jwks.json"), json!({ "keys": keys }).to_string()).unwrap();
}

/// The public half, under the same name and for the same operations.
fn public(key: &Jwk) -> Jwk {
    let mut public = key.to_public_key().unwrap();
    for kept in ["kid", "key_ops"] {
        let value = key.parameter(kept).cloned();
        public.set_parameter(kept, value).unwrap();
    }
    public
}

/// Without its id, which a signer would else write over the header's.
fn unnamed(key: &Jwk) -> Jwk {
    let mut key = key.clone();
    key.set_parameter("kid", None).unwrap();
    key
}

fn ec(curve: EcCurve, kid: &str) -> Jwk {
    named(Jwk::generate_ec_key(curve).unwrap(), kid)
}

fn named(mut key: Jwk, kid: &str) -> Jwk {
    key.set_key_id(kid);
    key
}

fn account(issuer: &str, documents: &Path) -> Account {
    let role = |arn: &str, actions: &str| {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Federated":"{ARN}"}},"Action":{actions},
               "Condition":{{"StringEquals":{{"gate.example.org/oidc:aud":"{CLIENT}"}},
                             "StringLike":{{"gate.example.org/oidc:sub":"role:123456789012/*:user:*"}}}}}}]}}"#
        );
        Role::new(arn, &policy).unwrap()
    };
    Account {
        roles: vec![
            role(
                JOB,
                r#"["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]"#,
            ),
            role(BARE, r#""sts:AssumeRoleWithWebIdentity""#),
        ],
        oidc_providers: vec![OidcProvider {
            arn: ARN.to_owned(),
            issuer: issuer.to_owned(),
            client_ids: vec![CLIENT.to_owned(), "other".to_owned()],
        }],
        issuer_documents: HashMap::from([(issuer.to_owned(), documents.to_owned())]),
        ..Account::default()
    }
}

fn claims() -> Value {
    let now = crate::demo::stage::start_of_time().timestamp();
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "role:123456789012/jobs/relay:idp:demo:user:alice",
        "iat": now, "exp": now + 300,
        "https://aws.amazon.com/roles": [JOB, BARE],
    })
}

fn sign(claims: &Value, signer: &dyn JwsSigner, kid: Option<&str>) -> String {
    let mut header = JwsHeader::new();
    if let Some(kid) = kid {
        header.set_key_id(kid);
    }
    jws::serialize_compact(claims.to_string().as_bytes(), &header, signer).unwrap()
}

impl Issuer {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = ec(EcCurve::P256, "one");
        write(folder.path(), ISSUER, std::slice::from_ref(&key));
        let stage = Stage::with(account(ISSUER, folder.path())).await;
        Self { folder, key, stage }
    }

    async fn redeem(&self, role: &str, token: &str) -> Answer {
        let form = [
            ("RoleArn", role),
            ("RoleSessionName", "alice"),
            ("WebIdentityToken", token),
        ];
        self.stage.call("AssumeRoleWithWebIdentity", &form).await
    }

    fn sign(&self, claims: &Value) -> String {
        sign(
            claims,
            &ES256.signer_from_jwk(&unnamed(&self.key)).unwrap(),
            Some("one"),
        )
    }

    async fn with(&self, role: &str, key: &str, value: Value) -> Answer {
        let mut claims = claims();
        claims[key] = value;
        self.redeem(role, &self.sign(&claims)).await
    }
}

#[tokio::test]
async fn a_good_token_is_answered_as_aws_answers() {
    let issuer = Issuer::start().await;
    let mut claims = claims();
    claims["https://aws.amazon.com/tags"] =
        json!({"principal_tags": {"Project": ["x"]}, "transitive_tag_keys": ["Project"]});
    claims["https://aws.amazon.com/source_identity"] = json!("alice");
    let answer = issuer.redeem(JOB, &issuer.sign(&claims)).await;
    assert_eq!(answer.code(), "OK", "{:?}", issuer.stage.sts.calls());
    assert_eq!(answer.text("Provider"), ARN);
    assert_eq!(answer.text("Audience"), CLIENT);
    assert_eq!(answer.text("SourceIdentity"), "alice");
    assert_eq!(answer.text("SubjectFromWebIdentityToken"), claims["sub"]);
    let keys = Keys::of(&answer);
    let shown = issuer
        .stage
        .signed(&keys, "DescribeSandboxSession", &[])
        .await;
    assert_eq!((shown.text("Key"), shown.text("Value")), ("Project", "x"));
    assert_eq!(
        shown.text("Expiration"),
        "2026-03-01T13:00:00Z",
        "not the token's exp"
    );
    let bare = issuer.redeem(BARE, &issuer.sign(&claims)).await;
    assert_eq!(
        bare.text("Message"),
        "Not authorized to perform sts:TagSession"
    );
}

#[tokio::test]
async fn each_claim_is_held_to_awss_rules() {
    let issuer = Issuer::start().await;
    let now = claims()["iat"].as_i64().unwrap();
    for (key, value, code) in [
        ("aud", json!([CLIENT]), "OK"),
        ("iat", json!(now + 300), "OK"),
        ("exp", json!(now - 299), "OK"),
        (
            "https://aws.amazon.com/roles",
            json!(format!("x;{JOB}")),
            "OK",
        ),
        ("https://aws.amazon.com/roles", json!(BARE), "AccessDenied"),
        ("sub", json!("role:210987654321/x:user:a"), "AccessDenied"),
        ("aud", json!("other"), "AccessDenied"),
        ("aud", json!("another"), TOKEN),
        ("aud", json!([CLIENT, "other"]), TOKEN),
        ("aud", Value::Null, TOKEN),
        ("sub", Value::Null, TOKEN),
        ("iss", json!("https://other.example.org"), TOKEN),
        ("iss", Value::Null, TOKEN),
        ("iat", json!(now + 301), TOKEN),
        ("nbf", json!(now + 301), TOKEN),
        ("iat", json!(1.5), TOKEN),
        ("exp", json!(now - 300), "ExpiredTokenException"),
        ("exp", json!("soon"), TOKEN),
        ("iat", json!(now - 86_400), "OK"),
        ("iat", json!(now - 86_401), "ExpiredTokenException"),
        (
            "https://aws.amazon.com/tags",
            json!({"principal_tags": {"a": "x"}}),
            TOKEN,
        ),
        (
            "https://aws.amazon.com/source_identity",
            json!("aws:x"),
            TOKEN,
        ),
    ] {
        let answer = issuer.with(JOB, key, value.clone()).await;
        assert_eq!(answer.code(), code, "{key} {value}");
    }
    let mut several = claims();
    several["aud"] = json!([CLIENT, "other"]);
    several["azp"] = json!(CLIENT);
    let answer = issuer.redeem(JOB, &issuer.sign(&several)).await;
    assert_eq!((answer.code(), answer.text("Audience")), ("OK", CLIENT));
    let mut missing = claims();
    missing.as_object_mut().unwrap().remove("exp");
    let answer = issuer.redeem(JOB, &issuer.sign(&missing)).await;
    assert_eq!(answer.text("Message"), "Missing a required claim: exp");
    let old = issuer.with(JOB, "iat", json!(now - 86_401)).await;
    assert_eq!(old.text("Message"), "Token too old: 86401");
}

#[tokio::test]
async fn the_algorithms_are_awss_and_the_key_must_fit() {
    let issuer = Issuer::start().await;
    let rsa = named(Jwk::generate_rsa_key(2048).unwrap(), "rsa");
    let (p384, p521) = (ec(EcCurve::P384, "p384"), ec(EcCurve::P521, "p521"));
    let keys = [issuer.key.clone(), rsa.clone(), p384.clone(), p521.clone()];
    write(issuer.folder.path(), ISSUER, &keys);
    let claims = claims();
    let es256 = ES256.signer_from_jwk(&unnamed(&issuer.key)).unwrap();
    let signers: [(Box<dyn JwsSigner>, &str); 5] = [
        (
            Box::new(RS256.signer_from_jwk(&unnamed(&rsa)).unwrap()),
            "rsa",
        ),
        (
            Box::new(RS384.signer_from_jwk(&unnamed(&rsa)).unwrap()),
            "rsa",
        ),
        (
            Box::new(RS512.signer_from_jwk(&unnamed(&rsa)).unwrap()),
            "rsa",
        ),
        (
            Box::new(ES384.signer_from_jwk(&unnamed(&p384)).unwrap()),
            "p384",
        ),
        (
            Box::new(ES512.signer_from_jwk(&unnamed(&p521)).unwrap()),
            "p521",
        ),
    ];
    for (signer, kid) in &signers {
        let good = sign(&claims, &**signer, Some(kid));
        assert_eq!(issuer.redeem(JOB, &good).await.code(), "OK", "{kid}");
        let other = sign(&claims, &**signer, Some("one"));
        assert_eq!(issuer.redeem(JOB, &other).await.code(), TOKEN, "{kid}");
    }
    let pss = josekit::jws::PS256.signer_from_jwk(&unnamed(&rsa)).unwrap();
    let nameless = sign(&claims, &es256, None);
    let stranger = ec(EcCurve::P256, "one");
    let forged = ES256.signer_from_jwk(&unnamed(&stranger)).unwrap();
    let good = issuer.sign(&claims);
    for bad in [
        sign(&claims, &pss, Some("rsa")),
        sign(&claims, &es256, Some("unknown")),
        sign(&claims, &forged, Some("one")),
        nameless,
        good.replacen('.', "x.", 1),
        "a.b.c".to_owned(),
        "access-token".to_owned(),
    ] {
        assert_eq!(issuer.redeem(JOB, &bad).await.code(), TOKEN, "{bad:.60}");
    }
}

#[tokio::test]
async fn keys_are_cached_and_one_key_needs_no_name() {
    let issuer = Issuer::start().await;
    let es256 = ES256.signer_from_jwk(&unnamed(&issuer.key)).unwrap();
    let nameless = sign(&claims(), &es256, None);
    let both = [issuer.key.clone(), ec(EcCurve::P384, "p384")];
    write(issuer.folder.path(), ISSUER, &both);
    assert_eq!(issuer.redeem(JOB, &nameless).await.code(), TOKEN);
    write(
        issuer.folder.path(),
        ISSUER,
        std::slice::from_ref(&issuer.key),
    );
    assert_eq!(issuer.redeem(JOB, &nameless).await.code(), TOKEN, "cached");
    issuer.stage.sts.forget_issuer_keys();
    assert_eq!(
        issuer.redeem(JOB, &nameless).await.code(),
        "OK",
        "a single key"
    );
    let long = "x".repeat(20_001);
    assert_eq!(issuer.redeem(JOB, &long).await.code(), "ValidationError");
}

#[tokio::test]
async fn keys_that_aws_would_not_take_are_not_taken() {
    let issuer = Issuer::start().await;
    let token = issuer.sign(&claims());
    let mut encrypting = issuer.key.clone();
    encrypting.set_key_use("enc");
    let mut with_operations = issuer.key.clone();
    with_operations.set_key_operations(vec!["verify"]);
    let mut signing = issuer.key.clone();
    signing.set_key_use("sig");
    let many: Vec<Jwk> = std::iter::repeat_n(signing.clone(), 101).collect();
    for (keys, code) in [
        (&[signing][..], "OK"),
        (&[encrypting], TOKEN),
        (&[with_operations], TOKEN),
        (&[unnamed(&issuer.key)], TOKEN),
        (&many, TOKEN),
        (&many[..100], "OK"),
        (&[], TOKEN),
    ] {
        write(issuer.folder.path(), ISSUER, keys);
        issuer.stage.sts.forget_issuer_keys();
        assert_eq!(issuer.redeem(JOB, &token).await.code(), code);
    }
    write(issuer.folder.path(), "https://gate.example.org", &[]);
    issuer.stage.sts.forget_issuer_keys();
    let answer = issuer.redeem(JOB, &token).await;
    assert!(
        answer
            .text("Message")
            .starts_with("Couldn't retrieve verification key")
    );
}

#[tokio::test]
async fn documents_are_fetched_from_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    let key = ec(EcCurve::P256, "one");
    write(folder.path(), ISSUER, std::slice::from_ref(&key));
    let listener = crate::demo::serving::loopback().unwrap();
    let root = folder.path().to_owned();
    let bucket = crate::demo::serving::Serving::start(listener, move |app| {
        let root = root.clone();
        app.default_service(actix_web::web::to(
            move |request: actix_web::HttpRequest| {
                let path = root.join(request.path().trim_start_matches('/'));
                async move {
                    std::fs::read(path).map_or_else(
                        |_| actix_web::HttpResponse::NotFound().finish(),
                        |bytes| actix_web::HttpResponse::Ok().body(bytes),
                    )
                }
            },
        ));
    })
    .unwrap();
    let gone = "http://127.0.0.1:1".to_owned();
    for (base, code) in [
        (Some(bucket.url.clone()), "OK"),
        (Some(format!("{}/nowhere", bucket.url)), TOKEN),
        (Some(gone), "IDPCommunicationError"),
        (None, "IDPCommunicationError"),
    ] {
        let bases = base.map(|base| (ISSUER.to_owned(), base));
        let account = Account {
            issuer_documents: HashMap::new(),
            issuer_bases: bases.into_iter().collect(),
            ..account(ISSUER, folder.path())
        };
        let issuer = Issuer {
            folder: tempfile::tempdir().unwrap(),
            key: key.clone(),
            stage: Stage::with(account).await,
        };
        let answer = issuer.redeem(JOB, &issuer.sign(&claims())).await;
        assert_eq!(answer.code(), code);
    }
    bucket.stop().await;
}
