//! The allow-list's entries and their history: who, when, why, and the version before.
//!
//! An edit and its line of history are one transaction. Says nothing of what an entry permits.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, Transaction};
use thiserror::Error;

use super::rows::{Record, last, millis, to_json};
use super::{Store, StoreError};
use crate::model::{Entry, EntryDraft, EntryId, EntrySource};

/// Why an edit was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// There is no such entry in the store.
    #[error("there is no such entry in the store; `rolegate roles list` shows what there is")]
    NotFound,
    /// Somebody else edited it in between.
    #[error("the entry was changed in between and is now version {current}; look at it again")]
    VersionMismatch {
        /// The version that it has now.
        current: i64,
    },
    /// The store could not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for EditError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What was done to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryAction {
    /// It was made.
    Added,
    /// It was given another content.
    Changed,
    /// It was taken away.
    Removed,
}

impl HistoryAction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryRecord {
    /// The entry.
    pub entry: EntryId,
    /// The version that the edit made; a removal keeps the last one.
    pub version: i64,
    /// What was done.
    pub action: HistoryAction,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// What it said before.
    pub before: Option<EntryDraft>,
    /// What it says since.
    pub after: Option<EntryDraft>,
}

/// What an edit leaves in the history.
struct Edit<'a> {
    entry: &'a EntryId,
    version: i64,
    action: HistoryAction,
    by: &'a str,
    reason: Option<&'a str>,
    before: Option<&'a EntryDraft>,
    after: Option<&'a EntryDraft>,
}

impl Store {
    /// The store's entries, oldest first.
    pub async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let rows = sqlx::query("SELECT id, version, draft FROM entries ORDER BY position")
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Adds an entry.
    pub async fn add_entry(&self, draft: EntryDraft, by: &str) -> Result<Entry, StoreError> {
        let mut transaction = self.begin().await?;
        let entry = self.insert(&mut transaction, draft, by).await?;
        transaction.commit().await?;
        Ok(entry)
    }

    /// Adds all of `drafts` in their order, or none.
    pub async fn add_entries(
        &self,
        drafts: Vec<EntryDraft>,
        by: &str,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut transaction = self.begin().await?;
        let mut entries = Vec::with_capacity(drafts.len());
        for draft in drafts {
            entries.push(self.insert(&mut transaction, draft, by).await?);
        }
        transaction.commit().await?;
        Ok(entries)
    }

    /// Gives an entry another content. With `expected_version`, only if it still has that one.
    pub async fn replace_entry(
        &self,
        id: &EntryId,
        expected_version: Option<i64>,
        draft: EntryDraft,
        by: &str,
    ) -> Result<Entry, EditError> {
        let mut transaction = self.begin().await?;
        let before = find(&mut transaction, id, expected_version).await?;
        let after = Entry {
            id: id.clone(),
            version: before.version + 1,
            draft,
            source: EntrySource::Store,
        };
        sqlx::query("UPDATE entries SET version = $1, draft = $2 WHERE id = $3")
            .bind(after.version)
            .bind(to_json(&after.draft)?)
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        let edit = Edit {
            entry: id,
            version: after.version,
            action: HistoryAction::Changed,
            by,
            reason: after.draft.reason.as_deref(),
            before: Some(&before.draft),
            after: Some(&after.draft),
        };
        self.remember(&mut transaction, edit).await?;
        transaction.commit().await?;
        Ok(after)
    }

    /// Takes an entry away; gives what it was. With `expected_version`, only if it still has that one.
    pub async fn remove_entry(
        &self,
        id: &EntryId,
        expected_version: Option<i64>,
        by: &str,
        reason: Option<&str>,
    ) -> Result<Entry, EditError> {
        let mut transaction = self.begin().await?;
        let before = find(&mut transaction, id, expected_version).await?;
        sqlx::query("DELETE FROM entries WHERE id = $1")
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        let edit = Edit {
            entry: id,
            version: before.version,
            action: HistoryAction::Removed,
            by,
            reason,
            before: Some(&before.draft),
            after: None,
        };
        self.remember(&mut transaction, edit).await?;
        transaction.commit().await?;
        Ok(before)
    }

    /// Every edit of an entry, oldest first, also after it was removed.
    pub async fn entry_history(&self, id: &EntryId) -> Result<Vec<HistoryRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM entry_history WHERE entry = $1 ORDER BY position")
            .bind(id.as_str())
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read_history).collect()
    }

    async fn insert(
        &self,
        transaction: &mut Transaction<'static, Any>,
        draft: EntryDraft,
        by: &str,
    ) -> Result<Entry, StoreError> {
        let entry = Entry {
            id: EntryId::fresh(&*self.0.clock, &*self.0.entropy),
            version: 1,
            draft,
            source: EntrySource::Store,
        };
        sqlx::query("INSERT INTO entries (id, version, draft) VALUES ($1, $2, $3)")
            .bind(entry.id.as_str())
            .bind(entry.version)
            .bind(to_json(&entry.draft)?)
            .execute(&mut **transaction)
            .await?;
        let edit = Edit {
            entry: &entry.id,
            version: 1,
            action: HistoryAction::Added,
            by,
            reason: entry.draft.reason.as_deref(),
            before: None,
            after: Some(&entry.draft),
        };
        self.remember(transaction, edit).await?;
        Ok(entry)
    }

    async fn remember(
        &self,
        connection: &mut AnyConnection,
        edit: Edit<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO entry_history
             (entry, version, action, changed_at, changed_by, reason, before, after)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(edit.entry.as_str())
        .bind(edit.version)
        .bind(edit.action.as_str())
        .bind(millis(self.now()))
        .bind(edit.by)
        .bind(edit.reason.map(str::to_owned))
        .bind(edit.before.map(to_json).transpose()?)
        .bind(edit.after.map(to_json).transpose()?)
        .execute(connection)
        .await?;
        Ok(())
    }
}

async fn find(
    connection: &mut AnyConnection,
    id: &EntryId,
    expected_version: Option<i64>,
) -> Result<Entry, EditError> {
    let rows = sqlx::query("SELECT id, version, draft FROM entries WHERE id = $1")
        .bind(id.as_str())
        .fetch_all(connection)
        .await?;
    let row = last(rows).ok_or(EditError::NotFound)?;
    let entry = read(&row)?;
    if expected_version.is_some_and(|expected| expected != entry.version) {
        return Err(EditError::VersionMismatch {
            current: entry.version,
        });
    }
    Ok(entry)
}

fn read(row: &AnyRow) -> Result<Entry, StoreError> {
    let record = Record::new(row, "entries", "id");
    Ok(Entry {
        id: record.parsed("id")?,
        version: record.number("version")?,
        draft: record.json("draft")?,
        source: EntrySource::Store,
    })
}

fn read_history(row: &AnyRow) -> Result<HistoryRecord, StoreError> {
    let record = Record::new(row, "entry_history", "position");
    let action = match record.text("action")?.as_str() {
        "added" => HistoryAction::Added,
        "changed" => HistoryAction::Changed,
        "removed" => HistoryAction::Removed,
        _ => return Err(record.damaged("action", "is no edit")),
    };
    Ok(HistoryRecord {
        entry: record.parsed("entry")?,
        version: record.number("version")?,
        action,
        at: record.time("changed_at")?,
        by: record.text("changed_by")?,
        reason: record.maybe_text("reason")?,
        before: record.maybe_json("before")?,
        after: record.maybe_json("after")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Bench, draft};

    #[tokio::test]
    async fn every_edit_leaves_who_when_why_and_what_was_before() {
        let bench = Bench::new();
        let store = bench.open().await;
        let first = draft("a");
        let mut second = draft("b");
        second.reason = Some("renamed".to_owned());
        let entry = store.add_entry(first.clone(), "local:ann").await.unwrap();
        assert_eq!((entry.version, entry.source), (1, EntrySource::Store));
        bench.clock.advance(chrono::TimeDelta::seconds(5));
        let changed = store
            .replace_entry(&entry.id, Some(1), second.clone(), "admin:bob")
            .await
            .unwrap();
        assert_eq!((changed.version, &changed.draft), (2, &second));
        let removed = store
            .remove_entry(&entry.id, None, "local:ann", Some("gone"))
            .await
            .unwrap();
        assert_eq!(removed, changed);
        assert_eq!(store.entries().await.unwrap(), vec![]);

        let history = store.entry_history(&entry.id).await.unwrap();
        let told: Vec<_> = history
            .iter()
            .map(|edit| {
                (
                    edit.action,
                    edit.version,
                    edit.by.as_str(),
                    edit.reason.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (HistoryAction::Added, 1, "local:ann", Some("a test")),
                (HistoryAction::Changed, 2, "admin:bob", Some("renamed")),
                (HistoryAction::Removed, 2, "local:ann", Some("gone")),
            ]
        );
        assert_eq!(
            (&history[0].before, &history[0].after),
            (&None, &Some(first.clone()))
        );
        assert_eq!(
            (&history[1].before, &history[1].after),
            (&Some(first), &Some(second.clone()))
        );
        assert_eq!(
            (&history[2].before, &history[2].after),
            (&Some(second), &None)
        );
        assert_eq!((history[0].at, history[1].at), (bench.at(-5), bench.at(0)));
    }

    #[tokio::test]
    async fn an_edit_of_an_old_version_is_refused() {
        let bench = Bench::new();
        let store = bench.open().await;
        let id = store.add_entry(draft("a"), "x").await.unwrap().id;
        store
            .replace_entry(&id, Some(1), draft("b"), "x")
            .await
            .unwrap();
        let late = store.replace_entry(&id, Some(1), draft("c"), "x").await;
        assert_eq!(late.unwrap_err(), EditError::VersionMismatch { current: 2 });
        let late = store.remove_entry(&id, Some(1), "x", None).await;
        assert_eq!(late.unwrap_err(), EditError::VersionMismatch { current: 2 });
        assert_eq!(store.entries().await.unwrap()[0].draft, draft("b"));
        store.remove_entry(&id, Some(2), "x", None).await.unwrap();
        let gone = store.replace_entry(&id, None, draft("c"), "x").await;
        assert_eq!(gone.unwrap_err(), EditError::NotFound);
    }

    #[tokio::test]
    async fn an_import_keeps_its_order() {
        let bench = Bench::new();
        let store = bench.open().await;
        let drafts: Vec<_> = ["c", "a", "b"].map(draft).into();
        let added = store.add_entries(drafts.clone(), "x").await.unwrap();
        let listed = store.entries().await.unwrap();
        assert_eq!(listed, added);
        let listed: Vec<_> = listed.into_iter().map(|entry| entry.draft).collect();
        assert_eq!(listed, drafts);
    }
}
