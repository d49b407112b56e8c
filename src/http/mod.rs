//! Routes in one table, actors, handlers that only translate, errors to status, pages.
//!
//! Trusts nothing that arrives; decides nothing. A handler takes the one flow it needs and an actor
//! that only the extractor can make.

mod acs;
mod actor;
mod address;
mod admin;
mod api;
mod arrival;
mod assignments;
mod audit;
mod authorities;
mod connections;
mod console;
mod cookies;
mod csrf;
mod device;
mod error;
mod health;
mod idps;
mod job;
mod leases;
mod limits;
mod listening;
mod listing;
mod metrics;
mod middleware;
mod oidc;
mod page;
mod peer;
mod people;
mod request_id;
mod revoke;
mod routes;
mod server;
mod slo;
mod span;
mod tls;
mod well_known;

pub use error::Problem;
pub use health::Leaving;
pub use limits::{Limits, Rates};
pub use metrics::serve_metrics;
pub use request_id::RequestIds;
pub use routes::{Needs, ROUTES, RouteEntry, route_patterns};
pub use server::{Bounds, Flows, ServeError, Serving, Site, TlsFiles, serve};
pub use tls::{Tls, TlsError};
