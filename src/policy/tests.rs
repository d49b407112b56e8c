//! Decisions, case by case: each denial beside the grant that differs from it in one thing.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::model::{
    Effect, Entry, EntryDraft, EntrySource, FixedClock, Forwarding, Method, Offer, OfferRefusal,
    OsEntropy, Person, RefusedOffer, RoleArn, SamlProviderArn, SessionDuration, SessionId, Subject,
    SubjectParts, TokenName,
};

pub(super) const READER: &str = "arn:aws:iam::123456789012:role/team-a/reader";
const PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/Okta";

pub(super) fn now() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub(super) fn parts() -> SubjectParts {
    SubjectParts {
        person: Person {
            idp: "okta".parse().unwrap(),
            user: "alice".parse().unwrap(),
        },
        attributes: BTreeMap::from([(
            "groups".to_owned(),
            vec!["staff".to_owned(), "science".to_owned()],
        )]),
        offers: vec![Offer {
            role: role(READER),
            provider: Some(PROVIDER.parse().unwrap()),
        }],
        refused_offers: Vec::new(),
        session_duration: None,
        assigned: false,
        web_identity: None,
        forwarding: Some(Forwarding {
            audiences: vec!["urn:amazon:webservices".to_owned()],
            role_attribute_is_aws: true,
            role_session_name: Some("alice@example.org".parse().unwrap()),
            encrypted: false,
        }),
        issued_at: now(),
        not_after: None,
        logout: None,
    }
}

pub(super) fn role(arn: &str) -> RoleArn {
    arn.parse().unwrap()
}

pub(super) fn subject(parts: SubjectParts) -> Subject {
    let id = SessionId::fresh(&FixedClock::new(now()), &OsEntropy);
    let end = parts.not_after.unwrap_or(now() + TimeDelta::hours(12));
    Subject::vouch(id, now(), end, parts)
}

/// Entries that are numbered in the order given, oldest first.
pub(super) fn rules(drafts: Vec<EntryDraft>) -> Rules {
    limited(drafts, Vec::new())
}

fn limited(drafts: Vec<EntryDraft>, saml_providers: Vec<SamlProviderArn>) -> Rules {
    let entries = drafts.into_iter().enumerate().map(|(at, draft)| Entry {
        id: format!("ent_{at}").parse().unwrap(),
        version: 1,
        draft,
        source: EntrySource::Store,
    });
    let limits = Limits {
        max_duration: SessionDuration::MAX,
        default_method: Method::Saml,
        saml_providers,
    };
    Rules::new(entries.collect(), limits)
}

pub(super) fn allow(arn: &str) -> EntryDraft {
    EntryDraft::allowing(arn.parse().unwrap())
}

fn deny(arn: &str) -> EntryDraft {
    EntryDraft {
        effect: Effect::Deny,
        ..allow(arn)
    }
}

fn asked(
    parts: SubjectParts,
    rules: &Rules,
    launcher: Option<&TokenName>,
) -> Result<Grant, Denial> {
    let role = role(READER);
    let request = Request {
        launcher,
        ..Request::of(&role, now())
    };
    decide(&subject(parts), &request, rules)
}

/// The entry that grants, or the codes of the denial.
fn outcome(parts: SubjectParts, drafts: Vec<EntryDraft>) -> Result<String, Vec<&'static str>> {
    match asked(parts, &rules(drafts), None) {
        Ok(grant) => Ok(grant.entry().to_string()),
        Err(denial) => Err(denial.reasons.iter().map(Reason::code).collect()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside outcomes")]
fn granted_by(entry: &str) -> Result<String, Vec<&'static str>> {
    Ok(entry.to_owned())
}

#[test]
fn an_exact_entry_grants_and_an_empty_list_does_not() {
    assert_eq!(outcome(parts(), vec![allow(READER)]), granted_by("ent_0"));
    assert_eq!(outcome(parts(), vec![]), Err(vec!["no_entry"]));
    assert_eq!(
        outcome(
            parts(),
            vec![allow("arn:aws:iam::123456789012:role/team-a/reade")]
        ),
        Err(vec!["no_entry"])
    );
}

#[test]
fn a_role_that_was_not_offered_is_denied_however_wide_the_list() {
    let everything = rules(vec![allow("arn:aws:iam::*:role/**")]);
    let other = role("arn:aws:iam::123456789012:role/team-a/writer");
    let request = Request::of(&other, now());
    assert!(
        decide(&subject(parts()), &request, &everything)
            .unwrap_err()
            .is_not_offered()
    );
    assert_eq!(
        asked(parts(), &everything, None).unwrap().role().as_str(),
        READER
    );
}

#[test]
fn the_closest_entry_decides_alone() {
    let wide = allow("arn:aws:iam::123456789012:role/**");
    let near = allow("arn:aws:iam::123456789012:role/team-a/*");
    let exact = allow(READER);
    assert_eq!(
        outcome(parts(), vec![wide.clone(), near.clone(), exact.clone()]),
        granted_by("ent_2")
    );
    assert_eq!(
        outcome(parts(), vec![near.clone(), wide.clone()]),
        granted_by("ent_0")
    );
    let failing = EntryDraft {
        when: BTreeMap::from([("groups".to_owned(), "admins".to_owned())]),
        ..exact.clone()
    };
    let list = vec![wide.clone(), failing.clone()];
    assert_eq!(
        outcome(parts(), list),
        Err(vec!["attribute_differs"]),
        "never handed to a wider entry"
    );
    let ended = EntryDraft {
        expires_at: Some(now()),
        ..exact.clone()
    };
    assert_eq!(
        outcome(parts(), vec![wide, ended]),
        Err(vec!["entry_expired"])
    );
    let twin = EntryDraft {
        expires_at: Some(now() + TimeDelta::seconds(1)),
        ..exact.clone()
    };
    assert_eq!(
        outcome(parts(), vec![failing, twin, exact]),
        granted_by("ent_1"),
        "the oldest that holds"
    );
}

#[test]
fn every_order_of_the_list_denies_where_one_entry_does() {
    let drafts = [
        allow(READER),
        allow("arn:aws:iam::123456789012:role/**"),
        deny("arn:aws:iam::*:role/team-a/*"),
    ];
    for turn in 0..3 {
        let mut list = drafts.to_vec();
        list.rotate_left(turn);
        assert_eq!(outcome(parts(), list), Err(vec!["denied"]));
    }
    let previews = preview(&parts(), &rules(vec![allow(READER), deny(READER)]), now());
    let entry = previews[0].entry.as_ref().map(ToString::to_string);
    assert_eq!(
        entry.as_deref(),
        Some("ent_1"),
        "the denying entry is named"
    );
    let elsewhere = EntryDraft {
        idp: Some("keycloak".parse().unwrap()),
        ..deny(READER)
    };
    assert!(
        outcome(parts(), vec![allow(READER), elsewhere]).is_ok(),
        "a deny whose condition fails"
    );
    let ended = EntryDraft {
        expires_at: Some(now()),
        ..deny(READER)
    };
    assert!(
        outcome(parts(), vec![allow(READER), ended]).is_ok(),
        "a deny that has ended"
    );
}

#[test]
fn conditions_hold_one_by_one_and_together() {
    let with = |when: &[(&str, &str)]| EntryDraft {
        when: when
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..allow(READER)
    };
    assert!(
        outcome(parts(), vec![with(&[("groups", "science")])]).is_ok(),
        "any value matches"
    );
    assert!(outcome(parts(), vec![with(&[("groups", "Science")])]).is_err());
    assert!(
        outcome(parts(), vec![with(&[("groups", "science"), ("site", "b")])]).is_err(),
        "missing fails"
    );
    let idp = |name: &str| EntryDraft {
        idp: Some(name.parse().unwrap()),
        ..allow(READER)
    };
    assert!(outcome(parts(), vec![idp("okta")]).is_ok());
    assert_eq!(
        outcome(parts(), vec![idp("keycloak")]),
        Err(vec!["other_idp"])
    );
}

#[test]
fn an_entry_for_a_launcher_is_nothing_to_the_portal_but_is_minted() {
    let batch: TokenName = "batch".parse().unwrap();
    let other: TokenName = "other".parse().unwrap();
    let list = rules(vec![EntryDraft {
        launcher: Some(batch.clone()),
        ..allow(READER)
    }]);
    assert!(asked(parts(), &list, Some(&batch)).is_ok());
    assert!(asked(parts(), &list, Some(&other)).is_err());
    assert!(asked(parts(), &list, None).is_err());
    let grants = grantable(&subject(parts()), &list, now());
    assert_eq!(
        grants
            .iter()
            .map(|grant| grant.role().as_str())
            .collect::<Vec<_>>(),
        [READER]
    );
}

#[test]
fn aws_roles_are_never_handed_out() {
    let reserved =
        "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_1";
    let mut parts = parts();
    parts.offers.push(Offer {
        role: role(reserved),
        provider: Some(PROVIDER.parse().unwrap()),
    });
    let everything = rules(vec![allow("arn:aws:iam::*:role/**")]);
    let decisions = decide_all(&subject(parts), None, &everything, now());
    assert_eq!(decisions.grants.len(), 1);
    assert_eq!(decisions.denials[0].reasons, [Reason::Reserved]);
}

#[test]
fn a_bare_arn_takes_the_configured_provider_and_a_pair_must_name_it() {
    let bare = || {
        let mut parts = parts();
        parts.offers[0].provider = None;
        parts
    };
    assert_eq!(
        outcome(bare(), vec![allow(READER)]),
        Err(vec!["provider_missing"])
    );
    let known: SamlProviderArn = PROVIDER.parse().unwrap();
    let grant = asked(
        bare(),
        &limited(vec![allow(READER)], vec![known.clone()]),
        None,
    )
    .unwrap();
    assert_eq!(grant.provider(), Some(&known));
    let other: SamlProviderArn = "arn:aws:iam::123456789012:saml-provider/Other"
        .parse()
        .unwrap();
    let denial = asked(
        parts(),
        &limited(vec![allow(READER)], vec![other.clone()]),
        None,
    )
    .unwrap_err();
    assert_eq!(denial.reasons[0].code(), "provider_unknown");
    let both = limited(vec![allow(READER)], vec![other, known.clone()]);
    assert_eq!(
        asked(parts(), &both, None).unwrap().provider(),
        Some(&known)
    );
}

#[test]
fn what_sts_would_refuse_is_denied_before() {
    type Change = fn(&mut Forwarding);
    let cases: [(Change, &str); 4] = [
        (|it| it.encrypted = true, "encrypted"),
        (
            |it| it.role_attribute_is_aws = false,
            "role_attribute_renamed",
        ),
        (|it| it.role_session_name = None, "no_role_session_name"),
        (
            |it| it.audiences = vec!["urn:other".to_owned()],
            "audience_not_aws",
        ),
    ];
    for (change, code) in cases {
        let mut parts = parts();
        change(parts.forwarding.as_mut().unwrap());
        assert_eq!(outcome(parts, vec![allow(READER)]), Err(vec![code]));
    }
    let mut parts = parts();
    parts.forwarding = None;
    assert_eq!(
        outcome(parts, vec![allow(READER)]),
        Err(vec!["no_assertion"])
    );
    let by_token = EntryDraft {
        method: Some(Method::WebIdentity),
        ..allow(READER)
    };
    assert_eq!(
        outcome(self::parts(), vec![by_token]),
        Err(vec!["no_id_token"])
    );
}

#[test]
fn the_duration_is_the_smallest() {
    let seconds =
        |said: Option<u32>, permitted: Option<u32>, asked: Option<u32>, left: Option<i64>| {
            let length = |seconds: u32| SessionDuration::from_seconds(seconds).unwrap();
            let mut parts = parts();
            parts.session_duration = said.map(length);
            parts.not_after = left.map(|left| now() + TimeDelta::seconds(left));
            let list = rules(vec![EntryDraft {
                max_duration_seconds: permitted.map(length),
                ..allow(READER)
            }]);
            let role = role(READER);
            let request = Request {
                duration: asked.map(length),
                ..Request::of(&role, now() + TimeDelta::minutes(5))
            };
            decide(&subject(parts), &request, &list).map(|grant| grant.duration().seconds())
        };
    assert_eq!(seconds(None, None, None, None).unwrap(), 3600);
    assert_eq!(seconds(Some(43_200), None, None, None).unwrap(), 43_200);
    assert_eq!(seconds(Some(43_200), Some(7200), None, None).unwrap(), 7200);
    assert_eq!(
        seconds(Some(43_200), Some(7200), Some(900), None).unwrap(),
        900
    );
    assert_eq!(seconds(Some(43_200), None, None, Some(5000)).unwrap(), 5000);
    assert_eq!(seconds(None, None, None, Some(900)).unwrap(), 900);
    let denial = seconds(None, None, None, Some(899)).unwrap_err();
    assert_eq!(denial.reasons[0].code(), "too_short");
}

#[test]
fn a_value_that_is_no_offer_is_a_denial_with_its_reason() {
    let mut parts = parts();
    parts.refused_offers.push(RefusedOffer {
        value: "reader".to_owned(),
        reason: OfferRefusal::NotAnArn("is no IAM ARN".to_owned()),
    });
    let list = rules(vec![allow(READER)]);
    let previews = preview(&parts, &list, now());
    assert_eq!(
        previews
            .iter()
            .map(|preview| preview.granted)
            .collect::<Vec<_>>(),
        [true, false]
    );
    let decisions = decide_all(&subject(parts), None, &list, now());
    assert_eq!((decisions.grants.len(), decisions.denials.len()), (1, 1));
    assert_eq!(decisions.denials[0].role_arn, "reader");
}

/// Every list of up to three of these entries, against the rule said in one sentence.
#[test]
fn every_short_list_is_decided_by_the_rule() {
    let failing = |draft: EntryDraft| EntryDraft {
        idp: Some("keycloak".parse().unwrap()),
        ..draft
    };
    let wide = "arn:aws:iam::123456789012:role/**";
    let near = "arn:aws:iam::123456789012:role/team-a/*";
    // How closely each names the role, whether it allows, whether its conditions hold.
    let kinds = [
        (allow(READER), 3, true, true),
        (failing(allow(READER)), 3, true, false),
        (allow(near), 2, true, true),
        (failing(allow(near)), 2, true, false),
        (allow(wide), 1, true, true),
        (deny(wide), 1, false, true),
        (failing(deny(READER)), 3, false, false),
    ];
    let mut lists = vec![Vec::new()];
    for _ in 0..3 {
        let longer: Vec<Vec<usize>> = lists
            .iter()
            .flat_map(|list: &Vec<usize>| {
                (0..kinds.len()).map(|kind| [list.clone(), vec![kind]].concat())
            })
            .collect();
        lists.extend(longer);
    }
    assert!(lists.len() > 400);
    for list in lists {
        let chosen = || list.iter().map(|kind| &kinds[*kind]);
        let denied = chosen().any(|(_, _, allows, holds)| !allows && *holds);
        let closest = chosen().filter(|kind| kind.2).map(|kind| kind.1).max();
        let oldest = chosen().position(|kind| kind.2 && kind.3 && Some(kind.1) == closest);
        let expected = oldest.filter(|_| !denied).map(|at| format!("ent_{at}"));
        let drafts = chosen().map(|kind| kind.0.clone()).collect();
        assert_eq!(outcome(parts(), drafts).ok(), expected, "{list:?}");
    }
}

#[test]
fn a_grant_tells_what_was_decided_and_for_whom() {
    let rules = rules(vec![EntryDraft {
        label: Some("Readers".to_owned()),
        ..allow(READER)
    }]);
    let whose = subject(parts());
    let decided = |duration: Option<u32>| {
        let role = role(READER);
        let request = Request {
            duration: duration.map(|seconds| SessionDuration::from_seconds(seconds).unwrap()),
            ..Request::of(&role, now())
        };
        decide(&whose, &request, &rules).unwrap()
    };
    let grant = decided(None);
    assert_eq!(grant.role().as_str(), READER);
    assert_eq!(
        grant.provider().map(SamlProviderArn::as_str),
        Some(PROVIDER)
    );
    assert_eq!(grant.method(), Method::Saml);
    assert_eq!(grant.duration().seconds(), 3600);
    assert_eq!(
        (grant.entry().as_str(), grant.label()),
        ("ent_0", Some("Readers"))
    );
    assert_eq!(grant.person(), &parts().person);
    assert_eq!(grant.session(), whose.session());
    assert_eq!(grant.session_name().as_str(), "alice@example.org");
    assert_eq!(grant.renewable_until(), None);
    // What is shared by a key must be the same credentials.
    assert_eq!(grant.issue_key(), decided(None).issue_key());
    assert_ne!(grant.issue_key(), decided(Some(900)).issue_key());
}

#[test]
fn a_denial_says_whether_the_role_was_offered() {
    let other = role("arn:aws:iam::123456789012:role/team-a/writer");
    let request = Request::of(&other, now());
    let denial = decide(&subject(parts()), &request, &rules(vec![allow(READER)])).unwrap_err();
    assert!(denial.is_not_offered());
    let denial = asked(parts(), &rules(vec![deny(READER)]), None).unwrap_err();
    assert!(!denial.is_not_offered());
    let [tried] = denial.tried.as_slice() else {
        panic!("{denial:?}");
    };
    assert_eq!(
        (tried.entry.as_str(), tried.why.code()),
        ("ent_0", "denied")
    );
    let words = tried.why.to_string();
    assert!(words.contains("rolegate roles remove ent_0"), "{words}");
}
