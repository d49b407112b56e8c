//! Revocations and holds, against a database in a temporary folder.

use std::sync::Arc;

use super::*;
use crate::model::{Credentials, IssueKey, Method, SessionDuration, Subject, TokenHash};
use crate::store::testing::{Bench, TestSignIn, claim_of, person, role};
use crate::store::{Claim, ClaimOrder, SessionState};

/// ann at two IdPs and bob, each with a session, reader and writer issued, and a lease of each.
struct Stage {
    bench: Bench,
    store: Store,
    ann: Arc<Subject>,
    elsewhere: Arc<Subject>,
    bob: Arc<Subject>,
    leases: Vec<(LeaseId, TokenHash)>,
}

fn key(session: &SessionId, name: &str) -> IssueKey {
    IssueKey::new(
        session,
        &role(name),
        Method::Saml,
        SessionDuration::DEFAULT,
        "",
    )
}

async fn claim(store: &Store, key: &IssueKey, session: &SessionId, name: &str) -> Claim {
    let role = role(name);
    let order = ClaimOrder {
        role: &role,
        ..claim_of(key, session, "me")
    };
    store.claim(&order).await.unwrap()
}

async fn issue(bench: &Bench, store: &Store, session: &SessionId, name: &str, seconds: i64) {
    let key = key(session, name);
    let claim = claim(store, &key, session, name).await;
    assert!(matches!(claim, Claim::Won));
    let credentials: Credentials = bench.credentials(seconds);
    assert!(
        store
            .put_credentials(&key, "me", &credentials)
            .await
            .unwrap()
    );
}

impl Stage {
    async fn set() -> Self {
        let bench = Bench::new();
        let store = bench.open().await;
        let mut subjects = Vec::new();
        let mut leases = Vec::new();
        for (id, idp, user) in [
            ("a", "okta", "ann"),
            ("b", "entra", "ann"),
            ("c", "okta", "bob"),
        ] {
            let sign_in = TestSignIn::new(id).by(person(idp, user));
            let open = bench.new_session(SessionState::Confirmed);
            let subject = bench.open_as(&store, sign_in, open).await;
            for (name, seconds) in [("reader", 3600), ("writer", 7200)] {
                issue(&bench, &store, subject.session(), name, seconds).await;
                let (mut lease, hash) = bench.lease("job");
                lease.person = subject.person().clone();
                lease.role = role(name);
                lease.launcher = (name == "writer").then(|| "nightly".parse().unwrap());
                store.add_lease(&lease, &hash).await.unwrap();
                leases.push((lease.id, hash));
            }
            subjects.push(subject);
        }
        let mut subjects = subjects.into_iter();
        let mut next = || subjects.next().unwrap();
        let (ann, elsewhere, bob) = (next(), next(), next());
        Self {
            bench,
            store,
            ann,
            elsewhere,
            bob,
            leases,
        }
    }

    async fn revoke(&self, selector: &Selector, hold: bool) -> Revocation {
        let order = RevokeOrder {
            reason: "laptop lost",
            by: "local:test",
            hold,
        };
        self.store.revoke(selector, order).await.unwrap().unwrap()
    }

    /// Which of ann's, ann's elsewhere and bob's sessions go on.
    async fn sessions(&self) -> [bool; 3] {
        let mut going = [false; 3];
        for (at, subject) in [&self.ann, &self.elsewhere, &self.bob]
            .into_iter()
            .enumerate()
        {
            going[at] = self
                .store
                .session(subject.session())
                .await
                .unwrap()
                .is_some();
        }
        going
    }

    /// Which leases count, in the order they were made.
    async fn leases(&self) -> String {
        let mut text = String::new();
        for (id, _) in &self.leases {
            let lease = self.store.lease(id).await.unwrap().unwrap();
            text.push(if lease.revoked_at.is_none() { '+' } else { '-' });
        }
        text
    }

    async fn issued(&self, subject: &Subject) -> usize {
        self.store
            .credentials_of(subject.session())
            .await
            .unwrap()
            .len()
    }
}

fn of_user(user: &str, idp: Option<&str>) -> Selector {
    Selector::User {
        user: user.parse().unwrap(),
        idp: idp.map(|idp| idp.parse().unwrap()),
    }
}

#[tokio::test]
async fn a_user_loses_sessions_and_leases_at_one_idp_or_all() {
    let stage = Stage::set().await;
    let done = stage.revoke(&of_user("ann", Some("okta")), false).await;
    assert_eq!(
        (done.sessions.len(), done.leases.len(), done.forgotten),
        (1, 2, 2)
    );
    assert_eq!(done.sessions[0].0, *stage.ann.session());
    assert_eq!(done.hold, None);
    assert_eq!(stage.sessions().await, [false, true, true]);
    assert_eq!(stage.leases().await, "--++++");
    let until: Vec<_> = done
        .still_live
        .iter()
        .map(|live| (live.role.name(), live.until))
        .collect();
    let ends = [stage.bench.at(3600), stage.bench.at(7200)];
    assert_eq!(until, [("reader", ends[0]), ("writer", ends[1])]);

    let done = stage.revoke(&of_user("ann", None), false).await;
    assert_eq!(
        (done.sessions.len(), done.leases.len()),
        (1, 2),
        "what is left"
    );
    assert_eq!(stage.sessions().await, [false, false, true]);
    assert_eq!(stage.leases().await, "----++");
    let nobody = stage.revoke(&of_user("zoe", None), false).await;
    assert_eq!(
        (
            nobody.sessions.len(),
            nobody.leases.len(),
            nobody.still_live.len()
        ),
        (0, 0, 0)
    );
    assert_eq!(stage.issued(&stage.bob).await, 2);
}

#[tokio::test]
async fn a_role_loses_leases_and_credentials_but_no_session() {
    let stage = Stage::set().await;
    let done = stage
        .revoke(
            &Selector::Role(role("reader").as_str().parse().unwrap()),
            false,
        )
        .await;
    assert_eq!(
        (done.sessions.len(), done.leases.len(), done.forgotten),
        (0, 3, 3)
    );
    assert_eq!(done.still_live.len(), 3, "one for each person");
    assert_eq!(stage.leases().await, "-+-+-+");
    assert_eq!(stage.sessions().await, [true; 3]);
    assert_eq!(stage.issued(&stage.ann).await, 1);
    let pattern = "arn:aws:iam::123456789012:role/w*".parse().unwrap();
    let done = stage.revoke(&Selector::Role(pattern), false).await;
    assert_eq!((done.leases.len(), done.forgotten), (3, 3));
    assert_eq!(stage.issued(&stage.bob).await, 0);
}

#[tokio::test]
async fn a_launcher_and_a_lease_lose_leases_alone() {
    let stage = Stage::set().await;
    let done = stage
        .revoke(&Selector::Lease(stage.leases[0].0.clone()), false)
        .await;
    assert_eq!(
        (done.sessions.len(), done.leases.len(), done.forgotten),
        (0, 1, 0)
    );
    assert_eq!(
        (done.still_live.len(), done.still_live[0].role.name()),
        (1, "reader")
    );
    assert_eq!(stage.leases().await, "-+++++");
    let done = stage
        .revoke(&Selector::Launcher("nightly".parse().unwrap()), false)
        .await;
    assert_eq!(
        (done.leases.len(), done.forgotten, done.still_live.len()),
        (3, 0, 3)
    );
    assert_eq!(stage.leases().await, "--+-+-");
    assert_eq!(
        (stage.sessions().await, stage.issued(&stage.ann).await),
        ([true; 3], 2)
    );
    let order = RevokeOrder {
        reason: "r",
        by: "b",
        hold: true,
    };
    let unknown = Selector::Lease("lea_1".parse().unwrap());
    assert_eq!(stage.store.revoke(&unknown, order).await.unwrap(), None);
    let unknown = Selector::Session("ses_1".parse().unwrap());
    assert_eq!(stage.store.revoke(&unknown, order).await.unwrap(), None);
    assert_eq!(stage.store.holds().await.unwrap(), vec![]);
}

#[tokio::test]
async fn a_session_takes_the_leases_along_that_draw_on_it() {
    let stage = Stage::set().await;
    stage.bench.clock.advance(chrono::TimeDelta::seconds(10));
    let open = stage.bench.new_session(SessionState::Confirmed);
    let newer = stage
        .bench
        .open_as(&stage.store, TestSignIn::new("d"), open)
        .await;
    let older = stage
        .revoke(&Selector::Session(stage.ann.session().clone()), false)
        .await;
    assert_eq!(
        (older.sessions.len(), older.leases.len(), older.forgotten),
        (1, 0, 2)
    );
    assert_eq!(stage.leases().await, "++++++", "they draw on the newer one");
    let newest = stage
        .revoke(&Selector::Session(newer.session().clone()), false)
        .await;
    assert_eq!((newest.sessions.len(), newest.leases.len()), (1, 2));
    assert_eq!(stage.leases().await, "--++++");
    let again = stage
        .revoke(&Selector::Session(newer.session().clone()), false)
        .await;
    assert_eq!((again.sessions.len(), again.leases.len()), (0, 0));
}

#[tokio::test]
async fn all_is_all() {
    let stage = Stage::set().await;
    let done = stage.revoke(&Selector::All, false).await;
    assert_eq!(
        (done.sessions.len(), done.leases.len(), done.forgotten),
        (3, 6, 6)
    );
    assert_eq!(
        (stage.sessions().await, stage.leases().await.as_str()),
        ([false; 3], "------")
    );
    assert_eq!(done.at, stage.bench.at(0));
}

type Choose = fn(&Stage) -> Selector;

#[tokio::test]
async fn a_mint_in_flight_never_lands() {
    let session = |stage: &Stage| Selector::Session(stage.ann.session().clone());
    let deep = |_: &Stage| Selector::Role(role("deep").as_str().parse().unwrap());
    let selectors: [(Choose, bool); 5] = [
        (|_| of_user("ann", None), false),
        (session, false),
        (deep, false),
        (|_| Selector::All, false),
        (|_| of_user("bob", None), true),
    ];
    for (selector, lands) in selectors {
        let stage = Stage::set().await;
        let session = stage.ann.session();
        let key = key(session, "deep");
        let claim = claim(&stage.store, &key, session, "deep").await;
        assert!(matches!(claim, Claim::Won));
        // Another process revokes while this one waits for STS.
        let there = stage.bench.open().await;
        let order = RevokeOrder {
            reason: "r",
            by: "b",
            hold: false,
        };
        there
            .revoke(&selector(&stage), order)
            .await
            .unwrap()
            .unwrap();
        let credentials = stage.bench.credentials(3600);
        let landed = stage
            .store
            .put_credentials(&key, "me", &credentials)
            .await
            .unwrap();
        assert_eq!(landed, lands, "{:?}", selector(&stage));
        let found = stage
            .store
            .newest_issued(session, &role("deep"))
            .await
            .unwrap();
        assert_eq!(found.is_some(), lands);
    }
}

#[tokio::test]
async fn every_process_hears_of_revocations_and_holds() {
    let stage = Stage::set().await;
    let here = stage.bench.open().await;
    let before = here.change_versions().await.unwrap();
    // A role whose leases are gone already: credentials alone go.
    stage
        .revoke(
            &Selector::Role(role("nothing").as_str().parse().unwrap()),
            false,
        )
        .await;
    let after = here.change_versions().await.unwrap();
    assert!(after.access > before.access && after.holds == before.holds);
    let hold = stage
        .revoke(&of_user("ann", None), true)
        .await
        .hold
        .unwrap();
    let then = here.change_versions().await.unwrap();
    assert!(then.holds > after.holds);
    stage
        .store
        .release_hold(&hold.id, "local:test")
        .await
        .unwrap();
    assert!(here.change_versions().await.unwrap().holds > then.holds);
}

#[tokio::test]
async fn a_hold_stands_until_it_is_released_once() {
    let stage = Stage::set().await;
    let hold = stage
        .revoke(&of_user("ann", Some("okta")), true)
        .await
        .hold
        .unwrap();
    assert_eq!(
        (hold.reason.as_str(), hold.created_by.as_str()),
        ("laptop lost", "local:test")
    );
    let store = stage.bench.open().await;
    assert_eq!(store.holds().await.unwrap(), vec![hold.clone()]);
    assert_eq!(
        store.hold_on(&person("okta", "ann")).await.unwrap(),
        Some(hold.clone())
    );
    assert_eq!(store.hold_on(&person("entra", "ann")).await.unwrap(), None);
    let released = store.release_hold(&hold.id, "local:test").await.unwrap();
    assert_eq!(released, Some(hold.clone()));
    assert_eq!(
        store.release_hold(&hold.id, "local:test").await.unwrap(),
        None
    );
    assert_eq!(store.hold_on(&person("okta", "ann")).await.unwrap(), None);

    let lease = stage
        .revoke(&Selector::Lease(stage.leases[5].0.clone()), true)
        .await
        .hold
        .unwrap();
    assert_eq!(lease.scope.user, Some(stage.bob.person().user.clone()));
    assert_eq!(
        lease.scope.role,
        Some(role("writer").as_str().parse().unwrap())
    );
    let session = Selector::Session(stage.bob.session().clone());
    let session = stage.revoke(&session, true).await.hold.unwrap();
    assert_eq!(
        (session.scope.user, session.scope.role),
        (lease.scope.user.clone(), None)
    );
    let all = stage.revoke(&Selector::All, true).await.hold.unwrap();
    assert_eq!(all.scope, crate::model::HoldScope::default());
    assert_eq!(store.holds().await.unwrap().len(), 3);
    let damage = "UPDATE holds SET role = NULL, user_name = 'x', everything = 1";
    stage.bench.tamper(damage).await;
    assert!(matches!(
        store.holds().await,
        Err(StoreError::Corrupt { table: "holds", .. })
    ));
}

/// Leases draw on the newest sign-in also when it has ended for the browser; with it go the leases, and no
/// older sign-in comes back.
#[tokio::test]
async fn revoking_the_newest_session_brings_no_older_one_back() {
    let bench = Bench::new();
    let store = bench.open().await;
    let ann = person("okta", "ann");
    bench.session(&store, "a").await;
    bench.clock.advance(chrono::TimeDelta::days(2));
    let newest = bench.session(&store, "b").await;
    let (mut lease, hash) = bench.lease("job");
    lease.expires_at = bench.at(20 * 86_400);
    store.add_lease(&lease, &hash).await.unwrap();
    bench.clock.advance(chrono::TimeDelta::days(2));
    let drawn = store.newest_session(&ann).await.unwrap().unwrap();
    assert_eq!(drawn.subject.session(), newest.session());
    let order = RevokeOrder {
        reason: "stolen",
        by: "admin",
        hold: false,
    };
    let selector = Selector::Session(newest.session().clone());
    let done = store.revoke(&selector, order).await.unwrap().unwrap();
    assert_eq!(done.leases.len(), 1);
    assert!(store.newest_session(&ann).await.unwrap().is_none());
    bench.clock.advance(chrono::TimeDelta::days(8));
    store.purge().await.unwrap();
    assert!(store.newest_session(&ann).await.unwrap().is_none());
    let again = bench.session(&store, "c").await;
    let drawn = store.newest_session(&ann).await.unwrap().unwrap();
    assert_eq!(drawn.subject.session(), again.session());
}

/// Sign-ins of a month that nobody ended are revoked with the rest, within the time that a statement may take.
#[tokio::test]
async fn everything_of_many_is_revoked() {
    let bench = Bench::new();
    let store = bench.open().await;
    bench
        .tamper(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
             INSERT INTO sessions (id, idp, user_name, state, parts, signed_in_at, expires_at)
             SELECT 'old-' || i, 'okta', 'user-' || i, 'confirmed', x'00', 0, 1 FROM n",
        )
        .await;
    let before = store.change_versions().await.unwrap();
    let order = RevokeOrder {
        reason: "stolen",
        by: "admin",
        hold: false,
    };
    store.revoke(&Selector::All, order).await.unwrap().unwrap();
    let after = store.change_versions().await.unwrap();
    assert!(before.access < after.access);
}
