//! Where a browser ends its session at the provider (OpenID Connect RP-Initiated Logout 1.0).
//!
//! It makes an address and asks nobody. A provider without an `end_session_endpoint` gets none.

use openidconnect::{ClientId, LogoutRequest, PostLogoutRedirectUrl};
use url::Url;

use super::{ProviderMetadata, ProviderSettings};
use crate::model::Secret;

/// The address that ends the browser's session at the provider and leads back to `back_to`; `None` where the
/// provider has no such address, or `back_to` is no URL.
pub fn logout_url(
    settings: &ProviderSettings,
    metadata: &ProviderMetadata,
    id_token_hint: Option<&Secret>,
    back_to: &str,
) -> Option<Url> {
    let endpoint = metadata.end_session_endpoint.clone()?;
    let back_to = PostLogoutRedirectUrl::new(back_to.to_owned()).ok()?;
    let mut url = LogoutRequest::from(endpoint)
        .set_client_id(ClientId::new(settings.client_id.clone()))
        .set_post_logout_redirect_uri(back_to)
        .http_get_url();
    if let Some(hint) = id_token_hint {
        url.query_pairs_mut()
            .append_pair("id_token_hint", hint.expose());
    }
    Some(url)
}
