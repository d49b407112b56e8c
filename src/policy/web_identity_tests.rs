//! Decisions for web-identity, and what assignments mean for each method.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::tests::{READER, allow, now, parts, role, rules, subject};
use super::*;
use crate::model::{
    EntryDraft, JobName, Method, Narrowing, SessionDuration, SubjectParts, TokenName, WebIdentity,
};

fn by(method: Method) -> EntryDraft {
    EntryDraft {
        method: Some(method),
        ..allow(READER)
    }
}

fn web() -> EntryDraft {
    by(Method::WebIdentity)
}

/// A sign-in with an ID token that newer ones follow.
fn signed_in() -> SubjectParts {
    SubjectParts {
        forwarding: None,
        web_identity: Some(WebIdentity {
            issuer: "https://login.example.org".to_owned(),
            subject: "00u1".to_owned(),
            audience: "rolegate".to_owned(),
            redeemable_until: None,
        }),
        ..parts()
    }
}

/// The same, with one that none follows.
fn until(end: DateTime<Utc>) -> SubjectParts {
    changed(signed_in(), |identity| {
        identity.redeemable_until = Some(end);
    })
}

fn changed(mut parts: SubjectParts, change: impl FnOnce(&mut WebIdentity)) -> SubjectParts {
    change(parts.web_identity.as_mut().unwrap());
    parts
}

fn at(parts: SubjectParts, draft: EntryDraft, now: DateTime<Utc>) -> Result<Grant, Reason> {
    let role = role(READER);
    let request = Request::of(&role, now);
    decide(&subject(parts), &request, &rules(vec![draft])).map_err(only)
}

fn only(mut denial: Denial) -> Reason {
    assert_eq!(denial.reasons.len(), 1, "{denial:?}");
    denial.reasons.remove(0)
}

fn code(outcome: Result<Grant, Reason>) -> &'static str {
    outcome.map_or_else(|reason| reason.code(), |_| "granted")
}

#[test]
fn an_id_token_is_needed_and_is_enough() {
    let grant = at(signed_in(), web(), now()).unwrap();
    assert_eq!(grant.method(), Method::WebIdentity);
    assert_eq!(grant.session_name().as_str(), "alice");
    assert_eq!(grant.provider(), None);
    assert!(grant.tags().is_empty(), "the token is all that AWS is told");
    assert!(grant.is_renewable());
    let reason = at(parts(), web(), now()).unwrap_err();
    assert_eq!(reason, Reason::NoIdToken);
    assert!(reason.to_string().contains("OpenID Connect"), "{reason}");
    for method in [Method::Relay, Method::Broker] {
        assert_eq!(code(at(signed_in(), by(method), now())), "granted");
    }
    assert_eq!(code(at(signed_in(), allow(READER), now())), "no_assertion");
}

#[test]
fn a_grant_ends_as_relay_s_where_newer_tokens_follow() {
    let later = |hours| now() + TimeDelta::hours(hours);
    let grant = at(signed_in(), web(), later(11)).unwrap();
    assert_eq!(
        (grant.ends_at(), grant.limit()),
        (later(12), Limit::Session)
    );
    assert_eq!(grant.renewable_until(), Some(later(12)));
    assert_eq!(code(at(signed_in(), web(), later(12))), "session_over");
    let renewing = || EntryDraft {
        renew_for_seconds: Some(7 * 86_400),
        ..web()
    };
    let grant = at(signed_in(), renewing(), later(100)).unwrap();
    let expected = (later(7 * 24), Limit::RenewFor);
    assert_eq!((grant.ends_at(), grant.limit()), expected);
    assert_eq!(
        code(at(signed_in(), renewing(), later(7 * 24))),
        "renewal_over"
    );
}

#[test]
fn without_newer_tokens_it_ends_with_what_this_one_can_be_redeemed_for() {
    let minutes = |minutes| now() + TimeDelta::minutes(minutes);
    let renewing = |draft| EntryDraft {
        renew_for_seconds: Some(7 * 86_400),
        ..draft
    };
    let alone = || until(minutes(30));
    for draft in [web(), renewing(web())] {
        let grant = at(alone(), draft, minutes(89)).unwrap();
        let expected = (minutes(90), Limit::IdToken);
        assert_eq!((grant.ends_at(), grant.limit()), expected);
        assert_eq!(grant.limit().as_str(), "id_token");
    }
    let reason = at(alone(), renewing(web()), minutes(90)).unwrap_err();
    assert_eq!(reason, Reason::IdTokenOver(minutes(90)));
    assert!(Denial::of(&role(READER), reason).is_over());
    // What the duration is, the end follows.
    let longer = EntryDraft {
        max_duration_seconds: Some(SessionDuration::from_seconds(900).unwrap()),
        ..web()
    };
    assert_eq!(at(alone(), longer, now()).unwrap().ends_at(), minutes(45));
    // What ends earlier still counts, and other methods do not look at the token.
    let ending = EntryDraft {
        expires_at: Some(minutes(60)),
        ..web()
    };
    assert_eq!(at(alone(), ending, now()).unwrap().limit(), Limit::Entry);
    let long = until(now() + TimeDelta::hours(20));
    assert_eq!(at(long, web(), now()).unwrap().limit(), Limit::Session);
    let relayed = at(alone(), renewing(by(Method::Relay)), minutes(300)).unwrap();
    assert_eq!(relayed.limit(), Limit::RenewFor);
}

#[test]
fn a_session_policy_goes_beside_the_token_and_tags_do_not() {
    let policy = json!({ "Statement": [{ "Sid": "x" }] });
    let launcher: TokenName = "nightly".parse().unwrap();
    let job: JobName = "job-1".parse().unwrap();
    let asked = |draft: EntryDraft, policy: Option<&_>, tags: &[(&str, &str)]| {
        let tags = tags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let narrowing = Narrowing::new(policy, tags.collect()).unwrap();
        let role = role(READER);
        let request = Request {
            launcher: Some(&launcher),
            narrowing: &narrowing,
            job: Some(&job),
            ..Request::of(&role, now())
        };
        decide(&subject(signed_in()), &request, &rules(vec![draft]))
    };
    let plain = asked(web(), None, &[]).unwrap();
    let narrowed = asked(web(), Some(&policy), &[]).unwrap();
    let sent = narrowed.session_policy().unwrap().as_str();
    assert_eq!(sent, r#"{"Statement":[{"Sid":"x"}]}"#);
    assert_ne!(plain.kind(), narrowed.kind());
    assert_ne!(plain.issue_key(), narrowed.issue_key());

    let denial = asked(web(), None, &[("Team", "red")]).unwrap_err();
    assert!(denial.is_narrowing());
    let cannot = |what| Reason::MethodCannot {
        method: Method::WebIdentity,
        what,
    };
    assert_eq!(denial.reasons, [cannot("tags")]);
    let text = denial.reasons[0].to_string();
    assert!(text.contains("relay or broker"), "{text}");
    // No such entry can be made, but the default method of one that names none can change.
    let job_tagged = EntryDraft {
        job_tag: true,
        ..web()
    };
    let denial = asked(job_tagged, None, &[]).unwrap_err();
    assert_eq!(denial.reasons, [cannot("job tag")]);
}

#[test]
fn an_assignment_is_no_word_of_the_assertion_s() {
    let assigned = |parts: SubjectParts| SubjectParts {
        assigned: true,
        ..parts
    };
    let reason = at(assigned(parts()), allow(READER), now()).unwrap_err();
    assert_eq!(reason, Reason::Assigned);
    let text = reason.to_string();
    assert!(
        text.contains("relay or broker") && text.contains("send the role"),
        "{text}"
    );
    assert_eq!(code(at(parts(), allow(READER), now())), "granted");
    for method in [Method::Relay, Method::Broker, Method::WebIdentity] {
        let outcome = at(assigned(signed_in()), by(method), now());
        assert_eq!(code(outcome), "granted", "{method}");
    }
}

#[test]
fn credentials_of_another_sign_in_stand_in_only_where_the_token_says_the_same() {
    let kind = |parts| at(parts, web(), now()).unwrap().kind();
    assert_eq!(kind(signed_in()), kind(signed_in()));
    // Whether newer tokens follow is nothing to AWS.
    assert_eq!(
        kind(signed_in()),
        kind(until(now() + TimeDelta::minutes(30)))
    );
    let changes: [fn(&mut WebIdentity); 3] = [
        |identity| identity.issuer.push('x'),
        |identity| identity.subject.push('x'),
        |identity| identity.audience.push('x'),
    ];
    for change in changes {
        assert_ne!(kind(signed_in()), kind(changed(signed_in(), change)));
    }
    let mut tagged = signed_in();
    let name = "https://aws.amazon.com/SAML/Attributes/PrincipalTag:Team";
    tagged
        .attributes
        .insert(name.to_owned(), vec!["red".to_owned()]);
    assert_ne!(kind(signed_in()), kind(tagged));
    let mut grouped = signed_in();
    grouped
        .attributes
        .insert("groups".to_owned(), vec!["other".to_owned()]);
    assert_eq!(kind(signed_in()), kind(grouped));
}
