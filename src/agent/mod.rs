//! The job side: what runs beside a job and hands its AWS SDK credentials, whichever SDK it is.
//!
//! | file | what it does |
//! |---|---|
//! | `command` | the commands and options, shared by `rolegate` and `rolegate-agent` |
//! | `gateway` | the one HTTP client: a call, its limits, what an answer means |
//! | `identity` | as whom to ask: a lease token, or the person's own sign-in |
//! | `source` | the two together: credentials and web identity tokens |
//! | `keeper` | credentials held in memory and renewed ahead of need, one request at a time |
//! | `endpoint` | `GET /v1/credentials` on loopback, with a token of its own |
//! | `token_file` | the web identity token in a file, replaced at half of its life |
//! | `environment` | what of the environment the child gets |
//! | `child` | the child: signals, exit status, orphans |
//! | `exec`, `serve`, `process`, `login` | the journeys: one command each |
//! | `disk` | `credential-process`'s cache: sealed under a key that only the token's holder has |
//! | `sign_in` | the session that `login` keeps |
//! | `private_file` | files for this user alone, replaced whole |
//!
//! It trusts the gateway that `--url` names, by TLS under the system's authorities or those of
//! `SSL_CERT_FILE`, or on loopback; and whoever holds its own random token. It never asks anything else, never
//! follows a redirect, never serves credentials that are over, never keeps any after a 401 or 403, never writes
//! one to a log, an error or a command line, and never hands rolegate's tokens on to the job.

mod child;
mod command;
mod disk;
mod endpoint;
mod environment;
mod error;
mod exec;
mod gateway;
mod identity;
mod keeper;
mod login;
mod private_file;
mod process;
mod say;
mod serve;
mod sign_in;
mod source;
mod token_file;
mod wire;

pub use command::{Command, run};
pub use error::AgentError;
