//! API tokens, kept as hashes; a revoked or expired one stays, so that its use can be named.

use sqlx::any::AnyRow;

use super::rows::{Record, millis};
use super::{Store, StoreError};
use crate::model::{Role, TextPattern, TokenHash, TokenRecord};

impl Store {
    /// Keeps a new token.
    pub async fn add_token(
        &self,
        record: &TokenRecord,
        hash: &TokenHash,
    ) -> Result<(), StoreError> {
        let pattern = |pattern: &Option<TextPattern>| {
            pattern.as_ref().map(|pattern| pattern.as_str().to_owned())
        };
        sqlx::query(
            "INSERT INTO tokens
             (id, hash, name, role, for_roles, for_users, created_at, expires_at, revoked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
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
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// The token of this hash, whether it still counts or not.
    pub async fn token(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        let row = sqlx::query(
            "SELECT id, name, role, for_roles, for_users, created_at, expires_at, revoked_at
             FROM tokens WHERE hash = $1",
        )
        .bind(hash.as_bytes())
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Every token, oldest first.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, name, role, for_roles, for_users, created_at, expires_at, revoked_at
             FROM tokens ORDER BY created_at, id",
        )
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Revokes the token of this id, or every token of this name; gives those that were not yet.
    pub async fn revoke_token(&self, name_or_id: &str) -> Result<Vec<TokenRecord>, StoreError> {
        let rows = sqlx::query(
            "UPDATE tokens SET revoked_at = $1 WHERE revoked_at IS NULL AND (id = $2 OR name = $2)
             RETURNING id, name, role, for_roles, for_users, created_at, expires_at, revoked_at",
        )
        .bind(millis(self.now()))
        .bind(name_or_id)
        .fetch_all(self.writer())
        .await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &AnyRow) -> Result<TokenRecord, StoreError> {
    let record = Record::new(row, "tokens", "id");
    let role = match record.text("role")?.as_str() {
        "launcher" => Role::Launcher,
        "admin" => Role::Admin,
        "auditor" => Role::Auditor,
        _ => return Err(record.damaged("role", "is no role")),
    };
    Ok(TokenRecord {
        id: record.parsed("id")?,
        name: record.parsed("name")?,
        role,
        for_roles: record.maybe_text("for_roles")?.map(TextPattern::new),
        for_users: record.maybe_text("for_users")?.map(TextPattern::new),
        created_at: record.time("created_at")?,
        expires_at: record.maybe_time("expires_at")?,
        revoked_at: record.maybe_time("revoked_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OsEntropy, Token, TokenId, TokenKind};
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

        assert_eq!(store.revoke_token("nightly").await.unwrap().len(), 2);
        assert_eq!(store.revoke_token("nightly").await.unwrap().len(), 0);
        let revoked = store.token(&first).await.unwrap().unwrap();
        assert!(!revoked.is_live(bench.at(0)));
        let going = store.token(&other).await.unwrap().unwrap();
        assert!(going.is_live(bench.at(0)));
        let by_id = store.revoke_token(records[2].id.as_str()).await.unwrap();
        assert_eq!(by_id.len(), 1);
        assert_eq!(store.tokens().await.unwrap().len(), 3);
    }
}
