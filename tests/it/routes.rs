//! The route table, walked by those who must not pass.

use reqwest::{Client, Method, StatusCode, redirect::Policy};
use rolegate::http::{Needs, ROUTES, RouteEntry};
use serde_json::{Value, json};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_the_form_of_its_path() {
    const PAGE: &str = "text/html; charset=utf-8";
    const PROBLEM: &str = "application/problem+json";
    const JOB: &str = "application/json";
    let world = World::start().await;
    let long = format!("?pad={}", "a".repeat(40_000));
    for (method, path, accept, status, kind) in [
        ("GET", "/nope", "*/*", 404, PAGE),
        ("GET", "/nope", "application/json", 404, PROBLEM),
        ("DELETE", "/saml/acs", "*/*", 405, PAGE),
        ("GET", "/api/v1/nope", "*/*", 404, PROBLEM),
        ("GET", "/api/v1/nope", "text/html", 404, PROBLEM),
        ("GET", "/%61pi/v1/nope", "*/*", 404, PROBLEM),
        ("PUT", "/api/v1/leases", "*/*", 405, PROBLEM),
        ("POST", "/v1/credentials", "*/*", 405, JOB),
        ("GET", "/v1/nope", "text/html", 404, JOB),
    ] {
        let shown = format!("{method} {path}, {accept}");
        let method: Method = method.parse().unwrap();
        let request = |path: &str| {
            let request = Client::new().request(method.clone(), world.gateway.at(path));
            request.header("Accept", accept).send()
        };
        for (path, status) in [(path.to_owned(), status), (format!("{path}{long}"), 414)] {
            let answer = request(&path).await.unwrap();
            assert_eq!(answer.status(), status, "{shown}");
            assert_eq!(answer.headers()["Content-Type"], kind, "{shown}");
            if kind == PAGE {
                continue;
            }
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["Code"].is_string(), kind == JOB, "{shown}: {body}");
            assert!(body["code"].is_string(), "{shown}: {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_is_told_so_and_one_that_is_wrong_is_told_that() {
    let world = World::start().await;
    let launcher = world.launcher().await;
    let order = |size: usize| json!({ "user": "alice", "job": "a".repeat(size) });
    let leases = "/api/v1/leases";
    for (body, status, code) in [
        (order(40_000), 413, "too_large"),
        (order(10), 400, "bad_request"),
    ] {
        let (answered, problem) = world.api("POST", leases, &launcher, Some(body)).await;
        assert_eq!(answered.as_u16(), status, "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
    }
    let confirm = async |size: usize| {
        let form = [("confirm", "a".repeat(size))];
        let post = Client::new().post(world.gateway.at("/saml/confirm"));
        post.form(&form).send().await.unwrap()
    };
    let long = confirm(40_000).await;
    assert_eq!(long.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let kind = long.headers()["Content-Type"].to_str().unwrap();
    assert!(kind.starts_with("text/html"), "a page's: {kind}");
    assert_eq!(confirm(10).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_role_is_told_which_is_needed_and_how_it_is_made() {
    let world = World::start().await;
    let launcher = world.launcher().await;
    let auditor = ["tokens", "create", "eyes", "--role", "auditor"];
    let auditor = world.gateway.command(&auditor).await.good();
    let admin = ["tokens", "create", "root", "--role", "admin"];
    let admin = world.gateway.command(&admin).await.good();
    let hold = "/api/v1/admin/holds/hld_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let told = "token eyes is of role auditor, and this needs one of role admin; `rolegate tokens create NAME --role admin` makes one";
    let (status, problem) = world.api("DELETE", hold, &auditor, None).await;
    assert_eq!((status.as_u16(), &problem["title"]), (403, &told.into()));
    let (status, problem) = world.api("DELETE", hold, &admin, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    let (status, problem) = world.api("GET", "/api/v1/leases", &auditor, None).await;
    let told = "this needs one of role launcher or admin; `rolegate tokens create NAME --role launcher --for-roles PATTERN --for-users PATTERN` makes one";
    assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
    assert!(
        problem["title"].as_str().unwrap().ends_with(told),
        "{problem}"
    );
    let (status, _) = world.api("GET", "/api/v1/leases", &launcher, None).await;
    assert_eq!(status, StatusCode::OK);
}
