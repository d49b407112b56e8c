//! The handbook: how the parts work together, and what they are up against.
//!
//! It holds no code. It is built with the documentation, so that a link to something that is gone breaks
//! the build, and tests hold what it lists against what is there.
//!
//! * [`way_through`]: the way of a response from the post to the credentials.
//! * [`threats`]: every published attack on SAML that we know of, and what stops it here.
//! * [`operations`]: what breaks and what then, the clock, keys, backups, upgrades, ending.
//! * [`jobs`]: what runs from time to time, and what grows.
//! * [`openid`]: the same for OpenID Connect, refresh tokens and assignments.
//! * [`audit`]: the events that are recorded, and what each says.
//! * [`metrics`]: every metric and every check of `/readyz`, with what it says.
//! * [`request_log`]: the log's fields and events.

pub(crate) mod audit;
pub(crate) mod jobs;
pub(crate) mod metrics;
pub(crate) mod openid;
pub(crate) mod operations;
pub(crate) mod request_log;
pub(crate) mod threats;
pub(crate) mod way_through;
