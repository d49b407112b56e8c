//! Which master keys the store has seen, which one of them seals, and how another takes over.
//!
//! A key is `current`, then `former`, then `retired`. The change is one row's, in one transaction with the look at the
//! gateways: none that was heard from lately may lack the key, and one that joins proves in a transaction of its own
//! that it lacks none. Gateways hear of the change as of every edit; what they seal under the former key until then
//! is found by re-sealing like all else. For a key to be retired nothing may be sealed under it, and nothing can be
//! later: triggers refuse a value under a retired key, and who retires it holds the key's row, which every writer
//! under the key holds until its commit, so that none is overlooked. What the table says counts as far as the keys
//! themselves bear it out (`word`).

mod terms;
mod word;

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

pub use self::terms::{MasterKeyRow, MasterKeyState, RetireError, RotateError};
use super::engine::Schema;
use super::gateways;
use super::rows::{Record, millis};
use super::sealing::{Place, Sealer};
use super::{KeySource, MasterKeyId, Store, StoreError, read_meta};

/// What the check of a key says once it is opened, where it was made by a version that let it say no more.
const CHECK: &[u8] = b"rolegate";

/// The check of databases that knew one key alone.
const KEY_CHECK: Place<'static> = Place {
    table: "meta",
    row: "key_check",
    column: "value",
};

impl Store {
    /// The master keys that the store has seen, oldest first.
    pub async fn master_keys(&self) -> Result<Vec<MasterKeyRow>, StoreError> {
        let mut connection = self.reader().to_read().await?;
        rows(&mut connection).await
    }

    /// The ids of the keys that this process holds, in the order of their source.
    pub fn held_master_keys(&self) -> Vec<MasterKeyId> {
        self.sealer().ids()
    }

    /// Where this process has its master keys from.
    pub fn master_key_source(&self) -> &KeySource {
        self.sealer().source()
    }

    /// The last key of the source that the store has never seen: the next one to take over.
    pub async fn next_master_key(&self) -> Result<Option<MasterKeyId>, StoreError> {
        let known = self.master_keys().await?;
        let is_new = |id: &MasterKeyId| known.iter().all(|row| row.id != *id);
        Ok(self.held_master_keys().into_iter().rev().find(is_new))
    }

    /// Takes in which key seals; gives those that are needed and not held. What the keys do not bear out is refused,
    /// and all stays as it was.
    pub async fn refresh_master_keys(&self) -> Result<Vec<MasterKeyId>, StoreError> {
        let rows = self.master_keys().await?;
        word::take_in(&rows, self.sealer())
    }

    /// Reads the keys' source anew; says whether it holds others than before. What is wrong with the source leaves
    /// the keys as they were.
    pub async fn reread_master_keys(&self) -> Result<bool, StoreError> {
        match self.sealer().source().read().await {
            Ok(keys) => Ok(self.sealer().take(keys)),
            Err(error) => {
                self.sealer().source_failed();
                Err(error)
            }
        }
    }

    /// The keys that the store needs and that the source did not have when it was read last: this process may hold
    /// them, and could not start again. `None` where the source could not be read.
    pub fn unlisted_master_keys(&self) -> Option<Vec<MasterKeyId>> {
        self.sealer().unlisted()
    }

    /// Has the key `to`, which this process holds, take over, unless a gateway that was heard from lately lacks it.
    pub async fn rotate_master_key(&self, to: MasterKeyId) -> Result<(), RotateError> {
        let now = self.now();
        let mut transaction = self.begin().await?;
        let known = rows(&mut transaction).await?;
        if known.iter().any(|row| row.id == to) {
            return Err(RotateError::Known(to));
        }
        word::take_in(&known, self.sealer())?;
        let mut lacking = gateways::live(&mut transaction, now).await?;
        lacking.retain(|gateway| !gateway.keys.contains(&to));
        if !lacking.is_empty() {
            return Err(RotateError::NotHeld {
                id: to,
                gateways: lacking,
            });
        }
        sqlx::query(
            "UPDATE sealing_keys SET state = 'former', replaced_at = $1 WHERE state = 'current'",
        )
        .bind(millis(now))
        .execute(&mut *transaction)
        .await?;
        adopt(&mut transaction, self.sealer(), to, now).await?;
        let known = rows(&mut transaction).await?;
        transaction.commit().await?;
        word::take_in(&known, self.sealer())?;
        Ok(())
    }

    /// Forgets a former key, if nothing is sealed under it; nothing can be from then on. `false`: it was retired
    /// before.
    pub async fn retire_master_key(&self, id: MasterKeyId) -> Result<bool, RetireError> {
        let mut transaction = self.begin().await?;
        self.0.engine.be_patient(&mut transaction).await?;
        self.0
            .engine
            .hold_sealing_key(&mut transaction, &id.bytes())
            .await?;
        let known = rows(&mut transaction).await?;
        word::take_in(&known, self.sealer())?;
        match known.iter().find(|row| row.id == id).map(|row| row.state) {
            None => return Err(RetireError::Unknown(id)),
            Some(MasterKeyState::Current) => return Err(RetireError::Current(id)),
            Some(MasterKeyState::Retired) => return Ok(false),
            Some(MasterKeyState::Former) => {}
        }
        let values = super::resealing::count_under(&mut transaction, id).await?;
        if values > 0 {
            return Err(RetireError::InUse { id, values });
        }
        sqlx::query("UPDATE sealing_keys SET state = 'retired', retired_at = $1 WHERE id = $2")
            .bind(millis(self.now()))
            .bind(id.bytes().to_vec())
            .execute(&mut *transaction)
            .await?;
        let known = rows(&mut transaction).await?;
        say_anew(&mut transaction, self.sealer(), &known).await?;
        let known = rows(&mut transaction).await?;
        transaction.commit().await?;
        word::take_in(&known, self.sealer())?;
        Ok(true)
    }
}

/// Proves that every key the store needs is held and right, and has the sealer follow the store. `false`: the
/// database has not been sealed with any key yet.
pub(super) async fn prove(
    connection: &mut AnyConnection,
    sealer: &Sealer,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut known = rows(connection).await?;
    if known.is_empty() {
        let Some(id) = only_key(connection, sealer).await? else {
            return Ok(false);
        };
        adopt(connection, sealer, id, now).await?;
        sqlx::query("DELETE FROM meta WHERE name = $1")
            .bind(KEY_CHECK.row)
            .execute(&mut *connection)
            .await?;
        known = rows(connection).await?;
    }
    prove_known(connection, &known, sealer).await?;
    Ok(true)
}

/// As [`prove`], without writing anything: of a database of any version so far.
pub(super) async fn prove_at_rest(
    connection: &mut AnyConnection,
    sealer: &Sealer,
    schema: Schema,
) -> Result<bool, StoreError> {
    // A statement that fails ends the transaction that it is in.
    let mut attempt = connection.begin().await?;
    let known = match (rows(&mut attempt).await, schema) {
        // Versions that knew one key alone have no such table.
        (Err(_), Schema::Older) => Vec::new(),
        (known, _) => known?,
    };
    attempt.rollback().await?;
    if known.is_empty() {
        return Ok(only_key(connection, sealer).await?.is_some());
    }
    prove_known(connection, &known, sealer).await?;
    Ok(true)
}

/// The key of a database that knew one alone.
async fn only_key(
    connection: &mut AnyConnection,
    sealer: &Sealer,
) -> Result<Option<MasterKeyId>, StoreError> {
    let Some(check) = read_meta(connection, KEY_CHECK.row).await? else {
        return Ok(None);
    };
    sealer.open(KEY_CHECK, &check).map_err(|_| wrong(sealer))?;
    let id = MasterKeyId::of(&check).ok_or_else(|| wrong(sealer))?;
    Ok(Some(id))
}

async fn prove_known(
    connection: &mut AnyConnection,
    known: &[MasterKeyRow],
    sealer: &Sealer,
) -> Result<(), StoreError> {
    let missing = word::take_in(known, sealer)?;
    let held = sealer.ids();
    if !missing.is_empty() && known.iter().all(|row| !held.contains(&row.id)) {
        return Err(wrong(sealer));
    }
    match missing.first() {
        Some(id) => Err(sealer.not_held(*id)),
        None => word::require_all(connection, known, sealer).await,
    }
}

/// Refuses a database that was in use and names no master key. To whoever can write to it and takes the names out, it
/// would be a new one: its audit would begin anew, and nothing would tell.
pub(super) async fn require_new(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let sealed = super::resealing::SEALED.iter().map(|column| column.table);
    for table in sealed.chain(["audit", "tokens", "entries", "leases"]) {
        let found = sqlx::query(AssertSqlSafe(format!("SELECT 1 FROM {table} LIMIT 1")))
            .fetch_optional(&mut *connection)
            .await?;
        if found.is_some() {
            return Err(StoreError::Corrupt {
                table: "sealing_keys",
                row: "of the current key".to_owned(),
                problem: format!("is gone, and table {table} is not empty"),
            });
        }
    }
    Ok(())
}

/// Has the first key of the ring seal a database that was just made.
pub(super) async fn begin_with_first(
    connection: &mut AnyConnection,
    sealer: &Sealer,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    require_new(connection).await?;
    let first = sealer.ids().first().copied().ok_or_else(|| wrong(sealer))?;
    adopt(connection, sealer, first, now).await?;
    let known = rows(connection).await?;
    word::take_in(&known, sealer)?;
    Ok(())
}

/// Has the key `id` seal from now on; none does any more.
async fn adopt(
    connection: &mut AnyConnection,
    sealer: &Sealer,
    id: MasterKeyId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let known = rows(connection).await?;
    let check = word::speak(&known, sealer, id)?;
    insert(connection, id, check, now).await
}

/// Has the current key say what the others are to it now.
async fn say_anew(
    connection: &mut AnyConnection,
    sealer: &Sealer,
    known: &[MasterKeyRow],
) -> Result<(), StoreError> {
    let current = known
        .iter()
        .find(|row| row.state == MasterKeyState::Current);
    if let Some(MasterKeyRow { id, .. }) = current {
        sqlx::query("UPDATE sealing_keys SET sealed = $1 WHERE id = $2")
            .bind(word::speak(known, sealer, *id)?)
            .bind(id.bytes().to_vec())
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn insert(
    connection: &mut AnyConnection,
    id: MasterKeyId,
    check: Vec<u8>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sealing_keys (id, state, sealed, created_at) VALUES ($1, 'current', $2, $3)",
    )
    .bind(id.bytes().to_vec())
    .bind(check)
    .bind(millis(now))
    .execute(connection)
    .await?;
    Ok(())
}

async fn rows(connection: &mut AnyConnection) -> Result<Vec<MasterKeyRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, state, sealed, created_at, replaced_at, retired_at FROM sealing_keys
         ORDER BY created_at, replaced_at IS NULL, replaced_at, id",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let record = Record::new(row, "sealing_keys", "state");
            let id = record.bytes("id")?;
            Ok(MasterKeyRow {
                id: MasterKeyId::of(&id).ok_or_else(|| record.damaged("id", "is no key id"))?,
                state: record.parsed("state")?,
                check: record.bytes("sealed")?,
                created_at: record.time("created_at")?,
                replaced_at: record.maybe_time("replaced_at")?,
                retired_at: record.maybe_time("retired_at")?,
            })
        })
        .collect()
}

fn wrong(sealer: &Sealer) -> StoreError {
    StoreError::WrongMasterKey {
        key: sealer.source().to_string(),
    }
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "sealing_keys",
        row,
        column: "sealed",
    }
}

#[cfg(test)]
mod tests;
