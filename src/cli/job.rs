//! The demo's job: nothing but an AWS SDK and its environment.

use std::process::ExitCode;

use super::{Outcome, output};
use crate::sts;

pub(super) async fn run() -> Outcome {
    let identity = sts::caller_identity_from_environment().await?;
    output::line(&identity.arn);
    Ok(ExitCode::SUCCESS)
}
