//! How a running gateway learns of another process's edits: counters that triggers raise within
//! the very transaction of the edit.

use super::rows::Record;
use super::{Store, StoreError};

/// The counters as they stand; a higher one than before means: read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeVersions {
    /// The allow-list.
    pub entries: i64,
    /// Sessions, leases and tokens that were ended or revoked, and tokens that were made.
    pub access: i64,
    /// rolegate's own key pairs.
    pub keys: i64,
    /// Holds that were placed or released.
    pub holds: i64,
    /// Which master key seals.
    pub sealing: i64,
}

impl Store {
    /// Reads the counters, by one small statement.
    pub async fn change_versions(&self) -> Result<ChangeVersions, StoreError> {
        let rows = sqlx::query("SELECT topic, version FROM changes")
            .fetch_all(self.reader())
            .await?;
        let mut versions = ChangeVersions::default();
        for row in &rows {
            let record = Record::new(row, "changes", "topic");
            match record.text("topic")?.as_str() {
                "entries" => versions.entries = record.number("version")?,
                "access" => versions.access = record.number("version")?,
                "keys" => versions.keys = record.number("version")?,
                "holds" => versions.holds = record.number("version")?,
                "sealing" => versions.sealing = record.number("version")?,
                _ => {}
            }
        }
        Ok(versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Bench, draft};

    async fn moved(store: &Store, before: &mut ChangeVersions) -> (bool, bool) {
        let now = store.change_versions().await.unwrap();
        let moved = (now.entries > before.entries, now.access > before.access);
        *before = now;
        moved
    }

    #[tokio::test]
    async fn one_process_sees_what_another_changes() {
        let bench = Bench::new();
        let here = bench.open().await;
        let there = bench.open().await;
        let mut seen = here.change_versions().await.unwrap();

        let entry = there.add_entry(draft("a"), "local:root").await.unwrap();
        assert_eq!(moved(&here, &mut seen).await, (true, false));
        assert_eq!(here.entries().await.unwrap(), vec![entry.clone()]);
        there
            .remove_entry(&entry.id, None, "local:root", None)
            .await
            .unwrap();
        assert_eq!(moved(&here, &mut seen).await, (true, false));

        let session = bench.session(&there, "a").await;
        assert_eq!(moved(&here, &mut seen).await, (false, false));
        there.end_browser(session.session()).await.unwrap();
        assert_eq!(moved(&here, &mut seen).await, (false, true));
        there.end_session(session.session()).await.unwrap();
        assert_eq!(moved(&here, &mut seen).await, (false, true));

        let (lease, hash) = bench.lease("job-1");
        there.add_lease(&lease, &hash).await.unwrap();
        assert_eq!(moved(&here, &mut seen).await, (false, false));
        // Told by itself, so that nothing else is read again.
        there.revoke_lease(&lease.id).await.unwrap();
        assert_eq!(moved(&here, &mut seen).await, (false, false));
    }

    #[tokio::test]
    async fn the_bell_rings_at_the_edits_of_others_on_a_server() {
        let bench = Bench::new();
        let (here, there) = (bench.open().await, bench.open().await);
        let mut bell = here.bell();
        if !bench.is_on_server() {
            let silent = tokio::time::timeout(std::time::Duration::ZERO, bell.rings()).await;
            assert!(silent.is_err(), "a file has none");
            return;
        }
        // Edits until the listener is there to hear one; each is a ring.
        let rung = async {
            for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
                there.add_entry(draft(name), "local:root").await.unwrap();
                let wait = std::time::Duration::from_millis(250);
                if tokio::time::timeout(wait, bell.rings()).await.is_ok() {
                    return true;
                }
            }
            false
        };
        assert!(rung.await);
        bench.session(&there, "a").await;
        bell.rings().await;
        let (lease, token) = bench.lease("job-1");
        there.add_lease(&lease, &token).await.unwrap();
        there.revoke_lease(&lease.id).await.unwrap();
        bell.rings().await;
    }
}
