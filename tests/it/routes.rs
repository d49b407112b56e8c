//! The route table, walked by those who must not pass.

use reqwest::{Client, Method, StatusCode, redirect::Policy};
use rolegate::http::{Needs, ROUTES, RouteEntry};

use crate::gateway::{Setting, World};

/// A call that would be good but for who makes it.
async fn call(world: &World, route: &RouteEntry, token: Option<&str>) -> reqwest::Response {
    let path = route
        .path
        .replace("{idp}", "demo")
        .replace("{user}", "alice")
        .replace("{lease}", "lea_1")
        .replace("{hold}", "hld_1");
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let method: Method = route.method.parse().unwrap();
    let mut request = client
        .request(method, world.gateway.at(&path))
        .header("Accept", "application/json");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if route.method == "POST" {
        request = request.json(&serde_json::json!({}));
    }
    request.send().await.unwrap()
}

/// Whether the answer says that the caller may not.
fn is_denied(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_and_the_wrong_token_pass_nowhere() {
    let world = World::start().await;
    let (session, _) = world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let lease = lease["token"].as_str().unwrap();
    let auditor = ["tokens", "create", "eyes", "--role", "auditor"];
    let auditor = world.gateway.command(&auditor).await.good();
    let admin = ["tokens", "create", "root", "--role", "admin"];
    let admin = world.gateway.command(&admin).await.good();
    let unknown = format!("rgs_{}", "A".repeat(43));
    for route in ROUTES {
        let wrong: Vec<&str> = match route.needs {
            Needs::Nobody => continue,
            Needs::Browser | Needs::AdminBrowser => vec![&session, &launcher, lease, &auditor],
            Needs::User => vec![&launcher, lease, &auditor, &unknown],
            Needs::LauncherOrUser => vec![lease, &auditor, &admin, &unknown],
            Needs::LauncherUserOrAdmin => vec![lease, &auditor, &unknown],
            Needs::LauncherOrAdmin => vec![&session, lease, &unknown],
            Needs::Admin => vec![&session, &launcher, lease, &auditor, &unknown],
            Needs::AdminOrAuditor => vec![&session, &launcher, lease, &unknown],
            Needs::Job => vec![&session, &launcher, &auditor, &unknown],
        };
        let shown = format!("{} {}", route.method, route.path);
        for token in [None].into_iter().chain(wrong.into_iter().map(Some)) {
            let status = call(&world, route, token).await.status();
            if matches!(route.needs, Needs::Browser | Needs::AdminBrowser) {
                assert_eq!(
                    status,
                    StatusCode::SEE_OTHER,
                    "{shown}: a bearer token is no cookie"
                );
            } else {
                assert!(is_denied(status), "{shown}: {status}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_token_passes_everywhere() {
    let world = World::start().await;
    let (session, _) = world.sign_in().await;
    let launcher = world.launcher().await;
    let (_, lease) = world.lease(&launcher, "reader").await;
    let lease = lease["token"].as_str().unwrap();
    let auditor = ["tokens", "create", "eyes", "--role", "auditor"];
    let auditor = world.gateway.command(&auditor).await.good();
    let admin = ["tokens", "create", "root", "--role", "admin"];
    let admin = world.gateway.command(&admin).await.good();
    let mut walked = 0;
    for route in ROUTES {
        let right = match route.needs {
            Needs::Nobody | Needs::Browser | Needs::AdminBrowser => continue,
            Needs::User => &session,
            Needs::AdminOrAuditor => &auditor,
            Needs::LauncherOrUser | Needs::LauncherUserOrAdmin | Needs::LauncherOrAdmin => {
                launcher.as_str()
            }
            Needs::Admin => &admin,
            Needs::Job => lease,
        };
        let status = call(&world, route, Some(right)).await.status();
        assert!(
            !is_denied(status) && !status.is_server_error(),
            "{} {}: {status}",
            route.method,
            route.path
        );
        walked += 1;
    }
    assert!(walked >= 10, "{walked} routes");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_headers_that_guard_it() {
    let world = World::with(Setting {
        server_lines: "return_origins = [\"https://platform.example.org\"]",
        ..Setting::default()
    })
    .await;
    for path in [
        "/",
        "/login",
        "/nowhere",
        "/api/v1/me",
        "/v1/credentials",
        "/saml/metadata",
    ] {
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        let answer = client.get(world.gateway.at(path)).send().await.unwrap();
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
        };
        assert!(
            header("content-security-policy").contains("default-src 'none'"),
            "{path}"
        );
        assert!(
            !header("content-security-policy").contains("unsafe-inline"),
            "{path}"
        );
        let is_page = !path.starts_with("/api/") && !path.starts_with("/v1/");
        assert_eq!(
            header("content-security-policy")
                .contains("form-action 'self' https://platform.example.org;"),
            is_page,
            "{path}: browsers hold it against the redirect after a form"
        );
        assert!(
            header("content-security-policy").contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(
            header("strict-transport-security"),
            "",
            "{path}: only over TLS"
        );
    }
    let ready = reqwest::get(world.gateway.at("/readyz")).await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let wrong = Client::new()
        .delete(world.gateway.at("/saml/acs"))
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
}
