//! What `rolegate init` writes has a word on every key there is.

use regex_lite::Regex;

use super::schema::{Key, Kind, ROOT};

const INIT: &str = include_str!("../../cli/rolegate.toml");

/// The file's lines with the table that each stands in; comments are read as what they comment out.
fn lines(text: &str) -> Vec<(String, &str)> {
    let heading = Regex::new(r"^#?\s*\[{1,2}([a-z_.]+)\]{1,2}").unwrap();
    let mut table = String::new();
    let lines = text.lines().map(|line| {
        if let Some(found) = heading.captures(line) {
            table = found[1].to_owned();
        }
        (table.clone(), line)
    });
    lines.collect()
}

/// The keys below `path` that the lines say nothing of.
fn unsaid(keys: &[Key], path: &str, around: &str, lines: &[(String, &str)]) -> Vec<String> {
    let mut unsaid = Vec::new();
    for key in keys {
        let own = if path.is_empty() {
            key.name.to_owned()
        } else {
            format!("{path}.{}", key.name)
        };
        let written = Regex::new(&format!(r"\b{}\s*=", key.name)).unwrap();
        let has_table = lines.iter().any(|(table, _)| *table == own);
        let mut within = lines.iter().filter(|(table, _)| table == around);
        if !has_table && !within.any(|(_, line)| written.is_match(line)) {
            unsaid.push(own.clone());
        }
        if let Kind::Table(keys) | Kind::Named(keys) | Kind::Tables(keys) = key.kind {
            // Without a table of its own it stands in one line of that around it. A table that has others alone has
            // no lines.
            let around = if has_table { &own } else { around };
            let is_bare = keys.iter().all(|key| matches!(key.kind, Kind::Named(_)));
            let keys = self::unsaid(keys, &own, around, lines);
            unsaid.extend(keys);
            if is_bare {
                unsaid.retain(|path| *path != own);
            }
        }
    }
    unsaid
}

#[test]
fn every_key_is_explained_where_a_user_looks() {
    assert_eq!(unsaid(ROOT, "", "", &lines(INIT)), Vec::<String>::new());
    assert!(INIT.contains("ROLEGATE_ALLOWED_ROLES"));
}

#[test]
fn a_key_that_is_left_out_is_found() {
    let without = INIT
        .replace("tag_keys", "tag_words")
        .replace("[telemetry]", "[traces]");
    let found = unsaid(ROOT, "", "", &lines(&without));
    assert_eq!(found[0], "roles.entry.tag_keys");
    assert!(found.contains(&"telemetry".to_owned()), "{found:?}");
    // The same word in another table does not count.
    let without = INIT
        .replace("# role_claim = ", "# role = ")
        .replace("#     role_claim", "#     role");
    assert_eq!(
        unsaid(ROOT, "", "", &lines(&without)),
        ["oidc.provider.role_claim"]
    );
}
