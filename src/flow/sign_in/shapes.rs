//! What goes into a sign-in and what comes out of it.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::model::Secret;
use crate::store::LiveSession;

/// What the client accepts as output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A page and a cookie.
    Browser,
    /// JSON with a bearer token, no cookie.
    Json,
}

/// What was posted to the ACS.
pub struct Posted<'a> {
    /// The Content-Type header.
    pub content_type: Option<&'a str>,
    /// The Content-Encoding header.
    pub content_encoding: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// The cookie that binds our own requests to a browser.
    pub binding: Option<&'a str>,
    /// What the client accepts.
    pub output: Output,
    /// Where it came from.
    pub address: IpAddr,
}

/// What a browser brought to a provider's callback.
pub struct Arrived<'a> {
    /// The provider that the address names.
    pub provider: &'a str,
    /// The query, as it stands in the address.
    pub query: &'a str,
    /// The cookie that binds our own requests to a browser.
    pub binding: Option<&'a str>,
    /// Where it came from.
    pub address: IpAddr,
}

/// A sign-in that was accepted.
pub enum SignedIn {
    /// A session is open.
    Open {
        /// It, with its person.
        live: LiveSession,
        /// Its bearer token.
        token: Secret,
        /// Where the person wanted to go.
        return_to: Option<String>,
    },
    /// A browser must confirm first whom it is about to become.
    Confirm {
        /// The user.
        user: String,
        /// The IdP.
        idp: String,
        /// For the button.
        one_time: Secret,
        /// For the cookie of this answer.
        cookie: Secret,
        /// Where the person wanted to go.
        return_to: Option<String>,
    },
}

/// A pending session that its browser has confirmed.
pub struct Confirmed {
    /// The session's token.
    pub token: Secret,
    /// When the session ends.
    pub expires_at: DateTime<Utc>,
}

/// A sign-in at an IdP that was begun here.
pub struct Started {
    /// Where to send the browser.
    pub redirect_url: String,
    /// The value of its binding cookie.
    pub binding: Secret,
}
