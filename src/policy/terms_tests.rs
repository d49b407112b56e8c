//! Decisions for relay and broker: how long, with which tags, shared by whom.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::tests::{READER, allow, now, parts, role, rules, subject};
use super::*;
use crate::model::{EntryDraft, JobName, Method, Narrowing, SubjectParts, TokenName};

const PREFIX: &str = "https://aws.amazon.com/SAML/Attributes/";

fn relay() -> EntryDraft {
    EntryDraft {
        method: Some(Method::Relay),
        ..allow(READER)
    }
}

/// What a lease asks, with what it may come to.
struct Asked {
    parts: SubjectParts,
    narrowing: Narrowing,
    launcher: Option<TokenName>,
    job: JobName,
    now: DateTime<Utc>,
}

impl Asked {
    fn plain() -> Self {
        Self {
            parts: parts(),
            narrowing: Narrowing::default(),
            launcher: Some("nightly".parse().unwrap()),
            job: "job 1!".parse().unwrap(),
            now: now(),
        }
    }

    fn tagged(tags: &[(&str, &str)]) -> Self {
        let tags = tags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self {
            narrowing: Narrowing::new(None, tags.collect()).unwrap(),
            ..Self::plain()
        }
    }

    fn of(self, draft: EntryDraft) -> Result<Grant, &'static str> {
        let role = role(READER);
        let request = Request {
            launcher: self.launcher.as_ref(),
            narrowing: &self.narrowing,
            job: Some(&self.job),
            ..Request::of(&role, self.now)
        };
        decide(&subject(self.parts), &request, &rules(vec![draft]))
            .map_err(|denial| denial.reasons.first().map_or("", Reason::code))
    }
}

fn tags(grant: &Grant) -> BTreeMap<&str, &str> {
    let pairs = grant.tags().iter();
    pairs
        .map(|tag| (tag.key.as_str(), tag.value.as_str()))
        .collect()
}

#[test]
fn a_grant_ends_with_the_session_or_is_renewed_beyond_it() {
    let later = |hours: i64, draft: EntryDraft| {
        Asked {
            now: now() + TimeDelta::hours(hours),
            ..Asked::plain()
        }
        .of(draft)
    };
    let renewing = || EntryDraft {
        renew_for_seconds: Some(7 * 86_400),
        ..relay()
    };
    let grant = later(11, relay()).unwrap();
    let end = now() + TimeDelta::hours(12);
    assert_eq!((grant.ends_at(), grant.limit()), (end, Limit::Session));
    assert_eq!(grant.renewable_until(), Some(end));
    assert_eq!(later(12, relay()).unwrap_err(), "session_over");
    let grant = later(100, renewing()).unwrap();
    let end = now() + TimeDelta::days(7);
    assert_eq!((grant.ends_at(), grant.limit()), (end, Limit::RenewFor));
    assert_eq!(later(7 * 24, renewing()).unwrap_err(), "renewal_over");
    let entry_ends = EntryDraft {
        expires_at: Some(now() + TimeDelta::hours(200)),
        renew_for_seconds: Some(10 * 86_400),
        ..relay()
    };
    assert_eq!(later(100, entry_ends).unwrap().limit(), Limit::Entry);
    let saml = later(1, allow(READER)).unwrap();
    assert_eq!(saml.renewable_until(), None);
}

#[test]
fn sts_is_asked_for_what_is_left_and_never_below_its_least() {
    let grant = Asked::plain().of(relay()).unwrap();
    let asked = |before_end: i64| {
        let at = grant.ends_at() - TimeDelta::seconds(before_end);
        grant.duration_at(at).seconds()
    };
    assert_eq!(asked(40_000), 3600);
    assert_eq!(asked(3000), 3000);
    assert_eq!(asked(10), 900);
    assert_eq!(asked(-10), 900);
}

#[test]
fn a_broker_asks_for_an_hour_at_most() {
    let mut long = Asked::plain();
    long.parts.session_duration = Some(crate::model::SessionDuration::MAX);
    let seconds = |draft, parts: &SubjectParts| {
        let asked = Asked {
            parts: parts.clone(),
            ..Asked::plain()
        };
        asked.of(draft).unwrap().duration().seconds()
    };
    let broker = EntryDraft {
        method: Some(Method::Broker),
        external_id: Some("tenant-1".to_owned()),
        ..allow(READER)
    };
    assert_eq!(seconds(relay(), &long.parts), 43_200);
    assert_eq!(seconds(broker.clone(), &long.parts), 3600);
    let grant = Asked::plain().of(broker).unwrap();
    assert_eq!(grant.external_id(), Some("tenant-1"));
    assert_eq!(grant.session_name().as_str(), "alice");
}

#[test]
fn every_tag_has_one_owner() {
    let keys = |draft: EntryDraft| EntryDraft {
        tag_keys: ["Project", "Team"].map(str::to_owned).into(),
        ..draft
    };
    let grant = Asked::tagged(&[("Project", "apollo")])
        .of(keys(relay()))
        .unwrap();
    let wanted = [
        ("Project", "apollo"),
        ("rolegate:idp", "okta"),
        ("rolegate:user", "alice"),
    ];
    assert_eq!(tags(&grant), wanted.into());
    let refused = |asked: Asked, draft| asked.of(draft).unwrap_err();
    let other = Asked::tagged(&[("Other", "x")]);
    assert_eq!(refused(other, keys(relay())), "tag_not_permitted");
    let by_user = Asked {
        launcher: None,
        ..Asked::tagged(&[("Project", "apollo")])
    };
    assert_eq!(refused(by_user, keys(relay())), "tags_need_launcher");
    let saml = Asked::tagged(&[("Project", "apollo")]);
    assert_eq!(refused(saml, allow(READER)), "method_cannot");

    let from_idp = |key: &str, values: &[&str], asked: Asked| {
        let mut asked = asked;
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let name = format!("{PREFIX}PrincipalTag:{key}");
        asked.parts.attributes.insert(name, values);
        asked
    };
    let team = from_idp("team", &["red"], Asked::tagged(&[("Project", "apollo")]));
    assert_eq!(tags(&team.of(keys(relay())).unwrap())["team"], "red");
    let clash = from_idp("team", &["red"], Asked::tagged(&[("Team", "blue")]));
    assert_eq!(refused(clash, keys(relay())), "tag_taken");
    let own = from_idp("RoleGate:User", &["mallory"], Asked::plain());
    assert_eq!(refused(own, relay()), "tag_taken");
    for bad in [&["a", "b"][..], &["a,b"], &[]] {
        let asked = from_idp("team", bad, Asked::plain());
        assert_eq!(refused(asked, relay()), "bad_principal_tag");
    }
}

#[test]
fn transitive_keys_are_those_that_have_a_tag() {
    let mut asked = Asked::plain();
    let tag = format!("{PREFIX}PrincipalTag:team");
    asked.parts.attributes.insert(tag, vec!["red".to_owned()]);
    let list = ["team", "other"].map(str::to_owned).to_vec();
    let name = format!("{PREFIX}TransitiveTagKeys");
    asked.parts.attributes.insert(name, list);
    let grant = asked.of(relay()).unwrap();
    assert_eq!(grant.transitive_tag_keys(), ["team"]);
}

#[test]
fn too_many_tags_are_counted_before_sts_does() {
    let with = |count: usize| {
        let mut asked = Asked::plain();
        for at in 0..count {
            let name = format!("{PREFIX}PrincipalTag:k{at}");
            asked.parts.attributes.insert(name, vec!["v".to_owned()]);
        }
        asked.of(relay()).map(|grant| grant.tags().len())
    };
    assert_eq!(with(48), Ok(50));
    assert_eq!(with(49), Err("too_many_tags"));
}

#[test]
fn what_is_narrowed_is_not_shared() {
    let whose = subject(parts());
    let key = |narrowing: &Narrowing, job: &str, draft: EntryDraft| {
        let (role, job, launcher) = (
            role(READER),
            job.parse().unwrap(),
            "nightly".parse().unwrap(),
        );
        let request = Request {
            launcher: Some(&launcher),
            narrowing,
            job: Some(&job),
            ..Request::of(&role, now())
        };
        let grant = decide(&whose, &request, &rules(vec![draft])).unwrap();
        (grant.issue_key(), grant.kind(), grant.may_hand_out_token())
    };
    let handing = || EntryDraft {
        hand_out_tokens: true,
        ..relay()
    };
    let none = Narrowing::default();
    let policy = |action: &str| {
        let policy = json!({ "Statement": { "Action": action } });
        Narrowing::new(Some(&policy), BTreeMap::new()).unwrap()
    };
    let wide = key(&none, "a", handing());
    assert!(wide.2);
    assert_eq!(wide, key(&none, "b", handing()));
    let get = key(&policy("s3:Get*"), "a", handing());
    let put = key(&policy("s3:Put*"), "a", handing());
    assert!(!get.2 && get.0 != wide.0 && get.0 != put.0 && get.1 != wide.1);
    assert_eq!(get, key(&policy("s3:Get*"), "b", handing()));
    let tagging = || EntryDraft {
        job_tag: true,
        hand_out_tokens: true,
        ..relay()
    };
    let (one, other) = (key(&none, "a", tagging()), key(&none, "b", tagging()));
    assert!(!one.2 && one.0 != other.0 && one.0 != wide.0);
    let grant = Asked::plain().of(tagging()).unwrap();
    assert_eq!(tags(&grant)["rolegate:job"], "job 1_");
    assert_eq!(tags(&grant)["rolegate:launcher"], "nightly");
}
