//! `rolegate init`: a commented configuration to start from.
//!
//! Writes one file and never writes over one; the text is compiled in, and a test loads it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The configuration that `init` writes.
pub(super) const TEXT: &str = include_str!("rolegate.toml");

/// Why nothing was written.
#[derive(Debug, Error)]
pub(super) enum InitError {
    /// There is a file already.
    #[error(
        "{path} is there already and was left as it is; name another file with --config, or run `rolegate check`",
        path = .0.display()
    )]
    Exists(PathBuf),
    /// The file could not be made or written.
    #[error("{path} cannot be written ({reason}); name a file in a folder of yours with --config", path = .path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
}

/// Writes the file at `path`, mode 0600, and says what comes next.
pub(super) fn init(path: &Path) -> Result<String, InitError> {
    let unwritable = |reason| InitError::Unwritable {
        path: path.to_owned(),
        reason,
    };
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(InitError::Exists(path.to_owned()));
        }
        Err(error) => return Err(unwritable(error)),
    };
    file.write_all(TEXT.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(unwritable)?;
    Ok(next_steps(path))
}

fn next_steps(path: &Path) -> String {
    let path = path.display();
    format!(
        "Wrote {path}. Next:\n\
         1. Set server.public_url to the URL that people will use, with server.tls or a proxy.\n\
         2. Follow the steps for your IdP in the file, write its metadata URL there (or save its\n   \
         metadata beside it) and take the comment signs off its [[saml.idp]] or [[oidc.provider]].\n\
         3. List the roles under [roles] allowed, and give each the trust policy that\n   \
         `rolegate trust-policy ROLE_ARN --config {path}` prints.\n\
         4. `rolegate check --config {path}`, then `rolegate serve --config {path}`.\n\
         To see it work first, without IdP and AWS: `rolegate demo`.\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use crate::config::{Warning, load};

    use super::*;

    #[test]
    fn what_it_writes_loads_and_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolegate.toml");
        let next = init(&path).unwrap();
        assert!(next.contains("rolegate check"), "{next}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let config = load(&path, &BTreeMap::new()).unwrap();
        assert_eq!(config.acs_url(), "http://127.0.0.1:8080/saml/acs");
        assert_eq!(config.warnings, [Warning::NoIdp, Warning::NoEntry]);
    }

    #[test]
    fn it_never_writes_over_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolegate.toml");
        std::fs::write(&path, "mine").unwrap();
        let error = init(&path).unwrap_err();
        assert!(matches!(&error, InitError::Exists(_)));
        assert!(error.to_string().contains("--config"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        let nowhere = folder.path().join("no/such/rolegate.toml");
        assert!(matches!(init(&nowhere), Err(InitError::Unwritable { .. })));
    }

    /// The examples in comments are configuration too: with the signs off they must load.
    #[test]
    fn its_commented_tables_load_with_the_signs_off() {
        let folder = tempfile::tempdir().unwrap();
        for idp in ["okta", "keycloak", "entra", "google"] {
            std::fs::write(folder.path().join(format!("{idp}.xml")), "<x/>").unwrap();
            std::fs::write(folder.path().join(format!("{idp}.secret")), "s").unwrap();
        }
        std::fs::write(folder.path().join("otlp.headers"), "X-Key: s").unwrap();
        let mut inside = false;
        let text: Vec<&str> = TEXT
            .lines()
            .map(|line| {
                let bare = line.strip_prefix("# ").unwrap_or(line);
                inside = line.starts_with("# [") || (inside && bare.contains(" = "));
                if inside { bare } else { line }
            })
            .collect();
        let path = folder.path().join("rolegate.toml");
        std::fs::write(&path, text.join("\n")).unwrap();
        let config = load(&path, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.saml.idps.len(), 4);
        assert_eq!(config.oidc.len(), 4);
        assert_eq!(config.oidc[0].role_claim, "roles");
        assert_eq!(config.roles.entries.len(), 4);
        assert!(config.admin.is_some() && config.telemetry.is_some());
    }
}
