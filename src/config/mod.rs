//! File and environment become checked values; refuses to start on anything doubtful.
//!
//! [`load`] reads the TOML file, lays the environment over it, holds the whole against the keys that
//! exist, and checks every section, going on after a problem so that one start names all of them with
//! file, key and mend. Trusts nobody's spelling. Never asks the network, and never reads a secret
//! further than to see that its file is there.

mod access;
mod audit;
mod environment;
mod files;
mod findings;
mod idps;
mod limits;
mod oidc;
mod postgres;
mod problem;
mod raw;
mod roles;
mod saml;
mod schema;
mod server;
mod store;
mod telemetry;
mod urls;
mod values;
mod warning;
mod worth;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use toml::Table;

pub use audit::{Audit, AuditCopy};
pub use limits::Limits;
pub use problem::{ConfigError, ConfigErrors, Problem};
pub use telemetry::Telemetry;
pub use values::{
    Admin, ClientSecret, Config, IdpInitiated, LeaseLimits, MetadataSource, OidcProvider, Relay,
    RequireSigned, Roles, Saml, SamlIdp, Server, SessionLimits, SingleLogout, StoreConfig, Sts,
    Tls, issuer_problem,
};
pub use warning::Warning;

use files::Folder;
use findings::{Findings, Places};
use idps::Idps;
use raw::Raw;

/// The configuration in the file at `path` and in `environment`, or everything that is wrong with it.
pub fn load(path: &Path, environment: &BTreeMap<String, String>) -> Result<Config, ConfigErrors> {
    let (text, mut table) = read(path)?;
    let mut findings = Findings::new(path, Places::of(&text));
    environment::overlay(&mut table, environment, &mut findings);
    missing_tables(&table, &mut findings);
    schema::conform(&mut table, schema::ROOT, "", &mut findings);
    let raw = match table.try_into::<Raw>() {
        Ok(raw) => raw,
        Err(error) => {
            findings.refuse("", ConfigError::Shape(error.message().to_owned()));
            return findings.finish(None);
        }
    };
    let config = check(raw, path, environment, &mut findings);
    findings.finish(config)
}

/// The PostgreSQL URL `text` as the driver is to have it, where it stands in no file; what it names is taken from
/// the working folder.
pub fn server_url(text: &str) -> Result<String, ConfigError> {
    Ok(postgres::check(text, &Folder::of(Path::new("here")))?.text)
}

fn read(path: &Path) -> Result<(String, Table), ConfigErrors> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigErrors::whole(path, None, ConfigError::NoFile(error.to_string())))?;
    let table = text.parse::<Table>().map_err(|error| {
        let line = error
            .span()
            .map(|span| findings::line_at(&text, span.start));
        let words = error.message().trim().replace('\n', ", ");
        ConfigErrors::whole(path, line, ConfigError::Syntax(words))
    })?;
    Ok((text, table))
}

/// A table that must be there although it may be left out with all its keys.
fn missing_tables(table: &Table, findings: &mut Findings) {
    if !table.contains_key("server") {
        findings.refuse(
            "server.public_url",
            ConfigError::Missing("[server] with public_url = \"https://...\""),
        );
    }
}

fn check(
    raw: Raw,
    path: &Path,
    environment: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Option<Config> {
    let folder = Folder::of(path);
    let server = server::check(raw.server, &folder, findings);
    let store = store::check(&raw.store, &folder, findings);
    let leases = store::leases(&raw.leases, findings);
    let saml = saml::check(raw.saml, &folder, findings);
    let oidc = oidc::check(raw.oidc, &folder, &saml.idps, findings);
    let idps = Idps {
        saml: &saml.idps,
        oidc: &oidc,
    };
    let allowed_roles = environment.get(roles::ALLOWED_ROLES);
    let roles = roles::check(raw.roles, allowed_roles, idps, findings);
    let sts = access::sts(raw.sts, environment, findings);
    let admin = access::admin(raw.admin, idps, findings);
    let relay = access::relay(raw.relay, server.as_ref(), findings);
    let telemetry = telemetry::check(raw.telemetry, &folder, findings);
    let audit = audit::check(raw.audit, &folder, findings);
    let config = Config {
        path: path.to_owned(),
        server: server?,
        store: store?,
        session: store::session(&raw.session),
        leases,
        saml,
        oidc,
        roles,
        sts,
        admin,
        relay,
        telemetry,
        audit,
        warnings: Vec::new(),
    };
    worth::note(&config, findings);
    Some(config)
}
