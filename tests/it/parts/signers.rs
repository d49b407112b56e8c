//! Signers that we did not write: pysaml2 and signxml, each a script that runs once and makes every response.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// What the responses say.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Wish {
    pub(crate) issuer: String,
    pub(crate) acs: String,
    pub(crate) audience: String,
    pub(crate) name_id: String,
    /// Each name with its values, in order.
    pub(crate) attributes: Vec<(String, Vec<String>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_response_to: Option<String>,
}

/// A response that one of them made.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Made {
    /// `assertion`, `response`, `both` or `none`.
    pub(crate) sign: String,
    /// `sha256`, `sha384` or `sha512`, of digest and signature.
    pub(crate) hash: String,
    /// The XML.
    pub(crate) document: String,
}

/// A script of `tests/parts/python` that signs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signer {
    Pysaml2,
    Signxml,
}

impl Signer {
    pub(crate) const ALL: [Self; 2] = [Self::Pysaml2, Self::Signxml];

    /// Every way of signing by every hash, with the key `key` of the fixtures, or what `arguments` narrow
    /// that to.
    pub(crate) fn make(self, wish: &Wish, key: &str, arguments: &[&str]) -> Vec<Made> {
        let script = match self {
            Self::Pysaml2 => "by_pysaml2.py",
            Self::Signxml => "by_signxml.py",
        };
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/saml");
        let mut child = Command::new(super::python::python())
            .args(["-I", "-W", "ignore"])
            .arg(super::kept("python").join(script))
            .arg("--key")
            .arg(fixtures.join(format!("{key}.key")))
            .arg("--certificate")
            .arg(fixtures.join(format!("{key}.crt")))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let wish = serde_json::to_vec(wish).unwrap();
        child.stdin.take().unwrap().write_all(&wish).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(
            ended.status.success(),
            "{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        serde_json::from_slice(&ended.stdout).unwrap()
    }
}
