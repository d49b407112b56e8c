//! The sandbox STS as a client sees it; `refusals` goes through its checks one by one.

mod refusals;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use openssl::sha::sha1;

use super::*;
use crate::demo::idp::{DemoIdp, ResponsePlan, Sign};
use crate::demo::sigv4::{Authorization, Signed};
use crate::demo::stage::{
    ACS, AUDIENCE, Answer, ENTITY, OTHER_PROVIDER, PROVIDER, ROLE, SHORT, Stage, another_key,
    idp_settings,
};
use crate::model::rfc3339;

#[tokio::test]
async fn a_good_response_is_answered_as_aws_answers() {
    let stage = Stage::start().await;
    let answer = stage.assume(&stage.plan()).await;
    assert_eq!((answer.status, answer.code()), (200, "OK"));
    assert!(answer.body.is(
        "https://sts.amazonaws.com/doc/2011-06-15/",
        "AssumeRoleWithSAMLResponse"
    ));
    assert_eq!(
        answer.text("Arn"),
        "arn:aws:sts::123456789012:assumed-role/reader/alice@example.org",
        "the path is dropped"
    );
    let id = answer
        .text("AssumedRoleId")
        .strip_suffix(":alice@example.org");
    assert!(id.unwrap().starts_with("AROA") && id.unwrap().len() == 21);
    assert_eq!(answer.text("Subject"), "alice");
    assert_eq!(answer.text("SubjectType"), "persistent");
    assert_eq!(answer.text("Issuer"), ENTITY);
    assert_eq!(answer.text("Audience"), ACS);
    assert_eq!(answer.text("PackedPolicySize"), "0");
    let qualifier = sha1(format!("{ENTITY}123456789012/Demo").as_bytes());
    assert_eq!(answer.text("NameQualifier"), STANDARD.encode(qualifier));
    let key = answer.text("AccessKeyId").strip_prefix("ASIA").unwrap();
    let base32 = |c: char| c.is_ascii_uppercase() || ('2'..='7').contains(&c);
    assert!(key.len() == 16 && key.chars().all(base32), "{key}");
    assert_eq!(answer.text("Expiration"), "2026-03-01T13:00:00Z");
    assert_eq!(answer.text("RequestId"), answer.request_id);
    let calls = stage.sts.calls();
    assert_eq!((calls.len(), stage.sts.calls_for(ROLE)), (1, 1));
    assert_eq!(calls[0].outcome, "OK");
    assert_eq!(calls[0].refused_by, None);
    assert_eq!(calls[0].request_id, answer.request_id);
}

const TOKEN: &str = "InvalidIdentityToken";
const EXPIRED: &str = "ExpiredTokenException";
const DENIED: &str = "AccessDenied";

#[tokio::test]
async fn what_is_unusual_and_allowed_is_taken() {
    const ALLOWED: &[fn(&mut ResponsePlan)] = &[
        |p| p.sign = Sign::Response,
        |p| p.sign = Sign::Both,
        |p| p.issue_instant -= TimeDelta::minutes(5),
        |p| p.issue_instant += TimeDelta::minutes(1),
        |p| p.audiences.insert(0, "https://gate.example.org".to_owned()),
        |p| p.further_audiences = vec![vec![AUDIENCE.to_owned()]],
        |p| p.set_aws_attribute("Role", &[&format!("{PROVIDER},{ROLE}")]),
        |p| p.set_aws_attribute("Role", &["nonsense", &format!(" {ROLE} , {PROVIDER} ")]),
        |p| p.session_not_on_or_after = None,
        |p| p.destination = None,
        |p| p.in_response_to = Some("_request".to_owned()),
        |p| p.set_aws_attribute("SourceIdentity", &["alice"]),
        |p| p.set_aws_attribute("PrincipalTag:Team", &["a"]),
        |p| p.set_aws_attribute("note", &["a<b>&\"'\t\r\nc", "é😀", ""]),
        |p| p.name_id = "a & <b>".to_owned(),
    ];
    let stage = Stage::start().await;
    for (number, change) in ALLOWED.iter().enumerate() {
        let mut plan = stage.plan();
        change(&mut plan);
        let answer = stage.assume(&plan).await;
        let call = stage.sts.calls().pop().unwrap();
        assert_eq!(answer.code(), "OK", "{number}: {call:?}");
        assert_eq!(answer.text("Subject"), plan.name_id);
    }
}

#[tokio::test]
async fn only_the_providers_key_signs_for_it() {
    let stage = Stage::start().await;
    let settings = idp_settings(another_key(), std::sync::Arc::clone(&stage.clock));
    let impostor = DemoIdp::start(settings).await.unwrap();
    let forged = impostor.sign(&impostor.plan("alice"));
    let answer = stage.assume_with(&forged, &[]).await;
    assert_eq!(answer.text("Message"), "Response signature invalid");

    let genuine = STANDARD.decode(stage.idp.sign(&stage.plan())).unwrap();
    let genuine = String::from_utf8(genuine).unwrap();
    let changed = genuine.replace("alice@example.org", "mallory@example.org");
    assert_ne!(changed, genuine);
    for (text, code) in [(&genuine, "OK"), (&changed, TOKEN)] {
        let answer = stage.assume_with(&STANDARD.encode(text), &[]).await;
        assert_eq!(answer.code(), code);
    }
}

#[tokio::test]
async fn an_assertion_can_be_redeemed_for_five_minutes() {
    let stage = Stage::start().await;
    let mut plan = stage.plan();
    plan.not_on_or_after += TimeDelta::hours(1);
    plan.confirmation_not_on_or_after = Some(plan.not_on_or_after);
    stage.clock.advance(TimeDelta::minutes(5));
    assert_eq!(stage.assume(&plan).await.code(), "OK");
    assert_eq!(stage.assume(&plan).await.code(), "OK", "more than once");
    stage.clock.advance(TimeDelta::seconds(1));
    assert_eq!(stage.assume(&plan).await.code(), EXPIRED);
}

#[tokio::test]
async fn parameters_have_the_service_models_limits() {
    let stage = Stage::start().await;
    let response = stage.idp.sign(&stage.plan());
    let long_arn = format!("arn:aws:iam::123456789012:role/{}", "x".repeat(2048));
    let long_response = "A".repeat(100_001);
    let policy = "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"s3:*\",\"Resource\":\"*\"}}";
    for (parameter, value, code) in [
        ("DurationSeconds", "900", "OK"),
        ("DurationSeconds", "43200", "OK"),
        ("Policy", policy, "OK"),
        ("DurationSeconds", "899", "ValidationError"),
        ("DurationSeconds", "43201", "ValidationError"),
        ("DurationSeconds", "an hour", "ValidationError"),
        ("RoleArn", "", "ValidationError"),
        ("RoleArn", "arn:aws:iam::1:role", "ValidationError"),
        (
            "RoleArn",
            "arn:aws:iam::123456789012:user/reader",
            "ValidationError",
        ),
        ("RoleArn", &long_arn, "ValidationError"),
        ("PrincipalArn", "", "ValidationError"),
        ("PrincipalArn", ROLE, "ValidationError"),
        ("SAMLAssertion", "", "ValidationError"),
        ("SAMLAssertion", "AAA", "ValidationError"),
        ("SAMLAssertion", &long_response, "ValidationError"),
        ("SAMLAssertion", "****", TOKEN),
        ("SAMLAssertion", "AAAA", TOKEN),
        ("Policy", "allow all", "MalformedPolicyDocument"),
        (
            "Policy",
            "{\"Version\":\"2012-10-17\"}",
            "MalformedPolicyDocument",
        ),
        ("Version", "2010-05-08", "InvalidAction"),
        ("Action", "AssumeRoot", "InvalidAction"),
    ] {
        let answer = stage.assume_with(&response, &[(parameter, value)]).await;
        assert_eq!(answer.code(), code, "{parameter}={value:.80}");
    }
}

#[tokio::test]
async fn roles_and_providers_must_go_together() {
    let stage = Stage::start().await;
    let elsewhere = "arn:aws:iam::210987654321:saml-provider/Demo";
    let unknown = "arn:aws:iam::123456789012:role/unknown";
    let mut plan = stage.plan();
    plan.set_aws_attribute(
        "Role",
        &[
            &format!("{ROLE},{PROVIDER}"),
            &format!("{unknown},{PROVIDER}"),
            &format!("{ROLE},{OTHER_PROVIDER}"),
        ],
    );
    let response = stage.idp.sign(&plan);
    for (role, provider, code) in [
        (ROLE, PROVIDER, "OK"),
        (unknown, PROVIDER, DENIED),
        (ROLE, OTHER_PROVIDER, DENIED),
        (ROLE, elsewhere, TOKEN),
    ] {
        let parameters = [("RoleArn", role), ("PrincipalArn", provider)];
        let answer = stage.assume_with(&response, &parameters).await;
        assert_eq!(answer.code(), code, "{role} {provider}");
    }
    let too_long = [("RoleArn", SHORT), ("DurationSeconds", "3601")];
    let response = stage.idp.sign(&stage.plan());
    let answer = stage.assume_with(&response, &too_long).await;
    assert_eq!(answer.code(), "ValidationError");
    assert_eq!(
        answer.text("Message"),
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    );
    let just_right = [("RoleArn", SHORT), ("DurationSeconds", "3600")];
    assert_eq!(stage.assume_with(&response, &just_right).await.code(), "OK");
}

#[tokio::test]
async fn credentials_live_as_long_as_the_shortest_says() {
    let stage = Stage::start().await;
    for (asked, said, session, lives) in [
        ("", None, 28_800, 3600),
        ("7200", None, 28_800, 7200),
        ("7200", Some("1800"), 28_800, 1800),
        ("", Some("7200"), 28_800, 3600),
        ("7200", None, 5400, 5400),
    ] {
        let mut plan = stage.plan();
        plan.session_not_on_or_after = Some(plan.issue_instant + TimeDelta::seconds(session));
        if let Some(said) = said {
            plan.set_aws_attribute("SessionDuration", &[said]);
        }
        let response = stage.idp.sign(&plan);
        let answer = stage
            .assume_with(&response, &[("DurationSeconds", asked)])
            .await;
        let end = plan.issue_instant + TimeDelta::seconds(lives);
        assert_eq!(answer.text("Expiration"), rfc3339(end), "{asked} {said:?}");
    }
}

#[tokio::test]
async fn it_misbehaves_as_told_and_recovers() {
    let stage = Stage::start().await;
    let response = stage.idp.sign(&stage.plan());
    for (fault, status, code) in [
        (Fault::Throttle, 400, "Throttling"),
        (Fault::ServiceUnavailable, 503, "ServiceUnavailable"),
        (Fault::Denied, 403, DENIED),
        (Fault::Slow(Duration::ZERO), 200, "OK"),
        (Fault::None, 200, "OK"),
    ] {
        stage.sts.set_fault(fault);
        let answer = stage.assume_with(&response, &[]).await;
        assert_eq!((answer.status, answer.code()), (status, code));
        assert_eq!(stage.sts.calls().pop().unwrap().outcome, code);
    }
    stage.sts.set_fault(Fault::WrongRole);
    let answer = stage.assume_with(&response, &[]).await;
    assert!(answer.text("Arn").contains("/another-role/"));
    stage.sts.set_fault(Fault::WrongAudience);
    let answer = stage.assume_with(&response, &[]).await;
    assert_ne!(answer.text("Audience"), ACS);
    stage.sts.set_fault(Fault::FirstThen {
        first: Box::new(Fault::Throttle),
        calls: 2,
        then: Box::new(Fault::None),
    });
    for code in ["Throttling", "Throttling", "OK", "OK"] {
        assert_eq!(stage.assume_with(&response, &[]).await.code(), code);
    }
}

#[tokio::test]
async fn it_can_answer_nonsense_or_nothing() {
    let stage = Stage::start().await;
    let client = reqwest::Client::new();
    let post = || {
        let form = [("Action", "AssumeRoleWithSAML"), ("RoleArn", ROLE)];
        client.post(stage.sts.url()).form(&form)
    };
    stage.sts.set_fault(Fault::Garbage);
    let nonsense = post().send().await.unwrap().text().await.unwrap();
    assert!(!nonsense.contains('<'));
    stage.sts.set_fault(Fault::DropConnection);
    assert!(post().send().await.is_err(), "no answer at all");
    stage.sts.set_fault(Fault::Hang);
    let hanging = tokio::spawn(post().send());
    while stage.sts.calls_for(ROLE) < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!hanging.is_finished(), "it is not answered");
    hanging.abort();
    let log = client.get(format!("{}/log", stage.sts.url())).send().await;
    let log: serde_json::Value = log.unwrap().json().await.unwrap();
    assert_eq!(log[2]["role_arn"], ROLE);
    stage.sts.stop().await;
}

/// `GetCallerIdentity`, signed as SDKs sign it.
async fn identity(stage: &Stage, key: &str, secret: &str, token: &str, service: &str) -> Answer {
    const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
    let now = stage.clock.now();
    let scope = format!("{}/us-east-1/{service}/aws4_request", now.format("%Y%m%d"));
    let headers: HashMap<String, String> = [
        ("host", stage.sts.url().trim_start_matches("http://")),
        ("x-amz-date", &now.format("%Y%m%dT%H%M%SZ").to_string()),
        ("x-amz-security-token", token),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let start = format!(
        "AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature="
    );
    let request = Signed {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        body: BODY.as_bytes(),
    };
    let made = request.signature(&Authorization::parse(&start).unwrap(), secret);
    let mut sent = reqwest::Client::new()
        .post(stage.sts.url())
        .header("authorization", format!("{start}{}", made.unwrap()));
    for (name, value) in &headers {
        sent = sent.header(name, value);
    }
    Answer::of(sent.body(BODY).send().await.unwrap()).await
}

#[tokio::test]
async fn it_knows_whom_it_issued_credentials_to() {
    let stage = Stage::start().await;
    let issued = stage.assume(&stage.plan()).await;
    let key = issued.text("AccessKeyId");
    let secret = issued.text("SecretAccessKey");
    let token = issued.text("SessionToken");
    let answer = identity(&stage, key, secret, token, "sts").await;
    assert_eq!(answer.code(), "OK");
    assert_eq!(answer.text("Arn"), issued.text("Arn"));
    assert_eq!(answer.text("UserId"), issued.text("AssumedRoleId"));
    assert_eq!(answer.text("Account"), "123456789012");
    let no_key = "ASIAAAAAAAAAAAAAAAAA";
    for (key, secret, token, service, code) in [
        (no_key, secret, token, "sts", "InvalidClientTokenId"),
        (key, secret, "another", "sts", "InvalidClientTokenId"),
        (key, "another", token, "sts", "SignatureDoesNotMatch"),
        (key, secret, token, "s3", "SignatureDoesNotMatch"),
    ] {
        let answer = identity(&stage, key, secret, token, service).await;
        assert_eq!((answer.status, answer.code()), (403, code));
    }
    stage.clock.advance(TimeDelta::seconds(3599));
    assert_eq!(
        identity(&stage, key, secret, token, "sts").await.code(),
        "OK"
    );
    stage.clock.advance(TimeDelta::seconds(1));
    let answer = identity(&stage, key, secret, token, "sts").await;
    assert_eq!((answer.status, answer.code()), (403, "ExpiredToken"));
    let unsigned = [("Action", "GetCallerIdentity")];
    let answer = stage.assume_with("", &unsigned).await;
    assert_eq!(answer.code(), "MissingAuthenticationToken");
}

#[tokio::test]
async fn a_provider_without_a_signing_certificate_does_not_start() {
    let stage = Stage::start().await;
    let good = stage.idp.metadata().to_owned();
    let start = |metadata: String| {
        SandboxSts::start(StsSettings {
            trusts: Vec::new(),
            providers: vec![SamlProvider {
                arn: PROVIDER.to_owned(),
                metadata_xml: metadata,
            }],
            clock: stage.clock.clone(),
            entropy: std::sync::Arc::new(crate::model::OsEntropy),
        })
    };
    assert!(start(good.clone()).await.is_ok());
    for bad in [
        good.replace("use=\"signing\"", "use=\"encryption\""),
        good.replace(" entityID=", " entityId="),
        good.replace("md:EntityDescriptor", "md:EntitiesDescriptor"),
        String::new(),
    ] {
        assert!(start(bad).await.is_err());
    }
}
