//! The three cookies, by one rule: `__Host-` and Secure, but on loopback http, where browsers keep neither.

use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite, time::Duration};

use super::Site;
use crate::model::Secret;

/// What a cookie is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A session.
    Session,
    /// The browser that began a sign-in.
    Binding,
    /// The browser that was shown a confirm page.
    Confirm,
}

impl Kind {
    fn name(self, site: &Site) -> &'static str {
        match (self, site.secure_cookies) {
            (Self::Session, true) => "__Host-rolegate",
            (Self::Session, false) => "rolegate",
            (Self::Binding, true) => "__Host-rolegate-request",
            (Self::Binding, false) => "rolegate-request",
            (Self::Confirm, true) => "__Host-rolegate-confirm",
            (Self::Confirm, false) => "rolegate-confirm",
        }
    }

    /// The IdP's page posts the response, so the binding cookie must come along from another site.
    fn same_site(self, site: &Site) -> SameSite {
        match (self, site.secure_cookies) {
            (Self::Binding, true) => SameSite::None,
            (Self::Confirm, _) => SameSite::Strict,
            _ => SameSite::Lax,
        }
    }

    /// A cookie with `value`, for as long as the browser runs.
    pub(super) fn set(self, site: &Site, value: &Secret) -> Cookie<'static> {
        self.build(site, value.expose().to_owned())
    }

    /// A cookie that removes it.
    pub(super) fn remove(self, site: &Site) -> Cookie<'static> {
        let mut cookie = self.build(site, String::new());
        cookie.set_max_age(Duration::ZERO);
        cookie
    }

    fn build(self, site: &Site, value: String) -> Cookie<'static> {
        Cookie::build(self.name(site), value)
            .path("/")
            .http_only(true)
            .secure(site.secure_cookies)
            .same_site(self.same_site(site))
            .finish()
    }

    /// The value that came with `request`.
    pub(super) fn read(self, site: &Site, request: &HttpRequest) -> Option<String> {
        request
            .cookie(self.name(site))
            .map(|cookie| cookie.value().to_owned())
    }
}
