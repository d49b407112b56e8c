//! `AssumeRole` by users and in chains: every refusal beside what is taken.

use chrono::TimeDelta;

use super::{Account, DemoPrincipal, Role, Tag};
use crate::demo::stage::{Answer, Keys, Stage};

pub(super) const BROKER: &str = "arn:aws:iam::123456789012:user/broker";
pub(super) const NEXT: &str = "arn:aws:iam::123456789012:role/path/next";
const FIRST: &str = "arn:aws:iam::123456789012:role/first";
const PLAIN: &str = "arn:aws:iam::123456789012:role/plain";

fn role(arn: &str, principal: &str, actions: &str, condition: &str) -> Role {
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},
           "Action":{actions},"Condition":{condition}}}]}}"#
    );
    Role::new(arn, &policy).unwrap()
}

/// A user, a role for it, one that is reached from there, and one that lets in only plain requests.
pub(super) fn account() -> Account {
    let all = r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#;
    let tenant = r#"{"StringEquals":{"sts:ExternalId":"tenant-1"}}"#;
    Account {
        roles: vec![
            role(FIRST, BROKER, all, tenant),
            role(NEXT, FIRST, all, "{}"),
            Role {
                max_session_duration: 7200,
                ..role(PLAIN, "123456789012", r#""sts:AssumeRole""#, "{}")
            },
        ],
        principals: vec![DemoPrincipal {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
            arn: BROKER.to_owned(),
        }],
        ..Account::default()
    }
}

pub(super) fn broker() -> Keys {
    Keys {
        key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret: "secret".to_owned(),
        token: None,
    }
}

/// Asks for `role`; what `other` has replaces the usual, an empty value leaves it out.
async fn assume(stage: &Stage, by: &Keys, role: &str, other: &[(&str, &str)]) -> Answer {
    let usual = [
        ("RoleArn", role),
        ("RoleSessionName", "alice"),
        ("ExternalId", "tenant-1"),
    ];
    let replaced = |name: &str| other.iter().any(|(known, _)| *known == name);
    let usual = usual.into_iter().filter(|(name, _)| !replaced(name));
    let given = other.iter().copied().filter(|(_, value)| !value.is_empty());
    let form: Vec<_> = usual.chain(given).collect();
    stage.signed(by, "AssumeRole", &form).await
}

#[tokio::test]
async fn a_user_assumes_a_role_and_it_is_remembered_what_with() {
    let stage = Stage::with(account()).await;
    let who = stage.signed(&broker(), "GetCallerIdentity", &[]).await;
    assert_eq!((who.code(), who.text("Arn")), ("OK", BROKER));
    let policy = r#"{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
    let given = [
        ("SourceIdentity", "alice"),
        ("Tags.member.1.Key", "project"),
        ("Tags.member.1.Value", "genome é"),
        ("TransitiveTagKeys.member.1", "Project"),
        ("Policy", policy),
        ("DurationSeconds", "43200"),
    ];
    let answer = assume(&stage, &broker(), FIRST, &given).await;
    assert_eq!(answer.code(), "OK", "{:?}", stage.sts.calls());
    assert_eq!(
        answer.text("Arn"),
        "arn:aws:sts::123456789012:assumed-role/first/alice"
    );
    assert_eq!(answer.text("Expiration"), "2026-03-02T00:00:00Z");
    assert_ne!(answer.text("PackedPolicySize"), "0");
    let shown = stage
        .signed(&Keys::of(&answer), "DescribeSandboxSession", &[])
        .await;
    assert_eq!(shown.text("SourceIdentity"), "alice");
    assert_eq!(shown.text("Policy"), policy);
    assert_eq!(
        (shown.text("Key"), shown.text("Value")),
        ("project", "genome é")
    );
    assert_eq!(shown.text("Expiration"), "2026-03-02T00:00:00Z");
    let issued = stage.sts.issued_for(FIRST);
    let tag = Tag {
        key: "project".to_owned(),
        value: "genome é".to_owned(),
    };
    assert_eq!((issued.len(), &issued[0].tags), (1, &vec![tag]));
    let unsigned = stage.call("AssumeRole", &[("RoleArn", FIRST)]).await;
    assert_eq!(unsigned.code(), "MissingAuthenticationToken");
    let nothing = stage.signed(&broker(), "DescribeSandboxSession", &[]).await;
    assert_eq!(nothing.code(), "ValidationError");
}

#[tokio::test]
async fn what_breaks_a_limit_is_refused_in_awss_words() {
    let stage = Stage::with(account()).await;
    assert_eq!(assume(&stage, &broker(), FIRST, &[]).await.code(), "OK");
    let policy = format!("{{\"Statement\":[],\"Id\":\"{}\"}}", "x".repeat(2048));
    for (form, code, text) in [
        (
            &[("RoleSessionName", "")][..],
            "ValidationError",
            "roleSessionName",
        ),
        (
            &[("RoleSessionName", "a b")],
            "ValidationError",
            "roleSessionName",
        ),
        (
            &[("DurationSeconds", "899")],
            "ValidationError",
            "durationSeconds",
        ),
        (
            &[("SourceIdentity", "aws:me")],
            "ValidationError",
            "sourceIdentity",
        ),
        (&[("ExternalId", "a")], "ValidationError", "externalId"),
        (&[("ExternalId", "a b")], "ValidationError", "externalId"),
        (&[("Policy", &policy)], "ValidationError", "2048"),
        (
            &[("Policy", "{}")],
            "MalformedPolicyDocument",
            "Syntax errors",
        ),
    ] {
        let answer = assume(&stage, &broker(), FIRST, form).await;
        assert_eq!(answer.code(), code, "{form:?}");
        assert!(
            answer.text("Message").contains(text),
            "{}",
            answer.text("Message")
        );
    }
}

#[tokio::test]
async fn tags_that_aws_would_not_take_are_refused() {
    let stage = Stage::with(account()).await;
    let good = [("Tags.member.1.Key", "a"), ("Tags.member.1.Value", "1")];
    assert_eq!(assume(&stage, &broker(), FIRST, &good).await.code(), "OK");
    let long = "x".repeat(257);
    for (form, code, text) in [
        (
            &[("Tags.member.1.Key", "a")][..],
            "ValidationError",
            "tags.member.value",
        ),
        (
            &[("Tags.member.2.Key", "a"), ("Tags.member.2.Value", "a")],
            "MalformedInput",
            "Tags",
        ),
        (
            &[("Tags.member.1.Key", "a*"), ("Tags.member.1.Value", "a")],
            "ValidationError",
            "regular expression",
        ),
        (
            &[("Tags.member.1.Key", "a"), ("Tags.member.1.Value", &long)],
            "ValidationError",
            "256",
        ),
        (
            &[
                ("Tags.member.1.Key", "a"),
                ("Tags.member.1.Value", "1"),
                ("Tags.member.2.Key", "A"),
                ("Tags.member.2.Value", "2"),
            ],
            "InvalidParameterValue",
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ),
        (
            &[("TransitiveTagKeys.member.1", "a")],
            "InvalidParameterValue",
            "transitive",
        ),
    ] {
        let answer = assume(&stage, &broker(), FIRST, form).await;
        assert_eq!(answer.code(), code, "{form:?}");
        assert!(
            answer.text("Message").contains(text),
            "{}",
            answer.text("Message")
        );
    }
}

/// `count` tags of values that hardly compress.
fn tags(count: usize, length: usize) -> Vec<(String, String)> {
    let mut tags = Vec::new();
    for number in 1..=count {
        let digest = crate::model::hex(&openssl::sha::sha512(&number.to_be_bytes()));
        let value = digest.chars().take(length).collect();
        tags.push((format!("Tags.member.{number}.Key"), format!("key{number}")));
        tags.push((format!("Tags.member.{number}.Value"), value));
    }
    tags
}

#[tokio::test]
async fn tags_have_a_number_and_a_packed_size() {
    let stage = Stage::with(account()).await;
    for (count, length, code, text) in [
        (50, 1, "OK", ""),
        (51, 1, "ValidationError", "less than or equal to 50"),
        (8, 128, "OK", ""),
        (
            40,
            128,
            "PackedPolicyTooLarge",
            "Packed size of session tags consumes",
        ),
    ] {
        let tags = tags(count, length);
        let form: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let answer = assume(&stage, &broker(), FIRST, &form).await;
        assert_eq!(answer.code(), code, "{count}");
        if code != "OK" {
            assert!(answer.text("Message").contains(text));
        }
    }
}

#[tokio::test]
async fn the_trust_policy_decides() {
    let stage = Stage::with(account()).await;
    let tag = [("Tags.member.1.Key", "a"), ("Tags.member.1.Value", "1")];
    for (role, form, code, by) in [
        (FIRST, &[][..], "OK", None),
        (
            FIRST,
            &[("ExternalId", "tenant-2")],
            "AccessDenied",
            Some("trust policy"),
        ),
        (
            FIRST,
            &[("ExternalId", "")],
            "AccessDenied",
            Some("trust policy"),
        ),
        (NEXT, &[], "AccessDenied", Some("trust policy")),
        (PLAIN, &[], "OK", None),
        (PLAIN, &[("DurationSeconds", "7200")], "OK", None),
        (
            PLAIN,
            &[("DurationSeconds", "7201")],
            "ValidationError",
            Some("maximum duration of the role"),
        ),
        (
            PLAIN,
            &tag,
            "AccessDenied",
            Some("trust policy with sts:TagSession"),
        ),
        (
            PLAIN,
            &[("SourceIdentity", "alice")],
            "AccessDenied",
            Some("trust policy with sts:SetSourceIdentity"),
        ),
    ] {
        let answer = assume(&stage, &broker(), role, form).await;
        let call = stage.sts.calls().pop().unwrap();
        assert_eq!(
            (answer.code(), call.refused_by.as_deref()),
            (code, by),
            "{role} {form:?}"
        );
    }
    let wrong = Keys {
        secret: "wrong".to_owned(),
        ..broker()
    };
    let answer = assume(&stage, &wrong, FIRST, &[]).await;
    assert_eq!(answer.code(), "SignatureDoesNotMatch");
}

#[tokio::test]
async fn a_chain_lasts_an_hour_and_hands_on_what_is_transitive() {
    let stage = Stage::with(account()).await;
    let given = [
        ("SourceIdentity", "alice"),
        ("Tags.member.1.Key", "project"),
        ("Tags.member.1.Value", "x"),
        ("Tags.member.2.Key", "team"),
        ("Tags.member.2.Value", "y"),
        ("TransitiveTagKeys.member.1", "project"),
    ];
    let first = Keys::of(&assume(&stage, &broker(), FIRST, &given).await);
    let long = assume(&stage, &first, NEXT, &[("DurationSeconds", "3601")]).await;
    assert_eq!(long.code(), "ValidationError");
    assert_eq!(
        long.text("Message"),
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
    );
    let hour = assume(&stage, &first, NEXT, &[("DurationSeconds", "3600")]).await;
    assert_eq!(hour.code(), "OK");
    let issued = stage.sts.issued_for(NEXT);
    assert!(issued[0].chained);
    assert_eq!(issued[0].source_identity.as_deref(), Some("alice"));
    assert_eq!(issued[0].transitive_tag_keys, ["project"]);
    assert_eq!(issued[0].tags.len(), 1, "team is not handed on");
    for (form, code) in [
        (&[("SourceIdentity", "alice")][..], "OK"),
        (&[("SourceIdentity", "mallory")], "AccessDenied"),
        (
            &[
                ("Tags.member.1.Key", "PROJECT"),
                ("Tags.member.1.Value", "z"),
            ],
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(
            assume(&stage, &first, NEXT, form).await.code(),
            code,
            "{form:?}"
        );
    }
    stage.clock.advance(TimeDelta::hours(1));
    assert_eq!(
        assume(&stage, &first, NEXT, &[]).await.code(),
        "ExpiredToken"
    );
}
