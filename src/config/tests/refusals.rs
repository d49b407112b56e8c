//! Every refusal, with its place and its mend, beside the good twin.

use super::*;

/// What is refused in a file that starts with [`LEAST`]: text, key, words of the mend.
const REFUSED: &[(&str, &str, &str)] = &[
    ("listne = 1", "server.listne", "write one of: listen"),
    ("listen = 8080", "server.listen", "a text in quotes"),
    (
        "listen = \"localhost:8080\"",
        "server.listen",
        "127.0.0.1:8080",
    ),
    (
        "listen = \"0.0.0.0:8080\"",
        "server.listen",
        "set server.tls",
    ),
    (
        "metrics_listen = \"9090\"",
        "server.metrics_listen",
        "write one such as",
    ),
    (
        "behind_proxy = true",
        "server.trusted_proxies",
        "the proxies' addresses",
    ),
    (
        "trusted_proxies = [\"10.0.0.0/8\"]",
        "server.trusted_proxies",
        "behind_proxy = true",
    ),
    (
        "behind_proxy = true\ntrusted_proxies = [\"10.0.0.0/33\"]",
        "server.trusted_proxies[1]",
        "10.0.0.0/8",
    ),
    (
        "return_origins = [\"https://a.example.org/x\"]",
        "server.return_origins[1]",
        "without a path",
    ),
    (
        "return_origins = [\"http://a.example.org\"]",
        "server.return_origins[1]",
        "write https://",
    ),
    (
        "tls = { certificate_file = \"no.pem\" }",
        "server.tls.key_file",
        "key_file = ",
    ),
    (
        "tls = { certificate_file = \"no.pem\", key_file = \"no.key\", client_ca_file = \"okta.xml\" }",
        "server.tls.client_ca_file",
        "holds no PEM certificate",
    ),
    (
        "[store]\nurl = \"postgres://gate:hunter2@db/x\"",
        "store.url",
        "sslmode=verify-full",
    ),
    (
        "[store]\nurl = \"postgres://db/x?sslmode=require\"\nlisten_url = \"postgres://db/x?sslmod=require\"",
        "store.listen_url",
        "write one of: sslmode",
    ),
    (
        "tls = { certificate_file = \"no.pem\", key_file = \"no.key\" }",
        "server.tls.certificate_file",
        "correct the path",
    ),
    (
        "limits = { max_body_bytes = 1 }",
        "server.limits.max_body_bytes",
        "16384 to",
    ),
    (
        "limits = { refused_sign_ins_per_minute = 0 }",
        "server.limits.refused_sign_ins_per_minute",
        "1 to",
    ),
    (
        "limits = { max_connections = 1 }",
        "server.limits.max_connections",
        "16 to",
    ),
    (
        "limits = { shutdown_delay_seconds = 301 }",
        "server.limits.shutdown_delay_seconds",
        "0 to 300",
    ),
    (
        "limits = { open_sign_in = 100 }",
        "server.limits.open_sign_in",
        "open_sign_ins",
    ),
    ("[stroe]", "stroe", "write one of: server, store"),
    (
        "[store]\nurl = \"postgres://db\"",
        "store.url",
        "postgres://USER@HOST/DATABASE",
    ),
    (
        "[store]\nurl = \"rolegate.db\"",
        "store.url",
        "sqlite:rolegate.db",
    ),
    (
        "[store]\nurl = \"sqlite::memory:\"",
        "store.url",
        "write a file",
    ),
    (
        "[store]\nurl = \"sqlite:no/such/folder/x.db\"",
        "store.url",
        "correct the path",
    ),
    (
        "[store]\nlisten_url = \"postgres://db/x\"",
        "store.listen_url",
        "remove it",
    ),
    (
        "[store]\nurl = \"postgres://db/x\"\nurl_file = \"entra.secret\"",
        "store.url_file",
        "url",
    ),
    (
        "[store]\nurl_file = \"entra.secret\"",
        "store.url_file",
        "postgres://USER@HOST/DATABASE",
    ),
    (
        "[store]\nurl = \"postgres://gate:hun#ter/2@db/x\"",
        "store.url",
        "%23",
    ),
    (
        "[store]\nurl = \"postgres://db/x\"\nlisten_url_file = \"entra.secret\"",
        "store.listen_url_file",
        "postgres://USER@HOST/DATABASE",
    ),
    (
        "[store]\nurl = \"postgres://db/x\"\nlisten_url = \"sqlite:x.db\"",
        "store.listen_url",
        "postgres://USER@HOST/DATABASE",
    ),
    ("[audit]\nkeep_days = 0", "audit.keep_days", "from 1 to"),
    ("[audit]\ncopy = \"\"", "audit.copy", "stdout"),
    ("[audit]\ncopy = \"stderr\"", "audit.copy", "stdout, or"),
    (
        "[audit]\ncopy = \"nowhere/audit.jsonl\"",
        "audit.copy",
        "there is no folder",
    ),
    (
        "[session]\nmax_age_seconds = 0",
        "session.max_age_seconds",
        "from 1 to",
    ),
    (
        "[session]\nmax_age_seconds = 1.5",
        "session.max_age_seconds",
        "a whole number",
    ),
    (
        "[leases]\ndefault_ttl_seconds = 10\nmax_ttl_seconds = 5",
        "leases.default_ttl_seconds",
        "lower it",
    ),
    (
        "[saml]\nclock_skew_seconds = 301",
        "saml.clock_skew_seconds",
        "from 0 to 300",
    ),
    (
        "[saml]\nstrict_certificates = \"no\"",
        "saml.strict_certificates",
        "true or false",
    ),
    (
        "[saml]\nentity_id = \"a b\"",
        "saml.entity_id",
        "without white space",
    ),
    (
        "[saml]\naccepted_audiences = [\"\"]",
        "saml.accepted_audiences[1]",
        "a URI",
    ),
    (
        "[[saml.idp]]\nmetadata_file = \"okta.xml\"",
        "saml.idp[1].name",
        "write name =",
    ),
    (
        "[[saml.idp]]\nname = \"o\"",
        "saml.idp.o.metadata_file",
        "metadata_file = ",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_file = \"no.xml\"",
        "saml.idp.o.metadata_file",
        "correct the path",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_file = \".\"",
        "saml.idp.o.metadata_file",
        "is no file",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_url = \"http://idp.example.org/m\"",
        "saml.idp.o.metadata_url",
        "write https://",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_url = \"ftp://idp.example.org/m\"",
        "saml.idp.o.metadata_url",
        "neither http nor https",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_url = \"https://me@idp.example.org/m\"",
        "saml.idp.o.metadata_url",
        "names a user",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_url = \"https://idp.example.org/m\"\nmetadata_file = \"okta.xml\"",
        "saml.idp.o.metadata_url",
        "keep one of the two",
    ),
    (
        "[[saml.idp]]\nname = \"..\"\nmetadata_file = \"okta.xml\"",
        "saml.idp....name",
        "another name",
    ),
    (
        "[[saml.idp]]\nname = \"a b\"\nmetadata_file = \"okta.xml\"",
        "saml.idp.a b.name",
        "1 to 64",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_file = \"okta.xml\"\n[[saml.idp]]\nname = \"O\"\nmetadata_file = \"okta.xml\"",
        "saml.idp[2].name",
        "rename",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_file = \"okta.xml\"\nidp_initiated = \"yes\"",
        "saml.idp.o.idp_initiated",
        "confirm, refuse, allow",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_file = \"okta.xml\"\nuser_domains = [\"@example.org\"]",
        "saml.idp.o.user_domains[1]",
        "without @",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_file = \"okta.xml\"\nuser_domains = []",
        "saml.idp.o.user_domains",
        "one domain at least",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_file = \"okta.xml\"\nmetadata_certificate_file = \"okta.xml\"",
        "saml.idp.o.metadata_certificate_file",
        "PEM certificate",
    ),
    (
        "[[saml.idp]]\nname = \"o\"\nmetadata_file = \"okta.xml\"\nrole_attribute = \"\"",
        "saml.idp.o.role_attribute",
        "remove the key",
    ),
    (
        "[roles]\nallowed = [\"arn:aws:iam::1:role/x\"]",
        "roles.allowed[1]",
        "twelve digits",
    ),
    (
        "[roles]\ndefault_method = \"magic\"",
        "roles.default_method",
        "saml, web-identity, relay, broker",
    ),
    (
        "[roles]\nmax_duration_seconds = 899",
        "roles.max_duration_seconds",
        "from 900 to 43200",
    ),
    (
        "[roles.saml_providers]\n123456789012 = \"arn:aws:iam::210987654321:saml-provider/Okta\"",
        "roles.saml_providers.123456789012",
        "under that account",
    ),
    (
        "[roles.saml_providers]\nokta = \"arn:aws:iam::210987654321:saml-provider/Okta\"",
        "roles.saml_providers.okta",
        "twelve digits",
    ),
    (
        "[roles]\nsaml_providers = [\"Okta\"]",
        "roles.saml_providers[1]",
        "saml-provider/<name>",
    ),
    (
        "[[roles.entry]]\neffect = \"deny\"",
        "roles.entry[1].arn",
        "arn = ",
    ),
    (
        "[[roles.entry]]\narn = \"arn:aws:iam::123456789012:role/x\"\nrenew_for_seconds = 3600",
        "roles.entry[1]",
        "use web-identity, relay or broker",
    ),
    (
        "[[roles.entry]]\narn = \"arn:aws:iam::123456789012:role/*\"\nmethod = \"broker\"",
        "roles.entry[1]",
        "set external_id",
    ),
    (
        "[[roles.entry]]\narn = \"arn:aws:iam::123456789012:role/x\"\nexpires_at = \"tomorrow\"",
        "roles.entry[1].expires_at",
        "RFC 3339",
    ),
    (
        "[relay]\nissuer = \"http://gate.example.org\"",
        "relay.issuer",
        "write https://",
    ),
    (
        "[sts.regions]\naws-moon = \"us-east-1\"",
        "sts.regions.aws-moon",
        "aws-us-gov",
    ),
    (
        "[sts.regions]\naws-cn = \"us-east-1\"",
        "sts.regions.aws-cn",
        "cn-north-1",
    ),
    (
        "[sts.regions]\naws = \"evil.example.org/x-1\"",
        "sts.regions.aws",
        "us-east-1",
    ),
    ("[admin]", "admin", "list users"),
    (
        "[admin]\nusers = [\"two words\"]",
        "admin.users[1]",
        "2 to 64",
    ),
    (
        "[admin]\nidp = \"x\"\nusers = [\"ada\"]\n[[saml.idp]]\nname = \"o\"\nmetadata_file = \"okta.xml\"",
        "admin.idp",
        "write one of: o",
    ),
    (
        "[admin]\nusers = [\"ada\"]\n[[saml.idp]]\nname = \"o\"\nmetadata_file = \"okta.xml\"\n[[saml.idp]]\nname = \"p\"\nmetadata_file = \"okta.xml\"",
        "admin.idp",
        "there are several IdPs",
    ),
    (
        "[[roles.entry]]\neffect = \"deny\"\narn = \"arn:aws:iam::123456789012:role/x\"\nidp = \"p\"\n[[saml.idp]]\nname = \"o\"\nmetadata_file = \"okta.xml\"",
        "roles.entry[1].idp",
        "write one of: o",
    ),
];

#[test]
fn every_refusal_names_file_line_key_and_mend() {
    let desk = Desk::new();
    desk.load(LEAST);
    for (text, key, mend) in REFUSED {
        let problems = desk.refused(&format!("{LEAST}{text}\n"));
        let problem = problems
            .iter()
            .find(|problem| problem.key == *key)
            .unwrap_or_else(|| panic!("{text}\n{problems:#?}"));
        let shown = problem.to_string();
        assert!(shown.contains(mend), "{text}\n{shown}");
        assert!(shown.contains("rolegate.toml:"), "no line: {shown}");
        assert!(shown.contains(key), "{shown}");
    }
}

/// The good twins of [`REFUSED`].
#[test]
fn their_good_twins_start() {
    let desk = Desk::new();
    for text in [
        "listen = \"[::1]:8080\"",
        "behind_proxy = true\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\nlisten = \"0.0.0.0:8080\"",
        "return_origins = [\"https://a.example.org/\", \"http://localhost:3000\"]",
        "limits = { max_body_bytes = 262144 }",
        "limits = { refused_sign_ins_per_minute = 1, max_connections = 16, shutdown_delay_seconds = 300, open_sign_ins = 100 }",
        "[store]\nurl = \"sqlite:///tmp/x.db\"",
        "[store]\nurl = \"postgres://gate:hunter2@db:6432/x?sslmode=require\"\nlisten_url = \"postgresql://gate:hunter2@db/x?sslmode=disable\"",
        "[store]\nurl = \"postgres:///x?host=/run/postgresql\"",
        "[session]\nmax_age_seconds = 60",
        "[leases]\nmax_ttl_seconds = 60",
        "[saml]\nclock_skew_seconds = 0\nstrict_certificates = true\nentity_id = \"https://gate.example.org/sp\"",
        "[[saml.idp]]\nname = \"o\"\nmetadata_file = \"okta.xml\"\n[[saml.idp]]\nname = \"p\"\nmetadata_file = \"okta.xml\"\n[admin]\nidp = \"p\"\nusers = [\"ada\"]\n[[roles.entry]]\neffect = \"deny\"\narn = \"arn:aws:iam::*:role/**\"\nidp = \"p\"",
        "[roles]\nallowed = [\"arn:aws:iam::*:role/**\"]\nsaml_providers = [\"arn:aws:iam::210987654321:saml-provider/Okta\"]",
        "[[roles.entry]]\narn = \"arn:aws:iam::123456789012:role/*\"\nmethod = \"broker\"\nexternal_id = \"t7\"\nexpires_at = \"2030-01-31T12:00:00+01:00\"",
        "[sts.regions]\naws-iso-b = \"us-isob-east-1\"\naws-eusc = \"eusc-de-east-1\"",
        "[admin]\nwhen = { groups = \"ops\" }",
    ] {
        desk.load(&format!("{LEAST}{text}\n"));
    }
}
