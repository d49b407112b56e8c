//! `rolegate audit`: the chain, proved or printed.

use std::process::ExitCode;

use super::{Context, Outcome, output};
use crate::audit::{self, Verdict};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Prove that no record was changed, removed or added
    Verify,
    /// Print every record as a JSON line
    Export,
}

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    let (_, store) = at.store().await?;
    match command {
        Command::Verify => match audit::verify(&store).await? {
            whole @ Verdict::Whole { .. } => {
                output::line(&whole.to_string());
                Ok(ExitCode::SUCCESS)
            }
            broken => {
                output::error(&broken.to_string());
                Ok(ExitCode::FAILURE)
            }
        },
        Command::Export => {
            let mut pages = audit::export(&store, None, None);
            loop {
                let page = pages.next_page().await?;
                if page.is_empty() {
                    break;
                }
                for record in &page {
                    output::line(&serde_json::to_string(record)?);
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
