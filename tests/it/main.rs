//! The integration tests, one binary: rolegate from outside, beside real parts.
//!
//! `tests/setup test` gets the parts (SimpleSAMLphp, oidc-provider, pysaml2, signxml, boto3, the AWS CLI, the AWS
//! SDK for JavaScript); `make test` does both. All runs on loopback, on ports that the system chooses, with state in temporary folders.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::too_many_lines,
    reason = "in a test a panic is the report; clippy.toml allows it in test functions, this in what they call"
)]

mod agent;
mod architecture;
mod audit;
mod check;
mod commands;
mod console;
mod endurance;
mod explain;
mod faults;
mod gateway;
mod hang_ups;
mod jobs;
mod judges;
mod launchers;
mod leases;
mod licences;
mod limits;
mod login;
mod logout;
mod long_jobs;
mod many_values;
mod metadata;
mod metrics;
mod museum;
mod mutants;
mod oidc;
mod oidc_attacks;
mod oidc_basics;
mod parts;
mod pooler;
mod races;
mod real_parts;
mod relay;
mod renewal;
mod replicas;
mod revoke;
mod routes;
mod sealing;
mod sign_in;
mod soak;
mod tls;
mod traces;
mod usage;
mod users;
