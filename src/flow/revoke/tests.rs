//! What is audited and advised, and what a fetch's memory keeps.

use super::*;
use crate::audit;
use crate::model::UserName;
use crate::store::testing::{Bench, person, role};

async fn stage() -> (Bench, Revoke) {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await;
    bench.issue(&store, session.session(), 3600).await;
    let (lease, hash) = bench.lease("job-1");
    store.add_lease(&lease, &hash).await.unwrap();
    let clock = Arc::<crate::model::FixedClock>::clone(&bench.clock);
    let recorder = Recorder::start(store.clone(), clock);
    let revoke = Revoke {
        store,
        recorder,
        in_force: None,
    };
    (bench, revoke)
}

fn order(hold: bool) -> RevokeOrder<'static> {
    RevokeOrder {
        reason: "laptop lost",
        by: "admin:root",
        hold,
    }
}

#[tokio::test]
async fn every_session_and_lease_and_the_hold_are_in_the_audit() {
    let (_bench, revoke) = stage().await;
    let ann = person("okta", "ann");
    let user = ann.user.clone();
    let selector = Selector::User { user, idp: None };
    let view = revoke.revoke(&selector, order(true)).await.unwrap();
    let hold = view.unwrap().hold.unwrap();
    assert!(revoke.release(&hold, "admin:root").await.unwrap());
    assert!(!revoke.release(&hold, "admin:root").await.unwrap());
    let records = audit::list(&revoke.store, 0, 100).await.unwrap();
    let kinds: Vec<&str> = records.iter().map(|record| record.kind.as_str()).collect();
    let text: String = records.iter().map(|record| record.text.as_str()).collect();
    for kind in [
        "access_revoked",
        "session_ended",
        "lease_revoked",
        "hold_placed",
        "hold_released",
    ] {
        assert_eq!(
            kinds.iter().filter(|found| **found == kind).count(),
            1,
            "{kinds:?}"
        );
    }
    assert!(
        text.contains("user ann: 1 sessions, 1 leases, 1 credentials: laptop lost"),
        "{text}"
    );
    let of_ann = records
        .iter()
        .filter(|record| record.text.contains("\"user\":\"ann\""));
    assert_eq!(of_ann.count(), 5, "found by her name: {text}");
}

#[tokio::test]
async fn what_a_revocation_names_stands_in_fields_of_its_own() {
    let (_bench, revoke) = stage().await;
    let arn = role("reader");
    let selectors = [
        Selector::Role(arn.as_str().parse().unwrap()),
        Selector::Launcher("nightly".parse().unwrap()),
        Selector::All,
    ];
    for selector in &selectors {
        revoke.revoke(selector, order(true)).await.unwrap();
    }
    let records = audit::list(&revoke.store, 0, 100).await.unwrap();
    let named = |kind: &str, field: &str, value: &str| {
        let field = format!("\"{field}\":\"{value}\"");
        let of_kind = records.iter().filter(|record| record.kind == kind);
        of_kind
            .filter(|record| record.text.contains(&field))
            .count()
    };
    for kind in ["access_revoked", "hold_placed"] {
        assert_eq!(named(kind, "role", arn.as_str()), 1, "{kind}");
        assert_eq!(named(kind, "launcher", "nightly"), 1, "{kind}");
    }
}

#[tokio::test]
async fn the_policy_denies_what_was_issued_until_now_and_says_to_whom() {
    let (bench, revoke) = stage().await;
    let user: UserName = "ann".parse().unwrap();
    let selector = Selector::User { user, idp: None };
    let view = revoke
        .revoke(&selector, order(false))
        .await
        .unwrap()
        .unwrap();
    let until = crate::model::rfc3339(bench.at(3600));
    assert_eq!(
        view.credentials_valid_until.as_deref(),
        Some(until.as_str())
    );
    assert!(
        view.note.contains(&until) && view.note.contains("user_attribute"),
        "{}",
        view.note
    );
    let advice = &view.aws[0];
    // The clock stands at 03:04:05.678: AWS's whole seconds up to 05 are older than 06.
    let older = serde_json::json!({ "aws:TokenIssueTime": "2026-01-02T03:04:06Z" });
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {
                "DateLessThan": older, "StringLike": { "aws:userid": "*:ann" },
            } },
            { "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {
                "DateLessThan": older, "StringEquals": { "aws:SourceIdentity": "ann" },
            } },
        ],
    });
    assert_eq!(advice.policy, policy);
    let command = format!(
        "aws iam put-role-policy --role-name reader --policy-name AWSRevokeOlderSessions-ann --policy-document '{policy}'"
    );
    assert_eq!(advice.command, command);
    assert_eq!(advice.users, ["ann"]);
    let again = revoke
        .revoke(&selector, order(false))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((again.credentials_valid_until, again.aws.len()), (None, 0));
}

#[tokio::test]
async fn a_role_with_a_path_is_named_without_it_and_denied_to_all() {
    let (bench, revoke) = stage().await;
    let deep: crate::model::RoleArn = "arn:aws:iam::123456789012:role/team/a/deep"
        .parse()
        .unwrap();
    let done = Revocation {
        at: bench.at(0),
        sessions: Vec::new(),
        leases: Vec::new(),
        forgotten: 1,
        still_live: vec![crate::store::StillLive {
            tokens_until: None,
            role: deep,
            person: person("okta", "ann"),
            until: bench.at(900),
        }],
        hold: None,
    };
    let view = RevokedView::of(&Selector::All, &done);
    let command = &view.aws[0].command;
    assert!(
        command.contains("--role-name deep --policy-name AWSRevokeOlderSessions --policy"),
        "{command}"
    );
    assert!(!command.contains("aws:userid"), "{command}");
    let unknown = Selector::Lease("lea_1".parse().unwrap());
    assert!(
        revoke
            .revoke(&unknown, order(false))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn holds_in_memory_follow_the_store_when_they_are_told() {
    let (_bench, revoke) = stage().await;
    let holds = Holds::load(revoke.store.clone()).await.unwrap();
    let (ann, reader) = (person("okta", "ann"), role("reader"));
    assert!(holds.permit(&ann, &reader, None).is_ok());
    let selector = Selector::Role(reader.as_str().parse().unwrap());
    revoke
        .revoke(&selector, order(true))
        .await
        .unwrap()
        .unwrap();
    holds.refresh().await.unwrap();
    let refused = holds.permit(&ann, &reader, None).unwrap_err();
    assert_eq!(refused.to_string(), "held by an admin: laptop lost");
    assert!(holds.permit(&ann, &role("writer"), None).is_ok());
    assert!(holds.on(Some(&ann), None, None).is_none(), "sign-ins pass");
    assert_eq!(revoke.holds().await.unwrap().len(), 1);
}

#[test]
fn a_reason_is_one_line_of_some_text() {
    assert_eq!(good_reason(" laptop lost "), Ok("laptop lost"));
    for bad in ["", "  ", "two\nlines", &"x".repeat(501)] {
        assert!(good_reason(bad).is_err(), "{bad:?}");
    }
}
