//! SimpleSAMLphp: an identity provider that we did not write, and a browser's part in signing in there.
//!
//! One PHP process a value, killed when it is dropped, with a key pair, sessions and a port of its own.
//! It knows one service provider: `urn:amazon:webservices` with the ACS URL given. Who its people are
//! stands in `tests/parts/simplesamlphp/authsources.php`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509NameBuilder};
use regex_lite::Regex;
use reqwest::{Client, Response};
use tempfile::TempDir;
use url::Url;

/// How the IdP treats the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) acs_url: String,
    pub(crate) sign_assertion: bool,
    pub(crate) sign_response: bool,
    /// How long an assertion is good for.
    pub(crate) assertion_seconds: u32,
}

impl Options {
    /// What AWS's own pages advise: the assertion signed, good for five minutes.
    pub(crate) fn new(acs_url: &str) -> Self {
        Self {
            acs_url: acs_url.to_owned(),
            sign_assertion: true,
            sign_response: false,
            assertion_seconds: 300,
        }
    }
}

/// What the IdP has the browser post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostedResponse {
    /// Base64, as it stands in the form.
    pub(crate) saml_response: String,
    pub(crate) relay_state: Option<String>,
    /// The URL to post to.
    pub(crate) action: String,
}

/// A running IdP.
pub(crate) struct SimpleSamlPhp {
    base_url: Url,
    php: Child,
    state: TempDir,
}

impl SimpleSamlPhp {
    /// Starts one that signs assertions for the ACS at `acs_url`, and waits until it listens.
    pub(crate) fn start(acs_url: &str) -> Self {
        Self::start_with(&Options::new(acs_url))
    }

    pub(crate) fn start_with(options: &Options) -> Self {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("tmp")).unwrap();
        write_key_pair(&state);
        // Between choosing a port and PHP's taking it, another process may: then choose again.
        for _ in 0..5 {
            let port = crate::gateway::free_port();
            let mut php = spawn_php(options, &state, port);
            if wait_for(&mut php, port) {
                let base_url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
                return Self {
                    base_url,
                    php,
                    state,
                };
            }
        }
        let log = fs::read_to_string(state.path().join("php.log")).unwrap_or_default();
        panic!("SimpleSAMLphp does not start: {log}");
    }

    /// Adds to what the IdP knows of the gateway, in the words of its `saml20-sp-remote`; holds from the
    /// next request on.
    pub(crate) fn register(&self, more: &serde_json::Value) {
        fs::write(self.state.path().join("sp.json"), more.to_string()).unwrap();
    }

    /// Where it begins to sign a browser out everywhere, and goes afterwards.
    pub(crate) fn logout_url(&self, afterwards: &str) -> Url {
        let mut url = self.base_url.join("saml2/idp/initSLO.php").unwrap();
        url.query_pairs_mut().append_pair("RelayState", afterwards);
        url
    }

    /// The IdP's entity id.
    pub(crate) fn entity_id(&self) -> String {
        entity_id(self.base_url.as_str())
    }

    /// The IdP's metadata, as it publishes it.
    pub(crate) async fn metadata(&self) -> String {
        let answer = browser().get(self.metadata_url()).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    }

    /// Where metadata is to be had.
    pub(crate) fn metadata_url(&self) -> String {
        self.base_url.join("saml2/idp/metadata.php").unwrap().into()
    }

    /// Signs in at the IdP, as from its own start page.
    pub(crate) async fn login_idp_initiated(
        &self,
        user: &str,
        password: &str,
        relay_state: Option<&str>,
    ) -> PostedResponse {
        let mut url = self.base_url.join("saml2/idp/SSOService.php").unwrap();
        url.query_pairs_mut()
            .append_pair("spentityid", "urn:amazon:webservices");
        if let Some(relay_state) = relay_state {
            url.query_pairs_mut().append_pair("RelayState", relay_state);
        }
        self.login(url.as_str(), user, password).await
    }

    /// Follows the gateway's redirect, which carries its AuthnRequest, and signs in.
    pub(crate) async fn login_sp_initiated(
        &self,
        redirect_url: &str,
        user: &str,
        password: &str,
    ) -> PostedResponse {
        self.login(redirect_url, user, password).await
    }

    async fn login(&self, url: &str, user: &str, password: &str) -> PostedResponse {
        self.login_with(&browser(), url, user, password).await
    }

    /// Signs in with a browser that goes on afterwards.
    pub(crate) async fn login_with(
        &self,
        browser: &Client,
        url: &str,
        user: &str,
        password: &str,
    ) -> PostedResponse {
        let asked = browser.get(url).send().await.unwrap();
        let (form_url, page) = self.page(asked).await;
        let mut fields = hidden_fields(&page);
        fields.insert("username".to_owned(), user.to_owned());
        fields.insert("password".to_owned(), password.to_owned());
        let posted = browser.post(form_url).form(&fields).send().await.unwrap();
        let (_, page) = self.page(posted).await;
        let mut fields = hidden_fields(&page);
        PostedResponse {
            saml_response: fields
                .remove("SAMLResponse")
                .unwrap_or_else(|| panic!("{user} was not signed in: {page}")),
            relay_state: fields.remove("RelayState"),
            action: attribute(&page, "form", "action").unwrap(),
        }
    }

    /// A page and where it came from, after redirects.
    async fn page(&self, answer: Response) -> (Url, String) {
        let (url, status) = (answer.url().clone(), answer.status());
        let text = answer.text().await.unwrap();
        assert!(
            status.is_success(),
            "{url}: {status} {text}\n{}",
            self.log()
        );
        (url, text)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.state.path().join("php.log")).unwrap_or_default()
    }
}

impl Drop for SimpleSamlPhp {
    fn drop(&mut self) {
        let _ = self.php.kill();
        let _ = self.php.wait();
    }
}

fn entity_id(base_url: &str) -> String {
    format!("{base_url}idp")
}

fn spawn_php(options: &Options, state: &TempDir, port: u16) -> Child {
    let yes_no = |condition| if condition { "yes" } else { "no" };
    let base_url = format!("http://127.0.0.1:{port}/");
    let log = File::create(state.path().join("php.log")).unwrap();
    Command::new("php")
        .args(["-S", &format!("127.0.0.1:{port}"), "-t"])
        .arg(super::part("simplesamlphp").join("www"))
        .env("SIMPLESAMLPHP_CONFIG_DIR", super::kept("simplesamlphp"))
        .env("SSP_STATE", state.path())
        .env("SSP_ENTITY_ID", entity_id(&base_url))
        .env("SSP_BASE_URL", base_url)
        .env("SSP_ADMIN_PASSWORD", "never asked for")
        .env("SSP_ACS_URL", &options.acs_url)
        .env("SSP_SIGN_ASSERTION", yes_no(options.sign_assertion))
        .env("SSP_SIGN_RESPONSE", yes_no(options.sign_response))
        .env(
            "SSP_ASSERTION_LIFETIME",
            options.assertion_seconds.to_string(),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("php is missing: run tests/setup test")
}

/// Whether PHP listens; false where it ended. Asks for at most a minute.
fn wait_for(php: &mut Child, port: u16) -> bool {
    for _ in 0..3000 {
        if php.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            // Where another listens, PHP ends.
            thread::park_timeout(Duration::from_millis(100));
            return php.try_wait().unwrap().is_none();
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    let _ = php.kill();
    let _ = php.wait();
    false
}

fn write_key_pair(state: &TempDir) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let write = |name, bytes: Vec<u8>| fs::write(state.path().join(name), bytes).unwrap();
    write("idp.crt", certificate(&key).to_pem().unwrap());
    write("idp.key", key.private_key_to_pem_pkcs8().unwrap());
}

/// Self-signed, good for a month.
fn certificate(key: &PKey<Private>) -> X509 {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "SimpleSAMLphp of the tests")
        .unwrap();
    let name = name.build();
    let serial = Asn1Integer::from_bn(&BigNum::from_u32(1).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_serial_number(&serial).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(key).unwrap();
    let (from, to) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(30));
    certificate.set_not_before(&from.unwrap()).unwrap();
    certificate.set_not_after(&to.unwrap()).unwrap();
    certificate.sign(key, MessageDigest::sha256()).unwrap();
    certificate.build()
}

/// A browser with cookies of its own, that knows no proxy.
fn browser() -> Client {
    Client::builder()
        .cookie_store(true)
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// The named hidden inputs of a page.
fn hidden_fields(page: &str) -> BTreeMap<String, String> {
    let input = Regex::new(r#"<input[^>]*type="hidden"[^>]*>"#).unwrap();
    input
        .find_iter(page)
        .filter_map(|tag| {
            let name = attribute(tag.as_str(), "input", "name")?;
            Some((name, attribute(tag.as_str(), "input", "value")?))
        })
        .collect()
}

/// The attribute of the first such tag, without entities.
fn attribute(page: &str, tag: &str, name: &str) -> Option<String> {
    let pattern = Regex::new(&format!(r#"<{tag}[^>]*\s{name}="([^"]*)""#)).unwrap();
    let value = pattern.captures(page)?.get(1)?.as_str();
    let unescaped = quick_xml::escape::unescape(value).unwrap();
    Some(unescaped.into_owned())
}

mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use openssl::base64::decode_block;

    use super::{Options, PostedResponse, SimpleSamlPhp};

    const ACS: &str = "https://gate.example.org/saml/acs";
    const PAIR: &str = "arn:aws:iam::123456789012:role/data-scientist,\
        arn:aws:iam::123456789012:saml-provider/SSP";

    fn xml(posted: &PostedResponse) -> String {
        String::from_utf8(STANDARD.decode(&posted.saml_response).unwrap()).unwrap()
    }

    /// The base64 text of the first certificate, and that it is one.
    fn certificate(text: &str) -> &str {
        let (_, rest) = text.split_once("<ds:X509Certificate>").unwrap();
        let (certificate, _) = rest.split_once("</ds:X509Certificate>").unwrap();
        openssl::x509::X509::from_der(&decode_block(certificate).unwrap()).unwrap();
        certificate
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_signs_people_in_with_what_aws_reads() {
        let idp = SimpleSamlPhp::start(ACS);
        let metadata = idp.metadata().await;
        assert!(metadata.contains(&format!("entityID=\"{}\"", idp.entity_id())));

        let posted = idp
            .login_idp_initiated("alice", "alice-password", Some("/jobs?a=1&b=\"2\""))
            .await;
        assert_eq!(posted.action, ACS);
        assert_eq!(posted.relay_state.as_deref(), Some("/jobs?a=1&b=\"2\""));
        let xml = xml(&posted);
        assert_eq!(xml.matches("<ds:Signature ").count(), 1);
        assert!(xml.contains("xmldsig-more#rsa-sha256"));
        assert_eq!(certificate(&xml), certificate(&metadata));
        for expected in [
            "Name=\"https://aws.amazon.com/SAML/Attributes/Role\"",
            "Name=\"https://aws.amazon.com/SAML/Attributes/RoleSessionName\"",
            "Name=\"https://aws.amazon.com/SAML/Attributes/SessionDuration\"",
            PAIR,
            "nameid-format:persistent\">alice<",
            "<saml:Audience>urn:amazon:webservices<",
            &format!("Recipient=\"{ACS}\""),
        ] {
            assert!(xml.contains(expected), "{expected} is not in {xml}");
        }
        assert!(!xml.contains("InResponseTo"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_answers_the_gateways_request() {
        let idp = SimpleSamlPhp::start(ACS);
        let request = format!(
            "<samlp:AuthnRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
             xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_asked\" Version=\"2.0\" \
             IssueInstant=\"2026-01-01T00:00:00Z\" AssertionConsumerServiceURL=\"{ACS}\">\
             <saml:Issuer>urn:amazon:webservices</saml:Issuer></samlp:AuthnRequest>"
        );
        let mut url = idp.base_url.join("saml2/idp/SSOService.php").unwrap();
        url.query_pairs_mut()
            .append_pair("SAMLRequest", &STANDARD.encode(deflate_stored(&request)))
            .append_pair("RelayState", "_binding");

        let posted = idp
            .login_sp_initiated(url.as_str(), "bob", "bob-password")
            .await;
        assert_eq!(posted.relay_state.as_deref(), Some("_binding"));
        let xml = xml(&posted);
        assert!(xml.contains("InResponseTo=\"_asked\""), "{xml}");
        assert_eq!(xml.matches(":role/").count(), 2);
    }

    /// DEFLATE without compression: one stored block.
    fn deflate_stored(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap();
        let mut bytes = vec![1];
        bytes.extend(length.to_le_bytes());
        bytes.extend((!length).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_signs_the_response_when_told_to() {
        let idp = SimpleSamlPhp::start_with(&Options {
            sign_response: true,
            assertion_seconds: 5,
            ..Options::new(ACS)
        });
        let posted = idp
            .login_idp_initiated("carol", "carol-password", None)
            .await;
        let xml = xml(&posted);
        assert_eq!(xml.matches("<ds:Signature ").count(), 2);
        assert!(!xml.contains("SAML/Attributes/Role\""));
    }

    #[tokio::test(flavor = "multi_thread")]
    #[should_panic(expected = "was not signed in")]
    async fn it_knows_its_people() {
        let idp = SimpleSamlPhp::start(ACS);
        idp.login_idp_initiated("alice", "bob-password", None).await;
    }
}
