//! What single logout asks of the store: the sessions of a NameID, and each request once.

use chrono::{DateTime, Utc};

use super::newest::RENEWED_AT_MOST;
use super::rows::{Record, millis};
use super::sessions::live_columns;
use super::{LiveSession, Store, StoreError};
use crate::model::{IdpName, ReplayId, SubjectParts};

/// The sessions of one NameID that are looked at: far more than a person opens.
const MOST: i64 = 1000;

/// A session of a NameID.
#[derive(Debug)]
pub struct NamedSession {
    /// What it is, or was.
    pub live: LiveSession,
    /// When it was ended, if it was.
    pub ended_at: Option<DateTime<Utc>>,
}

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

    /// The sessions that `idp` opened for `name_id` and that may be used now, or were ended after `ended_after`.
    pub async fn sessions_of_name_id(
        &self,
        idp: &IdpName,
        name_id: &str,
        ended_after: DateTime<Utc>,
    ) -> Result<Vec<NamedSession>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT ended_at, ",
            live_columns!(),
            " FROM sessions
                 WHERE name_id = $1 AND (ended_at IS NULL OR ended_at > $5)
                 AND (expires_at > $2 OR signed_in_at > $3)
                 ORDER BY id DESC LIMIT $4"
        ))
        .bind(digest(idp, name_id))
        .bind(millis(self.now()))
        .bind(millis(self.now() - RENEWED_AT_MOST))
        .bind(MOST)
        .bind(millis(ended_after))
        .fetch_all(self.reader())
        .await?;
        let named = rows.iter().map(|row| {
            Ok(NamedSession {
                live: self.read_live(row)?,
                ended_at: Record::new(row, "sessions", "id").maybe_time("ended_at")?,
            })
        });
        named.collect()
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
        let long_ago = bench.at(-60);
        let of = async |idp: &IdpName, name: &str| {
            let found = store.sessions_of_name_id(idp, name, long_ago);
            found.await.unwrap()
        };
        let found = of(&idp, "alice").await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].live.subject.session(), session.session());
        assert_eq!(found[0].live.subject.parts().logout, Some(handle("alice")));
        assert_eq!(found[0].ended_at, None);
        let elsewhere: IdpName = "elsewhere".parse().unwrap();
        for (idp, name) in [(&idp, "bob"), (&elsewhere, "alice"), (&idp, "")] {
            assert!(of(idp, name).await.is_empty());
        }
        store.end_session(session.session()).await.unwrap();
        let ended = of(&idp, "alice").await;
        assert_eq!(ended[0].ended_at.map(millis), Some(millis(bench.at(0))));
        let since = store.sessions_of_name_id(&idp, "alice", bench.at(0));
        assert!(since.await.unwrap().is_empty());
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
