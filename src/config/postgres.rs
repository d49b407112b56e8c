//! URLs of PostgreSQL servers: what the driver would ignore or do in the clear is refused here.
//!
//! A URL may hold a password: nothing of one is repeated but `sslmode` and the names of parameters, and those not
//! where a password is among the parameters.

use std::net::IpAddr;

use url::Url;

use super::files::{Folder, read};
use super::problem::ConfigError;

/// The parameters that the driver reads.
const KNOWN: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];
/// Other names that it has for some of them.
const ALSO: &[(&str, &str)] = &[
    ("ssl-mode", "sslmode"),
    ("ssl-root-cert", "sslrootcert"),
    ("ssl-ca", "sslrootcert"),
    ("ssl-cert", "sslcert"),
    ("ssl-key", "sslkey"),
];
const FILES: &[&str] = &["sslrootcert", "sslcert", "sslkey"];

/// Modes that may speak in the clear, and those that never do.
const CLEAR: &[&str] = &["disable", "allow", "prefer"];
const SEALED: &[&str] = &["require", "verify-ca", "verify-full"];

/// A URL that the driver takes as it is meant.
#[derive(Debug)]
pub(super) struct ServerUrl {
    /// With the files that it names as absolute paths.
    pub(super) text: String,
    /// The `sslmode` that was written, where it may send things in the clear to another machine.
    pub(super) clear: Option<&'static str>,
}

/// Checks a URL; the files that it names are taken from `folder`.
pub(super) fn check(text: &str, folder: &Folder) -> Result<ServerUrl, ConfigError> {
    let mut url = Url::parse(text).map_err(|_| ConfigError::StoreUrl)?;
    let written: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let parameters = parameters(&written)?;
    let value = |name: &str| {
        let mut found = parameters.iter().rev().filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| *value)
    };
    let host = url.host_str().filter(|host| !host.is_empty());
    let named = url.path().len() > 1 || value("dbname").is_some();
    let hosts: Vec<&str> = [host, value("host"), value("hostaddr")]
        .into_iter()
        .flatten()
        .collect();
    if !named || hosts.is_empty() {
        return Err(ConfigError::StoreUrl);
    }
    let mode = value("sslmode").map(mode).transpose()?;
    let is_remote = !hosts.into_iter().all(is_near);
    if is_remote && mode.is_none() {
        return Err(ConfigError::StoreInTheClear);
    }
    if let Some(query) = with_files(&written, folder)? {
        url.query_pairs_mut().clear().extend_pairs(query);
    }
    Ok(ServerUrl {
        text: url.into(),
        clear: mode.filter(|mode| is_remote && CLEAR.contains(mode)),
    })
}

/// Each by the name that this page knows it by.
fn parameters(written: &[(String, String)]) -> Result<Vec<(&'static str, &str)>, ConfigError> {
    // What stands behind a password may be the rest of it.
    let tell = written.iter().all(|(name, _)| name != "password");
    let known = |name: &str| {
        let also = ALSO.iter().find(|(other, _)| *other == name);
        let name = also.map_or(name, |(_, known)| known);
        let is_option = name.starts_with("options[") && name.ends_with(']');
        let name = if is_option { "options" } else { name };
        KNOWN.iter().find(|known| **known == name).copied()
    };
    written
        .iter()
        .map(|(name, value)| {
            let unknown = || ConfigError::StoreParameter {
                name: if tell {
                    format!("{name:?}")
                } else {
                    "one".to_owned()
                },
                known: KNOWN.join(", "),
            };
            Ok((known(name).ok_or_else(unknown)?, value.as_str()))
        })
        .collect()
}

fn mode(text: &str) -> Result<&'static str, ConfigError> {
    let mut modes = CLEAR.iter().chain(SEALED);
    let mode = modes.find(|mode| mode.eq_ignore_ascii_case(text)).copied();
    mode.ok_or(ConfigError::StoreSslMode)
}

/// Whether `host` is a socket, or an address of this machine's alone.
fn is_near(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_socket = host.starts_with('/') || host.to_ascii_lowercase().starts_with("%2f");
    let is_loopback = bare
        .parse::<IpAddr>()
        .is_ok_and(|address| address.to_canonical().is_loopback());
    is_socket || is_loopback || bare.eq_ignore_ascii_case("localhost")
}

/// The parameters with absolute paths, where one of them names a file.
fn with_files(
    written: &[(String, String)],
    folder: &Folder,
) -> Result<Option<Vec<(String, String)>>, ConfigError> {
    let mut query = written.to_vec();
    let mut changed = false;
    for (name, value) in &mut query {
        let also = ALSO.iter().find(|(other, _)| other == name);
        let is_file = FILES.contains(&also.map_or(name.as_str(), |(_, known)| known));
        // The driver takes a certificate itself as well.
        if !is_file || value.trim_start().starts_with("-----BEGIN") {
            continue;
        }
        let path = folder.path(value);
        read(&path)?;
        path.to_str()
            .ok_or(ConfigError::PathText)?
            .clone_into(value);
        changed = true;
    }
    Ok(changed.then_some(query))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn checked(url: &str) -> Result<ServerUrl, ConfigError> {
        check(url, &Folder::of(Path::new("/nowhere/rolegate.toml")))
    }

    #[test]
    fn a_server_elsewhere_needs_an_sslmode() {
        for near in [
            "postgres://gate@localhost/x",
            "postgres://gate@127.0.0.1:5432/x",
            "postgres://gate@[::1]/x",
            "postgres:///x?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/x?user=gate",
            "postgresql://localhost/?dbname=x",
            "postgres://gate@localhost/x?options[geqo]=off&options=-c%20jit%3Doff",
        ] {
            let good = checked(near).unwrap();
            assert_eq!((good.text.as_str(), good.clear), (near, None));
        }
        for far in [
            "postgres://gate:hunter2@db/x",
            "postgres://gate@10.0.0.1/x",
            "postgres://gate@localhost.example.org/x",
            "postgres://gate@localhost/x?host=db",
            "postgres://gate@db/x?host=/run/postgresql",
            "postgres://gate@127.0.0.1/x?hostaddr=10.0.0.1",
        ] {
            let refused = checked(far).unwrap_err();
            assert_eq!(refused, ConfigError::StoreInTheClear, "{far}");
            let sign = if far.contains('?') { '&' } else { '?' };
            for mode in SEALED {
                let good = checked(&format!("{far}{sign}sslmode={mode}")).unwrap();
                assert_eq!(good.clear, None);
            }
            for mode in CLEAR {
                let good = checked(&format!("{far}{sign}ssl-mode={mode}")).unwrap();
                assert_eq!(good.clear, Some(*mode));
            }
        }
        // The driver takes the last.
        let last = "postgres://db/x?sslmode=verify-full&sslmode=disable";
        assert_eq!(checked(last).unwrap().clear, Some("disable"));
    }

    #[test]
    fn what_the_driver_would_ignore_is_refused_by_name_and_no_password_is_repeated() {
        let told = |url: &str| checked(url).unwrap_err().to_string();
        let unknown = told("postgres://gate:hunter2@localhost/x?sslmod=require");
        assert!(unknown.contains("\"sslmod\"") && unknown.contains("sslmode, sslrootcert"));
        assert!(!unknown.contains("hunter2"));
        let split = told("postgres://localhost/x?user=gate&password=hun&ter2=");
        assert!(!split.contains("ter2") && split.contains("sslmode, sslrootcert"));
        let mode = told("postgres://gate:hunter2@db/x?sslmode=verify");
        assert!(mode.contains("verify-full") && !mode.contains("hunter2"));
        for none in [
            "postgres://db",
            "postgres://db/",
            "postgres:///x",
            "postgres:///x?user=a",
        ] {
            assert_eq!(checked(none).unwrap_err(), ConfigError::StoreUrl, "{none}");
        }
    }

    #[test]
    fn files_are_taken_from_the_folder_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca b.pem"), "a certificate").unwrap();
        let of = Folder::of(&folder.path().join("rolegate.toml"));
        let url = "postgres://gate:p%23@db/x?sslmode=verify-full&sslrootcert=ca%20b.pem";
        let good = Url::parse(&check(url, &of).unwrap().text).unwrap();
        let query: Vec<_> = good.query_pairs().into_owned().collect();
        let path = folder.path().join("ca b.pem").to_str().unwrap().to_owned();
        assert_eq!(query[0], ("sslmode".to_owned(), "verify-full".to_owned()));
        assert_eq!(query[1], ("sslrootcert".to_owned(), path));
        assert_eq!(good.password(), Some("p%23"));
        let missing = check(&url.replace("ca%20b", "other"), &of).unwrap_err();
        assert!(matches!(missing, ConfigError::Unreadable { .. }));
    }
}
