//! Sealing anew, under the current master key, what is sealed under a former one.
//!
//! The table below names every sealed column and how the row is told that a value is bound to; a test holds it
//! against the schema. Nothing is noted of how far it got: an index finds what is left, so that a step may be cut
//! short, repeated, and taken by several processes at once. A value is exchanged only for the very one that was read,
//! so that whoever writes meanwhile wins.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::master_keys::{MasterKeyRow, MasterKeyState};
use super::rows::Record;
use super::sealing::Place;
use super::{MasterKeyId, Store, StoreError};
use crate::model::hex;

/// A column of sealed values.
pub(super) struct SealedColumn {
    /// The table.
    pub(super) table: &'static str,
    /// The column.
    pub(super) column: &'static str,
    /// What the values are bound to, as in the code that seals them.
    bound: &'static [Part],
    /// What stands between those.
    between: &'static str,
}

/// A column whose value a sealed one is bound to.
#[derive(Clone, Copy)]
enum Part {
    Text(&'static str),
    Hash(&'static str),
}

const fn sealed(
    table: &'static str,
    column: &'static str,
    bound: &'static [Part],
    between: &'static str,
) -> SealedColumn {
    SealedColumn {
        table,
        column,
        bound,
        between,
    }
}

use Part::{Hash, Text};

/// Every column of sealed values; `sealing_keys` is none, whose checks stay under their own keys.
pub(super) const SEALED: &[SealedColumn] = &[
    sealed("meta", "value", &[Text("name")], ""),
    sealed("sessions", "parts", &[Text("id")], ""),
    sealed(
        "credentials",
        "sealed",
        &[Text("issue_key"), Text("session"), Text("role")],
        "\n",
    ),
    sealed("oidc_tokens", "id_token", &[Text("session")], ""),
    sealed("oidc_tokens", "refresh_token", &[Text("session")], ""),
    sealed(
        "requests",
        "secret",
        &[Text("id"), Text("idp"), Hash("binding")],
        "\n",
    ),
    sealed(
        "idempotency",
        "sealed",
        &[Text("owner"), Text("idempotency_key")],
        "\n",
    ),
    sealed("refusals", "sealed", &[Text("reference")], ""),
    sealed(
        "assignments",
        "sealed",
        &[Text("idp"), Text("user_name")],
        "/",
    ),
    sealed(
        "idp_metadata",
        "document",
        &[Text("idp"), Text("source")],
        " ",
    ),
    sealed(
        "service_keys",
        "sealed",
        &[Text("id"), Text("usage"), Text("certificate")],
        "\n",
    ),
    sealed(
        "relay_keys",
        "sealed",
        &[Text("id"), Text("public_jwk")],
        "\n",
    ),
];

/// As many of a column say that much is left.
const FEW: i64 = 1000;

/// As many values of a column that do not open are passed over to reach those behind them.
const PASSED_OVER: u32 = 10_000;

/// What became of a column in a step.
#[derive(Default)]
struct ColumnStep {
    /// Values that were taken on.
    done: u32,
    /// What is wrong with one that was passed over.
    damage: Option<StoreError>,
}

/// A value that is sealed anew.
struct Exchange {
    before: Vec<u8>,
    after: Vec<u8>,
    /// What names its row.
    texts: Vec<String>,
}

impl SealedColumn {
    /// At most `$2` values under the key `$1`, behind `$3` others, with what they are bound to.
    fn select(&self) -> String {
        let names: Vec<&str> = self.bound.iter().map(|part| part.name()).collect();
        let Self { table, column, .. } = self;
        format!(
            "SELECT {}, {column} FROM {table} WHERE substr({column}, 1, 4) = $1 LIMIT $2 OFFSET $3",
            names.join(", ")
        )
    }

    /// Exchanges one value, if it is still the one before.
    fn update(&self) -> String {
        let Self { table, column, .. } = self;
        let mut sql = format!("UPDATE {table} SET {column} = $1 WHERE {column} = $2");
        let texts = self.bound.iter().filter_map(|part| part.text());
        for (name, number) in texts.zip(3..) {
            sql.extend([" AND ", name, " = $", &number.to_string()]);
        }
        sql
    }

    fn exchange(&self, store: &Store, row: &AnyRow) -> Result<Exchange, StoreError> {
        let first = self.bound.first().map_or("", |part| part.name());
        let record = Record::new(row, self.table, first);
        let (mut parts, mut texts) = (Vec::new(), Vec::new());
        for part in self.bound {
            match part {
                Text(name) => {
                    let text = record.text(name)?;
                    texts.push(text.clone());
                    parts.push(text);
                }
                Hash(name) => parts.push(hex(&record.hash(name)?)),
            }
        }
        let bound = parts.join(self.between);
        let place = Place {
            table: self.table,
            row: &bound,
            column: self.column,
        };
        let before = record.bytes(self.column)?;
        let plain = store.sealer().open(place, &before)?;
        Ok(Exchange {
            after: store.sealer().seal(place, &plain)?,
            before,
            texts,
        })
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Text(name) | Hash(name) => name,
        }
    }

    fn text(self) -> Option<&'static str> {
        match self {
            Text(name) => Some(name),
            Hash(_) => None,
        }
    }
}

impl Store {
    /// Seals at most `limit` values anew that are under a former key; says how many it took on, 0 once none is left.
    /// Without a former key it is one small statement, and with one a look into an index for each column.
    ///
    /// A value that does not open is passed over, and told of once nothing else is left to do.
    pub async fn reseal_step(&self, limit: u32) -> Result<u64, StoreError> {
        let known = self.master_keys().await?;
        let current = known
            .iter()
            .find(|row| row.state == MasterKeyState::Current);
        // Under a key that is former itself nothing would be gained.
        if current.map(|row| row.id) != self.sealer().current() {
            self.refresh_master_keys().await?;
            return Ok(0);
        }
        let (mut left, mut damage) = (limit, None);
        for key in known
            .iter()
            .filter(|row| row.state == MasterKeyState::Former)
        {
            if !self.sealer().holds(key.id) {
                damage = Some(self.sealer().not_held(key.id));
                continue;
            }
            for column in SEALED {
                let step = self.reseal_column(column, key.id, left).await?;
                left = left.saturating_sub(step.done);
                damage = step.damage.or(damage);
                if left == 0 {
                    return Ok(u64::from(limit));
                }
            }
        }
        match damage {
            Some(error) if left == limit => Err(error),
            _ => Ok(u64::from(limit - left)),
        }
    }

    /// Seals at most `limit` values of a column anew; those that do not open are passed over.
    async fn reseal_column(
        &self,
        column: &SealedColumn,
        id: MasterKeyId,
        limit: u32,
    ) -> Result<ColumnStep, StoreError> {
        let mut step = ColumnStep::default();
        // Values that are sealed anew leave the index, and those that do not open stay in front in it.
        let mut passed: u32 = 0;
        while step.done < limit && passed < PASSED_OVER {
            let asked = limit - step.done;
            let rows = self.under(column, id, asked, passed).await?;
            let last = rows.len() < usize::try_from(asked).unwrap_or(usize::MAX);
            let mut exchanges = Vec::with_capacity(rows.len());
            for row in &rows {
                match column.exchange(self, row) {
                    Ok(exchange) => exchanges.push(exchange),
                    Err(error) => {
                        step.damage = Some(error);
                        passed = passed.saturating_add(1);
                    }
                }
            }
            step.done += self.exchange(column, exchanges).await?;
            if last {
                break;
            }
        }
        Ok(step)
    }

    /// How many values are sealed under the key.
    pub async fn sealed_under(&self, id: MasterKeyId) -> Result<u64, StoreError> {
        let mut transaction = self.0.engine.snapshot(self.reader()).await?;
        self.0.engine.by_index(&mut transaction).await?;
        count_under(&mut transaction, id).await
    }

    /// How many values are sealed under former keys; no more than [`FEW`] of a column are counted for a key.
    pub(super) async fn under_former(&self) -> Result<u64, StoreError> {
        let known = self.master_keys().await?;
        let former = |row: &&MasterKeyRow| row.state == MasterKeyState::Former;
        let mut count = 0;
        for key in known.iter().filter(former) {
            let mut transaction = self.0.engine.snapshot(self.reader()).await?;
            self.0.engine.by_index(&mut transaction).await?;
            for SealedColumn { table, column, .. } in SEALED {
                let sql = format!(
                    "SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE substr({column}, 1, 4) = $1 LIMIT $2) AS few"
                );
                let found: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                    .bind(key.id.bytes().to_vec())
                    .bind(FEW)
                    .fetch_one(&mut *transaction)
                    .await?;
                count += u64::try_from(found).unwrap_or_default();
            }
        }
        Ok(count)
    }

    async fn under(
        &self,
        column: &SealedColumn,
        id: MasterKeyId,
        limit: u32,
        behind: u32,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let mut transaction = self.0.engine.snapshot(self.reader()).await?;
        self.0.engine.by_index(&mut transaction).await?;
        let rows = sqlx::query(AssertSqlSafe(column.select()))
            .bind(id.bytes().to_vec())
            .bind(i64::from(limit))
            .bind(i64::from(behind))
            .fetch_all(&mut *transaction)
            .await?;
        Ok(rows)
    }

    async fn exchange(
        &self,
        column: &SealedColumn,
        exchanges: Vec<Exchange>,
    ) -> Result<u32, StoreError> {
        if exchanges.is_empty() {
            return Ok(0);
        }
        let mut taken_on = 0;
        let mut transaction = self.begin().await?;
        let sql = column.update();
        for exchange in exchanges {
            let mut update = sqlx::query(AssertSqlSafe(sql.as_str()))
                .bind(exchange.after)
                .bind(exchange.before);
            for text in exchange.texts {
                update = update.bind(text);
            }
            update.execute(&mut *transaction).await?;
            taken_on += 1;
        }
        transaction.commit().await?;
        Ok(taken_on)
    }
}

/// How many values are sealed under the key, as the transaction sees it.
pub(super) async fn count_under(
    connection: &mut AnyConnection,
    id: MasterKeyId,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for SealedColumn { table, column, .. } in SEALED {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE substr({column}, 1, 4) = $1");
        let found: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(id.bytes().to_vec())
            .fetch_one(&mut *connection)
            .await?;
        count += u64::try_from(found).unwrap_or_default();
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
