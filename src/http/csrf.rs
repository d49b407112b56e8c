//! What shows that a page's post came from a page of ours: a token that is bound to the session, and Origin.

use actix_web::HttpRequest;

use super::Site;
use crate::model::TokenHash;

/// Bound to the session's token, which the store keeps as a hash only and pages never show.
pub(super) fn csrf(hash: &TokenHash) -> String {
    let mut text = b"rolegate csrf ".to_vec();
    text.extend_from_slice(hash.as_bytes());
    crate::model::hex(&openssl::sha::sha256(&text))
}

/// Whether a page's post came from a page of ours: browsers say so in Origin.
pub(super) fn same_origin(request: &HttpRequest, site: &Site) -> bool {
    let origin = request
        .headers()
        .get("Origin")
        .and_then(|origin| origin.to_str().ok());
    origin == Some(site.origin.as_str())
}
