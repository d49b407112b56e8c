//! rolegate: the gateway that turns a company's sign-in into AWS credentials for batch jobs.
//!
//! The crate is one program in rooms; which room may use which stands in a table that a test holds
//! (`tests/it/architecture.rs`). Start reading at [`flow`], where each journey is one page.
//! The handbook is `src/manual/`: the way of a response, and the attacks on SAML with what stops each.
//!
//! What proves what travels in the types: bytes become an unverified response, that becomes a
//! verified assertion, the replay ledger makes it fresh, a fresh one becomes a [`model::Subject`], the
//! policy turns a subject into a grant, and only a grant reaches AWS.

pub mod agent;
pub mod app;
pub mod audit;
pub mod cli;
pub mod config;
pub mod demo;
pub mod flow;
pub mod http;
pub(crate) mod manual;
pub mod model;
pub mod oidc;
pub mod policy;
pub mod saml;
pub mod store;
pub mod sts;
