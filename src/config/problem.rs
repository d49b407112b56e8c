//! Why the configuration is refused: every problem with its place, its key and the mend.
//!
//! Values are repeated only where the key is a name, an ARN or a choice; never a secret's, nor one that
//! could not be read.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model::{EntryProblem, NameError, PatternError};

/// What is wrong with one key; each text ends in what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The configuration file itself.
    #[error("cannot be read ({0}); run `rolegate init`, or name the file with --config")]
    NoFile(String),
    /// No TOML.
    #[error("is no TOML: {0}; mend the line")]
    Syntax(String),
    /// A key that rolegate does not know.
    #[error("is no key of rolegate; remove it, or write one of: {known}")]
    UnknownKey {
        /// The keys that may stand there.
        known: String,
    },
    /// A variable for an array entry that is not in the file.
    #[error(
        "names the entry {0:?}, which the file does not have; add it there with its name, or correct the variable"
    )]
    NoSuchEntry(String),
    /// A variable that fits two names.
    #[error("fits more than one entry, since case, `-` and `_` are alike; rename one of them")]
    AmbiguousEntry,
    /// A value of another kind.
    #[error("must be {expected}, not {found}; write {expected}")]
    WrongType {
        /// What belongs there.
        expected: String,
        /// What stands there.
        found: &'static str,
    },
    /// A variable for a key that is no text, and that is no TOML value.
    #[error("must be {expected}, written as a TOML value; mend the variable")]
    NotToml {
        /// What belongs there.
        expected: String,
    },
    /// A number out of range.
    #[error("is {found}; write a whole number from {least} to {most}")]
    OutOfRange {
        /// What stands there.
        found: i64,
        /// The least.
        least: i64,
        /// The most.
        most: i64,
    },
    /// A number that is no share of a whole.
    #[error("is {0}; write a number from 0 to 1, such as 0.1")]
    NoRatio(String),
    /// A folder that is not there.
    #[error("there is no folder {path}; make it, or correct the path", path = .0.display())]
    NoFolder(PathBuf),
    /// A word that is none of the choices.
    #[error("is {found:?}; write one of: {choices}")]
    NotAChoice {
        /// What stands there.
        found: String,
        /// What may stand there.
        choices: String,
    },
    /// A key that must be there.
    #[error("is missing; write {0}")]
    Missing(&'static str),
    /// A key for a later version.
    #[error("{key} is not available in this version; {mend}")]
    NotInThisVersion {
        /// The key.
        key: &'static str,
        /// What to do meanwhile.
        mend: &'static str,
    },
    /// Two keys of which only one may stand.
    #[error("stands beside {0}; keep one of the two")]
    Both(&'static str),
    /// Neither of two keys.
    #[error("names neither {0} nor {1}; write one of the two")]
    Neither(&'static str, &'static str),
    /// A key that counts only with another one.
    #[error("counts only with {0}; add that, or remove this key")]
    Needs(&'static str),
    /// No address.
    #[error("is no address; write one such as {0}")]
    Address(&'static str),
    /// No network.
    #[error("is no network; write one such as 10.0.0.0/8")]
    Network,
    /// No URL of the wanted kind.
    #[error("is no such URL ({reason}); write {example}")]
    Url {
        /// Why.
        reason: &'static str,
        /// A good one.
        example: &'static str,
    },
    /// Plain http where it could be read on the way.
    #[error(
        "would serve plain http beyond this machine; set server.tls, or behind_proxy = true with trusted_proxies, or let both listen and public_url be loopback"
    )]
    PlainHttp,
    /// An http URL for people beyond this machine.
    #[error("is http and not loopback; write https://")]
    HttpUrl,
    /// An https URL that nobody serves.
    #[error(
        "is https, but nothing serves TLS; set server.tls, or behind_proxy = true with trusted_proxies, or write http:// with a loopback address"
    )]
    HttpsWithoutTls,
    /// An http URL beside a certificate.
    #[error("is http although server.tls serves https; write https://")]
    HttpDespiteTls,
    /// A file or folder that cannot be used.
    #[error("{path} cannot be read ({reason}); put it there, or correct the path", path = .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file that is not what it should be.
    #[error("{path} holds no {what}; replace the file", path = .path.display())]
    NotPem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Certificate and key of two pairs.
    #[error("is not the key of the certificate in certificate_file; name the key it was made with")]
    KeyMismatch,
    /// A key that can be broken.
    #[error(
        "is a weak key; make one of RSA 2048 bits or more, or of an elliptic curve of 256 or more"
    )]
    WeakKey,
    /// A store's URL that is none.
    #[error(
        "is no store of rolegate; write sqlite:rolegate.db, or postgres://USER@HOST/DATABASE (a password's signs such as # and / as %23 and %2F)"
    )]
    StoreUrl,
    /// A parameter that would be ignored.
    #[error(
        "has a parameter that is none ({name}); remove it, or write one of: {known} (a password's & is %26)"
    )]
    StoreParameter {
        /// Its name, where nothing secret can stand in it.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A mode that is none.
    #[error(
        "has an sslmode that is none; write verify-full, or verify-ca, require, prefer, allow, disable"
    )]
    StoreSslMode,
    /// A server elsewhere, and no word on TLS.
    #[error(
        "names a server beyond this machine without sslmode, and might speak to it in the clear; write ?sslmode=verify-full (with sslrootcert=FILE for an authority of your own), or sslmode=require, or sslmode=disable where the network itself is guarded"
    )]
    StoreInTheClear,
    /// A second way to a store that needs none.
    #[error("belongs to PostgreSQL, and store.url names none; remove it")]
    ListenWithoutServer,
    /// A store that forgets.
    #[error("would forget which sign-ins were used; write a file, such as sqlite:rolegate.db")]
    StoreInMemory,
    /// A lease's default beyond its maximum.
    #[error("is more than leases.max_ttl_seconds ({0}); lower it, or raise that")]
    AboveMaximum(u32),
    /// No entity id or audience.
    #[error("is no entity id; write a URI of 1 to 1024 characters without white space")]
    EntityId,
    /// A name that does not fit.
    #[error("{0}; write such a name")]
    Name(#[from] NameError),
    /// A name that would be a folder in a URL.
    #[error("stands in URLs and may not be dots alone; write another name")]
    DotName,
    /// A name twice.
    #[error("is a name that another entry has (case does not count); rename one of them")]
    DuplicateName,
    /// An empty text.
    #[error("is empty; write {0}, or remove the key")]
    Empty(&'static str),
    /// A text that no protocol could carry.
    #[error(
        "is no such text; write {0}, 1 to 256 characters without blanks around and control characters"
    )]
    NotPrintable(&'static str),
    /// No scope (RFC 6749, 3.3).
    #[error("is no scope; write each as a text of its own, without blanks")]
    Scope,
    /// A parameter that the protocol sets itself.
    #[error("is set by the sign-in itself; remove it (scopes have a key of their own)")]
    ReservedParameter,
    /// A parameter that no URL could carry.
    #[error(
        "is no parameter; write a name of printable ASCII and a value of at most 1024 characters"
    )]
    Parameter,
    /// A table or list that is too long.
    #[error("has too many members; write {0} at most")]
    TooMany(usize),
    /// A file that holds no secret.
    #[error("{path} holds no client secret ({reason}); write the secret alone into the file", path = .path.display())]
    SecretFile {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A file of headers that cannot be sent.
    #[error("{path}: {reason}; write a line `Name: value` for each header", path = .path.display())]
    HeadersFile {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// No domain.
    #[error("is no domain; write one such as example.org, without @")]
    Domain,
    /// No role ARN or pattern.
    #[error("{found:?} {error}")]
    Pattern {
        /// The text.
        found: String,
        /// Why.
        error: PatternError,
    },
    /// No provider ARN.
    #[error("{found:?} {reason}")]
    Provider {
        /// The text.
        found: String,
        /// Why.
        reason: String,
    },
    /// A provider under another account's key.
    #[error("is a provider of account {0}; write it under that account, or correct it")]
    ProviderAccount(String),
    /// An account that is none.
    #[error("is no account; write its twelve digits, in quotes")]
    Account,
    /// A combination that the method cannot do.
    #[error("{0}")]
    Entry(#[from] EntryProblem),
    /// No time.
    #[error("is no time; write RFC 3339 such as 2030-01-31T12:00:00Z")]
    Time,
    /// An IdP that is not configured.
    #[error("names {0:?}, which is no configured IdP; write one of: {1}")]
    UnknownIdp(String, String),
    /// Several IdPs and no choice.
    #[error("is missing, and there are several IdPs; write the one whose users are admins")]
    AdminIdp,
    /// `[admin]` without anyone.
    #[error("names nobody; list users, or conditions in when")]
    AdminNobody,
    /// A region that is none, or of another partition.
    #[error("is no region of that partition; write one such as {0}")]
    Region(&'static str),
    /// A path that cannot be written as text.
    #[error("stands in a folder whose name is no UTF-8; move it to one that is")]
    PathText,
    /// A shape that the schema let through; the parser's own words.
    #[error("cannot be understood ({0}); compare with `rolegate init`")]
    Shape(String),
}

/// One problem and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The configuration file.
    pub file: PathBuf,
    /// The key, dotted; entries of arrays by name, else by number from 1. Empty for the whole file.
    pub key: String,
    /// The line in the file, where the key or its table stands in it.
    pub line: Option<usize>,
    /// The environment variable, where the value is from one.
    pub variable: Option<String>,
    /// What is wrong and what to do.
    pub error: ConfigError,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.variable, self.line) {
            (Some(variable), _) => write!(f, "environment {variable}: ")?,
            (None, Some(line)) => write!(f, "{}:{line}: ", self.file.display())?,
            (None, None) => write!(f, "{}: ", self.file.display())?,
        }
        if !self.key.is_empty() && Some(&self.key) != self.variable.as_ref() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.error)
    }
}

/// Every problem that was found; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// The problems, in the order found.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// One problem with the file as a whole.
    pub(super) fn whole(file: &Path, line: Option<usize>, error: ConfigError) -> Self {
        Self::new(vec![Problem {
            file: file.to_owned(),
            key: String::new(),
            line,
            variable: None,
            error,
        }])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}
