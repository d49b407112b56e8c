//! `rolegate audit`: the chain, proved, printed, or shortened at its beginning.

mod export;
mod prune;
mod verify;

use std::path::PathBuf;

use self::verify::AtLeast;
use super::{Context, Outcome};
use crate::audit::Moment;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Prove that no record was changed, removed or added
    ///
    /// Works on the store of --config alone: the proof needs the master key, and a gateway's word that its own records
    /// are good would prove nothing to who does not trust it. A file is proved by its hashes, and where the store is
    /// at hand, by the hash that it names for the file's last record.
    Verify {
        /// A file that `audit export` or `audit prune --export` wrote (default: the store)
        file: Option<PathBuf>,
        /// The end that an earlier proof told, noted elsewhere: the chain must still have that record
        #[arg(long, value_name = "SEQ:HASH", conflicts_with = "file")]
        at_least: Option<AtLeast>,
    },
    /// Print records as JSON lines, oldest first
    ///
    /// T is a time such as 2026-01-31T12:00:00Z, a date such as 2026-01-31 (its beginning in UTC), or how long ago:
    /// 90m, 24h, 7d.
    Export(export::Arguments),
    /// Remove the oldest records; the rest stays provable
    ///
    /// Records are proved before they go: one that was changed is named and stays. What is removed is recorded, and
    /// the sealed beginning of the chain moves behind it. Sign-ins, leases and credentials that still live do not
    /// hang on it. Works on the store of --config alone.
    Prune {
        /// Records of events before this time (as with `audit export`), up to the first one that is not
        #[arg(long, value_name = "T")]
        before: Moment,
        /// Write them to this file first, which must not exist yet
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
    },
}

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    match command {
        Command::Verify {
            file: Some(file), ..
        } => verify::file(&file, at).await,
        Command::Verify { at_least, .. } => verify::store(at, at_least).await,
        Command::Export(arguments) => export::run(arguments, at).await,
        Command::Prune { before, export } => prune::run(before, export.as_deref(), at).await,
    }
}
