//! Refreshes, against a database in a temporary folder.

use std::slice::from_ref;

use futures_util::future::join_all;

use super::*;
use crate::model::Offer;
use crate::store::testing::{Bench, TestSignIn, idp, person, role};
use crate::store::{SessionState, StoreError};

const MINUTE: TimeDelta = TimeDelta::seconds(60);

fn nothing_new(bench: &Bench) -> RefreshedTokens {
    RefreshedTokens {
        id_token: None,
        refresh_token: None,
        offers: None,
        attributes: Attributes::new(),
        refresh_at: bench.at(300),
    }
}

fn rotated(bench: &Bench, to: &str) -> RefreshedTokens {
    RefreshedTokens {
        id_token: Some(bench.id_token(to)),
        refresh_token: Some(Secret::new(format!("refresh-{to}"))),
        ..nothing_new(bench)
    }
}

fn offering(name: &str) -> Offers {
    Offers {
        offers: vec![Offer {
            role: role(name),
            provider: None,
        }],
        refused: Vec::new(),
    }
}

fn assigned(bench: &Bench) -> Assignment {
    Assignment {
        person: person("okta", "ann"),
        roles: vec![role("writer")],
        by: "local:root".to_owned(),
        reason: None,
        at: bench.at(0),
    }
}

async fn won(store: &Store, session: &SessionId, claimant: &str) -> OidcTokens {
    match store.claim_refresh(session, claimant, MINUTE).await {
        Ok(RefreshClaim::Won(tokens)) => tokens,
        other => panic!("{other:?}"),
    }
}

async fn kept(store: &Store, session: &SessionId) -> (String, Option<String>) {
    let tokens = store.oidc_tokens(session).await.unwrap().unwrap();
    let refresh_token = tokens.refresh_token;
    (
        tokens.id_token.jwt.expose().to_owned(),
        refresh_token.map(|token| token.expose().to_owned()),
    )
}

fn pair(jwt: &str, refresh_token: &str) -> (String, Option<String>) {
    (jwt.to_owned(), Some(refresh_token.to_owned()))
}

#[tokio::test]
async fn of_64_claims_over_two_processes_one_is_won() {
    let bench = Bench::new();
    let stores = [bench.open().await, bench.open().await];
    let session = bench.oidc_session(&stores[0], "a").await;
    let claims = join_all((0..64).map(|n| {
        let (store, session) = (stores[n % 2].clone(), session.session().clone());
        tokio::spawn(async move {
            let claimant = format!("attempt {n}");
            store.claim_refresh(&session, &claimant, MINUTE).await
        })
    }))
    .await;
    let won = claims
        .into_iter()
        .filter(|claim| match claim.as_ref().unwrap().as_ref().unwrap() {
            RefreshClaim::Won(_) => true,
            RefreshClaim::Busy => false,
            RefreshClaim::Gone => panic!("gone"),
        });
    assert_eq!(won.count(), 1);
}

#[tokio::test]
async fn who_lost_a_claim_writes_nothing() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.oidc_session(&store, "a").await;
    let id = session.session();
    let tokens = won(&store, id, "first").await;
    assert_eq!(tokens.refresh_token.unwrap().expose(), "refresh-a");
    bench.clock.advance(TimeDelta::milliseconds(59_999));
    for claimant in ["second", "first"] {
        let claim = store.claim_refresh(id, claimant, MINUTE).await.unwrap();
        assert!(matches!(claim, RefreshClaim::Busy), "{claimant}");
    }
    bench.clock.advance(TimeDelta::milliseconds(1));
    won(&store, id, "second").await;

    let late = RefreshedTokens {
        offers: Some(offering("writer")),
        ..rotated(&bench, "late")
    };
    let put = store.put_refreshed(id, "first", &late).await.unwrap();
    assert_eq!(put, None);
    store
        .release_refresh(id, "first", bench.at(0))
        .await
        .unwrap();
    assert_eq!(kept(&store, id).await, pair("a", "refresh-a"));
    let live = store.session(id).await.unwrap().unwrap();
    assert_eq!(live.subject.parts(), session.parts());

    let put = store
        .put_refreshed(id, "second", &rotated(&bench, "b"))
        .await;
    assert!(put.unwrap().is_some());
    assert_eq!(kept(&store, id).await, pair("b", "refresh-b"));
    // It has been put, and no claim is left to put it by again.
    let again = store
        .put_refreshed(id, "second", &rotated(&bench, "c"))
        .await;
    assert_eq!(again.unwrap(), None);
    assert_eq!(kept(&store, id).await, pair("b", "refresh-b"));
    won(&store, id, "third").await;
}

#[tokio::test]
async fn a_clock_that_is_put_back_leaves_no_claim_behind() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.oidc_session(&store, "a").await;
    won(&store, session.session(), "killed").await;
    bench.clock.advance(TimeDelta::hours(-2));
    won(&store, session.session(), "next").await;
}

#[tokio::test]
async fn a_claim_past_its_time_that_nobody_took_over_may_still_put() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.oidc_session(&store, "a").await;
    let id = session.session();
    won(&store, id, "slow").await;
    bench.clock.advance(MINUTE + MINUTE);
    let put = store.put_refreshed(id, "slow", &rotated(&bench, "b")).await;
    assert!(put.unwrap().is_some());
    assert_eq!(kept(&store, id).await, pair("b", "refresh-b"));
}

#[tokio::test]
async fn what_a_provider_leaves_out_stays() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.oidc_session(&store, "a").await;
    let id = session.session();
    let mut at = store.last_arrival().await.unwrap();
    for (new, wanted) in [
        (nothing_new(&bench), pair("a", "refresh-a")),
        (
            RefreshedTokens {
                refresh_token: None,
                ..rotated(&bench, "b")
            },
            pair("b", "refresh-a"),
        ),
        (
            RefreshedTokens {
                id_token: None,
                ..rotated(&bench, "c")
            },
            pair("b", "refresh-c"),
        ),
    ] {
        won(&store, id, "me").await;
        let put = store.put_refreshed(id, "me", &new).await.unwrap().unwrap();
        assert_eq!((put.offers_changed, put.overwritten), (false, None));
        assert_eq!(kept(&store, id).await, wanted);
    }
    let live = store.session(id).await.unwrap().unwrap();
    assert_eq!(live.subject.parts(), session.parts());
    let news = store.arrivals(at).await.unwrap();
    assert_eq!(news.persons, Some(Vec::new()), "nothing to tell");
    at = news.position;

    let same = RefreshedTokens {
        offers: Some(offering("reader")),
        ..nothing_new(&bench)
    };
    won(&store, id, "me").await;
    let put = store.put_refreshed(id, "me", &same).await.unwrap().unwrap();
    assert!(!put.offers_changed);
    assert_eq!(store.last_arrival().await.unwrap(), at);
}

#[tokio::test]
async fn changed_offers_and_attributes_are_the_sessions_and_told_elsewhere() {
    let bench = Bench::new();
    let (store, elsewhere) = (bench.open().await, bench.open().await);
    let session = bench.oidc_session(&store, "a").await;
    let id = session.session();
    let at = elsewhere.last_arrival().await.unwrap();
    let offers = RefreshedTokens {
        offers: Some(offering("writer")),
        ..rotated(&bench, "b")
    };
    won(&store, id, "me").await;
    let put = store.put_refreshed(id, "me", &offers).await.unwrap();
    assert!(put.unwrap().offers_changed);
    assert_eq!(kept(&store, id).await, pair("b", "refresh-b"));
    let live = elsewhere.session(id).await.unwrap().unwrap();
    assert_eq!(live.subject.parts().offers, offering("writer").offers);
    assert_eq!(live.subject.parts().attributes, session.parts().attributes);
    assert_eq!(live.expires_at, session.expires_at());
    let news = elsewhere.arrivals(at).await.unwrap();
    assert_eq!(news.persons, Some(vec![person("okta", "ann")]));

    let attributes: Attributes = [("team".to_owned(), vec!["blue".to_owned()])].into();
    let more = RefreshedTokens {
        attributes: attributes.clone(),
        ..nothing_new(&bench)
    };
    won(&store, id, "me").await;
    let put = store.put_refreshed(id, "me", &more).await.unwrap().unwrap();
    assert!(!put.offers_changed);
    let live = elsewhere.session(id).await.unwrap().unwrap();
    let mut both = session.parts().attributes.clone();
    both.extend(attributes);
    assert_eq!(live.subject.parts().attributes, both);
    let told = elsewhere.arrivals(news.position).await.unwrap();
    assert_eq!(told.persons.map(|all| all.len()), Some(1));
}

#[tokio::test]
async fn offers_and_tokens_change_together_or_not_at_all() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.oidc_session(&store, "a").await;
    let id = session.session();
    won(&store, id, "me").await;
    let no_room = if bench.is_on_server() {
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE 'the disk is full'; END $$;
         CREATE TRIGGER no_room BEFORE UPDATE OF id_token ON oidc_tokens
             FOR EACH ROW EXECUTE FUNCTION no_room()"
    } else {
        "CREATE TRIGGER no_room BEFORE UPDATE OF id_token ON oidc_tokens BEGIN
             SELECT RAISE(ABORT, 'the disk is full');
         END"
    };
    bench.tamper(no_room).await;
    let new = RefreshedTokens {
        offers: Some(offering("writer")),
        ..rotated(&bench, "b")
    };
    let at = store.last_arrival().await.unwrap();
    let failed = store.put_refreshed(id, "me", &new).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))));
    let live = store.session(id).await.unwrap().unwrap();
    assert_eq!(live.subject.parts(), session.parts());
    assert_eq!(store.last_arrival().await.unwrap(), at);
    assert_eq!(kept(&store, id).await, pair("a", "refresh-a"));

    let room = if bench.is_on_server() {
        "DROP TRIGGER no_room ON oidc_tokens"
    } else {
        "DROP TRIGGER no_room"
    };
    bench.tamper(room).await;
    let put = store.put_refreshed(id, "me", &new).await.unwrap();
    assert!(put.unwrap().offers_changed);
}

#[tokio::test]
async fn a_provider_that_begins_to_name_roles_ends_the_assignment() {
    let refused = || Offers::read([Some("nonsense")], "is no text");
    for (offers, roles) in [(offering("reader"), vec!["reader"]), (refused(), vec![])] {
        let bench = Bench::new();
        let store = bench.open().await;
        let sign_in = TestSignIn::new("a").without_roles();
        let session = bench.oidc_session_of(&store, sign_in, "a").await;
        let id = session.session();
        store.set_assignment(&assigned(&bench)).await.unwrap();
        won(&store, id, "me").await;
        let silent = store.put_refreshed(id, "me", &rotated(&bench, "b")).await;
        assert_eq!(silent.unwrap().unwrap().overwritten, None);
        let live = store.session(id).await.unwrap().unwrap();
        assert!(live.subject.parts().assigned);

        won(&store, id, "me").await;
        let new = RefreshedTokens {
            offers: Some(offers),
            ..rotated(&bench, "c")
        };
        let put = store.put_refreshed(id, "me", &new).await.unwrap().unwrap();
        assert_eq!(put.overwritten, Some(assigned(&bench)));
        assert!(put.offers_changed);
        let live = store.session(id).await.unwrap().unwrap();
        let parts = live.subject.parts();
        assert!(!parts.assigned);
        let now: Vec<_> = parts.offers.iter().map(|offer| offer.role.name()).collect();
        assert_eq!(now, roles);
    }
}

#[tokio::test]
async fn what_is_assigned_is_never_sealed_into_the_session() {
    let bench = Bench::new();
    let store = bench.open().await;
    let sign_in = TestSignIn::new("a").without_roles();
    let session = bench.oidc_session_of(&store, sign_in, "a").await;
    let id = session.session();
    store.set_assignment(&assigned(&bench)).await.unwrap();
    won(&store, id, "me").await;
    let new = RefreshedTokens {
        attributes: [("team".to_owned(), vec!["blue".to_owned()])].into(),
        ..nothing_new(&bench)
    };
    store.put_refreshed(id, "me", &new).await.unwrap().unwrap();
    store.remove_assignment(session.person()).await.unwrap();
    let live = store.session(id).await.unwrap().unwrap();
    assert!(live.subject.parts().offers.is_empty());
    assert!(live.subject.parts().attributes.contains_key("team"));
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_keeps_nothing() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.oidc_session(&store, "a").await;
    let id = session.session();
    won(&store, id, "me").await;
    store.end_session(id).await.unwrap();
    let put = store.put_refreshed(id, "me", &rotated(&bench, "b")).await;
    assert_eq!(put.unwrap(), None);
    assert!(store.oidc_tokens(id).await.unwrap().is_none());
    let claim = store.claim_refresh(id, "me", MINUTE).await.unwrap();
    assert!(matches!(claim, RefreshClaim::Gone));
    store.release_refresh(id, "me", bench.at(0)).await.unwrap();

    let without = bench.session(&store, "b").await;
    let claim = store.claim_refresh(without.session(), "me", MINUTE).await;
    assert!(matches!(claim.unwrap(), RefreshClaim::Gone));
}

#[tokio::test]
async fn the_newest_session_of_a_person_with_a_live_lease_is_due_in_time() {
    let bench = Bench::new();
    let store = bench.open().await;
    let due = async || store.due_refreshes(&idp("okta"), 10).await.unwrap();
    let older = bench.oidc_session(&store, "a").await;
    let bob = TestSignIn::new("b").by(person("okta", "bob"));
    bench.oidc_session_of(&store, bob, "b").await;
    let (lease, hash) = bench.lease("job-1");
    store.add_lease(&lease, &hash).await.unwrap();
    bench.clock.advance(TimeDelta::milliseconds(39_999));
    assert_eq!(due().await, []);
    bench.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(due().await, [older.session().clone()], "bob has no lease");

    // A pending sign-in draws nothing to itself, a confirmed one does.
    bench.session_in(&store, "p", SessionState::Pending).await;
    assert_eq!(due().await, [older.session().clone()]);
    let newest = bench.oidc_session(&store, "c").await;
    let twin = bench.oidc_session(&store, "d").await;
    let newest = if twin.session() > newest.session() {
        twin.session()
    } else {
        newest.session()
    };
    assert_eq!(due().await, [], "the newest is not due yet");
    bench.clock.advance(TimeDelta::seconds(40));
    assert_eq!(due().await, from_ref(newest), "one of two twins");
    let leased = store.newest_session(older.person()).await.unwrap();
    assert_eq!(leased.unwrap().subject.session(), newest, "as leases do");

    won(&store, newest, "me").await;
    assert_eq!(due().await, []);
    bench.clock.advance(MINUTE);
    assert_eq!(due().await, from_ref(newest), "the claim has ended");
    won(&store, newest, "me").await;
    store
        .release_refresh(newest, "me", bench.at(5))
        .await
        .unwrap();
    assert_eq!(due().await, []);
    bench.clock.advance(TimeDelta::seconds(5));
    assert_eq!(due().await, from_ref(newest));
    assert_eq!(store.due_refreshes(&idp("okta"), 0).await.unwrap(), []);

    // It goes on beyond the session's end for who renews, and ends with the last lease.
    bench.clock.advance(TimeDelta::hours(13));
    assert_eq!(due().await, from_ref(newest));
    store.revoke_lease(&lease.id).await.unwrap();
    assert_eq!(due().await, []);
}

#[tokio::test]
async fn a_session_without_refresh_token_or_after_its_end_is_never_due() {
    let bench = Bench::new();
    let store = bench.open().await;
    let (lease, hash) = bench.lease("job-1");
    store.add_lease(&lease, &hash).await.unwrap();
    let session = bench.oidc_session(&store, "a").await;
    bench.clock.advance(MINUTE);
    assert_eq!(store.due_refreshes(&idp("okta"), 9).await.unwrap().len(), 1);
    bench
        .tamper("UPDATE oidc_tokens SET refresh_token = NULL")
        .await;
    assert_eq!(store.due_refreshes(&idp("okta"), 9).await.unwrap(), []);
    let ended = bench.oidc_session(&store, "b").await;
    bench.clock.advance(MINUTE);
    assert_eq!(store.due_refreshes(&idp("okta"), 9).await.unwrap().len(), 1);
    store.end_session(ended.session()).await.unwrap();
    assert_eq!(store.due_refreshes(&idp("okta"), 9).await.unwrap(), []);
    assert!(
        store
            .oidc_tokens(session.session())
            .await
            .unwrap()
            .is_some()
    );
}
