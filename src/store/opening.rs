//! Finding and opening the database: one of the two places where engines differ.
//!
//! SQLite runs with a write-ahead log and `synchronous = FULL`, so that what was acknowledged survives
//! the process and the power. The file is made with mode 0600, its log takes that over.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{AnyPool, ConnectOptions};

use super::StoreError;

/// The steps that made today's schema. Applied ones are never edited.
static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations");

/// How long a statement waits for a connection, or for another process's write.
const PATIENCE: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// What a file name must not show to the parser of database URLs.
const IN_URL: &AsciiSet = &CONTROLS
    .add(b'%')
    .add(b'?')
    .add(b'#')
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'\\');

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
    Memory,
    File(PathBuf),
}

impl FromStr for Location {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        let Some(rest) = url.strip_prefix("sqlite:") else {
            let scheme = url.split(':').next().unwrap_or("").chars().take(20);
            return Err(StoreError::Unsupported {
                scheme: scheme.collect(),
            });
        };
        if rest == ":memory:" {
            return Ok(Self::Memory);
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path.contains('?') {
            return Err(StoreError::CannotOpen {
                path: path.to_owned(),
                problem: "`store.url` takes sqlite: and a file's path, without parameters"
                    .to_owned(),
            });
        }
        Ok(Self::File(PathBuf::from(path)))
    }
}

/// Whether the database that `url` names was made already.
pub fn database_exists(url: &str) -> Result<bool, StoreError> {
    match url.parse()? {
        Location::Memory => Ok(false),
        // An empty file is one whose making was cut short before anything was sealed.
        Location::File(path) => Ok(std::fs::metadata(path).is_ok_and(|file| file.len() > 0)),
    }
}

/// The two ways into the database.
pub(super) struct Pools {
    /// One connection: SQLite has one writer at a time, and waiting here is fair.
    pub(super) writer: AnyPool,
    /// Several connections that cannot write.
    pub(super) reader: AnyPool,
    /// How a transaction that reads before it writes starts.
    pub(super) begin: &'static str,
}

/// Opens the database, made if need be, in today's schema.
pub(super) async fn open(url: &str) -> Result<Pools, StoreError> {
    sqlx::any::install_default_drivers();
    let location: Location = url.parse()?;
    let options = match &location {
        Location::Memory => "sqlite::memory:".to_owned(),
        Location::File(path) => {
            make_file(path)?;
            let path = path.to_string_lossy();
            format!("sqlite:{}", utf8_percent_encode(&path, IN_URL))
        }
    };
    let options = AnyConnectOptions::from_str(&options)?.disable_statement_logging();
    let writer = pool(1, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        .connect_with(options.clone())
        .await
        .map_err(|error| StoreError::CannotOpen {
            path: url.to_owned(),
            problem: error.to_string(),
        })?;
    let reader = match location {
        // Each connection to memory would be a database of its own.
        Location::Memory => writer.clone(),
        Location::File(_) => pool(READERS, "PRAGMA query_only = ON;").connect_lazy_with(options),
    };
    Ok(Pools {
        writer,
        reader,
        begin: "BEGIN IMMEDIATE",
    })
}

/// Brings the schema to today's, within the caller's transaction: SQLite's migrator takes no lock of
/// its own, and two processes may start at once.
pub(super) async fn migrate(connection: &mut sqlx::AnyConnection) -> Result<(), StoreError> {
    MIGRATOR.run_direct(None, connection, false).await?;
    Ok(())
}

fn pool(connections: u32, pragmas: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;")
                    .execute(&mut *connection)
                    .await?;
                sqlx::raw_sql(pragmas).execute(connection).await?;
                Ok(())
            })
        })
}

fn make_file(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(StoreError::CannotOpen {
            path: path.display().to_string(),
            problem: error.to_string(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_file_or_memory() {
        let file = |text: &str| Ok(Location::File(PathBuf::from(text)));
        assert_eq!("sqlite:/a/b.db".parse(), file("/a/b.db"));
        assert_eq!("sqlite:///a/b.db".parse(), file("/a/b.db"));
        assert_eq!("sqlite:b.db".parse(), file("b.db"));
        assert_eq!("sqlite::memory:".parse(), Ok(Location::Memory));
    }

    #[test]
    fn other_engines_are_refused_without_repeating_the_password() {
        let refused = database_exists("postgres://gate:hunter2@db/rolegate").unwrap_err();
        assert!(matches!(&refused, StoreError::Unsupported { scheme } if scheme == "postgres"));
        assert!(!refused.to_string().contains("hunter2"));
        assert!(database_exists("sqlite:a.db?mode=ro").is_err());
        assert!(database_exists("sqlite:").is_err());
    }
}
