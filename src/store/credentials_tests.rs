//! Claims and sealed credentials, against a database in a temporary folder.

use futures_util::future::join_all;

use super::*;
use crate::store::testing::{
    Bench, SECRET, SESSION_TOKEN, TestSignIn, claim_of, issue_key, person, role,
};
use crate::store::{NewSession, SessionState};

#[tokio::test]
async fn of_many_claims_one_is_won() {
    let bench = Bench::new();
    let store = bench.open().await;
    let elsewhere = bench.open().await;
    let session = bench.session(&store, "a").await.session().clone();
    let claims = join_all((0..32).map(|n| {
        let (store, session) = (
            if n % 2 == 0 { &store } else { &elsewhere }.clone(),
            session.clone(),
        );
        tokio::spawn(async move {
            let claimant = format!("replica {n}");
            store
                .claim(&claim_of(&issue_key(&session), &session, &claimant))
                .await
                .unwrap()
        })
    }))
    .await;
    let won = claims
        .into_iter()
        .filter(|claim| match claim.as_ref().unwrap() {
            Claim::Won => true,
            Claim::Busy => false,
            other => panic!("{other:?}"),
        });
    assert_eq!(won.count(), 1);
}

#[tokio::test]
async fn what_was_issued_is_for_all_until_it_expires() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await.session().clone();
    assert!(
        store
            .credentials(&issue_key(&session))
            .await
            .unwrap()
            .is_none()
    );
    let key = bench.issue(&store, &session, 3600).await;

    let claim = async || store.claim(&claim_of(&key, &session, "you")).await.unwrap();
    let Claim::Issued(found) = claim().await else {
        panic!("nothing issued");
    };
    assert_eq!(found.secret_access_key.expose(), SECRET);
    assert_eq!(found.session_token.expose(), SESSION_TOKEN);
    assert_eq!(found.expires_at, bench.at(3600));
    let all = store.credentials_of(&session).await.unwrap();
    assert!(
        matches!(&all[..], [known] if known.role == role("reader") && known.key == key
            && matches!(known.state, CredentialState::Issued(_)))
    );
    let ann = person("okta", "ann");
    let of = async |arn: &str| {
        let newest = store.newest_issued(&session, &role(arn)).await.unwrap();
        let kind = format!("{arn} by saml");
        let last = store.last_issued_for(&ann, &kind).await.unwrap();
        (newest.is_some(), last.is_some())
    };
    assert_eq!(of("reader").await, (true, true));
    assert_eq!(of("writer").await, (false, false));

    bench.clock.advance(TimeDelta::seconds(3600));
    assert_eq!(of("reader").await, (false, false));
    assert!(store.credentials(&key).await.unwrap().is_none());
    assert!(matches!(claim().await, Claim::Won));
}

#[tokio::test]
async fn older_credentials_are_found_over_sessions_until_these_are_ended() {
    let bench = Bench::new();
    let store = bench.open().await;
    let first = bench.session(&store, "a").await.session().clone();
    let key = bench.issue(&store, &first, 3600).await;
    bench.clock.advance(TimeDelta::milliseconds(1));
    let second = bench.session(&store, "b").await.session().clone();
    let ann = person("okta", "ann");
    assert!(
        store
            .newest_issued(&second, &role("reader"))
            .await
            .unwrap()
            .is_none()
    );
    let found = store.last_issued_for(&ann, "reader by saml").await.unwrap();
    assert!(found.is_some());
    let stranger = person("entra", "ann");
    assert!(
        store
            .last_issued_for(&stranger, "reader by saml")
            .await
            .unwrap()
            .is_none()
    );
    store.end_session(&first).await.unwrap();
    assert!(
        store
            .last_issued_for(&ann, "reader by saml")
            .await
            .unwrap()
            .is_none()
    );
    assert!(store.credentials(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn a_failure_holds_others_off_for_two_seconds_and_is_told_until_a_success() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await.session().clone();
    let key = issue_key(&session);
    let claim = async |who: &str| store.claim(&claim_of(&key, &session, who)).await.unwrap();
    assert!(matches!(claim("me").await, Claim::Won));
    assert!(!store.put_failure(&key, "you", "{}").await.unwrap());
    assert!(matches!(
        store.credentials(&key).await.unwrap(),
        Some(CredentialState::Busy)
    ));
    assert!(
        store
            .put_failure(&key, "me", "{\"throttled\":1}")
            .await
            .unwrap()
    );
    let Claim::Failed { reason, at } = claim("you").await else {
        panic!("not failed");
    };
    assert_eq!((reason.as_str(), at), ("{\"throttled\":1}", bench.at(0)));
    bench.clock.advance(TimeDelta::seconds(2));
    let told = store.credentials(&key).await.unwrap();
    assert!(matches!(told, Some(CredentialState::Failed(reason)) if reason == "{\"throttled\":1}"));
    assert!(matches!(claim("you").await, Claim::Won));
    assert!(matches!(claim("me").await, Claim::Busy));
    let credentials = bench.credentials(900);
    assert!(
        store
            .put_credentials(&key, "you", &credentials)
            .await
            .unwrap()
    );
    assert!(matches!(claim("me").await, Claim::Issued(_)));
}

#[tokio::test]
async fn a_claim_is_taken_over_after_a_minute_and_its_first_holder_puts_nothing() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await.session().clone();
    let key = issue_key(&session);
    let claim = async |who: &str| store.claim(&claim_of(&key, &session, who)).await.unwrap();
    assert!(matches!(claim("me").await, Claim::Won));
    bench.clock.advance(TimeDelta::seconds(59));
    assert!(matches!(claim("you").await, Claim::Busy));
    bench.clock.advance(TimeDelta::seconds(1));
    assert!(matches!(claim("you").await, Claim::Won));
    let credentials = bench.credentials(900);
    assert!(
        !store
            .put_credentials(&key, "me", &credentials)
            .await
            .unwrap()
    );
    assert!(
        store
            .put_credentials(&key, "you", &credentials)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn nothing_is_put_for_a_session_that_was_ended_meanwhile() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await.session().clone();
    let key = issue_key(&session);
    let claim = store.claim(&claim_of(&key, &session, "me")).await;
    assert!(matches!(claim.unwrap(), Claim::Won));
    store.end_session(&session).await.unwrap();
    let credentials = bench.credentials(900);
    assert!(
        !store
            .put_credentials(&key, "me", &credentials)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn no_secret_stands_in_the_files_and_none_opens_elsewhere() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await.session().clone();
    let key = bench.issue(&store, &session, 3600).await;
    let other = NewSession {
        token: None,
        ..bench.new_session(SessionState::Confirmed)
    };
    let other = bench.open_as(&store, TestSignIn::new("b"), other).await;
    let other_key = bench.issue(&store, other.session(), 3600).await;

    let text = bench.text_on_disk().await;
    let holds = |wanted: &str| text.contains(wanted);
    assert!(holds("ASIAEXAMPLE"), "the search finds what is there");
    for secret in [SECRET, SESSION_TOKEN, "hush-hush"] {
        assert!(!holds(secret), "{secret}");
    }

    assert!(store.credentials(&other_key).await.is_ok());
    bench
        .tamper(
            "UPDATE credentials SET sealed = (SELECT sealed FROM credentials ORDER BY issue_key LIMIT 1)
             WHERE issue_key = (SELECT max(issue_key) FROM credentials)",
        )
        .await;
    let (moved, kept) = if key.as_str() > other_key.as_str() {
        (&key, &other_key)
    } else {
        (&other_key, &key)
    };
    assert!(store.credentials(kept).await.is_ok());
    let damaged = store.credentials(moved).await.unwrap_err();
    assert!(matches!(
        damaged,
        StoreError::Corrupt {
            table: "credentials",
            ..
        }
    ));
}

#[tokio::test]
async fn neither_expiry_nor_role_can_be_exchanged_under_the_seal() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await.session().clone();
    let key = bench.issue(&store, &session, 3600).await;
    for (change, undo) in [
        (
            "UPDATE credentials SET expires_at = expires_at + 1000",
            "UPDATE credentials SET expires_at = expires_at - 1000",
        ),
        (
            "UPDATE credentials SET role = role || 'x'",
            "UPDATE credentials SET role = substr(role, 1, length(role) - 1)",
        ),
    ] {
        bench.tamper(change).await;
        assert!(store.credentials(&key).await.is_err(), "{change}");
        bench.tamper(undo).await;
        assert!(store.credentials(&key).await.is_ok(), "{undo}");
    }
}

/// A claim, what STS brings for it, and a revocation, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_revocation_races_with_is_gone_when_both_are_done() {
    let bench = std::sync::Arc::new(Bench::new());
    let store = bench.open().await;
    let (mut kept, mut late) = (0, 0);
    for round in 0..200 {
        let session = bench.session(&store, &format!("race-{round}")).await;
        let key = issue_key(session.session());
        let mint = {
            let (store, session, key) = (store.clone(), session.session().clone(), key.clone());
            let credentials = bench.credentials(3600);
            tokio::spawn(async move {
                let claim = store.claim(&claim_of(&key, &session, "me")).await;
                // A session that is gone altogether takes no claim; this one only ended.
                assert!(matches!(claim.unwrap(), Claim::Won));
                store
                    .put_credentials(&key, "me", &credentials)
                    .await
                    .unwrap()
            })
        };
        let revoke = {
            let (store, user) = (store.clone(), person("okta", "ann").user);
            // Each round another moment of the mint.
            let moment = std::time::Duration::from_micros(round * 25);
            tokio::spawn(async move {
                tokio::time::sleep(moment).await;
                let selector = crate::store::Selector::User { user, idp: None };
                let order = crate::store::RevokeOrder {
                    reason: "a race",
                    by: "local:root",
                    hold: false,
                };
                store.revoke(&selector, order).await.unwrap().unwrap()
            })
        };
        let (put, revoked) = (mint.await.unwrap(), revoke.await.unwrap());
        assert_eq!(revoked.sessions.len(), 1);
        kept += u32::from(put);
        late += u32::from(!put);
        let known = store.credentials(&key).await.unwrap();
        assert!(
            !matches!(known, Some(CredentialState::Issued(_))),
            "round {round}: stored as live"
        );
        let role = role("reader");
        let newest = store.newest_issued(session.session(), &role).await.unwrap();
        assert!(newest.is_none(), "round {round}: served");
    }
    // The twin: without a revocation they stay.
    let session = bench.session(&store, "twin").await;
    let key = bench.issue(&store, session.session(), 3600).await;
    let known = store.credentials(&key).await.unwrap();
    assert!(matches!(known, Some(CredentialState::Issued(_))));
    println!("{kept} were put before the revocation, {late} came too late");
}
