//! What can go wrong with the store. Texts name what was looked at and what to do; no secret and no
//! stored value stands in them.

use thiserror::Error;

use super::MasterKeyId;

/// Why the store could not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The database does not answer, or refused a statement.
    #[error(
        "the store does not answer: {0}; check that the database's disk has room and that its folder can be written, or with PostgreSQL that the server runs and that the user may write"
    )]
    Unavailable(String),
    /// The database file cannot be opened or made.
    #[error(
        "the database {path} cannot be opened: {problem}; check `store.url` and who may write the folder"
    )]
    CannotOpen {
        /// The file.
        path: String,
        /// What the system said.
        problem: String,
    },
    /// The database server cannot be reached, or lets nobody in.
    #[error(
        "the database server cannot be used: {problem}; check `store.url`, that the server runs and that the user may write this database"
    )]
    CannotReach {
        /// What the driver or the server said.
        problem: String,
    },
    /// A backup that could not be written.
    #[error(
        "the backup {path} cannot be written: {problem}; name a file that does not exist yet, in a folder with room that can be written"
    )]
    Backup {
        /// Its file.
        path: String,
        /// What the system or the database said.
        problem: String,
    },
    /// A backup or copy of what is not there.
    #[error(
        "there is no database at `store.url` yet, so nothing to take from it; name the one that the gateway uses"
    )]
    NothingToTake,
    /// A backup of what is no file.
    #[error(
        "PostgreSQL has its own means: back the database up with pg_dump, and keep the master key elsewhere"
    )]
    NoBackup,
    /// A copy that goes another way.
    #[error("a copy goes from SQLite into PostgreSQL; name the SQLite database in `store.url`")]
    CopyDirection,
    /// A copy would lose what a gateway goes on to write into the database that is given up.
    #[error(
        "a gateway is at work on this database, on {hosts}; stop it first; one that was killed counts for 30 seconds"
    )]
    GatewayAtWork {
        /// Where it runs.
        hosts: String,
    },
    /// A copy would overwrite what is there.
    #[error("the database to copy into was used already; make an empty one")]
    CopyTargetUsed,
    /// There is a database, but no key to it.
    #[error(
        "the master key file {path} is missing although the database exists already; restore the key that the database was made with, or name it in `store.master_key_file`"
    )]
    MasterKeyMissing {
        /// The file.
        path: String,
    },
    /// The key file, or what a command prints, is no key.
    #[error("{from} {problem}")]
    MasterKeyUnusable {
        /// The file or command.
        from: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The key is a key, but another database's.
    #[error(
        "the master key from {key} is not the one that this database was sealed with; put the right file where `store.master_key_file` points, or the right database where `store.url` points"
    )]
    WrongMasterKey {
        /// Where the key came from.
        key: String,
    },
    /// A key that values are sealed under is not among those that are there.
    #[error(
        "the master key {id} is not among those from {origin}, and this database needs it until it is retired; put the line with {id} back there, and of a former key run `rolegate keys retire {id}` before the line goes"
    )]
    MasterKeyNotHeld {
        /// The key.
        id: MasterKeyId,
        /// Where it was looked for.
        origin: String,
    },
    /// A newer rolegate has been at work.
    #[error(
        "the database was made by a newer rolegate (schema {version}); start that version, or restore a backup from before the upgrade"
    )]
    NewerSchema {
        /// The schema version that this program does not know.
        version: i64,
    },
    /// A row is not what was written.
    #[error("the database is damaged: table {table}, row {row}: {problem}; restore a backup")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// What does not fit.
        problem: String,
    },
    /// A kind of database that this version does not have.
    #[error(
        "`store.url` is {scheme}, which rolegate cannot open; write sqlite:FILE or postgres://USER@HOST/DATABASE"
    )]
    Unsupported {
        /// What stands before the colon; the rest may hold a password.
        scheme: String,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::VersionMissing(version)
            | sqlx::migrate::MigrateError::VersionMismatch(version) => {
                Self::NewerSchema { version }
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}
