//! The rules that the compiler does not know: which room may use which, who may touch what.
//!
//! Reads the sources with a parser, so comments, strings and test modules do not count (but `unsafe`
//! counts everywhere). It trusts rustfmt for where a test module ends. Each checker is shown to fail on
//! bad samples (`samples.rs`) beside being let loose on the sources; its tables stand in `rules.rs`.

mod reader;
mod rules;
mod samples;

use std::fs;
use std::path::Path;
use std::process::Command;

use reader::{Facts, Reader};
use rules::{
    check_crates, check_exposers, check_places, check_rooms, check_shape, check_top_level,
    check_unsafe, check_vouchers, without_test_files,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What git keeps, and new files that it would.
fn tracked() -> Vec<String> {
    let output = Command::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
        ])
        .arg("--exclude-standard")
        .current_dir(root())
        .output()
        .expect("git is needed to list the project's files");
    assert!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .split_terminator('\0')
        .filter(|path| root().join(path).is_file())
        .map(str::to_owned)
        .collect()
}

/// The Rust files below `folder`, with their text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let found: Vec<_> = tracked()
        .into_iter()
        .filter(|path| path.starts_with(folder) && is_rust(path))
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).unwrap();
            (path, text)
        })
        .collect();
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension() == Some("rs".as_ref())
}

/// The facts of `src/`, without the files that are test modules.
fn facts() -> Vec<(String, Facts)> {
    without_test_files(
        sources("src/")
            .into_iter()
            .map(|(path, text)| {
                let facts = Reader::read(&path, &text);
                (path, facts)
            })
            .collect(),
    )
}

fn assert_none(objections: &[String]) {
    assert!(objections.is_empty(), "\n{}", objections.join("\n"));
}

fn assert_each(check: fn(&str, &Facts) -> Vec<String>) {
    let objections: Vec<_> = facts()
        .iter()
        .flat_map(|(path, facts)| check(path, facts))
        .collect();
    assert_none(&objections);
}

#[test]
fn rooms_use_what_the_table_lets_them() {
    assert_each(check_rooms);
}

#[test]
fn crates_stay_in_their_rooms() {
    assert_each(check_crates);
}

#[test]
fn subjects_are_vouched_for_in_two_places() {
    assert_each(check_vouchers);
}

#[test]
fn secrets_are_exposed_where_the_list_says() {
    assert_each(check_exposers);
}

#[test]
fn unsafe_code_stays_in_one_file() {
    assert_none(&check_unsafe(&facts()));
}

#[test]
fn files_are_introduced_and_short() {
    let mut files = sources("src/");
    files.extend(sources("tests/"));
    let objections: Vec<_> = files
        .iter()
        .flat_map(|(path, text)| check_shape(path, text))
        .collect();
    assert_none(&objections);
}

#[test]
fn the_top_level_is_tidy() {
    assert_none(&check_top_level(tracked().iter().map(String::as_str)));
}

#[test]
fn no_file_names_a_registry_or_a_machine() {
    let objections: Vec<_> = tracked()
        .iter()
        .flat_map(|path| {
            let bytes = fs::read(root().join(path)).unwrap();
            check_places(path, &String::from_utf8_lossy(&bytes))
        })
        .collect();
    assert_none(&objections);
}
