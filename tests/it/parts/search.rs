//! A search for secrets in whatever was written or said, in every usual spelling.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// By so many bytes a needle is looked up first.
const HEAD: usize = 8;

/// What is looked for.
#[derive(Debug, Default)]
pub(crate) struct Needles {
    /// Spellings with what they are of.
    all: BTreeMap<Vec<u8>, &'static str>,
    heads: HashMap<[u8; HEAD], Vec<Vec<u8>>>,
    /// Whether any begins with these two bytes: most places are passed over by this.
    begins: Option<Box<[bool]>>,
}

impl Needles {
    /// Looks for every spelling of `secret` too.
    pub(crate) fn add(&mut self, kind: &'static str, secret: &str) {
        self.add_bytes(kind, secret.as_bytes());
        for spelling in spellings(secret) {
            self.add_spelling(kind, spelling.into_bytes());
        }
    }

    /// As [`Needles::add`], for what is no text.
    pub(crate) fn add_bytes(&mut self, kind: &'static str, secret: &[u8]) {
        assert!(secret.len() >= 20, "{kind} is found by chance");
        let mut all = vec![secret.to_vec(), rolegate::model::hex(secret).into_bytes()];
        all.extend(encodings(secret, |bytes| STANDARD_NO_PAD.encode(bytes)));
        all.extend(encodings(secret, |bytes| URL_SAFE_NO_PAD.encode(bytes)));
        for spelling in all {
            self.add_spelling(kind, spelling);
        }
    }

    fn add_spelling(&mut self, kind: &'static str, spelling: Vec<u8>) {
        if self.all.insert(spelling.clone(), kind).is_none() {
            let head = *spelling.first_chunk().unwrap();
            self.heads.entry(head).or_default().push(spelling);
            let begins = &mut self.begins;
            let begins = begins.get_or_insert_with(|| vec![false; 1 << 16].into());
            begins[usize::from(u16::from_le_bytes([head[0], head[1]]))] = true;
        }
    }

    /// What of it stands in `hay`.
    pub(crate) fn found(&self, hay: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        let Some(begins) = &self.begins else {
            return found;
        };
        for (at, pair) in hay.windows(2).enumerate() {
            if !begins[usize::from(u16::from_le_bytes([pair[0], pair[1]]))] || hay.len() - at < HEAD
            {
                continue;
            }
            let head: [u8; HEAD] = *hay[at..].first_chunk().unwrap();
            let Some(needles) = self.heads.get(&head) else {
                continue;
            };
            for needle in needles {
                if hay[at..].starts_with(needle) {
                    let (kind, text) = (self.all[needle], String::from_utf8_lossy(needle));
                    found.push(format!("{kind} as {text}"));
                }
            }
        }
        found
    }
}

/// Base64 of `secret` wherever in a longer text it may begin, without what its neighbours decide.
fn encodings(secret: &[u8], spell: impl Fn(&[u8]) -> String) -> Vec<Vec<u8>> {
    let within = |offset: usize| {
        let bytes = [vec![0; offset], secret.to_vec()].concat();
        let text = spell(&bytes);
        let from = (offset * 8).div_ceil(6);
        let until = bytes.len() * 8 / 6;
        text.as_bytes()[from..until].to_vec()
    };
    (0..3).map(within).collect()
}

/// What else than itself, hexadecimal digits and base64 `secret` may be written as.
fn spellings(secret: &str) -> Vec<String> {
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    vec![
        percent.to_lowercase(),
        percent,
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        secret.replace('/', "\\/"),
        secret.chars().rev().collect(),
    ]
}

/// All files below `folder` that are `ours`, with their bytes. One that goes meanwhile is none.
pub(crate) fn files(folder: &Path, ours: &dyn Fn(&Path) -> bool) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path, ours));
        } else if ours(&path)
            && let Ok(bytes) = std::fs::read(&path)
        {
            all.push((path.display().to_string(), bytes));
        }
    }
    all
}

#[test]
fn the_search_finds_every_spelling() {
    let secret = "refresh/Zm9vYmFy+~=and more";
    let mut needles = Needles::default();
    needles.add("refresh token", secret);
    for neighbours in ["", "a", "ab", "abc"] {
        let inside = format!("{neighbours}{secret}{neighbours}");
        for hay in [
            inside.clone(),
            STANDARD_NO_PAD.encode(&inside),
            URL_SAFE_NO_PAD.encode(&inside),
            utf8_percent_encode(&inside, NON_ALPHANUMERIC).to_string(),
            serde_json::json!({ "x": inside }).to_string(),
            rolegate::model::hex(inside.as_bytes()),
        ] {
            assert!(!needles.found(hay.as_bytes()).is_empty(), "{hay}");
        }
    }
    assert!(needles.found(b"refresh/Zm9vYmFy+~=and les").is_empty());
}
