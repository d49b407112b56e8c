//! A job as users write them in JavaScript, with the AWS SDK that `tests/setup test` installed.

use std::path::Path;

use super::long_job::{Limits, LongJob};

/// Starts a job with one client of `@aws-sdk/client-sts` and the SDK's own chain of providers.
pub(crate) fn long_job(limits: Limits, env: &[(&str, &str)]) -> LongJob {
    let script = super::kept("node").join("long_job.mjs");
    let mut arguments = vec![script.to_str().unwrap().to_owned()];
    arguments.extend(limits.arguments());
    let parts = super::part("node/node_modules");
    let parts = ("NODE_PARTS", parts.parent().unwrap().to_str().unwrap());
    LongJob::start(Path::new("node"), &arguments, &[env, &[parts]].concat())
}
