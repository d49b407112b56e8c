//! `rolegate store`: the schema, backups, and the way from SQLite to PostgreSQL.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Context, Failure, Outcome, output};
use crate::app;
use crate::audit::{self, Verdict};
use crate::store::is_server_url;

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

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    let (config, store) = at.store().await?;
    match command {
        Command::Migrate => output::line("the database has this version's schema"),
        Command::Backup { file } => {
            store.backup(&file).await?;
            output::line(&format!("{} is a copy of the database", file.display()));
            output::note("it opens with the same master key alone: keep that elsewhere");
        }
        Command::Copy(copy) => {
            let url = copy.url()?;
            if !is_server_url(&url) {
                let message =
                    "a copy goes into PostgreSQL: name it as postgres://USER@HOST/DATABASE";
                return Err(Failure(message.to_owned()));
            }
            let mut there = config.clone();
            there.store.url = url;
            there.store.listen_url = None;
            let unused = app::open_store(&there, &at.world).await?;
            let copied = store.copy_into(&unused).await?;
            unused.close().await;
            for (table, rows) in copied.tables {
                output::line(&format!("{table}: {rows}"));
            }
            // Anew, since the key of the audit chain came over with it.
            let there = app::open_store(&there, &at.world).await?;
            match audit::verify(&there).await? {
                whole @ Verdict::Whole { .. } => output::line(&whole.to_string()),
                broken => return Err(Failure(broken.to_string())),
            }
            there.close().await;
            output::note(
                "write the URL to store.url (or store.url_file) before the gateway starts again",
            );
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

impl Copy {
    fn url(self) -> Result<String, Failure> {
        if let Some(url) = self.url {
            return Ok(url);
        }
        let file = self.url_file.unwrap_or_default();
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure(format!("{} cannot be read: {error}", file.display())))?;
        Ok(text.trim().to_owned())
    }
}
