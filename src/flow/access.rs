//! Who a token belongs to, and the way out of a session.
//!
//! Trusts that tokens carry 256 random bits, so that finding the hash is proof enough, and who hands in names of
//! certificates to have verified those.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Unavailable;
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{
    CertificateName, Clock, Person, SessionId, Token, TokenHash, TokenKind, TokenRecord, UserName,
};
use crate::store::{LiveSession, SessionRow, SessionState, Store};

/// Looks callers up.
pub struct Access {
    /// Where sessions and tokens are.
    pub store: Store,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Access {
    /// The confirmed session that `token` opens, if it does.
    pub async fn session(&self, token: &Token) -> Result<Option<LiveSession>, Unavailable> {
        if token.kind() != TokenKind::Session {
            return Ok(None);
        }
        self.session_by_hash(&token.hash()).await
    }

    async fn session_by_hash(&self, hash: &TokenHash) -> Result<Option<LiveSession>, Unavailable> {
        let live = self.store.subject_by_token(hash).await?;
        let now = self.clock.now();
        Ok(live.filter(|live| live.state == SessionState::Confirmed && now < live.expires_at))
    }

    /// The record of a launcher's, admin's or auditor's token that counts now.
    pub async fn api_token(&self, token: &Token) -> Result<Option<TokenRecord>, Unavailable> {
        let record = self.store.token(&token.hash()).await?;
        Ok(record.filter(|record| record.is_live(self.clock.now())))
    }

    /// The launcher without token that a certificate with these `names` is of, by the newest of its records. Where
    /// that one has expired an older one does not count again: it may reach further.
    /// Names of several launchers say nothing.
    pub async fn launcher_by_certificate(
        &self,
        names: &[CertificateName],
    ) -> Result<Option<TokenRecord>, Unavailable> {
        let found = self.store.launchers_of_certificate(names).await?;
        // Oldest first, so that the newest of a name is what stays.
        let mut newest: BTreeMap<String, TokenRecord> = BTreeMap::new();
        for record in found {
            newest.insert(record.name.to_string(), record);
        }
        let now = self.clock.now();
        let mut live = newest.into_values().filter(|record| record.is_live(now));
        let one = live.next();
        Ok(one.filter(|_| live.next().is_none()))
    }

    /// The live sessions of a user of this name, the newest of each IdP, or of one IdP.
    pub async fn sessions_of(
        &self,
        user: &UserName,
        idp: Option<&crate::model::IdpName>,
    ) -> Result<Vec<LiveSession>, Unavailable> {
        let idps = match idp {
            Some(idp) => vec![idp.clone()],
            None => self.store.idps_of_user(user).await?,
        };
        let mut sessions = Vec::new();
        for idp in idps {
            let user = user.clone();
            sessions.extend(self.store.newest_session(&Person { idp, user }).await?);
        }
        Ok(sessions)
    }

    /// Sessions in the order of their sign-in, those that ended too; of one user where `user` says so.
    pub async fn sessions(
        &self,
        user: Option<&UserName>,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRow>, Unavailable> {
        Ok(self.store.list_sessions(user, after, limit).await?)
    }

    /// Ends the browser's session; leases go on drawing on it.
    pub async fn sign_out(&self, live: &LiveSession) -> Result<(), Unavailable> {
        let subject = &live.subject;
        self.store.end_browser(subject.session()).await?;
        let event = Event {
            person: Some(subject.person().clone()),
            session: Some(subject.session().clone()),
            ..Event::new(EventKind::SignedOut)
        };
        Ok(self.recorder.record(event).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OsEntropy, Role, TextPattern, TokenId};
    use crate::store::testing::Bench;

    #[tokio::test]
    async fn a_narrower_launcher_that_expires_does_not_give_the_wider_one_back() {
        let bench = Bench::new();
        let store = bench.open().await;
        let shared: Arc<dyn Clock> = bench.clock.clone();
        let access = Access {
            recorder: Recorder::start(store.clone(), Arc::clone(&shared)),
            store,
            clock: shared,
        };
        let name: CertificateName = "CN=batch,O=Example".parse().unwrap();
        let launcher = |users: &str, made: i64, expires: i64| TokenRecord {
            id: TokenId::fresh(&*bench.clock, &OsEntropy),
            name: "batch".parse().unwrap(),
            role: Role::Launcher,
            for_roles: Some(TextPattern::new("*")),
            for_users: Some(TextPattern::new(users)),
            created_at: bench.at(made),
            expires_at: Some(bench.at(expires)),
            revoked_at: None,
            certificate_subject: Some(name.clone()),
            without_token: true,
        };
        let (wide, narrow) = (launcher("*", 0, 900), launcher("ann", 1, 60));
        for record in [&wide, &narrow] {
            access.store.add_without_token(record).await.unwrap();
        }
        let names = [name.clone()];
        let found = async || access.launcher_by_certificate(&names).await.unwrap();
        assert_eq!(found().await.map(|one| one.id), Some(narrow.id.clone()));
        bench.clock.advance(chrono::TimeDelta::seconds(60));
        assert!(found().await.is_none());
        // Revoked, it is as if it had never been.
        let id = narrow.id.as_str();
        access.store.revoke_tokens(id, false).await.unwrap();
        assert_eq!(found().await.map(|one| one.id), Some(wide.id));
    }
}
