//! STS on a loopback port that gives canned answers, one a connection.

mod broker;
mod console;
mod relayed;
mod server;
mod web_identity;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials as SdkCredentials;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::model::{FixedClock, RoleArn, Secret, rfc3339};
use server::*;

const ROLE: &str = "arn:aws:iam::123456789012:role/jobs/etl,a";
const PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/corp";
const SESSION_ARN: &str = "arn:aws:sts::123456789012:assumed-role/etl,a/alice@example.org";
const ACS: &str = "https://gate.example.org/saml/acs";
const ISSUER: &str = "https://idp.example.org/metadata";
const ENCODED: &str = "PHNhbWxwOlJlc3BvbnNlPg+/ab==";
const SECRET_KEY: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYzEXAMPLEKEY";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn grant(seconds: u32) -> Grant {
    Grant::for_test(
        ROLE.parse().unwrap(),
        Some(PROVIDER.parse().unwrap()),
        SessionDuration::from_seconds(seconds).unwrap(),
        "alice@example.org".parse().unwrap(),
    )
}

fn proof(age: i64) -> SamlProof {
    SamlProof {
        encoded: Secret::new(ENCODED.to_owned()),
        issued_at: now() - TimeDelta::seconds(age),
        issuer: ISSUER.to_owned(),
        recipient: ACS.to_owned(),
        name_id: "alice".to_owned(),
    }
}

fn sts(url: &str) -> Sts {
    let settings = StsSettings {
        endpoint: Some(url.to_owned()),
        attempt_timeout: Duration::from_secs(2),
        total_timeout: Duration::from_secs(5),
        ..StsSettings::default()
    };
    Sts::new(settings, Arc::new(FixedClock::new(now())))
}

/// What comes of `replies` when an hour is asked for, and after how many calls.
async fn outcome(replies: Vec<Reply>) -> (Result<Issued, IssueError>, usize) {
    let server = Server::start(replies).await;
    let result = sts(&server.url)
        .issue_with_saml(&grant(3600), &proof(10))
        .await;
    (result, server.requests().len())
}

/// The error of `replies`, and after how many calls.
async fn failure(replies: Vec<Reply>) -> (IssueError, usize) {
    let (result, calls) = outcome(replies).await;
    (result.unwrap_err(), calls)
}

#[tokio::test]
async fn a_grant_becomes_credentials_by_one_unsigned_call() {
    let server = Server::start(vec![GOOD.reply()]).await;
    let sts = sts(&server.url);
    let issued = sts.issue_with_saml(&grant(3600), &proof(10)).await.unwrap();
    assert_eq!(issued.assumed_role_arn, SESSION_ARN);
    assert_eq!(issued.request_id.as_deref(), Some("req-1"));
    assert_eq!(issued.duration, SessionDuration::DEFAULT);
    assert_eq!(issued.credentials.access_key_id, "ASIAEXAMPLE");
    assert_eq!(issued.credentials.secret_access_key.expose(), SECRET_KEY);
    assert_eq!(issued.credentials.session_token.expose(), "the-token");
    assert_eq!(
        issued.credentials.expires_at,
        now() + TimeDelta::seconds(3600)
    );

    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].starts_with("POST / HTTP/1.1\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        !requests[0]
            .to_ascii_lowercase()
            .contains("\nauthorization:")
    );
    let mut form = server.form(0);
    form.sort();
    let expected = [
        ("Action", "AssumeRoleWithSAML"),
        ("DurationSeconds", "3600"),
        ("PrincipalArn", PROVIDER),
        ("RoleArn", ROLE),
        ("SAMLAssertion", ENCODED),
        ("Version", "2011-06-15"),
    ];
    assert_eq!(
        form,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn no_debug_output_shows_a_secret() {
    let (result, _) = outcome(vec![GOOD.reply()]).await;
    let text = format!("{:?} {:?}", result.unwrap(), sts("http://127.0.0.1:1"));
    assert!(text.contains("ASIAEXAMPLE"), "{text}");
    assert!(
        !text.contains(SECRET_KEY) && !text.contains("the-token"),
        "{text}"
    );
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_most_talkative_log_shows_nothing_of_the_sdk() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (result, _) = outcome(vec![GOOD.reply()]).await;
    assert!(result.is_ok(), "{result:?}");
    tracing::trace!("issued");
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("issued"), "{text}");
    for inside in ["AssumeRoleWithSAML", "PHNhbWxw", SECRET_KEY] {
        assert!(!text.contains(inside), "{text}");
    }
}

#[tokio::test]
async fn an_assertion_is_sent_for_four_and_a_half_minutes() {
    for (age, calls) in [(270, 1), (271, 0)] {
        let server = Server::start(vec![GOOD.reply()]).await;
        let result = sts(&server.url)
            .issue_with_saml(&grant(3600), &proof(age))
            .await;
        assert_eq!(server.requests().len(), calls, "{age}");
        let passed = matches!(result, Err(IssueError::WindowPassed));
        assert_eq!(passed, calls == 0, "{age}: {result:?}");
    }
}

#[tokio::test]
async fn a_grant_without_provider_or_region_is_not_sent() {
    let server = Server::start(vec![]).await;
    let bare = |role: &str| {
        let name = "alice".parse().unwrap();
        let provider = role.contains("iso").then(|| {
            "arn:aws-iso:iam::123456789012:saml-provider/corp"
                .parse()
                .unwrap()
        });
        Grant::for_test(
            role.parse::<RoleArn>().unwrap(),
            provider,
            SessionDuration::DEFAULT,
            name,
        )
    };
    let sts = sts(&server.url);
    let error = sts
        .issue_with_saml(&bare(ROLE), &proof(10))
        .await
        .unwrap_err();
    assert_eq!(error, IssueError::NoProvider);
    let iso = bare("arn:aws-iso:iam::123456789012:role/etl");
    let error = sts.issue_with_saml(&iso, &proof(10)).await.unwrap_err();
    assert_eq!(
        error,
        IssueError::NoRegion {
            partition: Partition::AwsIso
        }
    );
    assert!(error.to_string().contains("aws-iso"), "{error}");
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_transient_failure_is_tried_once_more() {
    let lone_503 = Reply::Answer(503, "<html>busy</html>".to_owned());
    for first in [
        lone_503,
        refusal(500, "InternalFailure", "x"),
        refusal(502, "BadGateway", "x"),
        refusal(504, "GatewayTimeout", "x"),
        refusal(400, "Throttling", "Rate exceeded"),
        refusal(429, "Odd", "x"),
        Reply::Drop,
        Reply::Cut,
    ] {
        let (result, calls) = outcome(vec![first, GOOD.reply()]).await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(calls, 2);
    }
}

#[tokio::test]
async fn a_transient_failure_is_tried_no_third_time() {
    let throttled = refusal(400, "Throttling", "Rate exceeded");
    for (reply, code) in [
        (throttled, "sts-throttled"),
        (refusal(503, "ServiceUnavailable", "x"), "sts-unavailable"),
        (Reply::Drop, "sts-unreachable"),
    ] {
        let (error, calls) = failure(vec![reply.clone(), reply, GOOD.reply()]).await;
        assert_eq!((error.code(), calls), (code, 2), "{error}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_silent_sts_is_given_up_without_a_second_attempt() {
    let server = Server::start(vec![Reply::Hang, GOOD.reply()]).await;
    let hasty = |attempt, total| StsSettings {
        endpoint: Some(server.url.clone()),
        attempt_timeout: Duration::from_millis(attempt),
        total_timeout: Duration::from_millis(total),
        ..StsSettings::default()
    };
    let clock = Arc::new(FixedClock::new(now()));
    // Of the time that it has it needs some to connect.
    let attempt = Sts::new(hasty(2000, 20_000), clock.clone());
    let silent = Server::start(vec![Reply::Hang]).await;
    let settings = StsSettings {
        endpoint: Some(silent.url.clone()),
        ..hasty(20_000, 2000)
    };
    let total = Sts::new(settings, clock);
    for (sts, server) in [(attempt, server), (total, silent)] {
        let issued = sts.issue_with_saml(&grant(3600), &proof(10)).await;
        let error = issued.unwrap_err();
        assert_eq!((error, server.requests().len()), (IssueError::TimedOut, 1));
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = sts(&url)
        .issue_with_saml(&grant(3600), &proof(10))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "sts-unreachable");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_no_url_quotes_no_request() {
    let sts = sts("nonsense");
    let error = sts
        .issue_with_saml(&grant(3600), &proof(10))
        .await
        .unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("endpoint `nonsense`"), "{text}");
    assert!(
        !text.contains("SAMLAssertion") && !text.contains("Action="),
        "{text}"
    );

    let http = transport::http_client(&[Some("http://127.0.0.1:1")]);
    let keys = SdkCredentials::new(
        "ASIAEXAMPLE",
        SECRET_KEY,
        Some("the-token".into()),
        None,
        "test",
    );
    let error = identity::ask(http, "us-east-1".to_owned(), Some("nonsense"), keys)
        .await
        .unwrap_err();
    assert!(error.contains("nonsense"), "{error}");
    assert!(
        !error.contains("the-token") && !error.contains("Action="),
        "{error}"
    );
}

#[tokio::test]
async fn refusals_are_named_kept_and_not_repeated() {
    for (status, code, expected) in [
        (400, "ExpiredTokenException", "sts-expired"),
        (400, "InvalidIdentityToken", "sts-invalid-token"),
        (403, "IDPRejectedClaim", "sts-rejected"),
        (403, "AccessDenied", "sts-access-denied"),
        (400, "ValidationError", "sts-other"),
        (400, "SomethingNew", "sts-other"),
    ] {
        let (error, calls) = failure(vec![
            refusal(status, code, "Not authorized here"),
            GOOD.reply(),
        ])
        .await;
        assert_eq!((error.code(), calls), (expected, 1), "{error}");
        assert!(error.to_string().contains("Not authorized here"), "{error}");
        assert_eq!(error.request_id(), Some("req-1"));
        assert!(!error.is_transient());
    }
    let (error, calls) = failure(vec![refusal(403, "RegionDisabledException", "x")]).await;
    assert_eq!((error.code(), calls), ("sts-region-disabled", 1));
    assert!(error.to_string().contains("us-east-1"), "{error}");
}

#[tokio::test]
async fn access_denied_names_the_mend() {
    let message = "Not authorized to perform sts:AssumeRoleWithSAML";
    let (error, _) = failure(vec![refusal(403, "AccessDenied", message)]).await;
    let text = error.to_string();
    assert!(
        text.contains("SAML:aud") && text.contains("rolegate trust-policy ARN"),
        "{text}"
    );
}

#[tokio::test]
async fn an_aws_message_is_cut_and_stripped() {
    let message = format!("a\u{9b}b\nc{}", "x".repeat(1000));
    let (error, _) = failure(vec![refusal(400, "SomethingNew", &message)]).await;
    let IssueError::Other { message, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(message.chars().count(), 300);
    assert!(message.starts_with("a b cx"), "{message}");
}

#[tokio::test]
async fn too_long_a_duration_falls_back_to_an_hour_once() {
    let server = Server::start(vec![too_long(), GOOD.reply()]).await;
    let issued = sts(&server.url)
        .issue_with_saml(&grant(43_200), &proof(10))
        .await
        .unwrap();
    assert_eq!(issued.duration, SessionDuration::DEFAULT);
    let asked = |index| {
        let form = server.form(index);
        form.into_iter()
            .find(|(name, _)| name == "DurationSeconds")
            .unwrap()
            .1
    };
    assert_eq!(
        (asked(0), asked(1)),
        ("43200".to_owned(), "3600".to_owned())
    );
    assert_eq!(server.requests().len(), 2);

    let server = Server::start(vec![too_long(), too_long(), GOOD.reply()]).await;
    let error = sts(&server.url)
        .issue_with_saml(&grant(7200), &proof(10))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), server.requests().len()),
        ("sts-duration-too-long", 2)
    );

    let (error, calls) = failure(vec![too_long(), GOOD.reply()]).await;
    assert_eq!((error.code(), calls), ("sts-duration-too-long", 1));
}

#[tokio::test]
async fn an_answer_for_something_else_is_dropped() {
    let other_role = "arn:aws:sts::123456789012:assumed-role/admin/alice@example.org";
    let other_name = "arn:aws:sts::123456789012:assumed-role/etl,a/bob@example.org";
    for (answer, what) in [
        (
            Good {
                role: other_role,
                ..GOOD
            },
            "the role",
        ),
        (
            Good {
                role: other_name,
                ..GOOD
            },
            "the role",
        ),
        (
            Good {
                audience: "https://signin.aws.amazon.com/saml",
                ..GOOD
            },
            "Audience",
        ),
        (
            Good {
                issuer: "http://localhost:3000/",
                ..GOOD
            },
            "Issuer",
        ),
        (
            Good {
                subject: "bob",
                ..GOOD
            },
            "Subject",
        ),
        (Good { lasts: 0, ..GOOD }, "Expiration"),
        (
            Good {
                lasts: 3901,
                ..GOOD
            },
            "Expiration",
        ),
    ] {
        let (error, calls) = failure(vec![answer.reply(), GOOD.reply()]).await;
        assert_eq!((error.code(), calls), ("sts-mismatch", 1), "{what}");
        assert!(error.to_string().contains(what), "{error}");
        assert!(!format!("{error:?}").contains(SECRET_KEY));
    }
    for lasts in [1, 3900] {
        let (result, _) = outcome(vec![Good { lasts, ..GOOD }.reply()]).await;
        assert!(result.is_ok(), "{lasts}: {result:?}");
    }
}

#[tokio::test]
async fn an_answer_without_its_parts_is_no_answer() {
    let whole = GOOD.xml();
    let without = |part: &str| {
        let (before, rest) = whole.split_once(&format!("<{part}>")).unwrap();
        let (_, after) = rest.split_once(&format!("</{part}>")).unwrap();
        format!("{before}{after}")
    };
    for body in [
        "garbage".to_owned(),
        String::new(),
        "<html><body>Sign in to the proxy</body></html>".to_owned(),
        without("Credentials"),
        without("AccessKeyId"),
        without("SecretAccessKey"),
        without("SessionToken"),
        without("Expiration"),
        without("AssumedRoleUser"),
        without("Arn"),
        without("Audience"),
        without("Issuer"),
        without("Subject"),
        whole.replace("the-token", ""),
    ] {
        let (error, calls) = failure(vec![Reply::Answer(200, body.clone()), GOOD.reply()]).await;
        assert_eq!(
            (error.code(), calls),
            ("sts-bad-answer", 1),
            "{body}: {error}"
        );
        assert!(
            !format!("{error:?} {error}").contains(SECRET_KEY),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn what_answers_in_place_of_sts_is_told_from_its_status() {
    for (status, code, text) in [
        (200, "sts-bad-answer", "error parsing XML"),
        (302, "sts-other", "HTTP 302"),
        (403, "sts-other", "HTTP 403"),
        (407, "sts-other", "HTTP 407"),
    ] {
        let (error, calls) = failure(vec![Reply::Answer(status, "no XML".to_owned())]).await;
        assert_eq!((error.code(), calls), (code, 1), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    let (error, calls) = failure(vec![Reply::Cut, Reply::Cut]).await;
    assert_eq!((error.code(), calls), ("sts-unreachable", 2), "{error}");
}

#[tokio::test]
async fn the_role_s_partition_chooses_the_region() {
    let sts = sts("http://127.0.0.1:1");
    for (partition, expected) in [
        (Partition::Aws, "us-east-1"),
        (Partition::AwsUsGov, "us-gov-west-1"),
        (Partition::AwsCn, "cn-north-1"),
    ] {
        let client = picked(&sts.unsigned().quick, partition).unwrap();
        let region = sts.region(partition).unwrap();
        assert_eq!(region, expected);
        assert_eq!(client.config().region().unwrap().as_ref(), expected);
    }
}

#[tokio::test]
async fn the_caller_is_asked_for_with_a_signature() {
    let body = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/etl/alice</Arn><UserId>AROAEXAMPLE:alice</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"#;
    let server = Server::start(vec![
        Reply::Answer(200, body.to_owned()),
        refusal(403, "InvalidClientTokenId", "The security token is invalid"),
    ])
    .await;
    let ask = async || {
        let http = transport::http_client(&[Some(&server.url)]);
        let keys = SdkCredentials::new(
            "ASIAEXAMPLE",
            SECRET_KEY,
            Some("the-token".into()),
            None,
            "test",
        );
        identity::ask(http, "us-east-1".to_owned(), Some(&server.url), keys).await
    };
    let caller = ask().await.unwrap();
    assert_eq!(caller.account, "123456789012");
    assert_eq!(
        caller.arn,
        "arn:aws:sts::123456789012:assumed-role/etl/alice"
    );
    assert_eq!(caller.user_id, "AROAEXAMPLE:alice");
    let request = server.requests()[0].to_ascii_lowercase();
    assert!(
        request.contains("\nauthorization: aws4-hmac-sha256"),
        "{request}"
    );

    let error = ask().await.unwrap_err();
    assert!(error.contains("The security token is invalid"), "{error}");
    assert!(!error.contains(SECRET_KEY));
}
