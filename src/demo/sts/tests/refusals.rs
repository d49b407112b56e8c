//! Every check refuses what it should, in AWS's words; the untouched plan is the good twin of all.

use chrono::TimeDelta;

use super::{DENIED, EXPIRED, TOKEN};
use crate::demo::idp::{ResponsePlan, Sign};
use crate::demo::stage::{OTHER_PROVIDER, PROVIDER, ROLE, Stage};

/// A change to a good plan, and the check, code and part of the text that refuse it.
type Refusal = (
    fn(&mut ResponsePlan),
    &'static str,
    &'static str,
    &'static str,
);

const REDEEMED: &str = "Token must be redeemed within 5 minutes of issuance";
const NOT_AUTHORIZED: &str = "Not authorized to perform sts:AssumeRoleWithSAML";
const NO_AUDIENCE: &str = "Response does not contain the required audience.";
const SESSION_NAME: &str = "RoleSessionName in AuthnResponse must match";

const REFUSALS: &[Refusal] = &[
    (
        |p| p.sign = Sign::None,
        "signature",
        TOKEN,
        "Response signature invalid",
    ),
    (
        |p| p.issuer = "https://other.example.org".to_owned(),
        "issuer",
        TOKEN,
        "Issuer not present in specified provider",
    ),
    (
        |p| p.status = "urn:oasis:names:tc:SAML:2.0:status:Responder".to_owned(),
        "status",
        "IDPRejectedClaim",
        "",
    ),
    (
        |p| p.issue_instant -= TimeDelta::seconds(301),
        "five minutes since IssueInstant",
        EXPIRED,
        REDEEMED,
    ),
    (
        |p| p.response_issue_instant = Some(p.issue_instant - TimeDelta::seconds(301)),
        "five minutes since IssueInstant",
        EXPIRED,
        REDEEMED,
    ),
    (
        |p| p.issue_instant += TimeDelta::seconds(61),
        "five minutes since IssueInstant",
        TOKEN,
        "future",
    ),
    (
        |p| p.has_conditions = false,
        "conditions",
        TOKEN,
        "Conditions",
    ),
    (
        |p| p.not_before += TimeDelta::seconds(91),
        "conditions",
        TOKEN,
        "not valid yet",
    ),
    (
        |p| p.not_on_or_after = p.issue_instant,
        "conditions",
        EXPIRED,
        "expired",
    ),
    (|p| p.audiences.clear(), "audience", TOKEN, NO_AUDIENCE),
    (
        |p| p.audiences = vec!["urn:amazon:webservices:govcloud".to_owned()],
        "audience",
        TOKEN,
        NO_AUDIENCE,
    ),
    (
        |p| p.further_audiences = vec![vec!["https://gate.example.org".to_owned()]],
        "audience",
        TOKEN,
        NO_AUDIENCE,
    ),
    (
        |p| p.name_id.clear(),
        "one bearer confirmation with Recipient",
        DENIED,
        NOT_AUTHORIZED,
    ),
    (
        |p| p.confirmations = 0,
        "one bearer confirmation with Recipient",
        TOKEN,
        "SubjectConfirmation",
    ),
    (
        |p| p.confirmations = 2,
        "one bearer confirmation with Recipient",
        TOKEN,
        "SubjectConfirmation",
    ),
    (
        |p| p.recipient.clear(),
        "one bearer confirmation with Recipient",
        TOKEN,
        "Recipient",
    ),
    (
        |p| p.confirmation_not_on_or_after = None,
        "one bearer confirmation with Recipient",
        TOKEN,
        "NotOnOrAfter",
    ),
    (
        |p| p.confirmation_not_on_or_after = Some(p.issue_instant),
        "one bearer confirmation with Recipient",
        EXPIRED,
        "",
    ),
    (
        |p| p.remove_aws_attribute("RoleSessionName"),
        "RoleSessionName",
        TOKEN,
        "RoleSessionName is required in AuthnResponse",
    ),
    (
        |p| p.set_aws_attribute("RoleSessionName", &["alice", "bob"]),
        "RoleSessionName",
        TOKEN,
        "RoleSessionName is required in AuthnResponse",
    ),
    (
        |p| p.set_aws_attribute("RoleSessionName", &["Alice Liddell"]),
        "RoleSessionName",
        TOKEN,
        SESSION_NAME,
    ),
    (
        |p| p.set_aws_attribute("RoleSessionName", &["alice\n"]),
        "RoleSessionName",
        TOKEN,
        SESSION_NAME,
    ),
    (
        |p| p.set_aws_attribute("SourceIdentity", &["aws:alice"]),
        "SourceIdentity",
        TOKEN,
        "Source Identity",
    ),
    (
        |p| p.set_aws_attribute("PrincipalTag:Team", &["a", "b"]),
        "session tags",
        "ValidationError",
        "Team",
    ),
    (
        |p| p.set_aws_attribute("SessionDuration", &["899"]),
        "SessionDuration",
        TOKEN,
        "SessionDuration",
    ),
    (
        |p| p.session_not_on_or_after = Some(p.issue_instant),
        "SessionNotOnOrAfter",
        EXPIRED,
        "",
    ),
    (
        |p| p.remove_aws_attribute("Role"),
        "pair offered",
        DENIED,
        NOT_AUTHORIZED,
    ),
    (
        |p| p.set_aws_attribute("Role", &[ROLE]),
        "pair offered",
        DENIED,
        NOT_AUTHORIZED,
    ),
    (
        |p| p.set_aws_attribute("Role", &[&format!("{ROLE},{OTHER_PROVIDER}")]),
        "pair offered",
        DENIED,
        NOT_AUTHORIZED,
    ),
    (
        |p| p.set_aws_attribute("Role", &[&format!("{ROLE}x,{PROVIDER}")]),
        "pair offered",
        DENIED,
        NOT_AUTHORIZED,
    ),
    (
        |p| p.recipient.push('/'),
        "trust policy with SAML:aud",
        DENIED,
        NOT_AUTHORIZED,
    ),
    (
        |p| p.recipient = "https://signin.aws.amazon.com/saml".to_owned(),
        "trust policy with SAML:aud",
        DENIED,
        NOT_AUTHORIZED,
    ),
];

#[tokio::test]
async fn each_check_refuses_in_awss_words() {
    let stage = Stage::start().await;
    assert_eq!(stage.assume(&stage.plan()).await.code(), "OK");
    for (number, (change, check, code, text)) in REFUSALS.iter().enumerate() {
        let mut plan = stage.plan();
        change(&mut plan);
        let answer = stage.assume(&plan).await;
        let which = format!("refusal {number}, {check}");
        assert_eq!(answer.code(), *code, "{which}");
        assert_eq!(
            answer.status,
            if [DENIED, "IDPRejectedClaim"].contains(code) {
                403
            } else {
                400
            }
        );
        assert!(answer.text("Message").contains(text), "{which}");
        let call = stage.sts.calls().pop().unwrap();
        assert_eq!(call.refused_by.as_deref(), Some(*check), "{which}");
        assert_eq!(call.outcome, *code);
        assert_eq!(call.request_id, answer.request_id);
    }
}
