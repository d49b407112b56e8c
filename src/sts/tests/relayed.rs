//! `AssumeRoleWithWebIdentity` with tokens of rolegate's, and those tokens.

use josekit::jwk::Jwk;
use josekit::jws::RS256;
use josekit::jwt;
use serde_json::{Value, json};

use super::*;
use crate::model::{Method, OsEntropy, SessionPolicy};
use crate::policy::SessionTag;
use crate::sts::relay::{FreshKey, RelayKey, TokenError};

const RELAY_ISSUER: &str = "https://gate.example.org/x";
const SUB: &str = "role:123456789012/jobs/etl,a:idp:idp:user:alice";

fn tag(key: &str, value: &str) -> SessionTag {
    SessionTag {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

fn relay_grant(seconds: u32) -> Grant {
    grant(seconds).for_method(Method::Relay, |_| {})
}

fn token() -> RelayToken {
    RelayToken {
        jwt: Secret::new("head.claims.signature".to_owned()),
        sub: SUB.to_owned(),
        issuer: RELAY_ISSUER.to_owned(),
        expires_at: now() + TimeDelta::seconds(300),
    }
}

/// A good answer, whose parts a test may change.
struct Good {
    role: &'static str,
    subject: &'static str,
    audience: &'static str,
    provider: &'static str,
    source: &'static str,
    lasts: i64,
}

const GOOD: Good = Good {
    role: SESSION_ARN,
    subject: SUB,
    audience: "sts.amazonaws.com",
    provider: "arn:aws:iam::123456789012:oidc-provider/gate.example.org/x",
    source: "alice",
    lasts: 3600,
};

impl Good {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn xml(&self) -> String {
        let Self {
            role,
            subject,
            audience,
            provider,
            source,
            lasts,
        } = self;
        let expiration = rfc3339(now() + TimeDelta::seconds(*lasts));
        format!(
            r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<SubjectFromWebIdentityToken>{subject}</SubjectFromWebIdentityToken><Audience>{audience}</Audience><Provider>{provider}</Provider><SourceIdentity>{source}</SourceIdentity>
<AssumedRoleUser><Arn>{role}</Arn><AssumedRoleId>AROAEXAMPLE:alice</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey><SessionToken>the-token</SessionToken><Expiration>{expiration}</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>"#
        )
    }

    fn reply(&self) -> Reply {
        Reply::Answer(200, self.xml())
    }
}

async fn outcome(grant: &Grant, replies: Vec<Reply>) -> (Result<Issued, IssueError>, Server) {
    let server = Server::start(replies).await;
    let result = sts(&server.url).issue_with_relay(grant, &token()).await;
    (result, server)
}

async fn failure(replies: Vec<Reply>) -> (IssueError, usize) {
    let (result, server) = outcome(&relay_grant(3600), replies).await;
    (result.unwrap_err(), server.requests().len())
}

#[tokio::test]
async fn a_grant_becomes_credentials_by_one_unsigned_call() {
    let policy = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Deny", "Action": "*", "Resource": "*" } });
    let policy = SessionPolicy::new(&policy).unwrap();
    let narrowed = relay_grant(3600).for_method(Method::Relay, |grant| {
        grant.narrow(Some(policy.clone()), vec![tag("team", "red")], None);
    });
    let (result, server) = outcome(&narrowed, vec![GOOD.reply()]).await;
    let issued = result.unwrap();
    assert_eq!(issued.assumed_role_arn, SESSION_ARN);
    assert_eq!(issued.credentials.secret_access_key.expose(), SECRET_KEY);
    let request = server.requests()[0].to_ascii_lowercase();
    assert!(!request.contains("\nauthorization:"), "{request}");
    let mut form = server.form(0);
    form.sort();
    let expected = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("DurationSeconds", "3600"),
        ("Policy", policy.as_str()),
        ("RoleArn", ROLE),
        ("RoleSessionName", "alice@example.org"),
        ("Version", "2011-06-15"),
        ("WebIdentityToken", "head.claims.signature"),
    ];
    assert_eq!(
        form,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn an_answer_for_something_else_is_dropped() {
    let foreign = "arn:aws:iam::999999999999:oidc-provider/gate.example.org/x";
    for (answer, what) in [
        (
            GOOD.with(|good| good.role = "arn:aws:sts::123456789012:assumed-role/etl,a/bob"),
            "the role",
        ),
        (
            GOOD.with(|good| good.subject = "role:123456789012/jobs/etl,a:idp:idp:user:bob"),
            "SubjectFromWebIdentityToken",
        ),
        (GOOD.with(|good| good.audience = "another"), "Audience"),
        (GOOD.with(|good| good.provider = foreign), "Provider"),
        (
            GOOD.with(|good| good.provider = "accounts.google.com"),
            "Provider",
        ),
        (GOOD.with(|good| good.source = "bob"), "SourceIdentity"),
        (GOOD.with(|good| good.lasts = 3901), "Expiration"),
    ] {
        let (error, calls) = failure(vec![answer.reply(), GOOD.reply()]).await;
        assert_eq!((error.code(), calls), ("sts-mismatch", 1), "{what}");
        assert!(error.to_string().contains(what), "{error}");
        assert!(!format!("{error:?}").contains(SECRET_KEY));
    }
    let by_url = Good {
        provider: RELAY_ISSUER,
        ..GOOD
    };
    let (result, _) = outcome(&relay_grant(3600), vec![by_url.reply()]).await;
    assert!(result.is_ok(), "{result:?}");
}

#[tokio::test]
async fn refusals_name_the_mend_and_none_speaks_of_saml() {
    let none = "No OpenIDConnect provider found in your account for https://gate.example.org/x";
    for (status, code, message, expected, mend) in [
        (
            400,
            "InvalidIdentityToken",
            none,
            "sts-no-oidc-provider",
            "create one",
        ),
        (
            400,
            "InvalidIdentityToken",
            "Incorrect token audience",
            "sts-invalid-token",
            "relay.issuer",
        ),
        (
            400,
            "ExpiredTokenException",
            "Token expired",
            "sts-expired",
            "clock",
        ),
        (
            403,
            "AccessDenied",
            "Not authorized",
            "sts-access-denied",
            "sts:SetSourceIdentity",
        ),
        (
            400,
            "MalformedPolicyDocument",
            "Syntax",
            "sts-bad-policy",
            "session policy",
        ),
    ] {
        let (error, calls) = failure(vec![refusal(status, code, message), GOOD.reply()]).await;
        assert_eq!((error.code(), calls), (expected, 1), "{error}");
        let text = error.to_string();
        assert!(text.contains(mend) && text.contains(message), "{text}");
        assert!(
            !text.contains("SAML") && !text.contains("assertion"),
            "{text}"
        );
        assert!(!error.is_transient());
        assert_eq!(error.request_id(), Some("req-1"));
    }
}

#[tokio::test]
async fn an_issuer_that_aws_cannot_read_is_tried_a_few_times() {
    let lost = "Couldn't retrieve verification key from your identity provider";
    for (code, message) in [
        ("IDPCommunicationError", "x"),
        ("InvalidIdentityToken", lost),
    ] {
        let away = || refusal(400, code, message);
        let (result, server) =
            outcome(&relay_grant(3600), vec![away(), away(), GOOD.reply()]).await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(server.requests().len(), 3);
    }
    let away = || refusal(400, "IDPCommunicationError", "x");
    let (error, calls) = failure(vec![away(), away(), away(), away(), GOOD.reply()]).await;
    assert_eq!((error.code(), calls), ("sts-issuer-unreachable", 4));
    assert!(error.to_string().contains("relay export"), "{error}");
}

#[tokio::test]
async fn too_much_of_policy_and_tags_is_told_in_sizes() {
    let policy = json!({ "Statement": [{ "Sid": "x".repeat(1000) }] });
    let policy = SessionPolicy::new(&policy).unwrap();
    let length = policy.as_str().len();
    for (policy, mend) in [
        (Some(policy), "shorten the policy"),
        (None, "fewer or shorter tags"),
    ] {
        let packed = relay_grant(3600).for_method(Method::Relay, |grant| {
            grant.narrow(policy.clone(), vec![tag("team", "red"), tag("a", "")], None);
        });
        let large = refusal(400, "PackedPolicyTooLarge", "Packed size of 120%");
        let (result, server) = outcome(&packed, vec![large, GOOD.reply()]).await;
        let text = result.unwrap_err().to_string();
        let size = policy.map_or(0, |_| length);
        assert!(text.contains(&format!("{size} characters")), "{text}");
        assert!(text.contains("2 session tags (8 characters)"), "{text}");
        assert!(text.contains(mend) && text.contains("120%"), "{text}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn too_long_a_duration_falls_back_to_an_hour() {
    let grant = relay_grant(43_200);
    let (result, server) = outcome(&grant, vec![too_long(), GOOD.reply()]).await;
    assert_eq!(result.unwrap().duration, SessionDuration::DEFAULT);
    let asked = |index: usize| {
        let form = server.form(index);
        let found = form.into_iter().find(|(name, _)| name == "DurationSeconds");
        found.unwrap().1
    };
    assert_eq!((asked(0).as_str(), asked(1).as_str()), ("43200", "3600"));
}

#[tokio::test]
async fn a_slow_sts_is_waited_for_longer_than_with_an_assertion() {
    let defaults = StsSettings::default();
    assert!(defaults.attempt_timeout < Duration::from_secs(5));
    let slow = Duration::from_millis(400);
    let server = Server::start(vec![Reply::Late(slow, super::GOOD.xml())]).await;
    let settings = |url: &str| StsSettings {
        endpoint: Some(url.to_owned()),
        attempt_timeout: slow / 2,
        patient_attempt_timeout: slow * 20,
        patient_total_timeout: slow * 40,
        ..StsSettings::default()
    };
    let hasty = Sts::new(settings(&server.url), Arc::new(FixedClock::new(now())));
    let error = hasty.issue_with_saml(&grant(3600), &proof(10)).await;
    assert_eq!(error.unwrap_err(), IssueError::TimedOut);
    let server = Server::start(vec![Reply::Late(slow, GOOD.xml())]).await;
    let patient = Sts::new(settings(&server.url), Arc::new(FixedClock::new(now())));
    let issued = patient.issue_with_relay(&relay_grant(3600), &token()).await;
    assert!(issued.is_ok(), "{issued:?}");
}

/// A token of a fresh key for `grant`, its header and its claims, its signature checked with the JWK.
fn signed(grant: &Grant) -> (RelayToken, Value, Value) {
    let fresh = FreshKey::generate("rky_1").unwrap();
    let jwk: Jwk = Jwk::from_bytes(fresh.public_jwk.as_bytes()).unwrap();
    let key = RelayKey::from_pem("rky_1", &fresh.private_key).unwrap();
    let clock = FixedClock::new(now() + TimeDelta::milliseconds(700));
    let token = key.token(grant, RELAY_ISSUER, &clock, &OsEntropy).unwrap();
    let verifier = RS256.verifier_from_jwk(&jwk).unwrap();
    let (claims, header) = jwt::decode_with_verifier(token.jwt.expose(), &verifier).unwrap();
    let other = FreshKey::generate("rky_1").unwrap();
    let other = Jwk::from_bytes(other.public_jwk.as_bytes()).unwrap();
    let other = RS256.verifier_from_jwk(&other).unwrap();
    assert!(jwt::decode_with_verifier(token.jwt.expose(), &other).is_err());
    let claims = Value::Object(claims.claims_set().clone());
    (token, Value::Object(header.claims_set().clone()), claims)
}

#[test]
fn a_token_says_what_aws_wants_and_nothing_else() {
    let tagged = relay_grant(3600).for_method(Method::Relay, |grant| {
        let tags = vec![tag("rolegate:user", "alice"), tag("Team", "red")];
        grant.narrow(None, tags, None);
    });
    let (token, header, mut claims) = signed(&tagged);
    assert_eq!(
        header,
        json!({ "alg": "RS256", "typ": "JWT", "kid": "rky_1" })
    );
    let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 32);
    let expected = json!({
        "iss": RELAY_ISSUER,
        "aud": "sts.amazonaws.com",
        "sub": SUB,
        "iat": 1_800_000_000,
        "exp": 1_800_000_300,
        "https://aws.amazon.com/roles": [ROLE],
        "https://aws.amazon.com/source_identity": "alice",
        "https://aws.amazon.com/tags": { "principal_tags": { "rolegate:user": ["alice"], "Team": ["red"] } },
    });
    assert_eq!(claims, expected);
    assert_eq!(
        (token.sub.as_str(), token.issuer.as_str()),
        (SUB, RELAY_ISSUER)
    );
    assert_eq!(token.expires_at, now() + TimeDelta::seconds(300));
    assert!(!format!("{token:?}").contains(token.jwt.expose()));
    let (_, _, bare) = signed(&relay_grant(3600));
    assert!(bare.get("https://aws.amazon.com/tags").is_none());
}

#[test]
fn the_published_half_is_what_aws_takes() {
    let fresh = FreshKey::generate("rky_1").unwrap();
    let jwk: Value = serde_json::from_str(&fresh.public_jwk).unwrap();
    let mut names: Vec<&String> = jwk.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!(
        (&jwk["alg"], &jwk["use"], &jwk["kid"], &jwk["kty"]),
        (
            &json!("RS256"),
            &json!("sig"),
            &json!("rky_1"),
            &json!("RSA")
        )
    );
    assert!(
        fresh
            .private_key
            .expose()
            .starts_with("-----BEGIN PRIVATE KEY-----")
    );
}

#[test]
fn a_subject_that_aws_would_not_take_says_what_is_too_long() {
    let named = |length: usize| {
        let path = "p".repeat(length);
        let role = format!("arn:aws:iam::123456789012:role/{path}/etl");
        let name = "alice".parse().unwrap();
        Grant::for_test(role.parse().unwrap(), None, SessionDuration::DEFAULT, name)
    };
    let fresh = FreshKey::generate("rky_1").unwrap();
    let key = RelayKey::from_pem("rky_1", &fresh.private_key).unwrap();
    let clock = FixedClock::new(now());
    let make = |length| key.token(&named(length), RELAY_ISSUER, &clock, &OsEntropy);
    let frame = "role:123456789012//etl:idp:idp:user:alice".len();
    assert_eq!(make(255 - frame).unwrap().sub.len(), 255);
    let error = make(256 - frame).unwrap_err();
    let expected = TokenError::SubjectTooLong {
        length: 256,
        role: 256 - frame + 4,
        idp: 3,
        user: 5,
    };
    assert_eq!(error, expected);
    assert!(error.to_string().contains("256 characters"), "{error}");
}
