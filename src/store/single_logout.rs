//! What single logout asks of the store: the sessions of a NameID, and each request once.

use chrono::{DateTime, Utc};

use super::newest::RENEWED_AT_MOST;
use super::rows::millis;
use super::sessions::live_columns;
use super::{LiveSession, Store, StoreError};
use crate::model::{IdpName, ReplayId, SubjectParts};

/// The sessions of one NameID that are looked at: far more than a person opens.
const MOST: i64 = 1000;

impl Store {
    /// Takes the id of a logout request; says whether it is new.
    pub async fn take_logout(
        &self,
        id: &ReplayId,
        until: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO replay_ids (id, expires_at, accepted_at) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(id.0.to_vec())
        .bind(millis(until))
        .bind(millis(self.now()))
        .execute(self.writer())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The sessions that may be used now and that `idp` opened for `name_id`.
    pub async fn sessions_of_name_id(
        &self,
        idp: &IdpName,
        name_id: &str,
    ) -> Result<Vec<LiveSession>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            live_columns!(),
            " FROM sessions
                 WHERE name_id = $1 AND ended_at IS NULL AND (expires_at > $2 OR signed_in_at > $3)
                 ORDER BY id DESC LIMIT $4"
        ))
        .bind(digest(idp, name_id))
        .bind(millis(self.now()))
        .bind(millis(self.now() - RENEWED_AT_MOST))
        .bind(MOST)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(|row| self.read_live(row)).collect()
    }
}

/// What the column `name_id` holds for a session of `parts`.
pub(super) fn name_id_of(parts: &SubjectParts) -> Option<Vec<u8>> {
    let handle = parts.logout.as_ref()?;
    Some(digest(&parts.person.idp, &handle.name_id))
}

fn digest(idp: &IdpName, name_id: &str) -> Vec<u8> {
    // An IdP's name holds no line break, so that no two pairs meet.
    openssl::sha::sha256(format!("{idp}\n{name_id}").as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LogoutHandle;
    use crate::store::SessionState;
    use crate::store::testing::{Bench, TestSignIn};

    fn handle(name_id: &str) -> LogoutHandle {
        LogoutHandle {
            name_id: name_id.to_owned(),
            format: None,
            name_qualifier: None,
            sp_name_qualifier: None,
            session_indexes: vec!["_1".to_owned()],
        }
    }

    #[tokio::test]
    async fn finds_the_sessions_of_a_name_id_at_its_idp_while_they_last() {
        let bench = Bench::new();
        let store = bench.open().await;
        let mut one = TestSignIn::new("a");
        one.parts.logout = Some(handle("alice"));
        let idp = one.parts.person.idp.clone();
        let session = bench
            .open_as(&store, one, bench.new_session(SessionState::Confirmed))
            .await;
        bench.session(&store, "without").await;
        let found = store.sessions_of_name_id(&idp, "alice").await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].subject.session(), session.session());
        assert_eq!(found[0].subject.parts().logout, Some(handle("alice")));
        let elsewhere: IdpName = "elsewhere".parse().unwrap();
        for (idp, name) in [(&idp, "bob"), (&elsewhere, "alice"), (&idp, "")] {
            assert!(
                store
                    .sessions_of_name_id(idp, name)
                    .await
                    .unwrap()
                    .is_empty()
            );
        }
        store.end_session(session.session()).await.unwrap();
        assert!(
            store
                .sessions_of_name_id(&idp, "alice")
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test]
    async fn a_request_is_taken_once() {
        let bench = Bench::new();
        let store = bench.open().await;
        let until = store.now();
        assert_eq!(store.take_logout(&ReplayId([1; 32]), until).await, Ok(true));
        assert_eq!(
            store.take_logout(&ReplayId([1; 32]), until).await,
            Ok(false)
        );
        assert_eq!(store.take_logout(&ReplayId([2; 32]), until).await, Ok(true));
    }
}
