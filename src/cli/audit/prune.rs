//! `rolegate audit prune`: the oldest records go.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::audit::{self, Moment, Order, Recorder};
use crate::cli::{Context, Outcome, WRONG_USAGE, local_user, output};

pub(super) async fn run(before: Moment, export: Option<&Path>, at: &Context) -> Outcome {
    let now = at.world.clock.now();
    let before = before.at(now);
    if before > now {
        output::error(
            "--before is in the future; write a time that has passed, or how long ago: 400d",
        );
        return Ok(ExitCode::from(WRONG_USAGE));
    }
    let store = at.existing_store().await?;
    let recorder = Recorder::start(store.clone(), Arc::clone(&at.world.clock));
    let order = Order {
        before,
        by: &local_user(),
        export,
    };
    match audit::prune(&store, &recorder, order).await? {
        Some(pruned) => {
            let (first, last) = (pruned.first, pruned.last);
            output::line(&format!("records {first} to {last} were removed"));
        }
        None => output::line("no record is that old; nothing was removed"),
    }
    Ok(ExitCode::SUCCESS)
}
