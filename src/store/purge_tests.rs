//! Removing: all that no longer counts and nothing else, beside whoever signs in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::testing::{Bench, TestSignIn};
use crate::store::{AcceptError, SessionState, SignInRequest};

/// How many rows went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Purged {
    pub(crate) replay_ids: u64,
    pub(crate) requests: u64,
    pub(crate) sessions: u64,
    pub(crate) oidc_tokens: u64,
    pub(crate) credentials: u64,
    pub(crate) leases: u64,
    pub(crate) repeatable: u64,
    pub(crate) arrivals: u64,
    pub(crate) revoked_leases: u64,
    pub(crate) refusals: u64,
    pub(crate) relay_keys: u64,
    pub(crate) logins: u64,
}

impl Purged {
    fn of(&mut self, what: Leftover) -> &mut u64 {
        match what {
            Leftover::ReplayIds => &mut self.replay_ids,
            Leftover::Requests => &mut self.requests,
            Leftover::PendingSessions | Leftover::OldSessions => &mut self.sessions,
            Leftover::OidcTokens => &mut self.oidc_tokens,
            Leftover::Credentials => &mut self.credentials,
            Leftover::ExpiredLeases | Leftover::RevokedLeases => &mut self.leases,
            Leftover::RepeatableCalls => &mut self.repeatable,
            Leftover::Arrivals => &mut self.arrivals,
            Leftover::RevocationNews => &mut self.revoked_leases,
            Leftover::Refusals => &mut self.refusals,
            Leftover::RelayKeys => &mut self.relay_keys,
            Leftover::Logins => &mut self.logins,
        }
    }
}

impl Store {
    /// Removes all that no longer counts.
    pub(crate) async fn purge(&self) -> Result<Purged, StoreError> {
        let mut purged = Purged::default();
        for what in Leftover::ALL {
            loop {
                let removed = self.purge_step(what).await?;
                *purged.of(what) += removed.rows;
                if !removed.more {
                    break;
                }
            }
        }
        Ok(purged)
    }
}

#[tokio::test]
async fn what_no_longer_counts_goes_once_and_the_rest_stays() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.accept(TestSignIn::new("x"), None).await.unwrap();
    store
        .save_request(SignInRequest {
            id: "req".to_owned(),
            idp: crate::store::testing::idp("okta"),
            binding: [1; 32],
            return_to: None,
            secret: None,
        })
        .await
        .unwrap();
    let kept = bench.session(&store, "kept").await;
    bench
        .session_in(&store, "pending", SessionState::Pending)
        .await;
    bench.issue(&store, kept.session(), 3600).await;
    assert_eq!(store.purge().await.unwrap(), Purged::default());

    bench.clock.advance(TimeDelta::minutes(10));
    let purged = store.purge().await.unwrap();
    assert_eq!((purged.requests, purged.sessions), (1, 1));
    assert_eq!((purged.credentials, purged.replay_ids), (0, 0));
    assert_eq!(store.list_sessions(None, None, 10).await.unwrap().len(), 1);

    bench.clock.advance(TimeDelta::hours(25));
    let purged = store.purge().await.unwrap();
    assert_eq!((purged.credentials, purged.replay_ids), (1, 3));
    assert_eq!(purged.sessions, 0);
    // An entry may renew for thirty days after the sign-in.
    bench.clock.advance(TimeDelta::days(29));
    assert_eq!(store.purge().await.unwrap().sessions, 0);
    bench.clock.advance(TimeDelta::days(8));
    assert_eq!(store.purge().await.unwrap().sessions, 1);
    assert_eq!(store.purge().await.unwrap(), Purged::default());
}

/// So many rows of a backlog: `ROLEGATE_TEST_BACKLOG`, or some batches.
fn backlog() -> u64 {
    let wanted = std::env::var("ROLEGATE_TEST_BACKLOG");
    wanted.map_or(5_000, |text| text.parse().unwrap())
}

/// Old replay ids and sessions, as many as the backlog is long.
async fn fill(bench: &Bench) {
    let hash = |what: &str| {
        if bench.is_on_server() {
            format!("decode(md5('{what}' || n) || md5(n::text), 'hex')")
        } else {
            format!("CAST('{what}' || n AS BLOB)")
        }
    };
    let rows = format!(
        "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < {})",
        backlog()
    );
    let blob = if bench.is_on_server() {
        "''::bytea"
    } else {
        "x''"
    };
    bench
        .fill(&format!(
            "INSERT INTO replay_ids (id, expires_at) {rows} SELECT {}, n FROM many",
            hash("replay")
        ))
        .await;
    bench
        .fill(&format!(
            "INSERT INTO sessions (id, idp, user_name, state, parts, signed_in_at, expires_at)
             {rows} SELECT 's' || n, 'okta', 'u' || n, 'confirmed', {blob}, n, n FROM many"
        ))
        .await;
    // A clock that has just been looked at is not trusted yet.
    bench.clock.advance(TimeDelta::minutes(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_while_a_backlog_goes() {
    let bench = Arc::new(Bench::new());
    let store = bench.open().await;
    fill(&bench).await;
    let removing = Arc::new(AtomicBool::new(true));
    let sign_ins = tokio::spawn({
        let (bench, store, removing) = (Arc::clone(&bench), store.clone(), Arc::clone(&removing));
        async move {
            let mut count = 0;
            while removing.load(Ordering::Relaxed) {
                bench.session(&store, &format!("meanwhile-{count}")).await;
                count += 1;
            }
            count
        }
    });
    let purged = store.purge().await.unwrap();
    removing.store(false, Ordering::Relaxed);
    assert!(sign_ins.await.unwrap() > 1, "nobody signed in meanwhile");
    assert_eq!((purged.replay_ids, purged.sessions), (backlog(), backlog()));
    assert_eq!(store.purge().await.unwrap(), Purged::default());
}

#[tokio::test]
async fn a_step_is_bounded_and_says_whether_there_is_more() {
    let bench = Bench::new();
    let store = bench.open().await;
    fill(&bench).await;
    for (what, batch) in [
        (Leftover::ReplayIds, u64::from(BATCH)),
        (Leftover::OldSessions, u64::from(SESSIONS)),
    ] {
        let step = store.purge_step(what).await.unwrap();
        assert_eq!((step.rows, step.more), (batch, true), "{what:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_remove_no_more_than_one() {
    let bench = Bench::new();
    let (here, there) = (bench.open().await, bench.open().await);
    fill(&bench).await;
    bench.session(&here, "kept").await;
    let (one, other) = tokio::join!(
        tokio::spawn(async move { here.purge().await.unwrap() }),
        tokio::spawn(async move { there.purge().await.unwrap() })
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    // Where one was at it, the other may have gone without.
    let store = bench.open().await;
    bench.clock.advance(TimeDelta::minutes(10));
    let rest = store.purge().await.unwrap();
    assert_eq!(
        one.sessions + other.sessions + rest.sessions,
        backlog(),
        "{one:?} {other:?}"
    );
    assert_eq!(store.list_sessions(None, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_session_that_goes_long_after_its_end_has_no_gateway_forget_anything() {
    let bench = Bench::new();
    let store = bench.open().await;
    let session = bench.session(&store, "a").await;
    let blob = if bench.is_on_server() {
        "decode('00', 'hex')"
    } else {
        "x'00'"
    };
    bench
        .fill(&format!(
            "INSERT INTO session_tokens (hash, session, created_at, address)
             SELECT {blob}, id, 0, '127.0.0.1' FROM sessions"
        ))
        .await;
    let before = store.change_versions().await.unwrap();
    bench.clock.advance(TimeDelta::days(60));
    assert_eq!(store.purge().await.unwrap().sessions, 1);
    assert_eq!(store.change_versions().await.unwrap(), before);
    assert!(store.session(session.session()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_clock_that_is_put_forward_and_back_lets_nobody_in_again() {
    let bench = Bench::new();
    let store = bench.open().await;
    bench.clock.advance(TimeDelta::minutes(11));
    store.accept(TestSignIn::new("a"), None).await.unwrap();
    let session = bench.session(&store, "kept").await;
    let key = bench.issue(&store, session.session(), 3600).await;
    store.purge().await.unwrap();
    bench.clock.step(TimeDelta::hours(25));
    assert_eq!(store.purge().await.unwrap(), Purged::default());
    // One that starts meanwhile knows no better time.
    let other = bench.open().await;
    assert_eq!(other.purge().await.unwrap(), Purged::default());
    bench.clock.advance(TimeDelta::minutes(4));
    assert_eq!(store.purge().await.unwrap(), Purged::default());
    bench.clock.step(TimeDelta::hours(-25));
    store.purge().await.unwrap();
    let again = store.accept(TestSignIn::new("a"), None).await;
    assert_eq!(again.unwrap_err(), AcceptError::Replayed);
    assert!(store.credentials(&key).await.unwrap().is_some());
}
