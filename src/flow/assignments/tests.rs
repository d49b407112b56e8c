//! What is assigned, refused, noted and audited.

use super::*;
use crate::audit;
use crate::model::{EntryDraft, FixedClock, SessionDuration};
use crate::policy::Limits;
use crate::store::testing::{Bench, idp, person, role};

const ADMIN: &str = "admin:root";

async fn stage(idps: &[&str]) -> (Bench, Assignments) {
    let bench = Bench::new();
    let store = bench.open().await;
    let clock = Arc::<FixedClock>::clone(&bench.clock);
    let limits = Limits {
        max_duration: SessionDuration::MAX,
        default_method: Method::Saml,
        saml_providers: Vec::new(),
    };
    let allow_list = AllowList::load(Vec::new(), limits, store.clone()).await;
    let assignments = Assignments {
        recorder: Recorder::start(store.clone(), Arc::<FixedClock>::clone(&clock)),
        allow_list: Arc::new(allow_list.unwrap()),
        clock,
        idps: idps.iter().map(|name| idp(name)).collect(),
        without: [idp("sealed")].into(),
        fetch: None,
        store,
    };
    (bench, assignments)
}

fn ann() -> UserName {
    "ann".parse().unwrap()
}

async fn set(
    assignments: &Assignments,
    at: Option<&str>,
    arns: &str,
) -> Result<AssignmentView, AssignmentError> {
    let order = AssignmentOrder {
        user: ann(),
        idp: at.map(idp),
        role_arns: &[arns.to_owned()],
        reason: Some(" ticket 7 "),
        by: ADMIN,
    };
    assignments.set(order).await
}

fn arns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| role(name).to_string()).collect()
}

#[tokio::test]
async fn a_list_replaces_the_one_before_and_the_audit_has_both() {
    let (_bench, assignments) = stage(&["okta"]).await;
    let list = arns(&["a", "b,c", "a"]).join(", ");
    let view = set(&assignments, None, &list).await.unwrap();
    assert_eq!(view.role_arns, arns(&["a", "b,c"]));
    assert_eq!((&*view.user, &*view.idp, &*view.by), ("ann", "okta", ADMIN));
    assert_eq!(view.reason.as_deref(), Some("ticket 7"));
    assert_eq!(view.at, "2026-01-02T03:04:05Z");
    set(&assignments, Some("okta"), &arns(&["d"])[0])
        .await
        .unwrap();
    let shown = assignments.get(ann(), None).await.unwrap();
    assert_eq!(shown.role_arns, arns(&["d"]));
    let gone = assignments.unset(ann(), None, Some("left"), ADMIN).await;
    assert_eq!(gone.unwrap().role_arns, arns(&["d"]));
    let none = assignments.get(ann(), None).await.unwrap_err();
    assert!(matches!(none, AssignmentError::NotAssigned(_)), "{none}");
    let again = assignments.unset(ann(), None, None, ADMIN).await;
    assert!(matches!(again, Err(AssignmentError::NotAssigned(_))));

    let records = audit::list(&assignments.store, 0, 100).await.unwrap();
    let events: Vec<serde_json::Value> = records
        .iter()
        .map(|record| serde_json::from_str(&record.text).unwrap())
        .collect();
    let event = |at: usize| &events[at];
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(event(0)["kind"], "assignment_set");
    assert_eq!(event(0)["roles"], serde_json::json!(arns(&["a", "b,c"])));
    assert!(event(0).get("roles_before").is_none());
    assert_eq!(event(1)["roles"], serde_json::json!(arns(&["d"])));
    assert_eq!(
        event(1)["roles_before"],
        serde_json::json!(arns(&["a", "b,c"]))
    );
    assert_eq!(event(2)["kind"], "assignment_removed");
    assert_eq!(event(2)["roles_before"], serde_json::json!(arns(&["d"])));
    assert_eq!(event(2)["reason"], "left");
    assert_eq!(event(2)["by"], ADMIN);
}

#[tokio::test]
async fn several_idps_need_one_to_be_named() {
    let (_bench, assignments) = stage(&["okta", "entra", "sealed"]).await;
    let list = &arns(&["a"])[0];
    let error = set(&assignments, None, list).await.unwrap_err();
    assert!(matches!(&error, AssignmentError::IdpNeeded(idps) if idps.len() == 3));
    assert!(error.to_string().contains("okta, entra"), "{error}");
    let get = assignments.get(ann(), None).await.unwrap_err();
    assert!(matches!(get, AssignmentError::IdpNeeded(_)));
    let unknown = set(&assignments, Some("google"), list).await.unwrap_err();
    assert!(matches!(unknown, AssignmentError::UnknownIdp(..)));
    let off = set(&assignments, Some("sealed"), list).await.unwrap_err();
    assert!(matches!(off, AssignmentError::Off(_)));
    assert!(off.to_string().contains("assignments = \"off\""), "{off}");
    set(&assignments, Some("entra"), list).await.unwrap();
    let okta = assignments.get(ann(), Some(idp("okta"))).await;
    assert!(matches!(okta, Err(AssignmentError::NotAssigned(_))));
    let all = assignments
        .list(&AssignmentFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
    let (_bench, nobody) = stage(&[]).await;
    let error = set(&nobody, None, list).await.unwrap_err();
    assert!(matches!(error, AssignmentError::NoIdp));
}

#[tokio::test]
async fn what_is_no_role_that_can_be_assigned_is_refused_whole() {
    let (_bench, assignments) = stage(&["okta"]).await;
    let good = &arns(&["a"])[0];
    let reserved =
        "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_1";
    let linked =
        "arn:aws:iam::123456789012:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX";
    for (list, words) in [
        (String::new(), "one role ARN at least"),
        (" , ".to_owned(), "one role ARN at least"),
        (
            format!("{good},arn:aws:iam::1:role/b"),
            "nothing was assigned",
        ),
        ("reader".to_owned(), "nothing was assigned"),
        (
            "arn:aws:iam::123456789012:role/*".to_owned(),
            "nothing was assigned",
        ),
        (format!("{good},{reserved}"), "belong to AWS"),
        (linked.to_owned(), "belong to AWS"),
    ] {
        let error = set(&assignments, None, &list)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{list:?}: {error}");
    }
    let many: Vec<String> = (0..101)
        .map(|at| role(&format!("r{at}")).to_string())
        .collect();
    let error = set(&assignments, None, &many.join(",")).await.unwrap_err();
    assert!(matches!(error, AssignmentError::TooMany));
    assert!(assignments.get(ann(), None).await.is_err());
    set(&assignments, None, &many[1..].join(",")).await.unwrap();
}

#[tokio::test]
async fn what_keeps_a_role_from_being_had_is_noted() {
    let (bench, assignments) = stage(&["okta"]).await;
    let entry = |text: &str, method: Method| {
        let mut draft = EntryDraft::allowing(text.parse().unwrap());
        draft.method = Some(method);
        draft
    };
    let deny = |name: &str| EntryDraft {
        effect: Effect::Deny,
        ..EntryDraft::allowing(role(name).as_str().parse().unwrap())
    };
    let mut other = entry(role("elsewhere").as_str(), Method::Relay);
    other.idp = Some(idp("entra"));
    let mut ended = entry(role("ended").as_str(), Method::Relay);
    ended.expires_at = Some(bench.at(0));
    for draft in [
        entry("arn:aws:iam::123456789012:role/by-*", Method::Saml),
        entry(role("by-relay").as_str(), Method::Relay),
        entry(role("denied").as_str(), Method::Relay),
        deny("denied"),
        other,
        ended,
    ] {
        assignments.store.add_entry(draft, ADMIN).await.unwrap();
    }
    for (name, words) in [
        ("by-relay", None),
        ("by-saml", Some("use relay or broker")),
        ("none", Some("does not allow it yet")),
        ("elsewhere", Some("does not allow it yet")),
        ("ended", Some("does not allow it yet")),
        ("denied", Some("denies it")),
    ] {
        let view = set(&assignments, None, role(name).as_str()).await.unwrap();
        match words {
            None => assert!(view.notes.is_empty(), "{:?}", view.notes),
            Some(words) => {
                assert_eq!(view.notes.len(), 1, "{name}");
                assert!(view.notes[0].contains(words), "{:?}", view.notes);
            }
        }
    }
}

#[tokio::test]
async fn what_a_sign_in_overwrites_is_told_with_what_it_was() {
    let (_bench, assignments) = stage(&["okta"]).await;
    set(&assignments, None, &arns(&["a"])[0]).await.unwrap();
    let kept = assignments.store.assignment(&person("okta", "ann")).await;
    let kept = kept.unwrap().unwrap();
    assert_eq!(
        (kept.roles.as_slice(), &*kept.by),
        (&[role("a")][..], ADMIN)
    );
    let session = SessionId::fresh(&*assignments.clock, &crate::model::OsEntropy);
    let event = overwritten(&kept, &session);
    assert_eq!(event.kind, EventKind::AssignmentOverwritten);
    assert_eq!(event.roles_before, Some(kept.roles));
    assert_eq!(event.session, Some(session));
}
