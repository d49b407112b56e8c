//! Codes, their answers, and the tokens that come of them.

use super::*;
use crate::model::{OsEntropy, Token, TokenKind};
use crate::store::testing::Bench;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const INTERVAL: TimeDelta = TimeDelta::seconds(2);

fn hash(kind: TokenKind) -> TokenHash {
    Token::fresh(kind, &OsEntropy).hash()
}

async fn begin(store: &Store, code: u8) -> TokenHash {
    let login = NewLogin {
        device: hash(TokenKind::Device),
        user_code: [code; 32],
        address: HERE,
    };
    assert!(store.add_login(&login).await.unwrap());
    login.device
}

async fn poll(bench: &Bench, store: &Store, device: &TokenHash) -> (LoginPoll, TokenHash) {
    let token = hash(TokenKind::Session);
    let poll = store.poll_login(device, &token, HERE, INTERVAL).await;
    bench.clock.advance(INTERVAL);
    (poll.unwrap(), token)
}

#[tokio::test]
async fn a_yes_becomes_one_more_token_onto_the_session_once() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await;
    let id = session.session();
    let device = begin(&store, 1).await;
    let other = begin(&store, 2).await;
    assert_eq!(poll(&bench, &store, &device).await.0, LoginPoll::Pending);
    let asked = store.pending_login(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(asked.address, HERE);
    let answered = store.answer_login(&[1; 32], id, LoginAnswer::Allow).await;
    assert_eq!(answered.unwrap(), Some(asked));
    assert!(store.pending_login(&[1; 32]).await.unwrap().is_none());
    let again = store.answer_login(&[1; 32], id, LoginAnswer::Deny).await;
    assert_eq!(again.unwrap(), None, "an answer stands");

    let (yes, token) = poll(&bench, &store, &device).await;
    assert_eq!(yes, LoginPoll::Approved(id.clone()));
    let live = store.subject_by_token(&token).await.unwrap().unwrap();
    assert_eq!(live.subject.session(), id);
    let (gone, unused) = poll(&bench, &store, &device).await;
    assert_eq!(gone, LoginPoll::Gone);
    assert!(store.subject_by_token(&unused).await.unwrap().is_none());
    assert_eq!(poll(&bench, &store, &other).await.0, LoginPoll::Pending);

    let second = begin(&store, 3).await;
    store
        .answer_login(&[3; 32], id, LoginAnswer::Allow)
        .await
        .unwrap();
    let (_, second) = poll(&bench, &store, &second).await;
    for token in [&token, &second] {
        assert!(store.subject_by_token(token).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_no_is_told_once_and_gives_nothing() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await;
    let device = begin(&store, 1).await;
    let id = session.session();
    store
        .answer_login(&[1; 32], id, LoginAnswer::Deny)
        .await
        .unwrap();
    let (no, token) = poll(&bench, &store, &device).await;
    assert_eq!(no, LoginPoll::Denied);
    assert!(store.subject_by_token(&token).await.unwrap().is_none());
    assert_eq!(poll(&bench, &store, &device).await.0, LoginPoll::Gone);
}

#[tokio::test]
async fn who_asks_too_soon_is_told_so_and_loses_nothing() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await;
    let device = begin(&store, 1).await;
    let now = async || {
        let token = hash(TokenKind::Session);
        store
            .poll_login(&device, &token, HERE, INTERVAL)
            .await
            .unwrap()
    };
    assert_eq!(now().await, LoginPoll::Pending);
    let id = session.session();
    store
        .answer_login(&[1; 32], id, LoginAnswer::Allow)
        .await
        .unwrap();
    bench.clock.advance(INTERVAL - TimeDelta::milliseconds(1));
    assert_eq!(now().await, LoginPoll::TooSoon);
    bench.clock.advance(INTERVAL);
    assert_eq!(now().await, LoginPoll::Approved(id.clone()));
}

#[tokio::test]
async fn a_code_lives_ten_minutes_and_is_purged() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await;
    let device = begin(&store, 1).await;
    bench.clock.advance(LOGIN_LIVES - TimeDelta::seconds(1));
    assert!(store.pending_login(&[1; 32]).await.unwrap().is_some());
    assert_eq!(store.purge().await.unwrap().logins, 0);
    bench.clock.advance(TimeDelta::seconds(1));
    assert!(store.pending_login(&[1; 32]).await.unwrap().is_none());
    let late = store
        .answer_login(&[1; 32], session.session(), LoginAnswer::Allow)
        .await;
    assert_eq!(late.unwrap(), None);
    assert_eq!(poll(&bench, &store, &device).await.0, LoginPoll::Gone);
    assert_eq!(store.purge().await.unwrap().logins, 1);
    assert_eq!(store.purge().await.unwrap().logins, 0);
}

#[tokio::test]
async fn an_ended_session_neither_answers_nor_is_handed_out() {
    let bench = Bench::new();
    let store = bench.open().await;
    let ended = bench.session(&store, "a").await;
    let (device, early) = (begin(&store, 1).await, begin(&store, 2).await);
    let allow = LoginAnswer::Allow;
    let yes = store.answer_login(&[2; 32], ended.session(), allow).await;
    assert!(yes.unwrap().is_some(), "while it goes on it answers");
    store.end_session(ended.session()).await.unwrap();
    let no = store.answer_login(&[1; 32], ended.session(), allow).await;
    assert_eq!(no.unwrap(), None);
    assert_eq!(poll(&bench, &store, &early).await.0, LoginPoll::Gone);

    let live = bench.session(&store, "b").await;
    let yes = store.answer_login(&[1; 32], live.session(), allow).await;
    assert!(yes.unwrap().is_some(), "the code itself was good");
    assert!(matches!(
        poll(&bench, &store, &device).await.0,
        LoginPoll::Approved(_)
    ));

    let pending = bench
        .session_in(&store, "c", crate::store::SessionState::Pending)
        .await;
    begin(&store, 3).await;
    let no = store.answer_login(&[3; 32], pending.session(), allow).await;
    assert_eq!(no.unwrap(), None, "nobody has confirmed it");
}

#[tokio::test]
async fn the_token_outlives_the_browser_and_ends_with_the_session() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await;
    let device = begin(&store, 1).await;
    let id = session.session();
    store
        .answer_login(&[1; 32], id, LoginAnswer::Allow)
        .await
        .unwrap();
    let (_, token) = poll(&bench, &store, &device).await;
    store.end_browser(id).await.unwrap();
    assert!(store.subject_by_token(&token).await.unwrap().is_some());
    let before = store.change_versions().await.unwrap().access;
    store.end_session(id).await.unwrap();
    assert!(store.subject_by_token(&token).await.unwrap().is_none());
    assert!(store.change_versions().await.unwrap().access > before);
}

#[tokio::test]
async fn a_network_of_ipv6_has_the_bound_of_one_address() {
    let bench = Bench::new();
    let store = bench.open().await;
    let login = |at: i64, address: String| {
        let mut user_code = [0; 32];
        user_code[..8].copy_from_slice(&at.to_be_bytes());
        NewLogin {
            device: hash(TokenKind::Device),
            user_code,
            address: address.parse().unwrap(),
        }
    };
    for at in 0..LOGINS_PER_ADDRESS {
        let address = format!("2001:db8:0:a:{:x}::{at:x}", at * 600);
        assert!(store.add_login(&login(at, address)).await.unwrap());
    }
    let inside = ["2001:db8:0:a::", "2001:db8:0:a:ffff:ffff:ffff:ffff"];
    for address in inside {
        let login = login(-1, address.to_owned());
        assert!(!store.add_login(&login).await.unwrap(), "{address}");
    }
    let outside = ["2001:db8:0:9:ffff:ffff:ffff:ffff", "2001:db8:0:b::"];
    for (at, address) in (1000..).zip(outside) {
        let login = login(at, address.to_owned());
        assert!(store.add_login(&login).await.unwrap(), "{address}");
    }
}

#[tokio::test]
async fn one_address_has_a_bound_and_all_together_another() {
    let bench = Bench::new();
    let store = bench.open().await;
    let login = |at: i64, address: IpAddr| {
        let mut user_code = [0; 32];
        user_code[..8].copy_from_slice(&at.to_be_bytes());
        NewLogin {
            device: hash(TokenKind::Device),
            user_code,
            address,
        }
    };
    for at in 0..LOGINS_PER_ADDRESS {
        assert!(store.add_login(&login(at, HERE)).await.unwrap());
    }
    assert!(!store.add_login(&login(-1, HERE)).await.unwrap());
    let elsewhere: IpAddr = "2001:db8::1".parse().unwrap();
    assert!(store.add_login(&login(-1, elsewhere)).await.unwrap());
    let kept = store.pending_login(&login(-1, elsewhere).user_code).await;
    assert_eq!(kept.unwrap().unwrap().address, elsewhere);

    // The rest of the room is filled by one statement, in the name of as many addresses.
    macro_rules! fill {
        ($device:literal, $code:literal) => {
            concat!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9899)
                 INSERT INTO logins (device, user_code, state, address, created_at, expires_at)
                 SELECT ", $device, ", ", $code, ", 'pending', '10.0.0.' || i, l.created_at, l.expires_at
                 FROM n, (SELECT created_at, expires_at FROM logins LIMIT 1) l"
            )
        };
    }
    let fill = if bench.is_on_server() {
        fill!("sha256(('d' || i)::bytea)", "sha256(('c' || i)::bytea)")
    } else {
        fill!("randomblob(32)", "randomblob(32)")
    };
    bench.tamper(fill).await;
    bench.clock.advance(TimeDelta::seconds(1));
    let newest = login(-2, elsewhere);
    assert!(store.add_login(&newest).await.unwrap());
    assert!(
        store
            .pending_login(&newest.user_code)
            .await
            .unwrap()
            .is_some()
    );
    let count = store.purge().await.unwrap().logins;
    assert_eq!(count, 0, "what was let go is gone already");
    bench.clock.advance(LOGIN_LIVES);
    let count = store.purge().await.unwrap().logins;
    assert_eq!(i64::try_from(count).unwrap(), LOGINS_KEPT);
}
