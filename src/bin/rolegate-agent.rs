//! `rolegate-agent`: the job side alone, for images that should hold no more than that.
//!
//! It is compiled from the rooms `agent` and `model` themselves and not from the library, so that neither an
//! XML library nor a database is linked, and it starts in milliseconds. It trusts and does what `agent` says.

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "rooms of the library; this program needs a part of them"
)]
#[path = "../agent/mod.rs"]
mod agent;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "rooms of the library; this program needs a part of them"
)]
#[path = "../model/mod.rs"]
mod model;

use std::process::ExitCode;

use clap::Parser;

/// AWS credentials for a job, from a rolegate gateway.
#[derive(Parser)]
#[command(name = "rolegate-agent", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: agent::Command,
}

fn main() -> ExitCode {
    agent::run(Arguments::parse().command)
}
