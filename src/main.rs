//! The `rolegate` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    rolegate::cli::run()
}
