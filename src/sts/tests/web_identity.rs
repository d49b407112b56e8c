//! `AssumeRoleWithWebIdentity` with an identity provider's own ID tokens, at the sandbox STS: each token is
//! signed, and refused or taken by AWS's rules.

use std::collections::HashMap;

use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jws::{self, ES256, JwsHeader};
use serde_json::{Value, json};

use super::*;
use crate::demo::sts::{Account, Fault, OidcProvider, Role, SandboxSts, StsSettings as Sandbox};
use crate::model::{IdToken, Method, OsEntropy, SessionPolicy};

const LOGIN: &str = "https://login.example.org/tenant";
const LOGIN_ARN: &str = "arn:aws:iam::123456789012:oidc-provider/login.example.org/tenant";
const CLIENT: &str = "rolegate";
const SUB: &str = "00u1";

/// An identity provider, and an account that trusts it.
struct World {
    _documents: tempfile::TempDir,
    key: Jwk,
    sandbox: SandboxSts,
    at_aws: Arc<FixedClock>,
}

fn account(documents: &std::path::Path) -> Account {
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "Federated": LOGIN_ARN },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": { "StringEquals": {
            "login.example.org/tenant:aud": CLIENT,
            "login.example.org/tenant:sub": SUB,
        } },
    }] });
    Account {
        roles: vec![Role::new(ROLE, &policy.to_string()).unwrap()],
        oidc_providers: vec![OidcProvider {
            arn: LOGIN_ARN.to_owned(),
            issuer: LOGIN.to_owned(),
            client_ids: vec![CLIENT.to_owned()],
        }],
        issuer_documents: HashMap::from([(LOGIN.to_owned(), documents.to_owned())]),
        ..Account::default()
    }
}

/// What an issuer publishes, `key`'s public half in it.
fn publish(folder: &std::path::Path, key: &Jwk) {
    let document = json!({
        "issuer": LOGIN,
        "jwks_uri": format!("{LOGIN}/.well-known/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    let mut public = key.to_public_key().unwrap();
    public.set_key_id("one");
    let public = Value::Object(public.into());
    let known = folder.join(".well-known");
    std::fs::create_dir_all(&known).unwrap();
    std::fs::write(known.join("openid-configuration"), document.to_string()).unwrap();
    std::fs::write(known.join("keys"), json!({ "keys": [public] }).to_string()).unwrap();
}

impl World {
    async fn start() -> Self {
        let documents = tempfile::tempdir().unwrap();
        let key = Jwk::generate_ec_key(EcCurve::P256).unwrap();
        publish(documents.path(), &key);
        let at_aws = Arc::new(FixedClock::new(now()));
        let settings = Sandbox {
            trusts: Vec::new(),
            providers: Vec::new(),
            clock: at_aws.clone(),
            entropy: Arc::new(OsEntropy),
        };
        let sandbox = SandboxSts::start_with(settings, account(documents.path())).await;
        Self {
            _documents: documents,
            key,
            sandbox: sandbox.unwrap(),
            at_aws,
        }
    }

    /// A token with these claims, and what its verification found in them.
    fn token(&self, claims: &Value) -> IdToken {
        let mut header = JwsHeader::new();
        header.set_key_id("one");
        let signer = ES256.signer_from_jwk(&self.key).unwrap();
        let jwt = jws::serialize_compact(claims.to_string().as_bytes(), &header, &signer).unwrap();
        let text = |name: &str| claims[name].as_str().unwrap_or(CLIENT).to_owned();
        let time = |name: &str| DateTime::from_timestamp(claims[name].as_i64().unwrap(), 0);
        IdToken {
            jwt: Secret::new(jwt),
            issuer: text("iss"),
            subject: text("sub"),
            audience: text("aud"),
            issued_at: time("iat").unwrap(),
            expires_at: time("exp").unwrap(),
        }
    }

    async fn redeem(&self, grant: &Grant, token: &IdToken) -> Result<Issued, IssueError> {
        let sts = sts(self.sandbox.url());
        sts.issue_with_web_identity(grant, token).await
    }

    /// What becomes of a token with one claim changed.
    async fn with(&self, claim: &str, value: Value) -> Result<Issued, IssueError> {
        let mut claims = claims();
        claims[claim] = value;
        self.redeem(&web_grant(3600), &self.token(&claims)).await
    }
}

fn claims() -> Value {
    let now = now().timestamp();
    json!({ "iss": LOGIN, "aud": CLIENT, "sub": SUB, "iat": now, "exp": now + 300, "nonce": "n" })
}

fn web_grant(seconds: u32) -> Grant {
    grant(seconds).for_method(Method::WebIdentity, |_| {})
}

#[tokio::test]
async fn a_grant_becomes_credentials_and_its_policy_is_sent() {
    let world = World::start().await;
    let statement = json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" });
    let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
    let policy = SessionPolicy::new(&policy).unwrap();
    let narrowed = grant(7200).for_method(Method::WebIdentity, |grant| {
        grant.narrow(Some(policy.clone()), Vec::new(), None);
    });
    let token = world.token(&claims());
    let issued = world.redeem(&narrowed, &token).await.unwrap();
    assert_eq!(issued.assumed_role_arn, SESSION_ARN);
    let end = now() + TimeDelta::hours(2);
    assert_eq!(issued.credentials.expires_at, end, "not the token's end");
    let session = world.sandbox.issued_for(ROLE).remove(0);
    assert_eq!(session.policy.as_deref(), Some(policy.as_str()));
    assert!(session.tags.is_empty() && session.source_identity.is_none());
    let plain = world.redeem(&web_grant(900), &token).await.unwrap();
    assert_eq!(plain.duration.seconds(), 900);
    let sessions = world.sandbox.issued_for(ROLE);
    let unlimited = sessions.iter().filter(|session| session.policy.is_none());
    assert_eq!((sessions.len(), unlimited.count()), (2, 1));
}

/// A claim and its value, the code and a part of the mend, and whether a newer token may help.
type Refused = (&'static str, Value, &'static str, &'static str, bool);

fn refused() -> Vec<Refused> {
    let second = now().timestamp();
    vec![
        (
            "iss",
            json!("https://login.example.org"),
            "sts-no-oidc-provider",
            "create one with the issuer as its URL",
            false,
        ),
        (
            "aud",
            json!("another"),
            "sts-wrong-audience",
            "add-client-id-to-open-id-connect-provider",
            false,
        ),
        (
            "aud",
            json!([CLIENT, "another"]),
            "sts-ambiguous-audience",
            "send azp",
            false,
        ),
        (
            "sub",
            json!("00u2"),
            "sts-access-denied",
            "trust-policy ARN --method web-identity",
            false,
        ),
        (
            "https://aws.amazon.com/tags",
            json!({ "principal_tags": { "Team": ["red"] } }),
            "sts-access-denied",
            "sts:TagSession",
            false,
        ),
        (
            "iat",
            json!(second - 441_398),
            "sts-token-too-old",
            "for an hour or less",
            true,
        ),
        (
            "iat",
            json!(second + 301),
            "sts-invalid-token",
            "whole seconds",
            true,
        ),
    ]
}

#[tokio::test]
async fn each_refusal_has_its_own_mend_and_says_whether_a_newer_token_helps() {
    let world = World::start().await;
    for (claim, value, code, mend, newer) in refused() {
        let error = world.with(claim, value.clone()).await.unwrap_err();
        assert_eq!(error.code(), code, "{claim} {value}: {error}");
        let text = error.to_string();
        assert!(text.contains(mend), "{text}");
        for other in ["SAML", "assertion", "relay.issuer", "rolegate's token"] {
            assert!(!text.contains(other), "{other}: {text}");
        }
        assert_eq!(error.wants_newer_token(), newer, "{text}");
        assert!(!error.is_transient() && error.request_id().is_some());
    }
    let calls = world.sandbox.calls_for(ROLE);
    assert_eq!(calls, 7, "nothing was tried again");
    assert!(world.with("azp", json!(CLIENT)).await.is_ok());
    let mut several = claims();
    several["aud"] = json!([CLIENT, "another"]);
    several["azp"] = json!(CLIENT);
    let token = world.token(&several);
    assert!(world.redeem(&web_grant(3600), &token).await.is_ok());
}

#[tokio::test]
async fn an_ended_token_is_not_sent_and_one_that_aws_calls_ended_wants_a_newer_one() {
    let world = World::start().await;
    let second = now().timestamp();
    let last = world.with("exp", json!(second + 1)).await;
    assert!(last.is_ok(), "{last:?}");
    let sent = world.sandbox.calls().len();
    let error = world.with("exp", json!(second)).await.unwrap_err();
    assert_eq!(error, IssueError::IdTokenOver { at: now() });
    assert!(error.wants_newer_token() && error.request_id().is_none());
    assert_eq!(world.sandbox.calls().len(), sent);
    // AWS's clock is ahead by more than it tolerates.
    world.at_aws.advance(TimeDelta::seconds(601));
    let error = world.with("exp", json!(second + 300)).await.unwrap_err();
    assert_eq!(error.code(), "sts-expired", "{error}");
    assert!(error.wants_newer_token());
    assert!(error.to_string().contains("clocks"), "{error}");
}

#[tokio::test]
async fn only_a_forwarded_token_can_be_followed_by_a_newer_one() {
    let expired = |method| IssueError::Expired {
        method,
        message: String::new(),
        request_id: None,
    };
    for method in Method::ALL {
        let wants = expired(method).wants_newer_token();
        assert_eq!(wants, method == Method::WebIdentity, "{method}");
    }
    assert!(!IssueError::WindowPassed.wants_newer_token());
}

#[tokio::test]
async fn a_provider_whose_keys_aws_cannot_read_is_tried_a_few_times() {
    let world = World::start().await;
    let token = world.token(&claims());
    world.sandbox.set_fault(Fault::FirstThen {
        first: Box::new(Fault::IssuerAway),
        calls: 2,
        then: Box::new(Fault::None),
    });
    let issued = world.redeem(&web_grant(3600), &token).await;
    assert!(issued.is_ok(), "{issued:?}");
    assert_eq!(world.sandbox.calls_for(ROLE), 3);
    world.sandbox.set_fault(Fault::IssuerAway);
    let error = world.redeem(&web_grant(3600), &token).await.unwrap_err();
    assert_eq!(error.code(), "sts-issuer-unreachable");
    assert_eq!(world.sandbox.calls_for(ROLE), 3 + 4);
    assert!(error.is_transient() && !error.wants_newer_token());
    let text = error.to_string();
    assert!(
        text.contains("private network") && !text.contains("relay.issuer"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_for_something_else_is_dropped() {
    let world = World::start().await;
    let token = world.token(&claims());
    for (fault, what) in [
        (Fault::WrongRole, "the role"),
        (Fault::WrongAudience, "Audience"),
    ] {
        world.sandbox.set_fault(fault);
        let error = world.redeem(&web_grant(3600), &token).await.unwrap_err();
        assert_eq!(error.code(), "sts-mismatch", "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
    world.sandbox.set_fault(Fault::None);
    // Another's token: what STS says of it is not what was verified.
    let changes: [fn(&mut IdToken); 3] = [
        |token| token.subject = "00u2".to_owned(),
        |token| token.audience = "another".to_owned(),
        |token| token.issuer = "https://other.example.org".to_owned(),
    ];
    for change in changes {
        let mut other = token.clone();
        change(&mut other);
        let error = world.redeem(&web_grant(3600), &other).await.unwrap_err();
        assert_eq!(error.code(), "sts-mismatch", "{error}");
    }
    world.at_aws.advance(TimeDelta::seconds(301));
    let error = world.redeem(&web_grant(3600), &token).await.unwrap_err();
    assert!(error.to_string().contains("Expiration"), "{error}");
    assert!(!format!("{error:?} {token:?}").contains(token.jwt.expose()));
}

#[tokio::test]
async fn a_token_may_carry_a_source_identity_of_its_own() {
    let world = World::start().await;
    let claim = "https://aws.amazon.com/source_identity";
    let error = world.with(claim, json!("somebody")).await.unwrap_err();
    assert_eq!(error.code(), "sts-access-denied");
    assert!(
        error.to_string().contains("sts:SetSourceIdentity"),
        "{error}"
    );
}
