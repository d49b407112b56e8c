//! What people, jobs and gateways wait for.

use rolegate::audit;
use rolegate::model::{Clock, SystemClock};
use rolegate::policy::{Request, decide};
use rolegate::store::{LeaseFilter, Leftover, RevokeOrder, Selector, Standing};

use super::super::fetch::seed::ROLE;
use super::side::{PEOPLE, Side, lease};

#[derive(Clone, Copy)]
pub(crate) enum LookUp {
    Fetch,
    SignIn,
    Decide,
    MakeLease,
    LeasesOfUser,
    SessionsPage,
    AuditOfReference,
    NewestOfAudit,
    Pulse,
    NothingToPurge,
    RevokeUser,
}

impl LookUp {
    pub(crate) const ALL: [Self; 11] = [
        Self::Fetch,
        Self::SignIn,
        Self::Decide,
        Self::MakeLease,
        Self::LeasesOfUser,
        Self::SessionsPage,
        Self::AuditOfReference,
        Self::NewestOfAudit,
        Self::Pulse,
        Self::NothingToPurge,
        Self::RevokeUser,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch that is not in memory",
            Self::SignIn => "what a sign-in writes",
            Self::Decide => "decision",
            Self::MakeLease => "making a lease",
            Self::LeasesOfUser => "a user's leases",
            Self::SessionsPage => "a page of sessions",
            Self::AuditOfReference => "audit of a reference",
            Self::NewestOfAudit => "the newest of the audit",
            Self::Pulse => "looking for changes",
            Self::NothingToPurge => "purge of nothing",
            Self::RevokeUser => "revoking a user",
        }
    }

    pub(crate) async fn once(self, side: &Side, at: usize) {
        let store = &side.store;
        let one = &side.people[at % PEOPLE];
        let person = one.subject.person();
        match self {
            Self::Fetch => {
                let lease = store.lease_by_token(&one.lease).await.unwrap().unwrap();
                let live = store.newest_session(&lease.person).await.unwrap();
                assert!(live.is_some());
                assert!(store.credentials(&one.key).await.unwrap().is_some());
            }
            Self::SignIn => {
                side.sign_in(1_000_000 + at).await;
            }
            Self::Decide => {
                let role = ROLE.parse().unwrap();
                let rules = side.allow_list.rules();
                let request = Request::of(&role, SystemClock.now());
                assert!(decide(&one.subject, &request, &rules).is_ok());
            }
            Self::MakeLease => {
                let (lease, hash) = lease(&one.subject);
                let standing = Standing {
                    session: one.subject.session().clone(),
                    token: None,
                };
                assert!(store.add_lease_of(&lease, &hash, &standing).await.unwrap());
            }
            Self::LeasesOfUser => {
                let filter = LeaseFilter {
                    user: Some(person.user.clone()),
                    ..LeaseFilter::default()
                };
                assert!(!store.leases(filter, None, 10).await.unwrap().is_empty());
            }
            Self::SessionsPage => {
                let page = store.list_sessions(None, None, 100).await.unwrap();
                assert_eq!(page.len(), 100);
            }
            other => other.more(side, at).await,
        }
    }

    async fn more(self, side: &Side, at: usize) {
        let store = &side.store;
        match self {
            Self::AuditOfReference => {
                let found = audit::by_reference(store, &side.reference).await;
                assert_eq!(found.unwrap().len(), 1);
            }
            Self::NewestOfAudit => {
                let found = audit::list(store, side.records - 10, 10).await;
                assert_eq!(found.unwrap().len(), 10);
            }
            Self::Pulse => {
                let position = store.last_arrival().await.unwrap();
                store.arrivals(position).await.unwrap();
                let position = store.last_revoked_lease().await.unwrap();
                store.revoked_leases(position).await.unwrap();
                store.change_versions().await.unwrap();
            }
            Self::RevokeUser => {
                let user = side.people[at % PEOPLE].subject.person().user.clone();
                let order = RevokeOrder {
                    reason: "a bench",
                    by: "bench",
                    hold: false,
                };
                let selector = Selector::User { user, idp: None };
                assert!(store.revoke(&selector, order).await.unwrap().is_some());
            }
            _ => {
                for what in Leftover::ALL {
                    store.purge_step(what).await.unwrap();
                }
            }
        }
    }
}
