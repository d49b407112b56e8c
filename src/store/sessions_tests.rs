//! Sessions, against a database in a temporary folder.

use super::*;
use crate::model::{OsEntropy, Token, TokenKind};
use crate::store::testing::{Bench, TestSignIn, idp, person};

fn token() -> TokenHash {
    Token::fresh(TokenKind::Session, &OsEntropy).hash()
}

#[tokio::test]
async fn a_session_is_read_back_as_it_was_accepted() {
    let bench = Bench::new();
    let store = bench.open().await;
    let mut open = bench.new_session(SessionState::Confirmed);
    let (mine, other) = (token(), token());
    open.token = Some(mine);
    let made = bench
        .open_as(&store, TestSignIn::new("a"), open.clone())
        .await;
    store.close().await;

    let store = bench.open().await;
    let live = store.subject_by_token(&mine).await.unwrap().unwrap();
    assert_eq!(live.subject.session(), &open.id);
    assert_eq!(live.subject.parts(), made.parts());
    assert_eq!(live.subject.signed_in_at(), made.signed_in_at());
    assert_eq!(live.state, SessionState::Confirmed);
    assert_eq!(live.expires_at, open.expires_at);
    assert!(store.subject_by_token(&other).await.unwrap().is_none());
    assert!(store.session(&open.id).await.unwrap().is_some());

    bench.clock.advance(TimeDelta::seconds(43_200));
    assert!(store.subject_by_token(&mine).await.unwrap().is_none());
    assert!(store.session(&open.id).await.unwrap().is_none());
}

#[tokio::test]
async fn nobody_draws_on_a_session_before_its_sign_in_has_come_to_its_end() {
    let bench = Bench::new();
    let store = bench.open().await;
    let ann = person("okta", "ann");
    let before = bench.session(&store, "before").await;
    bench.clock.advance(TimeDelta::seconds(1));
    let mut opened = Vec::new();
    for (id, confirm) in [("a", None), ("b", None), ("c", Some([3; 32]))] {
        let mut open = bench.new_session(SessionState::Pending);
        open.token = confirm.is_none().then(token);
        open.confirm = confirm;
        opened.push(open.clone());
        bench.open_as(&store, TestSignIn::new(id), open).await;
    }
    let newest = async || store.newest_session(&ann).await.unwrap().unwrap();
    assert_eq!(newest().await.subject.session(), before.session());
    store.end_session(&opened[1].id).await.unwrap();
    // One that was ended, or that waits for a confirm page, is not confirmed by this.
    for open in &opened[1..] {
        assert!(!store.confirm_opened(&open.id).await.unwrap());
    }
    assert_eq!(newest().await.subject.session(), before.session());
    for _ in 0..2 {
        assert!(store.confirm_opened(&opened[0].id).await.unwrap());
    }
    assert_eq!(newest().await.subject.session(), &opened[0].id);
    let mine = opened[0].token.unwrap();
    let live = store.subject_by_token(&mine).await.unwrap().unwrap();
    assert_eq!(live.state, SessionState::Confirmed);
}

#[tokio::test]
async fn a_pending_session_is_confirmed_once_and_in_time() {
    let bench = Bench::new();
    let store = bench.open().await;
    for (id, confirm) in [("a", [1; 32]), ("b", [2; 32])] {
        let mut open = bench.new_session(SessionState::Pending);
        open.confirm = Some(confirm);
        bench.open_as(&store, TestSignIn::new(id), open).await;
    }
    let ann = person("okta", "ann");
    assert!(store.newest_session(&ann).await.unwrap().is_none());
    assert_eq!(store.idps_of_user(&ann.user).await.unwrap(), vec![]);
    let pending = store.subject_by_confirm(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(pending.state, SessionState::Pending);

    let mine = token();
    assert_eq!(
        store.confirm_session(&[9; 32], token()).await.unwrap(),
        None
    );
    let confirmed = store.confirm_session(&[1; 32], mine).await.unwrap();
    assert_eq!(confirmed.as_ref(), Some(pending.subject.session()));
    assert_eq!(
        store.confirm_session(&[1; 32], token()).await.unwrap(),
        None
    );
    assert!(store.subject_by_confirm(&[1; 32]).await.unwrap().is_none());
    let live = store.subject_by_token(&mine).await.unwrap().unwrap();
    assert_eq!(live.state, SessionState::Confirmed);
    assert!(store.newest_session(&ann).await.unwrap().is_some());

    bench.clock.advance(TimeDelta::minutes(5));
    assert!(store.subject_by_confirm(&[2; 32]).await.unwrap().is_none());
    assert_eq!(
        store.confirm_session(&[2; 32], token()).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn the_newest_confirmed_session_of_the_very_person_counts() {
    let bench = Bench::new();
    let store = bench.open().await;
    let first = bench.session(&store, "a").await;
    bench.clock.advance(TimeDelta::milliseconds(1));
    let second = bench.session(&store, "b").await;
    let other = TestSignIn::new("c").by(person("entra", "ann"));
    let open = bench.new_session(SessionState::Confirmed);
    bench.open_as(&store, other, open).await;

    let ann = person("okta", "ann");
    let newest = async || {
        let live = store.newest_session(&ann).await.unwrap();
        live.map(|live| live.subject.session().clone())
    };
    assert_eq!(newest().await.as_ref(), Some(second.session()));
    assert_eq!(
        store.idps_of_user(&ann.user).await.unwrap(),
        vec![idp("entra"), idp("okta")]
    );
    assert!(store.end_session(second.session()).await.unwrap());
    assert!(!store.end_session(second.session()).await.unwrap());
    assert_eq!(newest().await, None, "no older one takes its place");
    assert!(store.end_session(first.session()).await.unwrap());
    assert_eq!(newest().await, None);
    assert_eq!(
        store.idps_of_user(&ann.user).await.unwrap(),
        vec![idp("entra")]
    );
    let listed = store.list_sessions(None, None, 10).await.unwrap();
    assert_eq!(
        listed.iter().filter(|row| row.ended_at.is_some()).count(),
        2
    );
    let rest = store
        .list_sessions(None, Some(&listed[0].id), 1)
        .await
        .unwrap();
    assert_eq!(rest, vec![listed[1].clone()]);
}

#[tokio::test]
async fn the_end_of_the_browser_leaves_the_session_to_its_leases() {
    let bench = Bench::new();
    let store = bench.open().await;
    let mut open = bench.new_session(SessionState::Confirmed);
    let mine = token();
    open.token = Some(mine);
    let subject = bench.open_as(&store, TestSignIn::new("a"), open).await;
    assert!(store.end_browser(subject.session()).await.unwrap());
    assert!(!store.end_browser(subject.session()).await.unwrap());
    assert!(store.subject_by_token(&mine).await.unwrap().is_none());
    assert!(
        store
            .newest_session(subject.person())
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn sealed_parts_belong_to_their_row_and_their_person() {
    let bench = Bench::new();
    let store = bench.open().await;
    let first = bench.session(&store, "a").await;
    bench.clock.advance(TimeDelta::milliseconds(1));
    let other = TestSignIn::new("b").by(person("okta", "bob"));
    let open = bench.new_session(SessionState::Confirmed);
    let second = bench.open_as(&store, other, open).await;
    assert!(store.session(first.session()).await.unwrap().is_some());

    bench
        .tamper("UPDATE sessions SET user_name = 'eve' WHERE user_name = 'ann'")
        .await;
    let damaged = store.session(first.session()).await.unwrap_err();
    assert!(matches!(
        damaged,
        StoreError::Corrupt {
            table: "sessions",
            ..
        }
    ));
    bench
        .tamper(
            "UPDATE sessions SET parts = (SELECT parts FROM sessions WHERE user_name = 'eve')
             WHERE user_name = 'bob'",
        )
        .await;
    let damaged = store.session(second.session()).await.unwrap_err();
    assert!(matches!(
        damaged,
        StoreError::Corrupt {
            table: "sessions",
            ..
        }
    ));
}
