//! Refreshes beside a provider on loopback and the sandbox STS.

mod party;
pub(in crate::flow) mod stage;

use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::flow::FetchError;
use crate::store::testing::{idp, role};
use party::Reply;
use stage::{Gate, Stage};

const MINUTE: TimeDelta = TimeDelta::seconds(60);

/// A signed-in person whose ID token has 20 s left.
async fn nearly_over() -> (Stage, Gate, SessionId) {
    let stage = Stage::set().await;
    stage.allow_reader().await;
    let gate = stage.gate("one").await;
    let subject = stage.sign_in(&gate, true).await;
    stage.passes(280);
    (stage, gate, subject.session().clone())
}

async fn current(gate: &Gate, session: &SessionId) -> Result<Secret, TokenProblem> {
    let token = gate.id_tokens.current(session, MINUTE).await;
    token.map(|token| token.jwt)
}

#[tokio::test]
async fn a_good_token_is_given_without_asking() {
    let stage = Stage::set().await;
    let gate = stage.gate("one").await;
    let subject = stage.sign_in(&gate, true).await;
    stage.passes(239);
    let first = current(&gate, subject.session()).await.unwrap();
    assert!(stage.party.shown().is_empty());
    stage.passes(1);
    assert_ne!(current(&gate, subject.session()).await.unwrap(), first);
    assert_eq!(stage.party.shown(), ["refresh-0"]);
}

#[tokio::test]
async fn fifty_who_want_it_make_one_call() {
    let (stage, gate, session) = nearly_over().await;
    let all = join_all((0..50).map(|_| current(&gate, &session))).await;
    let first = all[0].clone().unwrap();
    assert!(all.into_iter().all(|token| token == Ok(first.clone())));
    assert_eq!(stage.party.shown(), ["refresh-0"]);
}

#[tokio::test]
async fn two_replicas_make_one_call() {
    let (stage, one, session) = nearly_over().await;
    let two = stage.gate("two").await;
    let (here, there) = tokio::join!(current(&one, &session), current(&two, &session));
    assert_eq!(here.unwrap(), there.unwrap());
    assert_eq!(stage.party.shown(), ["refresh-0"]);
    // And neither does the look ahead of the other, which had it on its list.
    stage.lease(&one).await;
    stage.passes(250);
    let okta = idp("okta");
    let (here, there) = tokio::join!(
        one.id_tokens.refresh_due(&okta),
        two.id_tokens.refresh_due(&okta)
    );
    here.and(there).unwrap();
    assert_eq!(stage.party.shown(), ["refresh-0", "refresh-1"]);
}

#[tokio::test]
async fn ten_refreshes_in_a_row_use_each_token_once() {
    let (stage, gate, session) = nearly_over().await;
    for _ in 0..10 {
        current(&gate, &session).await.unwrap();
        stage.passes(280);
    }
    let each: Vec<String> = (0..10).map(|turn| format!("refresh-{turn}")).collect();
    assert_eq!(stage.party.shown(), each);
    assert_eq!(
        gate.recorded("tokens_refreshed").await,
        1,
        "the first alone"
    );
}

#[tokio::test]
async fn a_refresh_token_that_is_not_rotated_is_used_again() {
    let (stage, gate, session) = nearly_over().await;
    for _ in 0..2 {
        stage.party.will(Reply::SameRefreshToken);
        current(&gate, &session).await.unwrap();
        stage.passes(280);
    }
    assert_eq!(stage.party.shown(), ["refresh-0", "refresh-0"]);
}

#[tokio::test]
async fn without_an_id_token_the_one_before_goes_on_while_it_is_good() {
    let stage = Stage::set().await;
    stage.allow_reader().await;
    let gate = stage.gate("one").await;
    let subject = stage.sign_in(&gate, true).await;
    let job = stage.lease(&gate).await;
    let first = current(&gate, subject.session()).await.unwrap();
    stage.passes(200);
    stage.party.will(Reply::NoIdToken);
    gate.id_tokens.refresh_due(&idp("okta")).await.unwrap();
    assert_eq!(stage.party.shown(), ["refresh-0"]);
    assert_eq!(current(&gate, subject.session()).await.unwrap(), first);
    stage.passes(80);
    for _ in 0..3 {
        stage.party.will(Reply::NoIdToken);
        let over = current(&gate, subject.session()).await.unwrap_err();
        assert!(matches!(over, TokenProblem::NoIdToken(_)), "{over}");
        assert!(over.needs_sign_in());
    }
    assert_eq!(stage.party.shown(), ["refresh-0", "refresh-1"]);
    let refused = gate.fetch.for_lease(&job).await.err().unwrap();
    assert!(
        matches!(refused, FetchError::SignInNeeded { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_token_of_another_person_is_refused_and_the_session_goes_on() {
    let stage = Stage::set().await;
    stage.allow_reader().await;
    let gate = stage.gate("one").await;
    let subject = stage.sign_in(&gate, true).await;
    let session = subject.session();
    stage.lease(&gate).await;
    let first = current(&gate, session).await.unwrap();
    stage.passes(200);
    stage.party.will(Reply::Tokens(json!({ "sub": "s-2" })));
    for _ in 0..3 {
        gate.id_tokens.refresh_due(&idp("okta")).await.unwrap();
    }
    assert_eq!(stage.party.shown(), ["refresh-0"]);
    assert_eq!(current(&gate, session).await.unwrap(), first);
    assert_eq!(gate.recorded("alarm").await, 1);
    stage.passes(80);
    let refused = current(&gate, session).await.unwrap_err();
    assert_eq!(refused.code(), "subject_differs");
    assert!(!refused.is_transient());
    assert_eq!(stage.party.shown(), ["refresh-0"], "not before its end");
    assert!(gate.store.session(session).await.unwrap().is_some());
}

#[tokio::test]
async fn what_the_provider_ends_is_ended() {
    let (stage, gate, session) = nearly_over().await;
    let job = stage.lease(&gate).await;
    stage.party.will(Reply::Refused(400, "invalid_grant"));
    let ended = current(&gate, &session).await.unwrap_err();
    assert!(
        matches!(ended, TokenProblem::EndedByProvider { .. }),
        "{ended}"
    );
    assert!(gate.store.session(&session).await.unwrap().is_none());
    assert_eq!(gate.recorded("session_ended").await, 1);
    assert_eq!(current(&gate, &session).await, Err(TokenProblem::Ended));
    let refused = gate.fetch.for_lease(&job).await.err().unwrap();
    assert!(
        matches!(refused, FetchError::SignInNeeded { .. }),
        "{refused}"
    );
    assert_eq!(stage.party.shown(), ["refresh-0"]);
}

#[tokio::test]
async fn while_the_provider_fails_credentials_go_on_and_it_is_asked_seldom() {
    let stage = Stage::set().await;
    stage.allow_reader().await;
    let gate = stage.gate("one").await;
    stage.sign_in(&gate, true).await;
    let job = stage.lease(&gate).await;
    let served = gate.fetch.for_lease(&job).await.unwrap();
    stage.passes(280);
    // The look ahead pauses for 10, 20 and 40 s.
    for (calls, after) in [(1, 6), (1, 6), (2, 15), (2, 6), (3, 0)] {
        stage
            .party
            .will(Reply::Refused(503, "temporarily_unavailable"));
        gate.id_tokens.refresh_due(&idp("okta")).await.unwrap();
        assert_eq!(stage.party.shown().len(), calls);
        let again = gate.fetch.for_lease(&job).await.unwrap();
        assert_eq!(
            again.credentials.access_key_id,
            served.credentials.access_key_id
        );
        stage.passes(after);
    }
    assert_eq!(gate.recorded("refresh_failed").await, 1, "the first alone");
}

#[tokio::test]
async fn a_call_without_an_answer_is_repeated_after_a_pause_alone() {
    let (stage, gate, session) = nearly_over().await;
    stage.party.will(Reply::Drop);
    let away = current(&gate, &session).await.unwrap_err();
    assert!(away.is_transient(), "{away}");
    for _ in 0..3 {
        assert_eq!(current(&gate, &session).await, Err(away.clone()));
        stage.passes(19);
    }
    // Nor by another process.
    let claim = gate.store.claim_refresh(&session, "other", CLAIM).await;
    assert!(matches!(claim.unwrap(), RefreshClaim::Busy));
    assert_eq!(stage.party.shown(), ["refresh-0"]);
    stage.passes(4);
    current(&gate, &session).await.unwrap();
    assert_eq!(stage.party.shown(), ["refresh-0", "refresh-0"]);
}

#[tokio::test]
async fn where_a_provider_is_away_just_when_it_is_needed_a_job_is_told_so() {
    let (stage, gate, _) = nearly_over().await;
    let job = stage.lease(&gate).await;
    stage
        .party
        .will(Reply::Refused(503, "temporarily_unavailable"));
    let away = gate.fetch.for_lease(&job).await.err().unwrap();
    let FetchError::StsAway { reason, .. } = &away else {
        panic!("{away}");
    };
    assert!(reason.contains("okta cannot be asked"), "{reason}");
    stage.passes(6);
    assert!(gate.fetch.for_lease(&job).await.is_ok());
}

#[tokio::test]
async fn a_role_that_went_away_is_refused_in_the_same_answer() {
    let (stage, gate, session) = nearly_over().await;
    let job = stage.lease(&gate).await;
    let other = json!({ "aws_role_arn": [role("writer").as_str()] });
    stage.party.will(Reply::Tokens(other));
    let gone = gate.fetch.for_lease(&job).await.err().unwrap();
    assert!(matches!(gone, FetchError::NotOffered { .. }), "{gone}");
    assert_eq!(gate.recorded("offers_changed").await, 1);
    assert_eq!(gate.recorded("credentials_issued").await, 0);
    let live = gate.store.session(&session).await.unwrap().unwrap();
    assert_eq!(live.subject.parts().offers[0].role, role("writer"));
    // And comes back with the next.
    stage.passes(280);
    assert_eq!(current(&gate, &session).await, Err(TokenProblem::Changed));
    assert!(gate.fetch.for_lease(&job).await.is_ok());
}

#[tokio::test]
async fn a_key_that_is_new_is_asked_for() {
    let (stage, gate, session) = nearly_over().await;
    stage.party.rotates_its_key();
    current(&gate, &session).await.unwrap();
    assert_eq!(stage.party.shown(), ["refresh-0"]);
}

#[tokio::test]
async fn where_sts_does_not_take_a_token_a_newer_one_is_tried_once() {
    let stage = Stage::set().await;
    stage.allow_reader().await;
    let gate = stage.gate("one").await;
    stage.sign_in(&gate, true).await;
    let job = stage.lease(&gate).await;
    stage.party.rotates_its_key();
    // A young one is not renewed for that.
    let refused = gate.fetch.for_lease(&job).await.err().unwrap();
    assert!(
        matches!(refused, FetchError::RefusedBySts { .. }),
        "{refused}"
    );
    assert!(stage.party.shown().is_empty());
    stage.passes(100);
    assert!(gate.fetch.for_lease(&job).await.is_ok());
    assert_eq!(stage.party.shown(), ["refresh-0"]);
}

#[tokio::test]
async fn what_was_rotated_is_kept_also_where_the_id_token_is_refused() {
    let (stage, gate, session) = nearly_over().await;
    stage.party.will(Reply::Tokens(json!({ "exp": 1 })));
    let refused = current(&gate, &session).await.unwrap_err();
    assert_eq!(refused.code(), "expired");
    stage.passes(10);
    current(&gate, &session).await.unwrap();
    assert_eq!(stage.party.shown(), ["refresh-0", "refresh-1"]);
}

#[tokio::test]
async fn only_what_a_live_lease_could_draw_on_is_renewed_ahead() {
    let stage = Stage::set().await;
    let gate = stage.gate("one").await;
    stage.sign_in(&gate, true).await;
    stage.passes(200);
    gate.id_tokens.refresh_due(&idp("okta")).await.unwrap();
    stage.lease(&gate).await;
    gate.id_tokens.refresh_due(&idp("okta")).await.unwrap();
    assert!(stage.party.shown().is_empty(), "the role is not allowed");
    let due = gate.store.due_refreshes(&idp("okta"), 10).await.unwrap();
    assert!(due.is_empty(), "put off");
    stage.allow_reader().await;
    let gate = stage.gate("two").await;
    stage.passes(60);
    gate.id_tokens.refresh_due(&idp("okta")).await.unwrap();
    assert_eq!(stage.party.shown(), ["refresh-0"]);
}

#[tokio::test]
async fn without_a_refresh_token_all_is_made_at_the_sign_in_and_lasts_to_its_end() {
    let stage = Stage::set().await;
    stage.allow_reader().await;
    let gate = stage.gate("one").await;
    let subject = stage.sign_in(&gate, false).await;
    let job = stage.lease(&gate).await;
    let turn = gate.mint.turns.take().await.unwrap();
    let minting = gate.mint.start_with_id_token(Arc::clone(&subject), turn);
    minting.await.unwrap();
    assert_eq!(gate.recorded("credentials_issued").await, 1);
    let served = gate.fetch.for_lease(&job).await.unwrap();
    for seconds in [300, 2400, 890] {
        stage.passes(seconds);
        let again = gate.fetch.for_lease(&job).await.unwrap();
        assert_eq!(
            again.credentials.access_key_id,
            served.credentials.access_key_id
        );
    }
    assert_eq!(gate.recorded("issue_failed").await, 0);
    stage.passes(20);
    let over = gate.fetch.for_lease(&job).await.err().unwrap();
    assert!(matches!(over, FetchError::SignInNeeded { .. }), "{over}");
    let problem = current(&gate, subject.session()).await.unwrap_err();
    assert!(matches!(problem, TokenProblem::Over(_)), "{problem}");
}

#[tokio::test]
async fn a_gateway_that_stops_lets_no_refresh_begin() {
    let (stage, gate, session) = nearly_over().await;
    assert!(gate.id_tokens.settle().await);
    // Told at once: who waited would keep the gateway from its end.
    let told = current(&gate, &session).await;
    assert!(matches!(told, Err(TokenProblem::Waiting)), "{told:?}");
    assert!(stage.party.shown().is_empty());
}

#[tokio::test]
async fn a_claim_that_says_less_takes_the_rest_away() {
    let (stage, gate, session) = nearly_over().await;
    let attributes = async || {
        let live = gate.store.session(&session).await.unwrap().unwrap();
        live.subject.parts().attributes.clone()
    };
    stage.party.will(Reply::Tokens(json!({
        "groups": ["admins"], "team": "blue", "realm": { "roles": ["ops"], "name": "a" },
        "https://aws.amazon.com/tags": { "principal_tags": { "cost": ["1"] } },
    })));
    current(&gate, &session).await.unwrap();
    let tag = "https://aws.amazon.com/SAML/Attributes/PrincipalTag:cost";
    let told = attributes().await;
    for name in ["groups", "team", "realm.roles", "realm.name", tag] {
        assert!(told.contains_key(name), "{name}: {told:?}");
    }
    stage.passes(280);
    stage.party.will(Reply::Tokens(json!({
        "groups": [], "realm": { "name": "a" }, "https://aws.amazon.com/tags": {},
    })));
    current(&gate, &session).await.unwrap();
    let told = attributes().await;
    for name in ["groups", "realm.roles", tag] {
        assert!(!told.contains_key(name), "{name}: {told:?}");
    }
    // A claim that the token does not have says nothing, as with the roles.
    assert!(told.contains_key("team") && told.contains_key("realm.name"));
}

#[tokio::test]
async fn a_refresh_token_goes_to_the_issuer_that_gave_it_alone() {
    let (mut stage, _, session) = nearly_over().await;
    // The configuration gives the provider's name to another issuer.
    stage.party = party::Party::start(Arc::clone(&stage.bench.clock)).await;
    let gate = stage.gate("two").await;
    let problem = current(&gate, &session).await.unwrap_err();
    assert!(
        matches!(problem, TokenProblem::ProviderUnknown(_)),
        "{problem}"
    );
    assert!(stage.party.shown().is_empty());
}

#[tokio::test]
async fn a_provider_that_hangs_keeps_no_other_waiting() {
    let (stage, gate, session) = nearly_over().await;
    let mut theirs = Vec::new();
    for _ in 0..turns::AT_ONCE {
        stage.slow.will(Reply::Hang);
        let subject = stage.sign_in_at("slow", &stage.slow, &gate, true).await;
        theirs.push(subject.session().clone());
    }
    stage.passes(280);
    for session in &theirs {
        let (id_tokens, session) = (Arc::clone(&gate.id_tokens), session.clone());
        tokio::spawn(async move { id_tokens.current(&session, MINUTE).await });
    }
    while stage.slow.shown().len() < theirs.len() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let patience = Duration::from_secs(5);
    let soon = tokio::time::timeout(patience, current(&gate, &session)).await;
    soon.expect("another's turn").unwrap();
}
