//! `AssumeRole` with rolegate's own identity.

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use serde_json::json;

use super::*;
use crate::model::{Method, SessionPolicy};
use crate::policy::SessionTag;

const USER_ARN: &str = "arn:aws:iam::111111111111:user/gate";

fn own_keys() -> SharedCredentialsProvider {
    let keys = SdkCredentials::new("AKIAOWN", "own-secret", None, None, "test");
    SharedCredentialsProvider::new(keys)
}

/// No keys to be had, for a reason.
#[derive(Debug)]
struct Without(fn() -> CredentialsError);

impl ProvideCredentials for Without {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err((self.0)()))
    }
}

fn broker_grant(seconds: u32) -> Grant {
    grant(seconds).for_method(Method::Broker, |_| {})
}

/// What `GetCallerIdentity` answers.
fn caller(arn: &str) -> Reply {
    let account = arn.split(':').nth(4).unwrap();
    let body = format!(
        r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>AIDAEXAMPLE</UserId><Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"#
    );
    Reply::Answer(200, body)
}

fn xml(role: &str, source: &str) -> String {
    let expiration = rfc3339(now() + TimeDelta::seconds(3600));
    format!(
        r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><SourceIdentity>{source}</SourceIdentity>
<AssumedRoleUser><Arn>{role}</Arn><AssumedRoleId>AROAEXAMPLE:alice</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey><SessionToken>the-token</SessionToken><Expiration>{expiration}</Expiration></Credentials>
</AssumeRoleResult><ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></AssumeRoleResponse>"#
    )
}

fn good() -> Reply {
    Reply::Answer(200, xml(SESSION_ARN, "alice"))
}

fn broker(url: &str, keys: SharedCredentialsProvider) -> Sts {
    sts(url).signing_with(keys)
}

async fn outcome(grant: &Grant, replies: Vec<Reply>) -> (Result<Issued, IssueError>, Server) {
    let server = Server::start(replies).await;
    let sts = broker(&server.url, own_keys());
    (sts.issue_as_broker(grant).await, server)
}

async fn failure(reply: Reply) -> IssueError {
    let (result, _) = outcome(&broker_grant(3600), vec![caller(USER_ARN), reply, good()]).await;
    result.unwrap_err()
}

#[tokio::test]
async fn a_grant_becomes_credentials_by_a_signed_call_that_says_for_whom() {
    let policy = json!({ "Statement": { "Effect": "Deny", "Action": "*", "Resource": "*" } });
    let policy = SessionPolicy::new(&policy).unwrap();
    let tag = |key: &str, value: &str| SessionTag {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let narrowed = broker_grant(3600).for_method(Method::Broker, |grant| {
        let tags = vec![tag("rolegate:user", "alice"), tag("team", "red")];
        grant.narrow(Some(policy.clone()), tags, Some("tenant-1".to_owned()));
    });
    let (result, server) = outcome(&narrowed, vec![caller(USER_ARN), good()]).await;
    assert_eq!(result.unwrap().assumed_role_arn, SESSION_ARN);
    let request = server.requests()[1].to_ascii_lowercase();
    let signed = "\nauthorization: aws4-hmac-sha256 credential=akiaown/";
    assert!(request.contains(signed), "{request}");
    let mut form = server.form(1);
    form.sort();
    let expected = [
        ("Action", "AssumeRole"),
        ("DurationSeconds", "3600"),
        ("ExternalId", "tenant-1"),
        ("Policy", policy.as_str()),
        ("RoleArn", ROLE),
        ("RoleSessionName", "alice@example.org"),
        ("SourceIdentity", "alice"),
        ("Tags.member.1.Key", "rolegate:user"),
        ("Tags.member.1.Value", "alice"),
        ("Tags.member.2.Key", "team"),
        ("Tags.member.2.Value", "red"),
        ("Version", "2011-06-15"),
    ];
    assert_eq!(
        form,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn who_rolegate_is_is_asked_once_and_its_own_role_is_handed_to_nobody() {
    let server = Server::start(vec![caller(USER_ARN), good(), good()]).await;
    let sts = broker(&server.url, own_keys());
    for _ in 0..2 {
        let issued = sts.issue_as_broker(&broker_grant(3600)).await;
        assert!(issued.is_ok(), "{issued:?}");
    }
    assert_eq!(server.requests().len(), 3);

    let own = "arn:aws:sts::123456789012:assumed-role/ETL,a/i-0123456789";
    let (result, server) = outcome(&broker_grant(3600), vec![caller(own), good()]).await;
    let error = result.unwrap_err();
    assert_eq!((error.code(), server.requests().len()), ("sts-own-role", 1));
    assert!(error.to_string().contains("runs as"), "{error}");
    for other in [
        "arn:aws:sts::123456789012:assumed-role/gate/etl,a",
        "arn:aws:sts::999999999999:assumed-role/etl,a/gate",
        "arn:aws:iam::123456789012:user/etl,a",
    ] {
        let (result, _) = outcome(&broker_grant(3600), vec![caller(other), good()]).await;
        assert!(result.is_ok(), "{other}: {result:?}");
    }
}

#[tokio::test]
async fn a_role_of_its_own_asks_for_an_hour_at_most() {
    let asked = |server: &Server, index: usize| {
        let form = server.form(index);
        let found = form.into_iter().find(|(name, _)| name == "DurationSeconds");
        found.unwrap().1
    };
    let role = "arn:aws:sts::123456789012:assumed-role/gate/i-0123456789";
    let (result, server) = outcome(&broker_grant(43_200), vec![caller(role), good()]).await;
    assert_eq!(result.unwrap().duration, SessionDuration::DEFAULT);
    assert_eq!(asked(&server, 1), "3600");

    let chained = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
    let refused = refusal(400, "ValidationError", chained);
    let replies = vec![caller(USER_ARN), refused, good()];
    let (result, server) = outcome(&broker_grant(7200), replies).await;
    assert_eq!(result.unwrap().duration, SessionDuration::DEFAULT);
    assert_eq!(
        (asked(&server, 1), asked(&server, 2)),
        ("7200".into(), "3600".into())
    );
}

#[tokio::test]
async fn an_answer_for_something_else_is_dropped() {
    let other = "arn:aws:sts::123456789012:assumed-role/admin/alice@example.org";
    for (role, source, what) in [
        (other, "alice", "the role"),
        (SESSION_ARN, "bob", "SourceIdentity"),
    ] {
        let error = failure(Reply::Answer(200, xml(role, source))).await;
        assert_eq!(error.code(), "sts-mismatch", "{what}");
        assert!(error.to_string().contains(what), "{error}");
    }
    let error = failure(Reply::Answer(200, xml(SESSION_ARN, ""))).await;
    assert_eq!(error.code(), "sts-bad-answer", "{error}");
}

#[tokio::test]
async fn refusals_name_the_mend_and_none_speaks_of_saml() {
    for (status, code, expected, mend) in [
        (403, "AccessDenied", "sts-access-denied", "--method broker"),
        (
            403,
            "ExpiredToken",
            "sts-identity-refused",
            "own credentials",
        ),
        (
            403,
            "InvalidClientTokenId",
            "sts-identity-refused",
            "own credentials",
        ),
        (
            403,
            "SignatureDoesNotMatch",
            "sts-identity-refused",
            "clock",
        ),
        (
            400,
            "PackedPolicyTooLarge",
            "sts-too-packed",
            "session tags",
        ),
        (400, "SomethingNew", "sts-other", "SomethingNew"),
    ] {
        let error = failure(refusal(status, code, "the message")).await;
        assert_eq!(error.code(), expected, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(mend) && text.contains("the message"),
            "{text}"
        );
        assert!(
            !text.contains("SAML") && !text.contains("assertion"),
            "{text}"
        );
        assert!(!error.is_transient());
    }
    let unknown = refusal(403, "InvalidClientTokenId", "x");
    let (result, _) = outcome(&broker_grant(3600), vec![unknown, good()]).await;
    assert_eq!(result.unwrap_err().code(), "sts-identity-refused");
}

#[tokio::test]
async fn without_keys_of_its_own_rolegate_says_what_is_missing() {
    fn nothing() -> CredentialsError {
        CredentialsError::not_loaded("no providers in chain provided credentials")
    }
    fn broken() -> CredentialsError {
        CredentialsError::provider_error("the instance does not answer")
    }
    for (without, code, transient, text) in [
        (Without(nothing), "sts-no-identity", false, "default chain"),
        (
            Without(broken),
            "sts-identity-away",
            true,
            "does not answer",
        ),
    ] {
        let server = Server::start(vec![caller(USER_ARN), good()]).await;
        let sts = broker(&server.url, SharedCredentialsProvider::new(without));
        let error = sts.issue_as_broker(&broker_grant(3600)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.is_transient()),
            (code, transient),
            "{error}"
        );
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(server.requests().len(), 0);
    }
}
