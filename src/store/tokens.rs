//! API tokens, kept as hashes; a revoked or expired one stays, so that its use can be named.

use chrono::{DateTime, Utc};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use thiserror::Error;

use super::rows::{Record, millis};
use super::{Store, StoreError};
use crate::model::{
    CertificateName, Role, TextPattern, Token, TokenHash, TokenKind, TokenName, TokenRecord,
};

/// Why a launcher without token is not kept.
#[derive(Debug, Error)]
pub enum AddLauncherError {
    /// The certificate says who calls, and would say two things.
    #[error(
        "launcher {0} has this certificate without a token already; revoke that with `rolegate tokens revoke {0}`, or take its name"
    )]
    Taken(TokenName),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Keeps a new token.
    pub async fn add_token(
        &self,
        record: &TokenRecord,
        hash: &TokenHash,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer().begin().await?;
        insert(&mut transaction, record, hash).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Keeps a launcher that has no token and is known by its certificate alone. Another launcher's certificate is
    /// refused; one of the same name follows it, and the newest counts.
    pub async fn add_without_token(&self, record: &TokenRecord) -> Result<(), AddLauncherError> {
        let mut transaction = self.begin().await?;
        let standing = by_certificate(&mut transaction).await?;
        let other = standing.into_iter().find(|one| {
            one.is_live(self.now())
                && one.certificate_subject == record.certificate_subject
                && one.name != record.name
        });
        if let Some(other) = other {
            return Err(AddLauncherError::Taken(other.name));
        }
        // Nobody was ever given what this is the hash of.
        let hash = Token::fresh(TokenKind::Launcher, &*self.0.entropy).hash();
        insert(&mut transaction, record, &hash).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(())
    }

    /// The launchers without token of a certificate with these names, oldest first, whether they count or not.
    pub async fn launchers_of_certificate(
        &self,
        names: &[CertificateName],
    ) -> Result<Vec<TokenRecord>, StoreError> {
        let mut standing = by_certificate(&mut *self.reader().to_read().await?).await?;
        standing.retain(|one| {
            one.certificate_subject
                .as_ref()
                .is_some_and(|name| names.contains(name))
        });
        Ok(standing)
    }

    /// The token of this hash, whether it still counts or not.
    pub async fn token(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        let row = sqlx::query(
            "SELECT id, name, role, for_roles, for_users, created_at, expires_at, revoked_at,
             certificate_subject, without_token FROM tokens WHERE hash = $1 AND without_token = 0",
        )
        .bind(hash.as_bytes())
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Every token, oldest first.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, name, role, for_roles, for_users, created_at, expires_at, revoked_at,
             certificate_subject, without_token FROM tokens ORDER BY created_at, id",
        )
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }
}

/// The token of this id, or every one of this name, oldest first, whether it counts or not.
pub(super) async fn tokens_named(
    connection: &mut AnyConnection,
    name_or_id: &str,
) -> Result<Vec<TokenRecord>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, name, role, for_roles, for_users, created_at, expires_at, revoked_at,
         certificate_subject, without_token FROM tokens WHERE id = $1 OR name = $1
         ORDER BY created_at, id",
    )
    .bind(name_or_id)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Revokes the token of this id, or every one of this name, within the caller's transaction; gives those that were
/// not yet.
pub(super) async fn revoke_named(
    connection: &mut AnyConnection,
    name_or_id: &str,
    at: DateTime<Utc>,
) -> Result<Vec<TokenRecord>, StoreError> {
    let rows = sqlx::query(
        "UPDATE tokens SET revoked_at = $1 WHERE revoked_at IS NULL AND (id = $2 OR name = $2)
         RETURNING id, name, role, for_roles, for_users, created_at, expires_at, revoked_at,
         certificate_subject, without_token",
    )
    .bind(millis(at))
    .bind(name_or_id)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

async fn insert(
    connection: &mut AnyConnection,
    record: &TokenRecord,
    hash: &TokenHash,
) -> Result<(), StoreError> {
    let pattern =
        |pattern: &Option<TextPattern>| pattern.as_ref().map(|pattern| pattern.as_str().to_owned());
    let certificate = record.certificate_subject.as_ref();
    sqlx::query(
        "INSERT INTO tokens
         (id, hash, name, role, for_roles, for_users, created_at, expires_at, revoked_at,
          certificate_subject, without_token)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(record.id.as_str())
    .bind(hash.as_bytes())
    .bind(record.name.as_str())
    .bind(record.role.as_str())
    .bind(pattern(&record.for_roles))
    .bind(pattern(&record.for_users))
    .bind(millis(record.created_at))
    .bind(record.expires_at.map(millis))
    .bind(record.revoked_at.map(millis))
    .bind(certificate.map(|name| name.as_str().to_owned()))
    .bind(i64::from(record.without_token))
    .execute(connection)
    .await?;
    Ok(())
}

/// Those without token that were not revoked, oldest first.
async fn by_certificate(connection: &mut AnyConnection) -> Result<Vec<TokenRecord>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, name, role, for_roles, for_users, created_at, expires_at, revoked_at,
         certificate_subject, without_token
         FROM tokens WHERE without_token = 1 AND revoked_at IS NULL ORDER BY created_at, id",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<TokenRecord, StoreError> {
    let record = Record::new(row, "tokens", "id");
    let role = match record.text("role")?.as_str() {
        "launcher" => Role::Launcher,
        "admin" => Role::Admin,
        "auditor" => Role::Auditor,
        _ => return Err(record.damaged("role", "is no role")),
    };
    let certificate_subject = record
        .maybe_text("certificate_subject")?
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| record.damaged("certificate_subject", "names no certificate"))?;
    Ok(TokenRecord {
        id: record.parsed("id")?,
        name: record.parsed("name")?,
        role,
        for_roles: record.maybe_text("for_roles")?.map(TextPattern::new),
        for_users: record.maybe_text("for_users")?.map(TextPattern::new),
        created_at: record.time("created_at")?,
        expires_at: record.maybe_time("expires_at")?,
        revoked_at: record.maybe_time("revoked_at")?,
        certificate_subject,
        without_token: record.number("without_token")? != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OsEntropy, TokenId};
    use crate::store::testing::Bench;

    fn launcher(bench: &Bench, name: &str) -> TokenRecord {
        TokenRecord {
            id: TokenId::fresh(&*bench.clock, &OsEntropy),
            name: name.parse().unwrap(),
            role: Role::Launcher,
            for_roles: Some(TextPattern::new("*")),
            for_users: Some(TextPattern::new("a*")),
            created_at: bench.at(0),
            expires_at: Some(bench.at(60)),
            revoked_at: None,
            certificate_subject: None,
            without_token: false,
        }
    }

    #[tokio::test]
    async fn a_token_is_found_by_its_hash_alone_and_revoked_by_name_or_id() {
        let bench = Bench::new();
        let store = bench.open().await;
        let hash = || Token::fresh(TokenKind::Launcher, &OsEntropy).hash();
        let (first, second, other) = (hash(), hash(), hash());
        let records = ["nightly", "nightly", "adhoc"].map(|name| launcher(&bench, name));
        for (record, hash) in records.iter().zip([first, second, other]) {
            store.add_token(record, &hash).await.unwrap();
        }
        let found = store.token(&first).await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{:?}", records[0]));
        assert!(store.token(&hash()).await.unwrap().is_none());

        let revoke = async |named: String| {
            let done = store.revoke_tokens(&named, false).await.unwrap();
            (done.tokens.len(), done.before.len())
        };
        assert_eq!(revoke("nightly".to_owned()).await, (2, 0));
        assert_eq!(revoke("nightly".to_owned()).await, (0, 2));
        let revoked = store.token(&first).await.unwrap().unwrap();
        assert!(!revoked.is_live(bench.at(0)));
        let going = store.token(&other).await.unwrap().unwrap();
        assert!(going.is_live(bench.at(0)));
        assert_eq!(revoke(records[2].id.to_string()).await, (1, 0));
        assert_eq!(store.tokens().await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_certificate_alone_is_one_launchers_and_the_newest_of_a_name_counts() {
        let bench = Bench::new();
        let store = bench.open().await;
        let name: CertificateName = "CN=nightly,O=Example".parse().unwrap();
        let bound_to = Some(name.clone());
        let alone = |launcher_name: &str| TokenRecord {
            certificate_subject: bound_to.clone(),
            without_token: true,
            ..launcher(&bench, launcher_name)
        };
        let first = alone("nightly");
        store.add_without_token(&first).await.unwrap();
        let refused = store.add_without_token(&alone("adhoc")).await.unwrap_err();
        assert!(matches!(&refused, AddLauncherError::Taken(name) if name.as_str() == "nightly"));
        let next = TokenRecord {
            created_at: bench.at(1),
            ..alone("nightly")
        };
        store.add_without_token(&next).await.unwrap();

        let other: CertificateName = "dns:other.example.org".parse().unwrap();
        let of = |names: Vec<CertificateName>| {
            let store = store.clone();
            async move { store.launchers_of_certificate(&names).await.unwrap() }
        };
        assert_eq!(of(vec![other.clone(), name.clone()]).await.len(), 2);
        assert!(of(vec![other]).await.is_empty());
        assert!(of(vec![]).await.is_empty());
        let found = of(vec![name.clone()]).await;
        assert_eq!(format!("{:?}", found[0]), format!("{first:?}"));

        // Beside one that has a token and the same certificate, and is found by that token alone.
        let token = Token::fresh(TokenKind::Launcher, &OsEntropy).hash();
        let bound = TokenRecord {
            without_token: false,
            ..alone("adhoc")
        };
        store.add_token(&bound, &token).await.unwrap();
        let bound = store.token(&token).await.unwrap().unwrap();
        assert_eq!(bound.certificate_subject, Some(name.clone()));
        assert_eq!(of(vec![name.clone()]).await.len(), 2);

        store.revoke_tokens("nightly", false).await.unwrap();
        assert!(of(vec![name]).await.is_empty());
        store.add_without_token(&alone("another")).await.unwrap();
    }
}
