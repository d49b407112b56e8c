//! API tokens that are revoked, and with launchers' the leases that they made: in one transaction.
//!
//! A lease knows its launcher's name alone: while another token of the name counts, its leases cannot be told apart,
//! and none is revoked.

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use super::{Revocation, RevokedLease, Selector, carry_out, leases_revoked_at, reach_of};
use crate::model::{Role, TokenId, TokenName, TokenRecord};
use crate::store::tokens::{revoke_named, tokens_named};
use crate::store::{Store, StoreError};

/// For how long after a revocation another one of the same tokens is taken for the same call, once more.
const REPEATED_FOR: TimeDelta = TimeDelta::minutes(10);

/// What revoking tokens hit.
#[derive(Debug)]
pub struct RevokedTokens {
    /// The tokens that it revoked.
    pub tokens: Vec<TokenRecord>,
    /// Those that were revoked within the ten minutes before: the audit may not know of them.
    pub before: Vec<TokenRecord>,
    /// The leases, where they were to be revoked too and a launcher is among the tokens.
    pub leases: Option<LeasesOfLauncher>,
}

/// What a launcher had leased.
#[derive(Debug)]
pub struct LeasesOfLauncher {
    /// Its name.
    pub launcher: TokenName,
    /// What was revoked.
    pub revocation: Revocation,
    /// The leases that were revoked together with the tokens that were before.
    pub before: Vec<RevokedLease>,
}

/// Why no token was revoked.
#[derive(Debug, Error)]
pub enum RevokeTokensError {
    /// There is none, or it was revoked long ago.
    #[error(
        "no live token is called {0} or has that id; `rolegate tokens list` shows them, and `rolegate revoke --launcher NAME` revokes leases alone"
    )]
    Unknown(String),
    /// Its leases are also those of another that counts.
    #[error(
        "launcher {name} has another token that counts, {other}, and its leases are of both: leave --leases out, or write the name {name} in place of the id to revoke all its tokens with their leases"
    )]
    Shared {
        /// The launcher.
        name: TokenName,
        /// The other token.
        other: TokenId,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Revokes the token of this id, or every token of this name; with `leases` also every lease that launchers of its
    /// name made. All of it or nothing.
    pub async fn revoke_tokens(
        &self,
        name_or_id: &str,
        leases: bool,
    ) -> Result<RevokedTokens, RevokeTokensError> {
        let at = self.now();
        let mut transaction = self.begin().await?;
        self.0.engine.be_patient(&mut transaction).await?;
        let mut before = tokens_named(&mut transaction, name_or_id).await?;
        let launcher = before.iter().find(|one| one.role == Role::Launcher);
        let launcher = launcher.map(|one| one.name.clone()).filter(|_| leases);
        let tokens = revoke_named(&mut transaction, name_or_id, at).await?;
        before.retain(|one| one.revoked_at.is_some_and(|then| at - then < REPEATED_FOR));
        if tokens.is_empty() && before.is_empty() && launcher.is_none() {
            return Err(RevokeTokensError::Unknown(name_or_id.to_owned()));
        }
        let times = before.iter().filter_map(|one| one.revoked_at);
        let leases = match launcher {
            Some(name) => Some(leases_of(&mut transaction, name, times, at).await?),
            None => None,
        };
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(RevokedTokens {
            tokens,
            before,
            leases,
        })
    }
}

/// Revokes the leases of `launcher`, and finds those that were revoked at `times`.
async fn leases_of(
    connection: &mut sqlx::AnyConnection,
    launcher: TokenName,
    times: impl Iterator<Item = DateTime<Utc>>,
    at: DateTime<Utc>,
) -> Result<LeasesOfLauncher, RevokeTokensError> {
    let named = tokens_named(connection, launcher.as_str()).await?;
    let other = named
        .into_iter()
        .find(|one| one.role == Role::Launcher && one.name == launcher && one.is_live(at));
    if let Some(other) = other {
        return Err(RevokeTokensError::Shared {
            name: launcher,
            other: other.id,
        });
    }
    let selector = Selector::Launcher(launcher.clone());
    // A launcher's name is all that there is to find.
    let reach = reach_of(connection, &selector, at)
        .await?
        .unwrap_or_default();
    let revocation = carry_out(connection, &reach, at).await?;
    let mut before = Vec::new();
    for then in times.collect::<std::collections::BTreeSet<_>>() {
        before.extend(leases_revoked_at(connection, &reach, then).await?);
    }
    Ok(LeasesOfLauncher {
        launcher,
        revocation,
        before,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LeaseId, OsEntropy, TextPattern, Token, TokenKind};
    use crate::store::testing::Bench;

    async fn token(bench: &Bench, store: &Store, name: &str, role: Role) -> TokenId {
        let launches = role == Role::Launcher;
        let all = || launches.then(|| TextPattern::new("*".to_owned()));
        let record = TokenRecord {
            id: TokenId::fresh(&*bench.clock, &OsEntropy),
            name: name.parse().unwrap(),
            role,
            for_roles: all(),
            for_users: all(),
            created_at: bench.at(0),
            expires_at: None,
            revoked_at: None,
            certificate_subject: None,
            without_token: false,
        };
        let hash = Token::fresh(TokenKind::Launcher, &OsEntropy).hash();
        store.add_token(&record, &hash).await.unwrap();
        record.id
    }

    async fn lease(bench: &Bench, store: &Store, launcher: &str) -> LeaseId {
        let (mut lease, hash) = bench.lease("job");
        lease.launcher = Some(launcher.parse().unwrap());
        store.add_lease(&lease, &hash).await.unwrap();
        lease.id
    }

    async fn counts(store: &Store, lease: &LeaseId) -> bool {
        let lease = store.lease(lease).await.unwrap().unwrap();
        lease.revoked_at.is_none()
    }

    fn leased(done: &RevokedTokens) -> (usize, usize) {
        let leases = done.leases.as_ref().unwrap();
        (leases.revocation.leases.len(), leases.before.len())
    }

    #[tokio::test]
    async fn a_name_takes_its_tokens_and_leases_along_and_can_be_repeated() {
        let bench = Bench::new();
        let store = bench.open().await;
        for name in ["nightly", "nightly", "adhoc"] {
            token(&bench, &store, name, Role::Launcher).await;
        }
        let mine = lease(&bench, &store, "nightly").await;
        let theirs = lease(&bench, &store, "adhoc").await;
        let done = store.revoke_tokens("nightly", true).await.unwrap();
        assert_eq!((done.tokens.len(), done.before.len()), (2, 0));
        assert_eq!(leased(&done), (1, 0));
        assert!(!counts(&store, &mine).await && counts(&store, &theirs).await);

        // Who was cut off before the audit knew of it asks again, and hears of the same ones.
        bench.clock.advance(TimeDelta::seconds(9));
        let again = store.revoke_tokens("nightly", true).await.unwrap();
        assert_eq!((again.tokens.len(), again.before.len()), (0, 2));
        assert_eq!(leased(&again), (0, 1));

        // A day later there is nothing to repeat, but whatever leases there are can go.
        bench.clock.advance(TimeDelta::days(1));
        let late = store.revoke_tokens("nightly", false).await.unwrap_err();
        assert!(matches!(late, RevokeTokensError::Unknown(_)), "{late}");
        let late = store.revoke_tokens("nightly", true).await.unwrap();
        assert_eq!(
            (late.tokens.len(), late.before.len(), leased(&late)),
            (0, 0, (0, 0))
        );
        let nobody = store.revoke_tokens("nobody", true).await.unwrap_err();
        assert!(matches!(nobody, RevokeTokensError::Unknown(_)), "{nobody}");
    }

    #[tokio::test]
    async fn leases_that_are_also_anothers_stay_with_the_token() {
        let bench = Bench::new();
        let store = bench.open().await;
        let old = token(&bench, &store, "nightly", Role::Launcher).await;
        let new = token(&bench, &store, "nightly", Role::Launcher).await;
        token(&bench, &store, "nightly", Role::Admin).await;
        let running = lease(&bench, &store, "nightly").await;
        let refused = store.revoke_tokens(old.as_str(), true).await.unwrap_err();
        let RevokeTokensError::Shared { other, .. } = &refused else {
            panic!("{refused}");
        };
        assert_eq!(*other, new);
        let live = async || {
            let tokens = store.tokens().await.unwrap();
            tokens.iter().filter(|one| one.is_live(bench.at(0))).count()
        };
        assert_eq!(live().await, 3, "nothing was revoked");
        let alone = store.revoke_tokens(old.as_str(), false).await.unwrap();
        assert_eq!((alone.tokens.len(), live().await), (1, 2));
        assert!(counts(&store, &running).await);
        let last = store.revoke_tokens(new.as_str(), true).await.unwrap();
        assert_eq!((last.tokens.len(), leased(&last)), (1, (1, 0)));
        assert!(!counts(&store, &running).await);
    }

    #[tokio::test]
    async fn an_admins_token_has_no_leases() {
        let bench = Bench::new();
        let store = bench.open().await;
        token(&bench, &store, "boss", Role::Admin).await;
        let named_alike = lease(&bench, &store, "boss").await;
        let done = store.revoke_tokens("boss", true).await.unwrap();
        assert!(done.leases.is_none() && done.tokens.len() == 1);
        assert!(counts(&store, &named_alike).await);
    }

    #[tokio::test]
    async fn what_fails_halfway_has_revoked_no_token() {
        let bench = Bench::new();
        let store = bench.open().await;
        token(&bench, &store, "nightly", Role::Launcher).await;
        let mine = lease(&bench, &store, "nightly").await;
        bench.tamper("ALTER TABLE credentials RENAME TO away").await;
        assert!(store.revoke_tokens("nightly", true).await.is_err());
        bench.tamper("ALTER TABLE away RENAME TO credentials").await;
        assert!(counts(&store, &mine).await);
        let done = store.revoke_tokens("nightly", true).await.unwrap();
        assert_eq!((done.tokens.len(), leased(&done)), (1, (1, 0)));
    }
}
