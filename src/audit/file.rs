//! The proof of an exported file: by its hashes alone, and by what the store knows of its last record.
//!
//! The hashes show that the file is one unbroken piece of a chain. That it is this gateway's chain only the store can
//! say, which names the last record's hash: by the record itself, by the sealed base, or by the record of the removal.
//! Of the store's records those count alone whose code a holder of the master key made: whoever can write the table can
//! make a file that fits it.
//! Without the store nothing is proved against whoever made the whole file anew.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};
use thiserror::Error;

use super::EventKind;
use super::chain;
use super::reading::Record;
use super::verify::genuine;
use crate::model::hex;
use crate::store::{AuditFilter, AuditHead, AuditRow, Store, StoreError};

/// How many records of removals are read at once.
const PAGE: u32 = 500;

/// What a file proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVerdict {
    /// Its first record.
    pub first: i64,
    /// Its last record.
    pub last: i64,
    /// Whether the store names the last one's hash; `None` where there is no store, or it does not know that record
    /// any more.
    pub named: Option<bool>,
}

/// Why a file proves nothing.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{path}: {problem}; name a file that `audit export` or `audit prune --export` wrote")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        problem: String,
    },
    /// A line that is no record.
    #[error(
        "line {0} is no record of the audit, or not as it was printed; leave the lines of an export as they are"
    )]
    Line(usize),
    /// A record's hash is not of its text, or it names another one before it.
    #[error(
        "record {0} was changed; keep the file, and compare it with what `rolegate audit export` prints of that record"
    )]
    Changed(i64),
    /// A gap.
    #[error(
        "record {0} is missing: it was taken out; or an export left it out by --from, --to, --kind, --user or --idp; or this is the copy of one of several gateways. A file proves something where every number follows the one before: export without those, from where you want with --after; or prove the store itself with `rolegate audit verify`"
    )]
    Missing(i64),
    /// A number that does not follow.
    #[error(
        "record {0} stands twice, or after a later one; put the lines in the order of `seq`, each of them once, as where a copy was cut short and written again"
    )]
    Order(i64),
    /// No record at all.
    #[error(
        "there is no record in it, so that it proves nothing; name a file that `audit export` or `audit prune --export` wrote"
    )]
    Empty,
    /// The store knows another record of that number.
    #[error(
        "the file is one piece, but its last record, {0}, is not the one that the store knows: it is another gateway's, or was made anew"
    )]
    Foreign(i64),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Proves the file at `path`, against `store` where there is one.
pub async fn verify_file(path: &Path, store: Option<&Store>) -> Result<FileVerdict, FileError> {
    let (first, last) = walk(path)?;
    let named = match store {
        Some(store) => names(store, last).await?,
        None => None,
    };
    if named == Some(false) {
        return Err(FileError::Foreign(last.seq));
    }
    Ok(FileVerdict {
        first,
        last: last.seq,
        named,
    })
}

fn walk(path: &Path) -> Result<(i64, AuditHead), FileError> {
    let unreadable = |error: std::io::Error| FileError::Read {
        path: path.display().to_string(),
        problem: error.to_string(),
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut ends: Option<(i64, AuditHead)> = None;
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(unreadable)?;
        if line.is_empty() {
            continue;
        }
        let record = Link::read(&line).ok_or(FileError::Line(at + 1))?;
        let before = ends.map(|(_, last)| last);
        let head = record.follows(before)?;
        ends = Some((ends.map_or(head.seq, |(first, _)| first), head));
    }
    ends.ok_or(FileError::Empty)
}

/// A record of the file.
struct Link {
    seq: i64,
    previous: String,
    hash: String,
    made: [u8; 32],
}

impl Link {
    fn read(line: &str) -> Option<Self> {
        let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
        // A key that stands twice is read once, and whoever reads the file with other eyes may read the other.
        let written = Value::Object(fields.clone()).to_string();
        if written != line {
            return None;
        }
        let hash = fields.remove("hash")?.as_str()?.to_owned();
        let previous = fields.get("previous")?.as_str()?.to_owned();
        let seq = fields.get("seq")?.as_i64()?;
        // As it was written: sorted, without spaces.
        fields.sort_keys();
        let made = chain::hash(&previous, &Value::Object(fields).to_string());
        Some(Self {
            seq,
            previous,
            hash,
            made,
        })
    }

    /// The head after this record, if it is genuine and follows `before`.
    fn follows(&self, before: Option<AuditHead>) -> Result<AuditHead, FileError> {
        let seq = self.seq;
        if hex(&self.made) != self.hash {
            return Err(FileError::Changed(seq));
        }
        let before = before.or((seq == 1).then_some(AuditHead::EMPTY));
        if let Some(before) = before {
            if seq <= before.seq {
                return Err(FileError::Order(seq));
            }
            if seq > before.seq + 1 {
                return Err(FileError::Missing(before.seq + 1));
            }
            if self.previous != hex(&before.hash) {
                return Err(FileError::Changed(seq));
            }
        }
        Ok(AuditHead {
            seq,
            hash: self.made,
        })
    }
}

/// Whether the store's record of this number has this hash; `None` where it was removed and no removal names it.
pub async fn names(store: &Store, last: AuditHead) -> Result<Option<bool>, StoreError> {
    let mut snapshot = store.audit_snapshot().await?;
    let base = snapshot.base();
    if last.seq == base.seq {
        return Ok(Some(base.hash == last.hash));
    }
    if last.seq > base.seq {
        let row = snapshot.page(last.seq, 1).await?.pop();
        let row = row.filter(|row| row.seq == last.seq && row.hash == last.hash);
        return row.map_or(Ok(Some(false)), |row| is_genuine(store, &row).map(Some));
    }
    drop(snapshot);
    named_by_removal(store, last).await
}

async fn named_by_removal(store: &Store, last: AuditHead) -> Result<Option<bool>, StoreError> {
    let removals = AuditFilter {
        kinds: [EventKind::AuditPruned.as_str()].into(),
        ..AuditFilter::default()
    };
    let mut after = i64::MIN;
    loop {
        let page = store.audit_page(&removals, after, PAGE).await?;
        for row in page.rows {
            if is_genuine(store, &row)?
                && let Some(named) = says_of(&Record::from(row), last)
            {
                return Ok(Some(named));
            }
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(None),
        }
    }
}

fn is_genuine(store: &Store, row: &AuditRow) -> Result<bool, StoreError> {
    let told = genuine(store, row)?;
    Ok(told.is_some_and(|told| told.seq == row.seq && told.fits(row)))
}

/// What the record of a removal says of its last record, if `last` is that one.
fn says_of(removal: &Record, last: AuditHead) -> Option<bool> {
    let fields = removal.fields();
    let seq = fields.get("last_seq")?.as_i64()?;
    let hash = fields.get("last_hash")?.as_str()?;
    (seq == last.seq).then(|| hash == hex(&last.hash))
}
