//! An IdP of a few users with passwords: HTTP-Redirect in, HTTP-POST out, SP- and IdP-initiated.
//!
//! It posts to one registered ACS and nowhere else. Its passwords are for show: the start page and
//! `/api/response` sign any user in without one.

mod browser;
mod key;
mod pages;
mod plan;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

pub use browser::PostedForm;
pub use key::IdpKey;
pub use plan::{ResponsePlan, Sign};

use super::serving::{Serving, loopback, url_of};
use super::xml::{METADATA, PROTOCOL, SIGNATURE, escape};
use crate::model::{Clock, Entropy};

/// Whom the IdP serves and whom it knows.
pub struct IdpSettings {
    /// Its entity id; by default its metadata's address.
    pub entity_id: Option<String>,
    /// Where it posts responses.
    pub acs_url: String,
    /// The audience, and the Issuer that requests must have.
    pub sp_entity_id: String,
    /// Its users.
    pub users: Vec<DemoUser>,
    /// Its key; by default a new one.
    pub key: Option<IdpKey>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// A user with what the IdP says of it.
#[derive(Debug, Clone)]
pub struct DemoUser {
    /// The login name.
    pub name: String,
    /// The password.
    pub password: String,
    /// `RoleSessionName`.
    pub role_session_name: String,
    /// The values of `Role`, as they are.
    pub roles: Vec<String>,
    /// `SessionDuration`, if it is sent.
    pub session_duration: Option<String>,
    /// Further attributes.
    pub extra: Vec<(String, Vec<String>)>,
}

/// What the pages and [`DemoIdp`] share.
struct Inner {
    settings: IdpSettings,
    key: IdpKey,
    entity_id: String,
    url: String,
    metadata: String,
}

impl Inner {
    /// The base64 of the response; empty where OpenSSL did not sign, which no check takes.
    fn sign(&self, plan: &ResponsePlan) -> String {
        response::sign(plan, &self.key).unwrap_or_default()
    }
}

/// An IdP at work; it ends when dropped.
pub struct DemoIdp {
    inner: Arc<Inner>,
    serving: Serving,
}

impl DemoIdp {
    /// Serves on a free loopback port.
    #[expect(
        clippy::unused_async,
        reason = "must be called within a runtime, where the server is spawned"
    )]
    pub async fn start(settings: IdpSettings) -> io::Result<Self> {
        let listener = loopback()?;
        let url = url_of(&listener)?;
        let key = match settings.key.clone() {
            Some(key) => key,
            None => IdpKey::generate(&*settings.clock, &*settings.entropy)?,
        };
        let entity_id = settings.entity_id.clone();
        let entity_id = entity_id.unwrap_or_else(|| format!("{url}/metadata"));
        let metadata = metadata(&entity_id, &url, &key.certificate_base64());
        let inner = Arc::new(Inner {
            settings,
            key,
            entity_id,
            url,
            metadata,
        });
        let shared = Arc::clone(&inner);
        let serving = Serving::start(listener, move |app| pages::register(app, &shared))?;
        Ok(Self { inner, serving })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.serving.url
    }

    /// Its `EntityDescriptor`.
    pub fn metadata(&self) -> &str {
        &self.inner.metadata
    }

    /// Its entity id.
    pub fn entity_id(&self) -> &str {
        &self.inner.entity_id
    }

    /// What a response for `user` says now; fields may be changed before it is signed. A user that is
    /// not known gets the first one's attributes.
    pub fn plan(&self, user: &str) -> ResponsePlan {
        self.inner.plan(user)
    }

    /// The base64 of the response.
    pub fn sign(&self, plan: &ResponsePlan) -> String {
        self.inner.sign(plan)
    }

    /// Ends it.
    pub async fn stop(self) {
        self.serving.stop().await;
    }
}

fn metadata(entity_id: &str, url: &str, certificate: &str) -> String {
    let entity_id = escape(entity_id);
    format!(
        "<md:EntityDescriptor xmlns:md=\"{METADATA}\" entityID=\"{entity_id}\">\
         <md:IDPSSODescriptor protocolSupportEnumeration=\"{PROTOCOL}\">\
         <md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"{SIGNATURE}\">\
         <ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\
         <md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>\
         <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"{url}/sso\"/>\
         </md:IDPSSODescriptor></md:EntityDescriptor>"
    )
}
