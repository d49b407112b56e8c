//! A single logout that takes the leases along: sessions and leases in one transaction, so that it never breaks off
//! between them.

use chrono::{DateTime, Utc};

use super::reach::of_sign_out;
use super::{RevokedLease, carry_out, leases_revoked_at};
use crate::model::{Person, SessionId};
use crate::store::{Store, StoreError};

/// What a single logout hit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SignedOut {
    /// The leases that it revoked and that counted before.
    pub revoked: Vec<RevokedLease>,
    /// Those that were revoked when a session was ended that had ended before.
    pub revoked_before: Vec<RevokedLease>,
}

/// A session that is signed out of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOut {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub person: Person,
    /// When it was ended, if it was before.
    pub ended_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Ends `sessions`, and revokes every lease of their people; all of it or nothing. What ended before is looked up
    /// alone: whoever ended it may have been killed before the audit knew of it.
    pub async fn sign_out(&self, sessions: &[SignOut]) -> Result<SignedOut, StoreError> {
        let at = self.now();
        let mut transaction = self.begin().await?;
        self.0.engine.be_patient(&mut transaction).await?;
        let mut done = SignedOut::default();
        for one in sessions {
            let reach = of_sign_out(&one.session, &one.person);
            if let Some(then) = one.ended_at {
                for lease in leases_revoked_at(&mut transaction, &reach, then).await? {
                    // Sessions of one person that ended together found the same.
                    if done.revoked_before.iter().all(|known| known.id != lease.id) {
                        done.revoked_before.push(lease);
                    }
                }
            } else {
                let revocation = carry_out(&mut transaction, &reach, at).await?;
                done.revoked.extend(revocation.leases);
            }
        }
        transaction.commit().await?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SessionState;
    use crate::store::testing::{Bench, TestSignIn, person};

    #[tokio::test]
    async fn session_and_leases_end_together_and_are_found_again() {
        let bench = Bench::new();
        let store = bench.open().await;
        let ann = bench.session(&store, "a").await;
        let kept = bench.session(&store, "b").await;
        let bob = TestSignIn::new("c").by(person("okta", "bob"));
        let bob = bench
            .open_as(&store, bob, bench.new_session(SessionState::Confirmed))
            .await;
        let mut leases = Vec::new();
        for subject in [&ann, &ann, &bob] {
            let (mut lease, hash) = bench.lease("job");
            lease.person = subject.person().clone();
            store.add_lease(&lease, &hash).await.unwrap();
            leases.push(lease.id);
        }
        // Revoked by itself before: no later sign-out is taken for its cause.
        store.revoke_lease(&leases[0]).await.unwrap();
        bench.clock.advance(chrono::TimeDelta::seconds(1));
        let order = |ended_at| SignOut {
            session: ann.session().clone(),
            person: ann.person().clone(),
            ended_at,
        };
        let before = store.change_versions().await.unwrap();
        let done = store.sign_out(&[order(None)]).await.unwrap();
        let revoked: Vec<_> = done.revoked.iter().map(|lease| &lease.id).collect();
        assert_eq!(revoked, [&leases[1]]);
        assert_eq!(done.revoked_before, []);
        assert!(store.session(ann.session()).await.unwrap().is_none());
        for subject in [&kept, &bob] {
            assert!(store.session(subject.session()).await.unwrap().is_some());
        }
        let of_bob = store.lease(&leases[2]).await.unwrap().unwrap();
        assert_eq!(of_bob.revoked_at, None);
        assert!(before.access < store.change_versions().await.unwrap().access);

        let then = bench.at(0);
        bench.clock.advance(chrono::TimeDelta::seconds(9));
        let again = store.sign_out(&[order(Some(then))]).await.unwrap();
        assert_eq!(
            (again.revoked, again.revoked_before),
            (vec![], done.revoked)
        );
    }

    #[tokio::test]
    async fn what_fails_halfway_has_ended_nothing() {
        let bench = Bench::new();
        let store = bench.open().await;
        let ann = bench.session(&store, "a").await;
        let (mut lease, hash) = bench.lease("job");
        lease.person = ann.person().clone();
        store.add_lease(&lease, &hash).await.unwrap();
        let order = [SignOut {
            session: ann.session().clone(),
            person: ann.person().clone(),
            ended_at: None,
        }];
        bench.tamper("ALTER TABLE oidc_tokens RENAME TO away").await;
        assert!(store.sign_out(&order).await.is_err());
        bench.tamper("ALTER TABLE away RENAME TO oidc_tokens").await;
        let lives = store.lease(&lease.id).await.unwrap().unwrap();
        assert_eq!(lives.revoked_at, None);
        assert!(store.session(ann.session()).await.unwrap().is_some());
        assert_eq!(store.sign_out(&order).await.unwrap().revoked.len(), 1);
    }
}
