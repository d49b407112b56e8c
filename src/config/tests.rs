//! Whole files and environments, good and bad: each refusal names key and mend, each has its good twin.

mod environment;
mod oidc;
mod refusals;
mod telemetry;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::X509;
use tempfile::TempDir;

use crate::model::{Effect, EntrySource, IdpName, Method, Partition, Secret};

use super::*;

const OKTA: &str = "[[saml.idp]]\nname = \"okta-eu\"\nmetadata_file = \"none.xml\"\n";

const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
/// The least that starts.
const LEAST: &str = "[server]\npublic_url = \"http://127.0.0.1:8080\"\n";

/// A folder with what the files of these tests name.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { folder };
        desk.write("okta.xml", "<EntityDescriptor/>");
        desk.write("entra.secret", "s");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn write_pair(&self, name: &str, key: &PKey<Private>) {
        let mut builder = X509::builder().unwrap();
        builder.set_pubkey(key).unwrap();
        let (from, to) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
        builder.set_not_before(&from.unwrap()).unwrap();
        builder.set_not_after(&to.unwrap()).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        self.write(&format!("{name}.pem"), builder.build().to_pem().unwrap());
        self.write(
            &format!("{name}.key"),
            key.private_key_to_pem_pkcs8().unwrap(),
        );
    }

    fn load_with(&self, text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        self.write("rolegate.toml", text);
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        load(&self.path("rolegate.toml"), &environment)
    }

    fn load(&self, text: &str) -> Config {
        self.load_with(text, &[])
            .unwrap_or_else(|errors| panic!("{text}\n{errors}"))
    }

    fn refused(&self, text: &str) -> Vec<Problem> {
        match self.load_with(text, &[]) {
            Ok(_) => panic!("was taken:\n{text}"),
            Err(errors) => errors.problems().to_vec(),
        }
    }
}

fn elliptic() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// The contract's own file, with what this version has.
const FULL: &str = r#"
[server]
listen = "127.0.0.1:8080"
metrics_listen = "127.0.0.1:9090"
public_url = "https://gate.example.org"
tls = { certificate_file = "gate.pem", key_file = "gate.key" }
return_origins = ["https://platform.example.org"]
[server.limits]
bad_tokens_per_minute = 100
[store]
url = "sqlite:rolegate.db"
master_key_file = "rolegate.key"
[session]
max_age_seconds = 43200
[leases]
default_ttl_seconds = 86400
max_ttl_seconds = 2592000
[saml]
entity_id = "urn:amazon:webservices"
accepted_audiences = ["urn:amazon:webservices:govcloud"]
clock_skew_seconds = 60
strict_certificates = false
[[saml.idp]]
name = "okta"
metadata_file = "okta.xml"
user_attribute = "https://aws.amazon.com/SAML/Attributes/RoleSessionName"
user_domains = ["Example.org"]
idp_initiated = "refuse"
require_signed = "both"
single_logout = "leases"
[[oidc.provider]]
name = "entra"
issuer = "https://login.example.org/tenant/v2.0"
client_id = "0f3a"
client_secret_file = "entra.secret"
scopes = ["openid", "email", "offline_access"]
role_claim = "aws_role_arn"
session_name_claim = "aws_role_session_name"
[roles]
allowed = ["arn:aws:iam::123456789012:role/data-scientist"]
default_method = "saml"
max_duration_seconds = 43200
saml_providers = { "123456789012" = "arn:aws:iam::123456789012:saml-provider/Okta" }
[[roles.entry]]
arn = "arn:aws:iam::123456789012:role/team-a/*"
method = "relay"
renew_for_seconds = 604800
tag_keys = ["Project"]
expires_at = 2030-01-31T12:00:00Z
[relay]
issuer = "https://gate.example.org"
[sts]
regions = { aws = "eu-central-1", aws-us-gov = "us-gov-west-1", aws-cn = "cn-north-1" }
[admin]
idp = "okta"
users = ["admin@example.org"]
when = { "groups" = "aws-admins" }
"#;

#[test]
fn a_metadata_url_is_taken_as_it_is_and_not_asked() {
    let desk = Desk::new();
    for url in [
        "https://login.example.org/tenant/federationmetadata.xml?appid=1234",
        "http://127.0.0.1:8180/realms/r/protocol/saml/descriptor",
    ] {
        let idp = format!("[[saml.idp]]\nname = \"entra\"\nmetadata_url = \"{url}\"\n");
        let config = desk.load(&format!("{LEAST}{idp}"));
        let wanted = MetadataSource::Url(url.parse().unwrap());
        assert_eq!(config.saml.idps[0].metadata, wanted);
    }
}

#[test]
fn the_contracts_file_is_understood() {
    let desk = Desk::new();
    desk.write_pair("gate", &elliptic());
    let config = desk.load(FULL);
    assert_eq!(config.acs_url(), "https://gate.example.org/saml/acs");
    assert!(!config.loopback_http());
    assert_eq!(
        config.audiences(),
        ["urn:amazon:webservices", "urn:amazon:webservices:govcloud"]
    );
    assert_eq!(
        config.server.tls.as_ref().unwrap().key_file,
        desk.path("gate.key")
    );
    assert_eq!(config.server.limits.bad_tokens_per_minute.get(), 100);
    assert_eq!(config.server.limits.request_timeout_seconds, 10);
    assert_eq!(
        config.store.url,
        format!("sqlite:{}", desk.path("rolegate.db").display())
    );
    let idp = &config.saml.idps[0];
    assert_eq!(idp.metadata, MetadataSource::File(desk.path("okta.xml")));
    assert_eq!(idp.user_domains, ["example.org"]);
    assert_eq!(
        (idp.idp_initiated, idp.require_signed, idp.single_logout),
        (
            IdpInitiated::Refuse,
            RequireSigned::Both,
            SingleLogout::Leases
        )
    );
    assert_eq!(config.sts.regions[&Partition::Aws], "eu-central-1");
    let admin = config.admin.as_ref().unwrap();
    assert_eq!(admin.users[0].as_str(), "admin@example.org");
    assert_eq!(config.relay.issuer, "https://gate.example.org");
}

#[test]
fn entries_have_their_method_source_and_a_lasting_id() {
    let desk = Desk::new();
    desk.write_pair("gate", &elliptic());
    let entries = desk.load(FULL).roles.entries;
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].draft.method, Some(Method::Saml));
    assert_eq!(entries[1].draft.method, Some(Method::Relay));
    assert!(entries[1].draft.expires_at.is_some());
    assert_eq!(entries[1].draft.effect, Effect::Allow);
    for entry in &entries {
        assert_eq!((entry.source, entry.version), (EntrySource::File, 1));
        let id = entry.id.as_str();
        assert!(id.starts_with("ent_file-") && id.len() == 25, "{id}");
    }
    assert_ne!(entries[0].id, entries[1].id);
    assert_eq!(desk.load(FULL).roles.entries, entries);
}

#[test]
fn defaults_are_the_contracts() {
    let config = Desk::new().load(LEAST);
    assert!(config.loopback_http());
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.limits.bad_tokens_per_minute.get(), 200);
    let limits = config.server.limits;
    assert_eq!(
        (limits.max_body_bytes, limits.max_head_bytes),
        (262_144, 32_768)
    );
    assert_eq!(limits.refused_sign_ins_per_minute.get(), 6000);
    assert_eq!(limits.sign_in_starts_per_minute.get(), 6000);
    assert_eq!(limits.refusals_per_minute_and_token.get(), 600);
    assert_eq!(
        (limits.max_connections, limits.connections_per_address),
        (None, 4096)
    );
    assert_eq!(
        (
            limits.request_timeout_seconds,
            limits.shutdown_delay_seconds
        ),
        (10, 0)
    );
    assert_eq!(config.session.max_age_seconds, 43_200);
    assert_eq!(config.leases.default_ttl_seconds, 86_400);
    assert_eq!(config.leases.max_ttl_seconds, 2_592_000);
    assert_eq!(config.saml.entity_id, "urn:amazon:webservices");
    assert_eq!(config.saml.clock_skew.num_seconds(), 60);
    assert!(!config.saml.strict_certificates);
    assert_eq!(config.roles.default_method, Method::Saml);
    assert_eq!(config.roles.max_duration.seconds(), 43_200);
    assert_eq!(config.sts.regions.len(), 3);
    assert!(config.sts.endpoint.is_none() && config.admin.is_none());
    assert_eq!(config.relay.issuer, "http://127.0.0.1:8080");
    assert_eq!((config.audit.keep_days, config.audit.copy), (None, None));
    assert_eq!(config.warnings, [Warning::NoIdp, Warning::NoEntry]);
}

#[test]
fn the_audit_is_kept_and_copied_as_it_says() {
    let desk = Desk::new();
    let load = |audit: &str| desk.load(&format!("{LEAST}\n[audit]\n{audit}")).audit;
    assert_eq!(load("keep_days = 400").keep_days, Some(400));
    assert_eq!(load("copy = \"stdout\"").copy, Some(AuditCopy::Stdout));
    let file = AuditCopy::File(desk.path("audit.jsonl"));
    assert_eq!(load("copy = \"audit.jsonl\"").copy, Some(file));
}

#[test]
fn one_start_tells_every_problem() {
    let problems = Desk::new().refused(
        "[server]\nlisten = \"x\"\nnonsense = 1\n[store]\nurl = \"y\"\n[roles]\nallowed = [\"z\"]\n",
    );
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "server.public_url",
            "server.nonsense",
            "server.listen",
            "store.url",
            "roles.allowed[1]"
        ]
    );
    let lines: Vec<Option<usize>> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 3, 2, 5, 7].map(Some));
}

#[test]
fn plain_http_stays_on_loopback_or_behind_a_proxy() {
    const TLS: &str = "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\" }";
    const PROXY: &str = "behind_proxy = true\ntrusted_proxies = [\"10.0.0.1\"]";

    let desk = Desk::new();
    desk.write_pair("gate", &elliptic());
    for (url, listen, more, refused) in [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", "", None),
        ("http://localhost:8080", "[::1]:8080", "", None),
        (
            "http://localhost:8080",
            "0.0.0.0:8080",
            "",
            Some("server.listen"),
        ),
        (
            "http://gate.example.org",
            "127.0.0.1:8080",
            "",
            Some("server.public_url"),
        ),
        (
            "http://127.0.0.1.example.org",
            "127.0.0.1:8080",
            "",
            Some("server.public_url"),
        ),
        (
            "https://gate.example.org",
            "127.0.0.1:8080",
            "",
            Some("server.public_url"),
        ),
        ("https://gate.example.org", "0.0.0.0:443", TLS, None),
        (
            "http://127.0.0.1:8080",
            "127.0.0.1:8080",
            TLS,
            Some("server.public_url"),
        ),
        ("https://gate.example.org", "0.0.0.0:8080", PROXY, None),
        (
            "http://gate.example.org",
            "0.0.0.0:8080",
            PROXY,
            Some("server.public_url"),
        ),
    ] {
        let text = format!("[server]\npublic_url = \"{url}\"\nlisten = \"{listen}\"\n{more}\n");
        let found = desk.load_with(&text, &[]);
        let key = found
            .as_ref()
            .err()
            .map(|errors| errors.problems()[0].key.as_str());
        assert_eq!(key, refused, "{text}");
    }
}

#[test]
fn the_public_url_is_an_origin_with_a_path_perhaps() {
    let desk = Desk::new();
    for (url, acs) in [
        (
            "http://127.0.0.1:8080/",
            Some("http://127.0.0.1:8080/saml/acs"),
        ),
        (
            "http://127.0.0.1/gate//",
            Some("http://127.0.0.1/gate/saml/acs"),
        ),
        ("HTTP://LOCALHOST:80", Some("http://localhost/saml/acs")),
        ("http://127.0.0.1/?x=1", None),
        ("http://127.0.0.1/#x", None),
        ("http://ada:secret@127.0.0.1/", None),
        ("http://127.0.0.1/a//b", None),
        ("ftp://127.0.0.1/", None),
        ("127.0.0.1:8080", None),
    ] {
        let found = desk.load_with(&format!("[server]\npublic_url = \"{url}\"\n"), &[]);
        let found = found.ok().map(|config| config.acs_url());
        assert_eq!(found.as_deref(), acs, "{url}");
    }
}

#[test]
fn certificate_and_key_must_match_and_be_strong() {
    let desk = Desk::new();
    desk.write_pair("one", &elliptic());
    desk.write_pair("two", &elliptic());
    desk.write_pair(
        "weak",
        &PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap(),
    );
    let key = elliptic();
    let sealed = key
        .private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_256_cbc(), b"word")
        .unwrap();
    desk.write("sealed.key", sealed);
    for (certificate, key, refused) in [
        ("one", "one", None),
        ("one", "two", Some("made with")),
        ("weak", "weak", Some("weak key")),
        ("one", "sealed", Some("without a passphrase")),
    ] {
        let text = format!(
            "[server]\npublic_url = \"https://gate.example.org\"\ntls = {{ certificate_file = \"{certificate}.pem\", key_file = \"{key}.key\" }}\n"
        );
        match (desk.load_with(&text, &[]), refused) {
            (Ok(_), None) => {}
            (Err(errors), Some(words)) => {
                assert_eq!(errors.problems()[0].key, "server.tls.key_file");
                assert!(errors.to_string().contains(words), "{errors}");
            }
            (found, _) => panic!("{certificate} {key}: {found:?}"),
        }
    }
}

#[test]
fn a_file_that_is_missing_or_no_toml_says_where() {
    let desk = Desk::new();
    let missing = load(&desk.path("none.toml"), &BTreeMap::new()).unwrap_err();
    assert!(missing.to_string().contains("rolegate init"), "{missing}");
    let broken = desk.refused("[server]\npublic_url = \n");
    assert_eq!(broken[0].line, Some(2));
    let twice = desk.refused("[server]\nlisten = \"a\"\nlisten = \"b\"\n");
    assert!(
        twice[0].to_string().contains("duplicate key"),
        "{}",
        twice[0]
    );
}

#[test]
fn warnings_say_what_starts_and_does_not_work() {
    let desk = Desk::new();
    let idp = OKTA.replace("none.xml", "okta.xml");
    let warnings = |more: &str| desk.load(&format!("{LEAST}{idp}{more}")).warnings;
    let fine = format!(
        "[roles]\nallowed = [\"{ROLE}\"]\nsaml_providers = [\"arn:aws:iam::123456789012:saml-provider/Okta\"]\n"
    );
    assert_eq!(warnings(&fine), [Warning::SamlBoundsHandOut]);
    let bare = warnings(&format!("[roles]\nallowed = [\"{ROLE}\", \"{ROLE}\"]\n"));
    assert!(
        bare.iter()
            .any(|warning| matches!(warning, Warning::NoProvider { .. }))
    );
    assert!(
        bare.iter()
            .any(|warning| matches!(warning, Warning::RepeatedEntry { .. }))
    );
    let own = warnings(&format!(
        "{fine}[saml]\nentity_id = \"https://gate.example.org\"\n"
    ));
    assert!(own.contains(&Warning::NoAwsAudience {
        partition: Partition::Aws,
        audience: "urn:amazon:webservices",
    }));
    let later = warnings(&format!(
        "[[roles.entry]]\narn = \"{ROLE}\"\nmethod = \"web-identity\"\n"
    ));
    assert!(later.contains(&Warning::NoProviderSignIn {
        key: "roles.entry[1]".to_owned(),
    }));
}

#[test]
fn an_issuer_that_aws_would_not_take_is_told_where_relay_is_used() {
    let desk = Desk::new();
    let warnings = |issuer: &str, method: &str| {
        let tables = format!(
            "[relay]\nissuer = \"{issuer}\"\n[[roles.entry]]\narn = \"{ROLE}\"\nmethod = \"{method}\"\n"
        );
        desk.load(&format!("{LEAST}{tables}")).warnings
    };
    let long = format!("https://gate.example.org/{}", "x".repeat(231));
    for (issuer, problem) in [
        ("https://gate.example.org:8443", "names a port"),
        (&*long, "is longer than 255 characters"),
    ] {
        let told = Warning::RelayIssuer { problem };
        assert!(warnings(issuer, "relay").contains(&told), "{issuer}");
        assert!(!warnings(issuer, "broker").contains(&told), "{issuer}");
    }
    let good = format!("https://gate.example.org/{}", "x".repeat(230));
    for fine in [&*good, "https://gate.example.org", "http://127.0.0.1:8080"] {
        let told = warnings(fine, "relay");
        let about = |warning: &Warning| matches!(warning, Warning::RelayIssuer { .. });
        assert!(!told.iter().any(about), "{fine}");
    }
}

#[test]
fn master_keys_come_from_a_file_or_a_command() {
    let desk = Desk::new();
    let load = |lines: &str| desk.load(&format!("{LEAST}[store]\n{lines}\n")).store;
    let file = load("master_key_file = \"a.key\"");
    assert_eq!(file.master_key_file, desk.path("a.key"));
    assert_eq!(file.master_key_command, None);
    let words = |lines: &str| load(lines).master_key_command.unwrap();
    let found = words("master_key_command = [\"vault\", \"read\"]");
    assert_eq!(found, ["vault", "read"]);
    let beside = words("master_key_command = [\"bin/vault\"]");
    assert_eq!(beside, [desk.path("bin/vault").to_str().unwrap()]);
    for (lines, told) in [
        (
            "master_key_file = \"a.key\"\nmaster_key_command = [\"vault\"]",
            "keep one of the two",
        ),
        ("master_key_command = []", "is empty"),
        ("master_key_command = [\" \"]", "is empty"),
    ] {
        let refused = desk.refused(&format!("{LEAST}[store]\n{lines}\n"));
        let text = refused[0].to_string();
        assert!(
            text.contains("master_key_command") && text.contains(told),
            "{text}"
        );
    }
    let variable = ("ROLEGATE_STORE__MASTER_KEY_COMMAND", "[\"vault\"]");
    let config = desk.load_with(LEAST, &[variable]).unwrap();
    assert_eq!(config.store.master_key_command.unwrap(), ["vault"]);
}

/// Every key of the schema is one that the shapes know, and an unknown one never passes.
#[test]
fn schema_and_shapes_agree() {
    fn sample(keys: &[schema::Key]) -> Table {
        keys.iter()
            .map(|key| (key.name.to_owned(), value(key.kind)))
            .collect()
    }
    fn value(kind: schema::Kind) -> toml::Value {
        use schema::Kind;
        match kind {
            Kind::Text => "x".into(),
            Kind::Choice(choices) => choices[0].into(),
            Kind::Integer(least, _) => least.into(),
            Kind::Boolean => true.into(),
            Kind::Ratio => 0.5.into(),
            Kind::Texts => vec!["x"].into(),
            Kind::TextMap | Kind::TextsOrMap => {
                toml::Value::Table([("k".to_owned(), "v".into())].into_iter().collect())
            }
            Kind::Time => "2030-01-31T12:00:00Z".into(),
            Kind::Table(keys) => toml::Value::Table(sample(keys)),
            Kind::Named(keys) | Kind::Tables(keys) => vec![toml::Value::Table(sample(keys))].into(),
        }
    }
    let mut table = sample(schema::ROOT);
    table.clone().try_into::<Raw>().unwrap();
    table.insert("other".to_owned(), "x".into());
    assert!(table.try_into::<Raw>().is_err());
}
