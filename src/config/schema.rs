//! The keys that exist, what each may hold, and the check of a whole document against them.
//!
//! The environment needs it to tell text from TOML and to refuse names that are no keys; the file is
//! held against it so that every unknown key and wrong type is named at once.

use toml::{Table, Value};

use super::findings::{Findings, join, labels};
use super::problem::ConfigError;

/// What a key may hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Choice(&'static [&'static str]),
    Integer(i64, i64),
    Boolean,
    /// A number from 0 to 1.
    Ratio,
    Texts,
    TextMap,
    TextsOrMap,
    Time,
    Table(&'static [Key]),
    /// An array of tables, each with a `name`.
    Named(&'static [Key]),
    /// An array of tables.
    Tables(&'static [Key]),
}

/// A key of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What to write, for a key that must be there.
    needed: Option<&'static str>,
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key {
        name,
        kind,
        needed: None,
    }
}

const fn needed(name: &'static str, kind: Kind, example: &'static str) -> Key {
    Key {
        name,
        kind,
        needed: Some(example),
    }
}

const METHOD: Kind = Kind::Choice(&["saml", "web-identity", "relay", "broker"]);
const SWITCH: Kind = Kind::Choice(&["on", "off"]);
/// Thirty days and a year, in seconds.
const MONTH: i64 = 2_592_000;
const YEAR: i64 = 31_536_000;

const NAME: Key = needed(
    "name",
    Kind::Text,
    "name = \"...\", 1 to 64 of A-Z a-z 0-9 _ . -",
);

const SERVER: &[Key] = &[
    key("listen", Kind::Text),
    key("metrics_listen", Kind::Text),
    needed(
        "public_url",
        Kind::Text,
        "public_url = \"https://...\", the URL that people and IdPs use",
    ),
    key(
        "tls",
        Kind::Table(&[
            needed(
                "certificate_file",
                Kind::Text,
                "certificate_file = \"gate.pem\"",
            ),
            needed("key_file", Kind::Text, "key_file = \"gate.key\""),
            key("client_ca_file", Kind::Text),
        ]),
    ),
    key("behind_proxy", Kind::Boolean),
    key("trusted_proxies", Kind::Texts),
    key("return_origins", Kind::Texts),
    key("limits", Kind::Table(LIMITS)),
];

const LIMITS: &[Key] = &[
    key("bad_tokens_per_minute", Kind::Integer(1, 1_000_000)),
    key("refused_sign_ins_per_minute", Kind::Integer(1, 1_000_000)),
    key("sign_in_starts_per_minute", Kind::Integer(1, 1_000_000)),
    key("refusals_per_minute_and_token", Kind::Integer(1, 1_000_000)),
    key("open_sign_ins", Kind::Integer(100, 10_000_000)),
    key("max_connections", Kind::Integer(16, 1_000_000)),
    key("connections_per_address", Kind::Integer(1, 1_000_000)),
    key("request_timeout_seconds", Kind::Integer(1, 300)),
    key("tls_handshake_timeout_seconds", Kind::Integer(1, 60)),
    key("unread_answer_timeout_seconds", Kind::Integer(1, 600)),
    key("keep_alive_seconds", Kind::Integer(1, 600)),
    key("workers", Kind::Integer(1, 256)),
    key("max_head_bytes", Kind::Integer(4096, 131_072)),
    key("max_body_bytes", Kind::Integer(16_384, 4_194_304)),
    key("verifications_waiting", Kind::Integer(1, 100_000)),
    key("sign_ins_minting", Kind::Integer(1, 100_000)),
    key("shutdown_delay_seconds", Kind::Integer(0, 300)),
    key("shutdown_timeout_seconds", Kind::Integer(1, 300)),
];

const STORE: &[Key] = &[
    key("url", Kind::Text),
    key("url_file", Kind::Text),
    key("listen_url", Kind::Text),
    key("listen_url_file", Kind::Text),
    key("master_key_file", Kind::Text),
    key("master_key_command", Kind::Texts),
];

const SAML: &[Key] = &[
    key("entity_id", Kind::Text),
    key("accepted_audiences", Kind::Texts),
    key("clock_skew_seconds", Kind::Integer(0, 300)),
    key("strict_certificates", Kind::Boolean),
    key(
        "idp",
        Kind::Named(&[
            NAME,
            key("metadata_file", Kind::Text),
            key("metadata_url", Kind::Text),
            key("metadata_certificate_file", Kind::Text),
            key("user_attribute", Kind::Text),
            key("role_attribute", Kind::Text),
            key("session_duration_attribute", Kind::Text),
            key("role_session_name_attribute", Kind::Text),
            key("user_domains", Kind::Texts),
            key(
                "idp_initiated",
                Kind::Choice(&["confirm", "refuse", "allow"]),
            ),
            key(
                "require_signed",
                Kind::Choice(&["assertion", "response", "both"]),
            ),
            key("single_logout", Kind::Choice(&["browser", "leases"])),
            key("assignments", SWITCH),
        ]),
    ),
];

const OIDC: &[Key] = &[key(
    "provider",
    Kind::Named(&[
        NAME,
        needed("issuer", Kind::Text, "issuer = \"https://...\""),
        needed("client_id", Kind::Text, "client_id = \"...\""),
        key("client_secret", Kind::Text),
        key("client_secret_file", Kind::Text),
        key("scopes", Kind::Texts),
        key("role_claim", Kind::Text),
        key("session_name_claim", Kind::Text),
        key("duration_claim", Kind::Text),
        key("user_domains", Kind::Texts),
        key("authorization_parameters", Kind::TextMap),
        key("assignments", SWITCH),
    ]),
)];

const ROLES: &[Key] = &[
    key("allowed", Kind::Texts),
    key("default_method", METHOD),
    key("max_duration_seconds", Kind::Integer(900, 43_200)),
    key("saml_providers", Kind::TextsOrMap),
    key(
        "entry",
        Kind::Tables(&[
            key("effect", Kind::Choice(&["allow", "deny"])),
            needed(
                "arn",
                Kind::Text,
                "arn = \"arn:aws:iam::<account>:role/<name>\"",
            ),
            key("method", METHOD),
            key("max_duration_seconds", Kind::Integer(900, 43_200)),
            key("renew_for_seconds", Kind::Integer(1, MONTH)),
            key("idp", Kind::Text),
            key("when", Kind::TextMap),
            key("launcher", Kind::Text),
            key("external_id", Kind::Text),
            key("tag_keys", Kind::Texts),
            key("job_tag", Kind::Boolean),
            key("hand_out_tokens", Kind::Boolean),
            key("expires_at", Kind::Time),
            key("label", Kind::Text),
            key("reason", Kind::Text),
        ]),
    ),
];

/// Every key of the configuration.
pub(super) const ROOT: &[Key] = &[
    key("server", Kind::Table(SERVER)),
    key("store", Kind::Table(STORE)),
    key(
        "session",
        Kind::Table(&[key("max_age_seconds", Kind::Integer(1, MONTH))]),
    ),
    key(
        "leases",
        Kind::Table(&[
            key("default_ttl_seconds", Kind::Integer(1, YEAR)),
            key("max_ttl_seconds", Kind::Integer(1, YEAR)),
        ]),
    ),
    key("saml", Kind::Table(SAML)),
    key("oidc", Kind::Table(OIDC)),
    key("roles", Kind::Table(ROLES)),
    key("relay", Kind::Table(&[key("issuer", Kind::Text)])),
    key(
        "sts",
        Kind::Table(&[
            key("regions", Kind::TextMap),
            key("calls_per_second", Kind::Integer(1, 1000)),
        ]),
    ),
    key(
        "admin",
        Kind::Table(&[
            key("idp", Kind::Text),
            key("users", Kind::Texts),
            key("when", Kind::TextMap),
        ]),
    ),
    key(
        "telemetry",
        Kind::Table(&[
            key("otlp_endpoint", Kind::Text),
            key("otlp_headers_file", Kind::Text),
            key("sample_ratio", Kind::Ratio),
            key("service_name", Kind::Text),
        ]),
    ),
    key(
        "audit",
        Kind::Table(&[
            key("keep_days", Kind::Integer(1, 36_500)),
            key("copy", Kind::Text),
        ]),
    ),
];

impl Kind {
    /// Whether the environment gives it as it is, not as TOML.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Choice(_) | Self::Time)
    }

    /// The words for a mend.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Text => "a text in quotes".to_owned(),
            Self::Choice(choices) => format!("one of {} in quotes", choices.join(", ")),
            Self::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Self::Boolean => "true or false".to_owned(),
            Self::Ratio => "a number from 0 to 1".to_owned(),
            Self::Texts => "a list of texts, [\"...\"]".to_owned(),
            Self::TextMap => "a table of texts, { \"name\" = \"value\" }".to_owned(),
            Self::TextsOrMap => "a table or a list of texts".to_owned(),
            Self::Time => "a time such as 2030-01-31T12:00:00Z".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Named(_) | Self::Tables(_) => "an array of tables".to_owned(),
        }
    }

    fn check(self, value: &Value) -> Result<(), ConfigError> {
        let fits = match (self, value) {
            (Self::Choice(choices), Value::String(text)) if !choices.contains(&text.as_str()) => {
                return Err(ConfigError::NotAChoice {
                    found: text.chars().take(80).collect(),
                    choices: choices.join(", "),
                });
            }
            (Self::Ratio, Value::Float(found)) if !(0.0..=1.0).contains(found) => {
                return Err(ConfigError::NoRatio(found.to_string()));
            }
            (Self::Ratio, Value::Integer(found)) if !(0..=1).contains(found) => {
                return Err(ConfigError::NoRatio(found.to_string()));
            }
            (Self::Integer(least, most), Value::Integer(found))
                if !(least..=most).contains(found) =>
            {
                return Err(ConfigError::OutOfRange {
                    found: *found,
                    least,
                    most,
                });
            }
            (Self::Text | Self::Choice(_), Value::String(_))
            | (Self::Integer(..), Value::Integer(_))
            | (Self::Boolean, Value::Boolean(_))
            | (Self::Ratio, Value::Integer(_) | Value::Float(_))
            | (Self::Time, Value::String(_) | Value::Datetime(_))
            | (Self::Table(_), Value::Table(_)) => true,
            (Self::Texts | Self::TextsOrMap, Value::Array(items)) => {
                items.iter().all(Value::is_str)
            }
            (Self::TextMap | Self::TextsOrMap, Value::Table(table)) => {
                table.values().all(Value::is_str)
            }
            (Self::Named(_) | Self::Tables(_), Value::Array(items)) => {
                items.iter().all(Value::is_table)
            }
            _ => false,
        };
        if fits {
            return Ok(());
        }
        Err(ConfigError::WrongType {
            expected: self.expected(),
            found: found(value),
        })
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// The key called `name` among `keys`.
pub(super) fn named(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name)
}

/// That a name is no key, with those that are.
pub(super) fn unknown(keys: &[Key]) -> ConfigError {
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    ConfigError::UnknownKey {
        known: names.join(", "),
    }
}

/// Holds `table` against `keys`; what does not fit is noted and taken out, so that the rest can be
/// checked on.
pub(super) fn conform(
    table: &mut Table,
    keys: &'static [Key],
    path: &str,
    findings: &mut Findings,
) {
    for key in keys {
        if let (Some(example), false) = (key.needed, table.contains_key(key.name)) {
            findings.refuse(&join(path, key.name), ConfigError::Missing(example));
        }
    }
    table.retain(|name, value| {
        let path = join(path, name);
        let Some(key) = named(keys, name) else {
            findings.refuse(&path, unknown(keys));
            return false;
        };
        if findings.take(&path, key.kind.check(value)).is_none() {
            return false;
        }
        conform_within(value, key.kind, &path, findings);
        true
    });
}

fn conform_within(value: &mut Value, kind: Kind, path: &str, findings: &mut Findings) {
    match (kind, value) {
        (Kind::Table(keys), Value::Table(table)) => conform(table, keys, path, findings),
        (Kind::Named(keys) | Kind::Tables(keys), Value::Array(items)) => {
            let labels = item_labels(items);
            for (label, item) in labels.iter().zip(items.iter_mut()) {
                if let Value::Table(table) = item {
                    conform(table, keys, &format!("{path}{label}"), findings);
                }
            }
        }
        _ => {}
    }
}

/// The labels of an array of tables.
pub(super) fn item_labels(items: &[Value]) -> Vec<String> {
    labels(items.iter().map(|item| item.get("name")?.as_str()))
}
