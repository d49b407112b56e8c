//! Whatever is loaded as metadata: read it is a provider with a key and a name, and where a signature is asked
//! for, nothing is taken but what was signed.

#![no_main]

mod door;

use std::sync::LazyLock;

use door::{TRUST, now};
use libfuzzer_sys::fuzz_target;
use rolegate::saml::MetadataSigner;
use rolegate::saml::metadata::{read_idp, read_signed_idp};

static SIGNER: LazyLock<MetadataSigner> = LazyLock::new(|| {
    let signer = include_bytes!("../../../fixtures/saml/other.crt");
    let signer = MetadataSigner::from_pem(signer).unwrap();
    let signed = include_bytes!("../../../fixtures/saml/idp-signed.xml");
    let name = "okta".parse().unwrap();
    // The good twin: else a signer that takes nothing would look safe.
    read_signed_idp(&name, signed, Some(&signer), now(), false).unwrap();
    signer
});

fuzz_target!(|data: &[u8]| {
    // Before any other thread or signature.
    let known = &*TRUST;
    let name = "okta".parse().unwrap();
    if let Ok(trust) = read_idp(&name, data, now(), false) {
        assert!(!trust.entity_id().is_empty() && !trust.certificates().is_empty());
        let addresses = [
            trust.sso_redirect_url(),
            trust.sso_post_url(),
            trust.slo_redirect_url(),
            trust.slo_response_url(),
        ];
        for address in addresses.into_iter().flatten() {
            assert!(!address.contains(['\r', '\n', ' ']), "{address:?}");
        }
        let (_warnings, _end) = (trust.warnings(now()), trust.valid_until());
    }
    if let Ok(trust) = read_signed_idp(&name, data, Some(&*SIGNER), now(), false) {
        assert_eq!(trust.entity_id(), known.entity_id());
        assert_eq!(trust.certificates(), known.certificates());
    }
});
