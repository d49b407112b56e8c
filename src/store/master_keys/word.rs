//! The word of a master key on the others: which it took over from, and which are retired.
//!
//! Which key seals stands in a clear column. Whoever has a former key and can write to the database would have that one
//! seal again, and read what comes then. So the check of each key, which it alone opens, says what the others are to
//! it, with a number that grows with each change. A key that the current one's word does not bear out seals nothing,
//! nor does one of which a later key says that it is former. Trusts nothing else of the table: a row that was taken out
//! is known by the values under that key, and a word that was put back, by the processes that heard a later one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, AssertSqlSafe};

use super::{CHECK, MasterKeyRow, MasterKeyState, place, rows};
use crate::store::resealing::{SEALED, SealedColumn};
use crate::store::rows::to_json;
use crate::store::sealing::{KeyStanding, Sealer};
use crate::store::{MasterKeyId, StoreError};

/// What a key says of the others.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Word {
    generation: u64,
    former: BTreeSet<String>,
    retired: BTreeSet<String>,
}

impl Word {
    /// Whether the other keys of the table are those it names, and none counts for more than it says: a version before
    /// it retires a key without a word, and one that is retired in the table alone is believed.
    fn bears_out(&self, known: &[MasterKeyRow]) -> bool {
        let retired = texts(known, MasterKeyState::Retired);
        let former = texts(known, MasterKeyState::Former);
        self.retired.is_subset(&retired)
            && self.former.union(&self.retired).eq(former.union(&retired))
    }
}

/// Has the sealer follow what the rows say, if the keys bear it out; gives the keys that are needed and not held.
pub(super) fn take_in(
    known: &[MasterKeyRow],
    sealer: &Sealer,
) -> Result<Vec<MasterKeyId>, StoreError> {
    let current = of_state(known, MasterKeyState::Current).next();
    let mut generation = 0;
    for row in known {
        let is_current = row.state == MasterKeyState::Current;
        let is_held = sealer.ids().contains(&row.id) || (is_current && sealer.holds(row.id));
        let Some(word) = is_held.then(|| hear(row, sealer)).transpose()?.flatten() else {
            continue;
        };
        if is_current {
            if !word.bears_out(known) {
                return Err(forged(
                    row.id,
                    "says another thing of the other keys than the table",
                ));
            }
            generation = word.generation;
        } else if let Some(current) = current
            && (word.former.contains(&current.to_string())
                || word.retired.contains(&current.to_string()))
        {
            return Err(forged(current, "was replaced, and is to seal again"));
        }
    }
    sealer.follow(KeyStanding {
        generation,
        ..standing(known)
    })
}

/// The check of `id`, which is the current key of `known`.
pub(super) fn speak(
    known: &[MasterKeyRow],
    sealer: &Sealer,
    id: MasterKeyId,
) -> Result<Vec<u8>, StoreError> {
    let mut generation = 0;
    for row in known {
        if sealer.ids().contains(&row.id)
            && let Some(word) = hear(row, sealer)?
        {
            generation = word.generation.max(generation);
        }
    }
    let word = Word {
        generation: generation + 1,
        former: texts(known, MasterKeyState::Former),
        retired: texts(known, MasterKeyState::Retired),
    };
    let word = to_json(&word)?;
    sealer.seal_under(id, place(&id.to_string()), word.as_bytes())
}

/// Refuses a table out of which a key was taken that something is sealed under.
pub(super) async fn require_all(
    connection: &mut AnyConnection,
    known: &[MasterKeyRow],
    sealer: &Sealer,
) -> Result<(), StoreError> {
    let unknown = |id: &MasterKeyId| known.iter().all(|row| row.id != *id);
    for id in sealer.ids().into_iter().filter(unknown) {
        for SealedColumn { table, column, .. } in SEALED {
            let sql = format!("SELECT 1 FROM {table} WHERE substr({column}, 1, 4) = $1 LIMIT 1");
            let found = sqlx::query(AssertSqlSafe(sql))
                .bind(id.bytes().to_vec())
                .fetch_optional(&mut *connection)
                .await?;
            // Without a transaction another key may have taken over meanwhile.
            if found.is_some() && rows(connection).await?.iter().all(|row| row.id != id) {
                let problem = format!("is gone, and something in table {table} is sealed under it");
                return Err(forged(id, &problem));
            }
        }
    }
    Ok(())
}

/// What the key of `row` says; `None` where it was made by a version that let it say nothing.
fn hear(row: &MasterKeyRow, sealer: &Sealer) -> Result<Option<Word>, StoreError> {
    let said = sealer.open(place(&row.id.to_string()), &row.check)?;
    if said.as_slice() == CHECK {
        return Ok(None);
    }
    let word = serde_json::from_slice(&said);
    word.map(Some)
        .map_err(|_| forged(row.id, "has a check that does not parse"))
}

fn standing(known: &[MasterKeyRow]) -> KeyStanding {
    KeyStanding {
        current: of_state(known, MasterKeyState::Current).next(),
        needed: of_state(known, MasterKeyState::Current)
            .chain(of_state(known, MasterKeyState::Former))
            .collect(),
        retired: of_state(known, MasterKeyState::Retired).collect(),
        generation: 0,
    }
}

fn of_state(
    known: &[MasterKeyRow],
    state: MasterKeyState,
) -> impl Iterator<Item = MasterKeyId> + '_ {
    let of = known.iter().filter(move |row| row.state == state);
    of.map(|row| row.id)
}

fn texts(known: &[MasterKeyRow], state: MasterKeyState) -> BTreeSet<String> {
    of_state(known, state).map(|id| id.to_string()).collect()
}

fn forged(id: MasterKeyId, problem: &str) -> StoreError {
    StoreError::Corrupt {
        table: "sealing_keys",
        row: id.to_string(),
        problem: problem.to_owned(),
    }
}
