//! Finding and opening the database: the one place, beside the migrations, where engines differ.
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
use sqlx::{AnyConnection, ConnectOptions, Connection};

use super::connections::Connections;
use super::engine::Engine;
use super::{StoreError, server};

/// How long a statement waits for a connection, or for another process's write.
const PATIENCE: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// A reader who takes long, as a check of the whole audit does, lets the log grow; it is cut back to this many
/// bytes when it is begun anew.
const WRITING: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA journal_size_limit = 67108864;";

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
#[derive(Clone, PartialEq, Eq)]
enum Location {
    Memory,
    File(PathBuf),
    /// PostgreSQL, by its whole URL; it may hold a password, so it is never shown.
    Server(String),
}

impl FromStr for Location {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Server(url.to_owned()));
        }
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

/// Whether the database that `url` names was made already; of a server's, whether rolegate's tables are in it.
pub async fn database_exists(url: &str) -> Result<bool, StoreError> {
    match url.parse()? {
        Location::Memory => Ok(false),
        // An empty file is one whose making was cut short before anything was sealed.
        Location::File(path) => Ok(std::fs::metadata(path).is_ok_and(|file| file.len() > 0)),
        Location::Server(url) => server::is_made(&url).await,
    }
}

/// Whether `url` names a PostgreSQL server.
pub fn is_server_url(url: &str) -> bool {
    matches!(url.parse(), Ok(Location::Server(_)))
}

/// The two ways into the database.
pub(super) struct Pools {
    /// One connection: SQLite has one writer at a time, and waiting here is fair.
    pub(super) writer: Connections,
    /// Several connections that cannot write.
    pub(super) reader: Connections,
    /// What differs from engine to engine once it is open.
    pub(super) engine: Engine,
}

/// Opens the database, made if need be; `pooled` where the URL is a pooler's.
pub(super) async fn open(url: &str, pooled: bool) -> Result<Pools, StoreError> {
    sqlx::any::install_default_drivers();
    match url.parse()? {
        Location::Memory => open_sqlite("sqlite::memory:", true).await,
        Location::File(path) => {
            make_file(&path)?;
            let path = path.to_string_lossy();
            open_sqlite(
                &format!("sqlite:{}", utf8_percent_encode(&path, IN_URL)),
                false,
            )
            .await
        }
        Location::Server(url) => server::open(&url, pooled).await,
    }
}

/// Statements are nobody's business; tests look at some.
pub(super) fn quiet(options: AnyConnectOptions) -> AnyConnectOptions {
    #[cfg(test)]
    if super::plans::are_wanted() {
        return options;
    }
    options.disable_statement_logging()
}

/// Opens the database for reading alone; it must exist. `pooled` where the URL is a pooler's.
pub(super) async fn look(url: &str, pooled: bool) -> Result<Pools, StoreError> {
    sqlx::any::install_default_drivers();
    match url.parse()? {
        Location::Memory => Err(StoreError::NothingToTake),
        Location::File(path) => look_at_file(&path).await,
        Location::Server(url) => server::look(&url, pooled).await,
    }
}

async fn look_at_file(path: &Path) -> Result<Pools, StoreError> {
    // The log stands beside the file itself, wherever a link to it is.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = path.to_string_lossy();
    // Without a log nobody is at work there, and nothing need be put beside the file to read it.
    let at_rest = !Path::new(&format!("{name}-wal")).exists();
    let file = utf8_percent_encode(&name, IN_URL);
    let url = format!("sqlite:{file}?mode=ro&immutable={at_rest}");
    let options = AnyConnectOptions::from_str(&url)?.disable_statement_logging();
    let reader = pool(1, "PRAGMA query_only = ON;")
        .connect_with(options)
        .await
        .map_err(|error| StoreError::CannotOpen {
            path: name.clone().into_owned(),
            problem: error.to_string(),
        })?;
    let reader = Connections::own(reader);
    Ok(Pools {
        writer: reader.clone(),
        reader,
        engine: Engine::Sqlite,
    })
}

async fn open_sqlite(url: &str, in_memory: bool) -> Result<Pools, StoreError> {
    let options = quiet(AnyConnectOptions::from_str(url)?);
    let writer = pool(1, WRITING)
        .connect_with(options.clone())
        .await
        .map_err(|error| StoreError::CannotOpen {
            path: url.to_owned(),
            problem: error.to_string(),
        })?;
    // Each connection to memory would be a database of its own.
    let reader = if in_memory {
        writer.clone()
    } else {
        pool(READERS, "PRAGMA query_only = ON;").connect_lazy_with(options)
    };
    Ok(Pools {
        writer: Connections::own(writer),
        reader: Connections::own(reader),
        engine: Engine::Sqlite,
    })
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
        .after_release(|connection, _| Box::pin(is_as_it_was(connection)))
}

/// Whether a connection may be used again. SQLite itself ends a transaction for which the disk has no room; the
/// driver takes it for one that goes on, for ever, and begins no other.
async fn is_as_it_was(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // One that was given up is rolled back before this is answered.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
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
    fn urls_name_a_file_memory_or_a_server() {
        let location = |url: &str| url.parse::<Location>().unwrap();
        let file = |text: &str| Location::File(PathBuf::from(text));
        let server = |text: &str| Location::Server(text.to_owned());
        for (url, wanted) in [
            ("sqlite:/a/b.db", file("/a/b.db")),
            ("sqlite:///a/b.db", file("/a/b.db")),
            ("sqlite:b.db", file("b.db")),
            ("sqlite::memory:", Location::Memory),
            ("postgres://db/x", server("postgres://db/x")),
            ("postgresql://db/x", server("postgresql://db/x")),
        ] {
            assert!(location(url) == wanted, "{url}");
        }
    }

    #[tokio::test]
    async fn other_engines_are_refused_without_repeating_the_password() {
        let refused = database_exists("mysql://gate:hunter2@db/rolegate").await;
        let refused = refused.unwrap_err();
        assert!(matches!(&refused, StoreError::Unsupported { scheme } if scheme == "mysql"));
        assert!(!refused.to_string().contains("hunter2"));
        let away = database_exists("postgres://gate:hunter2@127.0.0.1:1/rolegate").await;
        let away = away.unwrap_err();
        assert!(matches!(&away, StoreError::CannotReach { .. }));
        assert!(!away.to_string().contains("hunter2"));
        assert!(database_exists("sqlite:a.db?mode=ro").await.is_err());
        assert!(database_exists("sqlite:").await.is_err());
    }
}
