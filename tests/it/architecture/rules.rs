//! The rules: tables to extend when the design grows, and a checker for each.
//!
//! A checker takes a path and what the file does or says, and returns its objections; it opens nothing.

use std::collections::BTreeSet;

use super::reader::Facts;

/// The import table: what of ours the files of a room may use.
///
/// `EVERYTHING` stands for every room. A room may always use itself.
pub(super) const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("saml", &["model"]),
    ("oidc", &["model"]),
    ("policy", &["model"]),
    ("sts", &["model", "policy::Grant"]),
    ("store", &["model"]),
    ("audit", &["model", "store"]),
    (
        "flow",
        &[
            "model", "config", "saml", "oidc", "policy", "sts", "store", "audit",
        ],
    ),
    ("http", &["flow", "model"]),
    ("agent", &["model"]),
    ("demo", &["model"]),
    ("cli", EVERYTHING),
    ("app", EVERYTHING),
    ("main", EVERYTHING),
    ("lib", EVERYTHING),
    ("manual", EVERYTHING),
    // The second binary is the job side alone.
    ("bin", &["agent", "model"]),
];

pub(super) const EVERYTHING: &[&str] = &["*"];

/// Files that put parts together though their room may not.
pub(super) const ASSEMBLERS: &[&str] = &["src/demo/run.rs"];

/// Crates that only some rooms may touch; a `*` at the end stands for any rest.
pub(super) const KEPT_CRATES: &[(&str, &[&str])] = &[
    ("samael", &["saml", "demo"]),
    ("libxml", &["saml", "demo"]),
    ("xmlsec", &["saml", "demo"]),
    ("sqlx", &["store"]),
    ("aws_*", &["sts"]),
    ("josekit", &["sts", "oidc", "demo"]),
    ("openidconnect", &["oidc"]),
    ("actix*", &["http", "agent", "demo"]),
    ("opentelemetry*", &["app"]),
    ("tracing_opentelemetry", &["app"]),
    ("prost", &["app"]),
];

/// Where a [`rolegate::model::Subject`] is made.
pub(super) const VOUCHERS: &[&str] = &["src/store/ledger.rs", "src/store/sessions.rs"];

/// Files that may take a secret out of its [`rolegate::model::Secret`].
pub(super) const EXPOSERS: &[&str] = &[
    "src/agent/disk.rs",
    "src/agent/endpoint.rs",
    "src/agent/gateway.rs",
    "src/agent/token_file.rs",
    "src/agent/wire.rs",
    "src/app/telemetry.rs",
    "src/cli/demo.rs",
    "src/cli/tokens.rs",
    "src/demo/sts/assume.rs",
    "src/demo/sts/identity.rs",
    "src/flow/logout/at_provider.rs",
    "src/flow/sign_in/oidc.rs",
    "src/http/acs.rs",
    "src/http/api.rs",
    "src/http/console.rs",
    "src/http/cookies.rs",
    "src/http/device.rs",
    "src/http/job.rs",
    "src/http/leases.rs",
    "src/model/token.rs",
    "src/oidc/client.rs",
    "src/oidc/jws.rs",
    "src/oidc/logout.rs",
    "src/oidc/party.rs",
    "src/oidc/protocol.rs",
    "src/saml/service_key.rs",
    "src/store/oidc_tokens.rs",
    "src/store/oidc_tokens_tests.rs",
    "src/store/refreshes_tests.rs",
    "src/store/relay_keys.rs",
    "src/store/requests.rs",
    "src/store/service_keys.rs",
    "src/store/credentials.rs",
    "src/store/idempotency.rs",
    "src/store/credentials_tests.rs",
    "src/sts/ask.rs",
    "src/sts/relay.rs",
    "src/sts/console.rs",
    "src/sts/mod.rs",
    "src/sts/tests.rs",
];

/// Lines of a file without its test modules.
pub(super) const LONGEST_FILE: usize = 400;
/// Files that may be longer than that.
pub(super) const LONG_FILES: &[&str] = &[];
/// How long any file may be, and those of the tests.
pub(super) const HARD_LIMIT: usize = 600;

/// What stands at the top of the repository, beside dot-files.
pub(super) const TOP_LEVEL: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "deploy",
    "fixtures",
    "src",
    "tests",
];

/// Package registries, and folders of somebody's machine. Split, or this file would name them.
pub(super) const FOREIGN_PLACES: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npm", "js.org"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("/tmp/", "wt"),
];

/// The room that a file belongs to: its folder, or its own name at the top of `src/`.
fn room_of(path: &str) -> &str {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').next().unwrap_or(inside)
}

/// Rooms that the file uses and may not, and rooms that the table does not know.
pub(super) fn check_rooms(path: &str, facts: &Facts) -> Vec<String> {
    let room = room_of(path);
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{path}: {room} is no room of the import table")];
    };
    if *allowed == EVERYTHING || ASSEMBLERS.contains(&path) {
        return Vec::new();
    }
    facts
        .paths
        .iter()
        .filter_map(|used| used.strip_prefix("crate::"))
        .filter(|used| {
            let is_within =
                |allowed: &str| *used == allowed || used.starts_with(&format!("{allowed}::"));
            !is_within(room) && !allowed.iter().any(|allowed| is_within(allowed))
        })
        .map(|used| format!("{path}: {room} may not use {used}"))
        .collect()
}

/// Crates that the file touches and that are kept to other rooms.
pub(super) fn check_crates(path: &str, facts: &Facts) -> Vec<String> {
    let room = room_of(path);
    let mut objections = Vec::new();
    for used in &facts.paths {
        let name = used.split("::").next().unwrap_or(used);
        for (kept, rooms) in KEPT_CRATES {
            let is_it = match kept.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == *kept,
            };
            if is_it && !rooms.contains(&room) && !ASSEMBLERS.contains(&path) {
                objections.push(format!("{path}: {used} stays in {}", rooms.join(", ")));
            }
        }
    }
    objections
}

pub(super) fn check_vouchers(path: &str, facts: &Facts) -> Vec<String> {
    if facts.vouches && !VOUCHERS.contains(&path) {
        return vec![format!("{path}: only {} may vouch", VOUCHERS.join(", "))];
    }
    Vec::new()
}

pub(super) fn check_exposers(path: &str, facts: &Facts) -> Vec<String> {
    if facts.exposes && !EXPOSERS.contains(&path) {
        return vec![format!("{path}: exposes a secret and is not on the list")];
    }
    Vec::new()
}

/// `unsafe` in one file, and that of `saml`: the FFI lines that samael does not offer.
pub(super) fn check_unsafe(files: &[(String, Facts)]) -> Vec<String> {
    let users: Vec<_> = files
        .iter()
        .filter(|(_, facts)| facts.has_unsafe)
        .map(|(path, _)| path.as_str())
        .collect();
    let mut objections: Vec<_> = users
        .iter()
        .filter(|path| room_of(path) != "saml")
        .map(|path| format!("{path}: unsafe code stays in saml"))
        .collect();
    if users.len() > 1 {
        objections.push(format!("unsafe code in more than one file: {users:?}"));
    }
    objections
}

/// The file's lines that are not in a test module: from `#[cfg(test)]` at the left margin to the item's end.
pub(super) fn lines_without_tests(text: &str) -> usize {
    let mut count = 0;
    let mut in_tests = false;
    for line in text.lines() {
        in_tests |= line == "#[cfg(test)]";
        count += usize::from(!in_tests);
        let ends = line == "}" || (line.ends_with(';') && !line.starts_with(' '));
        in_tests &= !ends;
    }
    count
}

pub(super) fn check_shape(path: &str, text: &str) -> Vec<String> {
    let mut objections = Vec::new();
    if !text.starts_with("//! ") {
        objections.push(format!("{path}: does not begin with a module comment"));
    }
    let lines = lines_without_tests(text);
    let of_tests =
        path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs");
    let limit = if of_tests || LONG_FILES.contains(&path) {
        HARD_LIMIT
    } else {
        LONGEST_FILE
    };
    if lines > limit {
        objections.push(format!(
            "{path}: {lines} lines without tests, at most {limit}"
        ));
    }
    objections
}

pub(super) fn check_top_level<'a>(tracked: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let top: BTreeSet<_> = tracked
        .into_iter()
        .filter_map(|path| path.split('/').next())
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(name))
        .collect();
    top.into_iter()
        .map(|name| format!("{name}: does not belong at the top level"))
        .collect()
}

pub(super) fn check_places(path: &str, text: &str) -> Vec<String> {
    // Cargo writes its registry there by itself.
    if matches!(path, "Cargo.lock" | "tests/fuzz/Cargo.lock") {
        return Vec::new();
    }
    FOREIGN_PLACES
        .iter()
        .filter(|place| text.contains(**place))
        .map(|place| format!("{path}: names {place}"))
        .collect()
}

/// Files without those that a `cfg(test)` declares.
pub(super) fn without_test_files(files: Vec<(String, Facts)>) -> Vec<(String, Facts)> {
    let tests: Vec<String> = files
        .iter()
        .flat_map(|(_, facts)| facts.test_files.clone())
        .collect();
    let is_test = |path: &str| {
        tests
            .iter()
            .any(|test| path == test || (test.ends_with('/') && path.starts_with(test)))
    };
    files
        .into_iter()
        .filter(|(path, facts)| !is_test(path) || facts.has_unsafe)
        .map(|(path, facts)| {
            // Of a test module only its unsafe code is of interest.
            let kept = if is_test(&path) {
                Facts {
                    has_unsafe: true,
                    ..Facts::default()
                }
            } else {
                facts
            };
            (path, kept)
        })
        .collect()
}
