//! Sign-in requests that rolegate sent to an IdP: each is answered once, within ten minutes, by the
//! IdP it went to and in the browser that asked.
//!
//! What a request keeps secret is sealed, bound to the request, its IdP and its browser, and given to the one
//! who consumes it alone.

use chrono::TimeDelta;

use super::rows::{Record, last, millis};
use super::sealing::Place;
use super::{Store, StoreError};
use crate::model::{IdpName, Secret, hex};

const LIVES: TimeDelta = TimeDelta::minutes(10);

/// A request that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRequest {
    /// The `ID` that the response must repeat.
    pub id: String,
    /// The IdP it went to.
    pub idp: IdpName,
    /// SHA-256 of the cookie's value in the browser that asked.
    pub binding: [u8; 32],
    /// Where the browser wants to go afterwards; checked before it came here.
    pub return_to: Option<String>,
    /// What only the answer's reader may know: nonce and PKCE verifier. Given back by
    /// [`Store::consume_request`] alone.
    pub secret: Option<Secret>,
}

/// A request that was taken out of the store, by the one answer it will have. No Clone.
#[derive(Debug)]
pub struct ConsumedRequest {
    id: String,
    return_to: Option<String>,
    secret: Option<Secret>,
}

impl ConsumedRequest {
    /// The request's `ID`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the browser wants to go.
    pub fn return_to(&self) -> Option<&str> {
        self.return_to.as_deref()
    }

    /// What was kept secret with the request.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }
}

impl Store {
    /// Keeps a request for ten minutes.
    pub async fn save_request(&self, request: SignInRequest) -> Result<(), StoreError> {
        let row = sealed_row(&request.id, &request.idp, &request.binding);
        let sealed = request
            .secret
            .as_ref()
            .map(|secret| self.sealer().seal(place(&row), secret.expose().as_bytes()))
            .transpose()?;
        sqlx::query(
            "INSERT INTO requests (id, idp, binding, return_to, expires_at, secret)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(request.id)
        .bind(request.idp.as_str())
        .bind(request.binding.to_vec())
        .bind(request.return_to)
        .bind(millis(self.now() + LIVES))
        .bind(sealed)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Forgets the oldest requests beyond `most`, and says how many there were.
    pub async fn bound_requests(&self, most: u32) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "DELETE FROM requests WHERE (expires_at, id) <=
             (SELECT expires_at, id FROM requests ORDER BY expires_at DESC, id DESC LIMIT 1 OFFSET $1)",
        )
        .bind(i64::from(most))
        .execute(self.writer())
        .await?;
        Ok(done.rows_affected())
    }

    /// The request `id` without its secret, if it can still be answered.
    pub async fn find_request(&self, id: &str) -> Result<Option<SignInRequest>, StoreError> {
        if is_no_id(id) {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT id, idp, binding, return_to FROM requests WHERE id = $1 AND expires_at > $2",
        )
        .bind(id)
        .bind(millis(self.now()))
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            let record = Record::new(&row, "requests", "id");
            Ok(SignInRequest {
                id: record.text("id")?,
                idp: record.parsed("idp")?,
                binding: record.hash("binding")?,
                return_to: record.maybe_text("return_to")?,
                secret: None,
            })
        })
        .transpose()
    }

    /// Takes the request out, if it is still there and belongs to this IdP and this browser.
    pub async fn consume_request(
        &self,
        id: &str,
        idp: &IdpName,
        binding: &[u8; 32],
    ) -> Result<Option<ConsumedRequest>, StoreError> {
        if is_no_id(id) {
            return Ok(None);
        }
        let rows = sqlx::query(
            "DELETE FROM requests WHERE id = $1 AND idp = $2 AND binding = $3 AND expires_at > $4
             RETURNING id, return_to, secret",
        )
        .bind(id)
        .bind(idp.as_str())
        .bind(binding.to_vec())
        .bind(millis(self.now()))
        .fetch_all(self.writer())
        .await?;
        last(rows)
            .map(|row| {
                let record = Record::new(&row, "requests", "id");
                let id = record.text("id")?;
                let sealed = record.maybe_bytes("secret")?;
                Ok(ConsumedRequest {
                    secret: sealed
                        .map(|sealed| self.open_secret(&sealed_row(&id, idp, binding), &sealed))
                        .transpose()?,
                    id,
                    return_to: record.maybe_text("return_to")?,
                })
            })
            .transpose()
    }

    fn open_secret(&self, row: &str, sealed: &[u8]) -> Result<Secret, StoreError> {
        let plain = self.sealer().open(place(row), sealed)?;
        match std::str::from_utf8(&plain) {
            Ok(text) => Ok(Secret::new(text.to_owned())),
            Err(_) => Err(StoreError::Corrupt {
                table: "requests",
                row: row.lines().next().unwrap_or_default().to_owned(),
                problem: "column secret is no text".to_owned(),
            }),
        }
    }
}

/// Whether no request is called so. A stranger says the id, and PostgreSQL takes a text with a NUL for an error
/// of its own, which would read as a store that is away.
fn is_no_id(id: &str) -> bool {
    id.contains('\0')
}

/// The row that a secret is sealed for, with what of it must not be exchanged under the secret.
fn sealed_row(id: &str, idp: &IdpName, binding: &[u8; 32]) -> String {
    format!("{id}\n{idp}\n{}", hex(binding))
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "requests",
        row,
        column: "secret",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Bench, idp};

    fn request() -> SignInRequest {
        SignInRequest {
            id: "req-1".to_owned(),
            idp: idp("okta"),
            binding: [7; 32],
            return_to: Some("/after".to_owned()),
            secret: None,
        }
    }

    #[tokio::test]
    async fn a_request_is_answered_once_by_its_idp_in_its_browser() {
        let bench = Bench::new();
        let store = bench.open().await;
        store.save_request(request()).await.unwrap();
        assert_eq!(store.find_request("req-1").await.unwrap(), Some(request()));
        let take = async |id, name, binding| {
            store
                .consume_request(id, &idp(name), &binding)
                .await
                .unwrap()
        };
        assert!(take("req-2", "okta", [7; 32]).await.is_none());
        assert!(take("req-1", "entra", [7; 32]).await.is_none());
        assert!(take("req-1", "okta", [8; 32]).await.is_none());
        let consumed = take("req-1", "okta", [7; 32]).await.unwrap();
        assert_eq!(consumed.id(), "req-1");
        assert_eq!(consumed.return_to(), Some("/after"));
        assert!(take("req-1", "okta", [7; 32]).await.is_none());
        assert_eq!(store.find_request("req-1").await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_no_request_can_be_called_is_unknown_to_every_engine() {
        let bench = Bench::new();
        let store = bench.open().await;
        assert_eq!(store.find_request("req\0-1").await.unwrap(), None);
        let okta = idp("okta");
        let taken = store.consume_request("req\0-1", &okta, &[7; 32]).await;
        assert!(taken.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_request_lives_ten_minutes() {
        let bench = Bench::new();
        let store = bench.open().await;
        store.save_request(request()).await.unwrap();
        bench.clock.advance(TimeDelta::seconds(599));
        assert!(store.find_request("req-1").await.unwrap().is_some());
        bench.clock.advance(TimeDelta::seconds(1));
        assert!(store.find_request("req-1").await.unwrap().is_none());
        let late = store.consume_request("req-1", &idp("okta"), &[7; 32]).await;
        assert!(late.unwrap().is_none());
    }

    #[tokio::test]
    async fn beyond_a_bound_the_oldest_requests_are_forgotten() {
        let bench = Bench::new();
        let store = bench.open().await;
        for at in 1..=5 {
            let id = format!("req-{at}");
            store
                .save_request(SignInRequest { id, ..request() })
                .await
                .unwrap();
            bench.clock.advance(TimeDelta::seconds(1));
        }
        assert_eq!(store.bound_requests(5).await.unwrap(), 0);
        assert_eq!(store.bound_requests(3).await.unwrap(), 2);
        let mut left = Vec::new();
        for at in 1..=5 {
            let found = store.find_request(&format!("req-{at}")).await.unwrap();
            left.push(found.is_some());
        }
        assert_eq!(left, [false, false, true, true, true]);
    }

    fn with_secret(id: &str, secret: &str) -> SignInRequest {
        SignInRequest {
            id: id.to_owned(),
            secret: Some(Secret::new(secret.to_owned())),
            ..request()
        }
    }

    #[tokio::test]
    async fn a_secret_is_sealed_and_goes_to_the_one_who_consumes_it() {
        let bench = Bench::new();
        let store = bench.open().await;
        let secret = "nonce-and-verifier-in-the-clear";
        store
            .save_request(with_secret("req-1", secret))
            .await
            .unwrap();
        let text = bench.text_on_disk().await;
        let holds = |wanted: &str| text.contains(wanted);
        assert!(holds("/after"), "the search finds what is there");
        assert!(!holds(secret));
        let found = store.find_request("req-1").await.unwrap().unwrap();
        assert_eq!(found.secret, None);
        let take = async || {
            let taken = store.consume_request("req-1", &idp("okta"), &[7; 32]).await;
            taken.unwrap()
        };
        let consumed = take().await.unwrap();
        assert_eq!(consumed.secret().map(Secret::expose), Some(secret));
        assert!(take().await.is_none());
    }

    #[tokio::test]
    async fn a_secret_opens_for_its_request_its_idp_and_its_browser_alone() {
        for change in [
            "UPDATE requests SET secret = (SELECT secret FROM requests WHERE id = 'req-2')
             WHERE id = 'req-1'",
            "UPDATE requests SET id = 'req-3' WHERE id = 'req-1';
             UPDATE requests SET id = 'req-1' WHERE id = 'req-2'",
            "UPDATE requests SET idp = 'okta', binding = x'0707070707070707070707070707070707070707070707070707070707070707'
             WHERE id = 'req-1'",
            "UPDATE requests SET secret = x'00' WHERE id = 'req-1'",
        ] {
            let bench = Bench::new();
            let store = bench.open().await;
            let mut first = with_secret("req-1", "one");
            if change.contains("binding") {
                first.binding = [8; 32];
            }
            store.save_request(first).await.unwrap();
            store.save_request(with_secret("req-2", "two")).await.unwrap();
            bench.tamper(change).await;
            let damaged = store.consume_request("req-1", &idp("okta"), &[7; 32]).await;
            assert!(
                matches!(damaged, Err(StoreError::Corrupt { table: "requests", .. })),
                "{change}"
            );
        }
    }
}
