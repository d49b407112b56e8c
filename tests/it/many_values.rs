//! As many attribute values as AWS takes: genuinely signed, and accepted in every provider's shape.
//!
//! People of large organisations are in hundreds of groups. No limit of the gate may come before AWS's own,
//! and time may not grow faster than the document (`tests/bench/gate.rs` holds that).

pub(crate) mod maker;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::judges::door::Door;
use crate::judges::opinions;
use maker::{MOST_ENCODED, NOW, Shape, response};

fn door() -> Door {
    Door::new(
        include_str!("../../fixtures/saml/idp.xml"),
        NOW.parse().unwrap(),
    )
}

#[test]
fn as_many_values_as_fit_are_accepted_in_every_shape() {
    let door = door();
    for shape in Shape::ALL {
        let most = shape.most();
        let document = response(shape, most);
        let encoded = STANDARD.encode(&document).len();
        assert!(
            (MOST_ENCODED - 300..=MOST_ENCODED).contains(&encoded),
            "{shape:?}: {encoded}"
        );
        let reading = door.judge(&document).unwrap_or_else(|code| {
            panic!("{shape:?}, {most} values, {encoded} characters: refused, {code}")
        });
        let values = &reading.parts.attributes[&shape.attribute()];
        assert_eq!(values.len(), most, "{shape:?}");
        let offers = if shape == Shape::Roles { most } else { 0 };
        assert_eq!(reading.parts.offers.len(), offers, "{shape:?}");
        assert_eq!(
            opinions::all(&door.metadata, &document),
            Ok(()),
            "{shape:?}"
        );
    }
}

#[test]
fn one_value_more_than_fit_is_refused_for_its_length_alone() {
    let door = door();
    for shape in Shape::ALL {
        let document = response(shape, shape.most() + 1);
        assert_eq!(door.judge(&document), Err("too_long"), "{shape:?}");
    }
}

#[test]
fn one_letter_changed_in_the_last_value_is_refused() {
    let door = door();
    for shape in [Shape::Bare, Shape::Okta, Shape::Roles] {
        let most = shape.most();
        let document = response(shape, most);
        let last = format!("{:04}", most - 1);
        let at = document.rfind(&last).unwrap();
        let changed = format!("{}9999{}", &document[..at], &document[at + 4..]);
        assert_ne!(changed, document);
        assert_eq!(door.judge(&changed), Err("signature_invalid"), "{shape:?}");
    }
}
