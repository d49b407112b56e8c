//! The one table of routes, each with the actor that it needs; a test walks it.

use actix_web::{HttpRequest, Route, web};

use super::{
    acs, admin, api, assignments, audit, console, device, health, idps, job, leases, metrics, oidc,
    page, people, revoke, slo, well_known,
};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Anybody.
    Nobody,
    /// A browser with a session cookie; others are sent to the sign-in.
    Browser,
    /// A session's bearer token.
    User,
    /// A launcher's bearer token, or a session's for the person's own.
    LauncherOrUser,
    /// A launcher's or admin's bearer token, or a session's for the person's own.
    LauncherUserOrAdmin,
    /// A launcher's, admin's or auditor's bearer token.
    LauncherOrAdmin,
    /// An admin's or auditor's bearer token.
    AdminOrAuditor,
    /// An admin's bearer token.
    Admin,
    /// A browser with an admin's session cookie; others of a session get 403, the rest is sent to the
    /// sign-in.
    AdminBrowser,
    /// A lease token.
    Job,
}

/// A row of the table.
pub struct RouteEntry {
    /// The HTTP method.
    pub method: &'static str,
    /// The path, `{name}` standing for a part.
    pub path: &'static str,
    /// Who may call it.
    pub needs: Needs,
    make: fn() -> Route,
}

macro_rules! row {
    ($method:literal, $path:literal, $needs:ident, $make:expr) => {
        RouteEntry {
            method: $method,
            path: $path,
            needs: Needs::$needs,
            make: $make,
        }
    };
}

/// Every route. A path's rows stand together.
pub const ROUTES: &[RouteEntry] = &[
    // First, since they are asked for most.
    row!("GET", "/v1/credentials", Job, || web::get()
        .to(job::credentials)),
    row!("GET", "/v1/web-identity-token", Job, || web::get()
        .to(job::web_identity_token)),
    row!("GET", "/.well-known/openid-configuration", Nobody, || {
        web::get().to(well_known::configuration)
    }),
    row!("GET", "/.well-known/jwks.json", Nobody, || web::get()
        .to(well_known::jwks)),
    row!("GET", "/", Browser, || web::get().to(people::portal)),
    row!("GET", "/login", Nobody, || web::get().to(people::login)),
    row!("GET", "/login/device", Browser, || web::get()
        .to(device::show)),
    row!("POST", "/login/device", Browser, || web::post()
        .to(device::answer)),
    row!("POST", "/api/v1/login/codes", Nobody, || web::post()
        .to(device::begin)),
    row!("POST", "/api/v1/login/tokens", Nobody, || web::post()
        .to(device::poll)),
    row!("POST", "/logout", Browser, || web::post()
        .to(people::sign_out)),
    row!("GET", "/assets/style.css", Nobody, || web::get()
        .to(page::style)),
    row!("GET", "/saml/metadata", Nobody, || web::get()
        .to(acs::metadata)),
    row!("GET", "/saml/{idp}/login", Nobody, || web::get()
        .to(acs::start)),
    row!("POST", "/saml/acs", Nobody, || web::post().to(acs::accept)),
    row!("GET", "/saml/slo", Nobody, || web::get().to(slo::redirect)),
    row!("POST", "/saml/slo", Nobody, || web::post().to(slo::post)),
    row!("POST", "/saml/confirm", Nobody, || web::post()
        .to(acs::confirm)),
    row!("GET", "/oidc/{provider}/login", Nobody, || web::get()
        .to(oidc::start)),
    row!("GET", "/oidc/{provider}/callback", Nobody, || web::get()
        .to(oidc::callback)),
    row!("GET", "/oidc/{provider}/logout", Nobody, || web::get()
        .to(oidc::sign_out)),
    row!("GET", "/api/v1/me", User, || web::get().to(api::me)),
    row!("POST", "/api/v1/credentials", User, || web::post()
        .to(api::credentials)),
    row!("POST", "/api/v1/console", User, || web::post()
        .to(console::url)),
    row!("POST", "/console", Browser, || web::post()
        .to(console::open)),
    row!(
        "GET",
        "/api/v1/users/{user}/grants",
        LauncherOrAdmin,
        || web::get().to(api::grants_of)
    ),
    row!("POST", "/api/v1/leases", LauncherOrUser, || web::post()
        .to(leases::create)),
    row!("GET", "/api/v1/leases", LauncherUserOrAdmin, || web::get()
        .to(leases::list)),
    row!("DELETE", "/api/v1/leases", LauncherUserOrAdmin, || {
        web::delete().to(leases::revoke_job)
    }),
    row!("GET", "/api/v1/leases/{lease}", LauncherUserOrAdmin, || {
        web::get().to(leases::read)
    }),
    row!(
        "DELETE",
        "/api/v1/leases/{lease}",
        LauncherUserOrAdmin,
        || { web::delete().to(leases::revoke) }
    ),
    row!("GET", "/api/v1/admin/idps", AdminOrAuditor, || web::get()
        .to(idps::list)),
    row!("GET", "/api/v1/admin/sessions", AdminOrAuditor, || {
        web::get().to(revoke::sessions)
    }),
    row!("POST", "/api/v1/admin/revoke", Admin, || web::post()
        .to(revoke::revoke)),
    row!("GET", "/api/v1/admin/holds", AdminOrAuditor, || web::get()
        .to(revoke::holds)),
    row!("DELETE", "/api/v1/admin/holds/{hold}", Admin, || {
        web::delete().to(revoke::release)
    }),
    row!("GET", "/api/v1/admin/role-arns", AdminOrAuditor, || {
        web::get().to(assignments::list)
    }),
    row!(
        "GET",
        "/api/v1/admin/users/{user}/role-arns",
        AdminOrAuditor,
        || web::get().to(assignments::read)
    ),
    row!("PUT", "/api/v1/admin/users/{user}/role-arns", Admin, || {
        web::put().to(assignments::set)
    }),
    row!(
        "DELETE",
        "/api/v1/admin/users/{user}/role-arns",
        Admin,
        || web::delete().to(assignments::unset)
    ),
    row!("GET", "/api/v1/admin/audit", AdminOrAuditor, || web::get()
        .to(audit::list)),
    row!("GET", "/metrics", AdminOrAuditor, || web::get()
        .to(metrics::with_token)),
    row!("POST", "/api/v1/admin/explain", AdminOrAuditor, || {
        web::post().to(admin::explain)
    }),
    row!("GET", "/admin/explain", AdminBrowser, || web::get()
        .to(admin::explain_page)),
    row!("GET", "/healthz", Nobody, || web::get().to(health::healthz)),
    row!("HEAD", "/healthz", Nobody, || web::head()
        .to(health::healthz)),
    row!("GET", "/readyz", Nobody, || web::get().to(health::readyz)),
    row!("HEAD", "/readyz", Nobody, || web::head().to(health::readyz)),
];

/// Whether the route that `request` met takes tokens alone, whatever the method.
pub(super) fn needs_token(request: &HttpRequest) -> bool {
    let Some(pattern) = request.match_pattern() else {
        return false;
    };
    let open = [Needs::Nobody, Needs::Browser, Needs::AdminBrowser];
    let mut rows = ROUTES.iter().filter(|row| row.path == pattern);
    rows.clone().next().is_some() && rows.all(|row| !open.contains(&row.needs))
}

/// The path that routes are found by: a letter may come as `%61` too, and `HttpRequest::path` has it as it came.
pub(super) fn matched(request: &HttpRequest) -> &str {
    request.match_info().as_str()
}

/// Where a request's path stands among the patterns; requests of the path carry it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position(pub(super) usize);

/// The rows of each path, with the path.
fn paths() -> impl Iterator<Item = (&'static str, &'static [RouteEntry])> {
    let paths = ROUTES.chunk_by(|one, other| one.path == other.path);
    paths.filter_map(|rows| Some((rows.first()?.path, rows)))
}

/// The pattern of every path, in the order of the table: what requests are counted by.
pub fn route_patterns() -> impl Iterator<Item = &'static str> {
    paths().map(|(path, _)| path)
}

/// Registers the table, a resource for each path, so that a wrong method is 405 and not 404.
pub(super) fn register(app: &mut web::ServiceConfig) {
    for (position, (path, rows)) in paths().enumerate() {
        let resource = web::resource(path).app_data(Position(position));
        let resource = rows
            .iter()
            .fold(resource, |resource, row| resource.route((row.make)()))
            .default_service(web::to(super::error::method_not_allowed));
        app.service(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_stands_in_one_place() {
        let mut paths: Vec<&str> = ROUTES
            .chunk_by(|a, b| a.path == b.path)
            .map(|rows| rows[0].path)
            .collect();
        let count = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }
}
