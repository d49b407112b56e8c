//! Trust policies: what loads, and what each operator and principal lets in.

use super::TrustPolicyDocument;
use super::context::Context;
use super::policy::Principal;
use super::tags::Tag;

const PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/Demo";

fn policy(condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"Federated":"{PROVIDER}"}},
           "Action":"sts:AssumeRoleWithSAML","Condition":{condition}}}}}"#
    )
}

fn holds(condition: &str) -> bool {
    let policy: TrustPolicyDocument = policy(condition).parse().unwrap();
    let tag = |key: &str| Tag {
        key: key.to_owned(),
        value: "x".to_owned(),
    };
    let context = Context::default()
        .with("SAML:aud", Some("https://gate/acs"))
        .with("sts:DurationSeconds", Some("3600"))
        .with("gate.example.org/x:sub", Some("role:1/a:idp:b:user:alice"))
        .with("gate.example.org/x:amr", Some("a$b*${x}?"))
        .with_tags(&[tag("Team"), tag("Project")], &[]);
    let principal = Principal::Federated(PROVIDER.to_owned());
    policy.permits(&principal, "sts:AssumeRoleWithSAML", &context)
}

#[test]
fn each_operator_lets_in_and_keeps_out() {
    for (lets_in, keeps_out) in [
        (
            r#"{"StringEquals":{"saml:AUD":["x","https://gate/acs"]}}"#,
            r#"{"StringEquals":{"SAML:aud":"https://GATE/acs"}}"#,
        ),
        (
            r#"{"StringEqualsIgnoreCase":{"SAML:aud":"https://GATE/acs"}}"#,
            r#"{"StringEqualsIgnoreCase":{"SAML:aud":"x"}}"#,
        ),
        (
            r#"{"StringLike":{"gate.example.org/x:sub":"role:1/a:idp:b:user:*"}}"#,
            r#"{"StringLike":{"gate.example.org/x:sub":"role:1/?:idp:c:user:*"}}"#,
        ),
        (
            r#"{"StringEquals":{"gate.example.org/x:amr":"a$b*${$}{x}${?}"}}"#,
            r#"{"StringEquals":{"gate.example.org/x:amr":"a$b*${?}"}}"#,
        ),
        (
            r#"{"StringLike":{"gate.example.org/x:amr":"a${$}b${*}*${?}"}}"#,
            r#"{"StringLike":{"gate.example.org/x:amr":"a$b${*}${*}"}}"#,
        ),
        (
            r#"{"StringNotEquals":{"sts:ExternalId":"x"}}"#,
            r#"{"StringNotEquals":{"SAML:aud":"https://gate/acs"}}"#,
        ),
        (
            r#"{"StringEqualsIfExists":{"sts:ExternalId":"x"}}"#,
            r#"{"StringEquals":{"sts:ExternalId":"x"}}"#,
        ),
        (
            r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["Team","Project"]}}"#,
            r#"{"ForAllValues:StringEquals":{"aws:TagKeys":"Team"}}"#,
        ),
        (
            r#"{"ForAnyValue:StringLike":{"aws:TagKeys":"T*"}}"#,
            r#"{"ForAnyValue:StringLike":{"aws:TagKeys":"t*"}}"#,
        ),
        (
            r#"{"Null":{"aws:RequestTag/team":false,"sts:ExternalId":"true"}}"#,
            r#"{"Null":{"aws:RequestTag/Other":"false"}}"#,
        ),
        (
            r#"{"NumericLessThanEquals":{"sts:DurationSeconds":3600}}"#,
            r#"{"NumericLessThanEquals":{"sts:DurationSeconds":"3599"}}"#,
        ),
        (
            r#"{"StringEquals":{"SAML:aud":"https://gate/acs","aws:RequestTag/Team":"x"}}"#,
            r#"{"StringEquals":{"SAML:aud":"https://gate/acs","aws:RequestTag/Team":"y"}}"#,
        ),
    ] {
        assert!(holds(lets_in), "{lets_in}");
        assert!(!holds(keeps_out), "{keeps_out}");
    }
}

#[test]
fn what_is_not_understood_does_not_load() {
    let load = |text: &str| text.parse::<TrustPolicyDocument>().map(|_| ());
    let good = policy(r#"{"StringEquals":{"SAML:aud":"x"}}"#);
    load(&good).unwrap();
    for (part, other) in [
        ("StringEquals", "StringMatches"),
        ("StringEquals", "IpAddress"),
        ("SAML:aud", "SAML:audience"),
        ("SAML:aud", "aws:RequestTag/"),
        ("\"x\"", "[]"),
        ("\"x\"", "\"${aws:username}\""),
        ("Allow", "Permit"),
        ("2012-10-17", "2026-01-01"),
        ("sts:AssumeRoleWithSAML", "s3:GetObject"),
        ("Federated", "Service"),
        (PROVIDER, "saml"),
        ("\"Condition\"", "\"Resource\":\"*\",\"Condition\""),
        ("\"Action\"", "\"NotAction\""),
    ] {
        let bad = good.replace(part, other);
        assert_ne!(bad, good, "{part}");
        load(&bad).unwrap_err();
    }
}

#[test]
fn deny_wins_and_a_principal_is_named_exactly() {
    let document: TrustPolicyDocument = r#"{"Statement":[
        {"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:root","arn:aws:iam::210987654321:role/a"]},
         "Action":["sts:Assume*","sts:TagSession"]},
        {"Effect":"Deny","Principal":"*","Action":"sts:*",
         "Condition":{"StringEquals":{"sts:RoleSessionName":"mallory"}}}]}"#
        .parse()
        .unwrap();
    let ask = |names: &[&str], action: &str, session: &str| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let context = Context::default().with("sts:RoleSessionName", Some(session));
        document.permits(&Principal::Aws(names), action, &context)
    };
    let own = ["arn:aws:iam::123456789012:root"];
    assert!(ask(&own, "sts:AssumeRole", "alice"));
    assert!(ask(&own, "sts:TagSession", "alice"));
    assert!(!ask(&own, "sts:SetSourceIdentity", "alice"));
    assert!(!ask(&own, "sts:AssumeRole", "mallory"));
    assert!(ask(
        &["arn:aws:iam::210987654321:role/a"],
        "sts:AssumeRole",
        "alice"
    ));
    assert!(!ask(
        &["arn:aws:iam::210987654321:role/b"],
        "sts:AssumeRole",
        "alice"
    ));
    let federated = Principal::Federated(PROVIDER.to_owned());
    assert!(!document.permits(&federated, "sts:AssumeRoleWithSAML", &Context::default()));
}
