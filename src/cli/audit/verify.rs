//! `rolegate audit verify`: the chain of the store, or a file.

use std::path::Path;
use std::process::ExitCode;

use crate::audit;
use crate::cli::{Context, Failure, Outcome, output};
use crate::store::{Store, database_exists};

pub(super) async fn store(at: &Context) -> Outcome {
    let store = at.existing_store().await?;
    let verdict = audit::verify(&store).await?;
    if verdict.is_whole() {
        output::line(&verdict.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    output::error(&verdict.to_string());
    Ok(ExitCode::FAILURE)
}

pub(super) async fn file(path: &Path, at: &Context) -> Outcome {
    let store = at_hand(at).await?;
    let proved = audit::verify_file(path, store.as_ref()).await?;
    let named = match proved.named {
        Some(_) => "the store names the last one's hash",
        None if store.is_none() => {
            "no store is at hand, so that only the hashes in the file were looked at"
        }
        None => {
            "the store does not know the last one any more, so that only the hashes in the file were looked at"
        }
    };
    output::line(&format!(
        "records {} to {} are one unbroken piece of a chain; {named}",
        proved.first, proved.last
    ));
    Ok(ExitCode::SUCCESS)
}

/// The store of the configuration, where there is one: a file may be looked at on a machine of its own.
async fn at_hand(at: &Context) -> Result<Option<Store>, Failure> {
    if !at.path.exists() {
        return Ok(None);
    }
    let config = at.config()?;
    if !database_exists(&config.store.url).await? {
        return Ok(None);
    }
    let (_, store) = at.store().await?;
    Ok(Some(store))
}
