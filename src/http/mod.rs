//! Routes in one table, actors, handlers that only translate, errors to status, pages.
//!
//! Trusts nothing that arrives; decides nothing. A handler takes the one flow it needs and an actor
//! that only the extractor can make.

mod acs;
mod actor;
mod address;
mod admin;
mod api;
mod assignments;
mod audit;
mod console;
mod cookies;
mod device;
mod error;
mod health;
mod idps;
mod job;
mod leases;
mod limits;
mod metrics;
mod middleware;
mod oidc;
mod page;
mod people;
mod revoke;
mod routes;
mod server;
mod slo;
mod tls;
mod well_known;

pub use error::Problem;
pub use limits::BadTokens;
pub use metrics::serve_metrics;
pub use routes::{Needs, ROUTES, RouteEntry};
pub use server::{Flows, ServeError, Serving, Site, TlsFiles, serve};
pub use tls::{Tls, TlsError};
