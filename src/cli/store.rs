//! `rolegate store`: the schema, backups, and the way from SQLite to PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::remote::Misused;
use super::{Context, Failure, Outcome, output};
use crate::app;
use crate::audit;
use crate::config;
use crate::store::{StoreError, database_exists, is_server_url};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Bring the database to this version's schema; a gateway does the same when it starts
    Migrate,
    /// Write a copy of the SQLite database to FILE, while gateways go on
    Backup {
        /// A file that does not exist yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Copy the SQLite database of the configuration into an unused PostgreSQL database; stop the gateway first
    Copy(Copy),
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Copy {
    /// The URL, postgres://USER@HOST/DATABASE
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// A file that holds the URL, where it holds a password
    #[arg(long, value_name = "FILE")]
    url_file: Option<PathBuf>,
}

const ONLY_A_SERVER: &str = "a copy goes into PostgreSQL: name it as postgres://USER@HOST/DATABASE";

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    // Not told by the parser of arguments, which would print a password with it.
    let target = match &command {
        Command::Copy(copy) => match (copy.url(), &copy.url) {
            (Ok(url), _) => Some(url),
            // Typed, where the other stands in a file.
            (Err(Failure(problem)), Some(_)) => return Ok(Misused(problem).told()),
            (Err(failure), None) => return Err(failure),
        },
        Command::Migrate | Command::Backup { .. } => None,
    };
    let config = at.config()?;
    // A slip in `store.url` must not make an empty database, and call the copy of that a copy.
    if !matches!(command, Command::Migrate) && !database_exists(&config.store.url).await? {
        return Err(StoreError::NothingToTake.into());
    }
    let store = app::open_store(&config, &at.world).await?;
    match command {
        Command::Migrate => output::line("the database has this version's schema"),
        Command::Backup { file } => {
            store.backup(&file).await?;
            output::line(&format!("{} is a copy of the database", file.display()));
            output::note("it opens with the same master key alone: keep that elsewhere");
        }
        Command::Copy(_) => {
            let mut there = config.clone();
            there.store.url = target.unwrap_or_default();
            // It may be a pooler's: then nothing may be left on a connection, and else it does no harm.
            there.store.listen_url = Some(there.store.url.clone());
            let unused = app::open_store(&there, &at.world)
                .await
                .map_err(of_target)?;
            let copied = store.copy_into(&unused).await?;
            unused.close().await;
            for (table, rows) in copied.tables {
                output::line(&format!("{table}: {rows}"));
            }
            // Anew, since the key of the audit chain came over with it.
            let there = app::open_store(&there, &at.world).await?;
            let verdict = audit::verify(&there).await?;
            if !verdict.is_whole() {
                return Err(Failure(verdict.to_string()));
            }
            output::line(&verdict.to_string());
            there.close().await;
            output::note(
                "write the URL to store.url (or store.url_file) before the gateway starts again",
            );
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with the database to copy into, which no key of the configuration names.
fn of_target(error: StoreError) -> Failure {
    match error {
        StoreError::CannotReach { problem } => Failure(format!(
            "the database to copy into cannot be used: {problem}; check the URL, that the server runs and that the user may write this database"
        )),
        // Sealed with another key: somebody else's.
        StoreError::WrongMasterKey { .. } | StoreError::MasterKeyNotHeld { .. } => {
            StoreError::CopyTargetUsed.into()
        }
        other => other.into(),
    }
}

impl Copy {
    fn url(&self) -> Result<String, Failure> {
        let url = match (&self.url, &self.url_file) {
            (Some(url), _) => url.clone(),
            (None, file) => in_file(file.as_deref().unwrap_or(Path::new("")))?,
        };
        if !is_server_url(&url) {
            return Err(ONLY_A_SERVER.into());
        }
        let checked = config::server_url(&url);
        checked.map_err(|error| format!("the URL {error}").into())
    }
}

fn in_file(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let file = file.display();
        format!("--url-file: {file} cannot be read ({error}); put it there, or correct the path")
    })?;
    Ok(text.trim().to_owned())
}
