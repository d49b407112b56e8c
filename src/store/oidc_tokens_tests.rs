//! Tokens of OpenID providers, against a database in a temporary folder.

use chrono::TimeDelta;

use super::*;
use crate::store::testing::{Bench, TestSignIn, person};
use crate::store::{RevokeOrder, Selector, SessionState, SignOut};

const ID_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.an-id-token-in-the-clear";

#[tokio::test]
async fn tokens_are_read_back_and_stand_nowhere_in_the_files() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.oidc_session(&store, ID_TOKEN).await;
    let kept = store.oidc_tokens(session.session()).await.unwrap().unwrap();
    assert_eq!(kept.id_token.jwt.expose(), ID_TOKEN);
    assert_eq!(kept.id_token.issuer, "https://idp.example");
    assert_eq!(kept.id_token.subject, "sub-1");
    assert_eq!(kept.id_token.audience, "client-1");
    assert_eq!(kept.id_token.issued_at, bench.at(0));
    assert_eq!(kept.id_token.expires_at, bench.at(60));
    let refresh_token = kept.refresh_token.unwrap();
    assert_eq!(refresh_token.expose(), format!("refresh-{ID_TOKEN}"));

    let text = bench.text_on_disk().await;
    let holds = |wanted: &str| text.contains(wanted);
    assert!(
        holds(session.session().as_str()),
        "the search finds what is there"
    );
    for secret in [ID_TOKEN, "refresh-", "sub-1", "client-1"] {
        assert!(!holds(secret), "{secret}");
    }
}

#[tokio::test]
async fn tokens_open_in_their_row_and_column_alone() {
    for change in [
        "UPDATE oidc_tokens SET id_token = (SELECT id_token FROM oidc_tokens ORDER BY session LIMIT 1)",
        "UPDATE oidc_tokens SET refresh_token =
         (SELECT refresh_token FROM oidc_tokens ORDER BY session LIMIT 1)",
        "UPDATE oidc_tokens SET id_token = refresh_token",
        "UPDATE oidc_tokens SET refresh_token = id_token",
    ] {
        let bench = Bench::new();
        let store = bench.open().await;
        bench.oidc_session(&store, "a").await;
        bench.clock.advance(TimeDelta::milliseconds(1));
        let second = bench.oidc_session(&store, "b").await;
        let read = async || store.oidc_tokens(second.session()).await;
        assert!(read().await.unwrap().is_some());
        bench.tamper(change).await;
        let damaged = read().await.unwrap_err();
        assert!(
            matches!(
                damaged,
                StoreError::Corrupt {
                    table: "oidc_tokens",
                    ..
                }
            ),
            "{change}"
        );
    }
}

#[tokio::test]
async fn tokens_go_with_their_session_however_it_ends() {
    let order = RevokeOrder {
        reason: "a test",
        by: "local:root",
        hold: false,
    };
    for way in 0..5 {
        let bench = Bench::new();
        let store = bench.open().await;
        let session = bench.oidc_session(&store, "a").await;
        let id = session.session();
        let other = TestSignIn::new("b").by(person("okta", "bob"));
        let other = bench.oidc_session_of(&store, other, "b").await;
        // What other roles lose takes no session's tokens away.
        let role = Selector::Role("arn:aws:iam::123456789012:role/*".parse().unwrap());
        store.revoke(&role, order).await.unwrap();
        assert!(store.oidc_tokens(id).await.unwrap().is_some());
        match way {
            0 => assert!(store.end_session(id).await.unwrap()),
            1 => {
                let sign_out = SignOut {
                    session: id.clone(),
                    person: session.person().clone(),
                    ended_at: None,
                };
                store.sign_out(&[sign_out]).await.unwrap();
            }
            2 => {
                let selector = Selector::Session(id.clone());
                store.revoke(&selector, order).await.unwrap();
            }
            3 => {
                let selector = Selector::User {
                    user: "ann".parse().unwrap(),
                    idp: None,
                };
                store.revoke(&selector, order).await.unwrap();
            }
            _ => {
                store.revoke(&Selector::All, order).await.unwrap();
            }
        }
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM oidc_tokens WHERE session = $1")
            .bind(id.as_str())
            .fetch_one(store.reader())
            .await
            .unwrap();
        assert_eq!(left, 0, "way {way}");
        assert!(store.oidc_tokens(id).await.unwrap().is_none());
        let others = store.oidc_tokens(other.session()).await.unwrap();
        assert_eq!(others.is_some(), way < 4, "way {way}");
    }
}

#[tokio::test]
async fn the_end_of_the_browser_leaves_the_tokens_to_the_leases() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.oidc_session(&store, "a").await;
    store.end_browser(session.session()).await.unwrap();
    assert!(
        store
            .oidc_tokens(session.session())
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn tokens_that_nothing_draws_on_any_more_are_purged() {
    let bench = Bench::new();
    let store = bench.open().await;
    let first = bench.oidc_session(&store, "a").await;
    bench.clock.advance(TimeDelta::hours(1));
    assert_eq!(store.purge().await.unwrap().oidc_tokens, 0);
    let newer = bench.oidc_session(&store, "b").await;
    assert_eq!(store.purge().await.unwrap().oidc_tokens, 0);
    bench.clock.advance(TimeDelta::hours(12));
    assert_eq!(store.purge().await.unwrap().oidc_tokens, 1);
    assert!(store.oidc_tokens(first.session()).await.unwrap().is_none());
    // Leases may draw on the newest for thirty days.
    bench.clock.advance(TimeDelta::days(28));
    assert_eq!(store.purge().await.unwrap().oidc_tokens, 0);
    assert!(store.oidc_tokens(newer.session()).await.unwrap().is_some());
    bench.clock.advance(TimeDelta::days(2));
    assert!(store.oidc_tokens(newer.session()).await.unwrap().is_none());
    assert_eq!(store.purge().await.unwrap().oidc_tokens, 1);
}

#[tokio::test]
async fn a_sign_in_without_tokens_has_none() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session_in(&store, "a", SessionState::Confirmed).await;
    let tokens = store.oidc_tokens(session.session()).await.unwrap();
    assert!(tokens.is_none());
}
