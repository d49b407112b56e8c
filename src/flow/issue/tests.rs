//! What becomes of renewals and of revocations while STS is asked, beside a provider and the sandbox STS.

use super::*;
use crate::demo::sts::Fault;
use crate::flow::id_tokens::tests::stage::{Gate, Stage};
use crate::store::testing::{person, role};
use crate::store::{RevokeOrder, Selector};

/// Ann has signed in, and a job has a lease on the role.
async fn leased() -> (Stage, Gate, TokenHash) {
    let stage = Stage::set().await;
    stage.allow_reader().await;
    let gate = stage.gate("one").await;
    stage.sign_in(&gate, true).await;
    let token = stage.lease(&gate).await;
    (stage, gate, token)
}

async fn fetched(gate: &Gate, token: &TokenHash) -> String {
    let served = gate.fetch.for_lease(token).await.unwrap();
    served.credentials.access_key_id.clone()
}

impl Issuer {
    /// How many renewals wait.
    fn waiting(&self) -> usize {
        self.due.len()
    }
}

#[tokio::test]
async fn a_renewal_is_tried_again_until_it_succeeds() {
    let (stage, gate, token) = leased().await;
    let first = fetched(&gate, &token).await;
    let issued = stage.sandbox.issued_for(role("reader").as_str());
    let [session] = issued.as_slice() else {
        panic!("{issued:?}");
    };
    let life = session.expires_at - session.issued_at;
    let underway = &gate.mint.issuer.parts.underway;
    let renew = async || {
        Arc::clone(&gate.fetch).renew_due().await;
        underway.settle().await;
    };
    renew().await;
    assert_eq!(
        stage.sandbox.calls_for(role("reader").as_str()),
        1,
        "not due"
    );

    // In its last 20 minutes, and a little before.
    stage.passes((life - TimeDelta::minutes(22)).num_seconds());
    stage.sandbox.set_fault(Fault::Denied);
    for _ in 0..60 {
        renew().await;
        stage.passes(5);
        assert_eq!(gate.mint.issuer.waiting(), 1);
    }
    // At 2, 4, 8, 16, 32 and 60 s, as far as one looks each 5 s; not at every look.
    let calls = stage.sandbox.calls_for(role("reader").as_str()) - 1;
    assert!((7..=14).contains(&calls), "{calls}");
    assert_eq!(fetched(&gate, &token).await, first, "what lives goes on");

    stage.sandbox.set_fault(Fault::None);
    for _ in 0..13 {
        stage.passes(5);
        renew().await;
    }
    let issued = stage.sandbox.issued_for(role("reader").as_str());
    assert_eq!(issued.len(), 2);
    assert_eq!(fetched(&gate, &token).await, issued[1].access_key_id);
}

#[tokio::test]
async fn what_is_forgotten_and_found_again_waits_once() {
    let (stage, gate, token) = leased().await;
    for _ in 0..100 {
        fetched(&gate, &token).await;
        gate.fetch.forget();
    }
    assert_eq!(gate.mint.issuer.waiting(), 1);
    drop(stage);
}

#[tokio::test]
async fn what_was_asked_for_before_a_revocation_is_not_given_to_who_comes_after_it() {
    let (stage, gate, token) = leased().await;
    let issuer = Arc::clone(&gate.mint.issuer);
    let before = fetched(&gate, &token).await;
    let live = gate.store.newest_session(&person("okta", "ann")).await;
    let session = live.unwrap().unwrap().subject.session().clone();
    let mut known = gate.store.credentials_of(&session).await.unwrap();
    let key = known.remove(0).key;
    let hot = issuer.known(&key).await.unwrap().unwrap();
    assert_eq!(hot.credentials.access_key_id, before);
    // Its task has put them into the store, and is about to say so.
    let (tower, landing) = issuer.flights.tasks.held(&key);
    let order = RevokeOrder {
        reason: "a test",
        by: "local:root",
        hold: false,
    };
    let all = Selector::Role(role("reader").as_str().parse().unwrap());
    gate.store.revoke(&all, order).await.unwrap().unwrap();
    gate.fetch.forget();
    let token = stage.lease(&gate).await;
    let lands = async {
        // The map's own, and that of who asks.
        while tower.receiver_count() < 2 {
            tokio::task::yield_now().await;
        }
        drop(landing);
        tower.send_replace(Some(Outcome::Issued(hot)));
    };
    let (after, ()) = tokio::join!(fetched(&gate, &token), lands);
    assert_ne!(after, before);
    let given = stage.sandbox.issued_for(role("reader").as_str());
    assert!(given.iter().any(|session| session.access_key_id == after));
}
