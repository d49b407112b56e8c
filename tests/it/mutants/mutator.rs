//! What is done to a good response: one change a step, chosen by dice.
//!
//! Some changes mean nothing to XML (white space in a tag, a character reference for a character), most
//! change what is signed, and some are the moves that signature wrapping is made of. None knows what is
//! signed: whether a change is harmless is for the door to say.

use std::ops::Range;

use super::tree::{Element, scan, splice};

/// Numbers to choose by; nought where they have run out.
pub(crate) struct Dice<'d>(&'d [u32]);

impl<'d> Dice<'d> {
    pub(crate) fn new(numbers: &'d [u32]) -> Self {
        Self(numbers)
    }

    fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::try_from(*first).unwrap() % bound.max(1)
    }

    fn one_of<'t, T>(&mut self, of: &'t [T]) -> Option<&'t T> {
        let place = self.below(of.len());
        of.get(place)
    }
}

const NAMES: &[&str] = &[
    "saml:Assertion",
    "saml:Attribute",
    "saml:AttributeValue",
    "saml:Advice",
    "saml:Subject",
    "saml:Conditions",
    "samlp:Response",
    "samlp:Extensions",
    "samlp:StatusDetail",
    "ds:Object",
    "ds:Signature",
    "x:Wrapper",
    "wrapper",
];
const SPACES: &[&str] = &[
    "urn:oasis:names:tc:SAML:2.0:assertion",
    "urn:oasis:names:tc:SAML:2.0:protocol",
    "http://www.w3.org/2000/09/xmldsig#",
    "http://www.w3.org/2001/XMLSchema-instance",
    "urn:evil",
    "relative",
    "",
];
const VALUES: &[&str] = &[
    "",
    "_a1",
    "_r0",
    "_q1",
    "#_r0",
    "2.0",
    "2026-01-15T11:59:00Z",
    "2026-01-15T11:59:59Z",
    "2027-01-15T12:00:00Z",
    "admin@example.org",
    "arn:aws:iam::123456789012:role/admin",
    "43200",
    "https://aws.amazon.com/SAML/Attributes/Role",
    "https://gate.example.org/saml/acs",
    "https://evil.example.org/",
    "urn:oasis:names:tc:SAML:2.0:status:Success",
    "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
    "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
    "true",
];
const MARKUP: &[&str] = &[
    "<!---->",
    "<!-- x -->",
    "<?x y?>",
    "<![CDATA[x]]>",
    "&amp;",
    "&#65;",
    "&#x41;",
    "&x;",
    "]]>",
    "\u{0}",
    "\u{200b}",
    " ",
    "\n",
    "\t",
    "\r\n",
];
const ATTRIBUTES: &[&str] = &[
    "ID",
    "Id",
    "id",
    "xml:id",
    "xml:base",
    "x:ID",
    "Destination",
    "InResponseTo",
    "Name",
    "NameFormat",
    "Recipient",
    "NotBefore",
    "NotOnOrAfter",
    "Version",
    "Consent",
    "Format",
    "URI",
    "Algorithm",
    "xsi:type",
    "xsi:nil",
    "x",
];

type Change = fn(&str, &mut Dice<'_>) -> Option<String>;

/// The changes to structure, attributes and texts; those that do nothing to meaning stand first.
const CHANGES: &[Change] = &[
    white_space_in_tag,
    other_quotes,
    character_reference,
    empty_tag,
    white_space_around,
    insert_markup,
    change_text,
    swap_texts,
    remove,
    duplicate,
    move_element,
    swap,
    wrap,
    unwrap,
    rename,
    wrapped_signature,
    insert_element,
    change_attribute,
    remove_attribute,
    add_attribute,
    duplicate_attribute,
    declare,
    rebind,
];

/// One change to `text`, or nothing where there is nothing to change.
pub(crate) fn change(text: &str, dice: &mut Dice<'_>) -> String {
    let change = dice.one_of(CHANGES).copied().unwrap_or(remove);
    change(text, dice).unwrap_or_else(|| text.to_owned())
}

/// One change to bytes, without a thought of what they mean.
pub(crate) fn change_bytes(bytes: &mut Vec<u8>, dice: &mut Dice<'_>) {
    if bytes.is_empty() {
        return;
    }
    let (kind, at) = (dice.below(6), dice.below(bytes.len()));
    let other = u8::try_from(dice.below(256)).unwrap();
    let end = (at + 1 + dice.below(40)).min(bytes.len());
    match kind {
        0 => bytes[at] ^= 1 << (other % 8),
        1 => bytes[at] = other,
        2 => bytes.insert(at, other),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].to_vec();
            let to = dice.below(bytes.len());
            bytes.splice(to..to, copy).for_each(drop);
        }
        _ => {
            let to = dice.below(bytes.len());
            bytes.swap(at, to);
        }
    }
}

fn an_element(text: &str, dice: &mut Dice<'_>) -> Option<Element> {
    dice.one_of(&scan(text)).cloned()
}

/// The start or the end of an element: a place where another may stand.
fn a_place(text: &str, dice: &mut Dice<'_>) -> Option<usize> {
    let element = an_element(text, dice)?;
    let places = [
        element.whole.start,
        element.whole.end,
        element.inside.start,
        element.inside.end,
    ];
    dice.one_of(&places).copied()
}

fn a_leaf(text: &str, dice: &mut Dice<'_>) -> Option<Element> {
    let leaves: Vec<Element> = scan(text)
        .into_iter()
        .filter(|element| element.is_leaf(text) && !element.inside.is_empty())
        .collect();
    dice.one_of(&leaves).cloned()
}

fn insert(text: &str, at: usize, what: &str) -> String {
    splice(text, &(at..at), what)
}

fn white_space_in_tag(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let at = match dice.one_of(&element.attributes) {
        Some(attribute) => attribute.whole.start,
        None => element.name.end,
    };
    Some(insert(text, at, dice.one_of(&[" ", "\n", "\t  "])?))
}

fn other_quotes(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let attribute = dice.one_of(&element.attributes)?;
    let (name, value) = (
        &text[attribute.name.clone()],
        &text[attribute.value.clone()],
    );
    (!value.contains(['\'', '"']))
        .then(|| splice(text, &attribute.whole, &format!(" {name}='{value}'")))
}

fn character_reference(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let range = if dice.below(2) == 0 {
        a_leaf(text, dice)?.inside
    } else {
        let element = an_element(text, dice)?;
        dice.one_of(&element.attributes)?.value.clone()
    };
    let letters: Vec<(usize, char)> = text[range.clone()].char_indices().collect();
    let (at, letter) = *dice.one_of(&letters)?;
    let at = range.start + at;
    let reference = format!("&#x{:x};", u32::from(letter));
    Some(splice(text, &(at..at + letter.len_utf8()), &reference))
}

fn empty_tag(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let empty: Vec<Element> = scan(text)
        .into_iter()
        .filter(|element| element.inside.is_empty())
        .collect();
    let element = dice.one_of(&empty)?;
    let (whole, name) = (&text[element.whole.clone()], &text[element.name.clone()]);
    let other = match whole.strip_suffix("/>") {
        Some(start) => format!("{start}></{name}>"),
        None => format!("{}/>", &text[element.whole.start..element.inside.start - 1]),
    };
    Some(splice(text, &element.whole, &other))
}

/// Between the elements, or outside of the root.
fn white_space_around(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let at = match dice.below(3) {
        0 => text.len(),
        1 => 0,
        _ => a_place(text, dice)?,
    };
    Some(insert(text, at, dice.one_of(&[" ", "\n", "\r\n", "\t"])?))
}

fn insert_markup(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let at = if dice.below(2) == 0 {
        a_place(text, dice)?
    } else {
        let inside = a_leaf(text, dice)?.inside;
        let at = inside.start + dice.below(inside.len() + 1);
        text.is_char_boundary(at).then_some(at)?
    };
    Some(insert(text, at, dice.one_of(MARKUP)?))
}

fn change_text(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let leaf = a_leaf(text, dice)?;
    let old = &text[leaf.inside.clone()];
    let new = match dice.below(5) {
        0 => (*dice.one_of(VALUES)?).to_owned(),
        1 => format!(" {old}"),
        2 => format!("{old}{old}"),
        3 => old.to_uppercase(),
        _ => format!("x{old}"),
    };
    Some(splice(text, &leaf.inside, &new))
}

fn swap_texts(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let (one, other) = (a_leaf(text, dice)?.inside, a_leaf(text, dice)?.inside);
    swapped(text, one, other)
}

fn swapped(text: &str, one: Range<usize>, other: Range<usize>) -> Option<String> {
    let (first, second) = if one.start <= other.start {
        (one, other)
    } else {
        (other, one)
    };
    (first.end <= second.start).then(|| {
        format!(
            "{}{}{}{}{}",
            &text[..first.start],
            &text[second.clone()],
            &text[first.end..second.start],
            &text[first],
            &text[second.end..]
        )
    })
}

fn remove(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    Some(splice(text, &an_element(text, dice)?.whole, ""))
}

fn duplicate(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let copy = text[element.whole.clone()].to_owned();
    let at = if dice.below(2) == 0 {
        element.whole.end
    } else {
        a_place(text, dice)?
    };
    Some(insert(text, at, &copy))
}

fn move_element(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let moved = text[element.whole.clone()].to_owned();
    let without = splice(text, &element.whole, "");
    let at = a_place(&without, dice)?;
    Some(insert(&without, at, &moved))
}

fn swap(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let (one, other) = (an_element(text, dice)?, an_element(text, dice)?);
    swapped(text, one.whole, other.whole)
}

fn wrap(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let name = dice.one_of(NAMES)?;
    let start = with_spaces(name);
    let whole = &text[element.whole.clone()];
    Some(splice(
        text,
        &element.whole,
        &format!("<{start}>{whole}</{name}>"),
    ))
}

/// The name with its prefix declared, whatever stands around it.
fn with_spaces(name: &str) -> String {
    let space = match name.split_once(':') {
        Some(("saml", _)) => SPACES[0],
        Some(("samlp", _)) => SPACES[1],
        Some(("ds", _)) => SPACES[2],
        Some((_, _)) => "urn:evil",
        None => return name.to_owned(),
    };
    let prefix = name.split(':').next().unwrap_or_default();
    format!("{name} xmlns:{prefix}=\"{space}\"")
}

fn unwrap(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let inside = text[element.inside.clone()].to_owned();
    Some(splice(text, &element.whole, &inside))
}

fn rename(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let name = dice.one_of(NAMES)?;
    let attributes = &text[element.name.end..element.inside.start.min(element.whole.end)];
    let attributes = attributes.trim_end_matches(['/', '>']);
    let inside = &text[element.inside.clone()];
    let other = format!("<{}{attributes}>{inside}</{name}>", with_spaces(name));
    Some(splice(text, &element.whole, &other))
}

/// Signature wrapping, in every place there is: a forged copy takes the place of a genuine element with an
/// ID, and the genuine one stands somewhere else.
pub(crate) fn wrapped_signature(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let with_id: Vec<Element> = scan(text)
        .into_iter()
        .filter(|element| element.attribute(text, "ID").is_some())
        .collect();
    let element = dice.one_of(&with_id)?;
    let genuine = text[element.whole.clone()].to_owned();
    let id = element.attribute(text, "ID")?;
    let mut forged = genuine.replace("alice", "admin").replace("reader", "admin");
    if dice.below(2) == 0 {
        forged = forged.replacen(&format!("\"{id}\""), "\"_forged\"", 1);
    }
    if dice.below(2) == 0 {
        let signature = scan(&forged)
            .into_iter()
            .find(|element| element.is(&forged, "Signature"))?;
        forged = splice(&forged, &signature.whole, "");
    }
    let replaced = splice(text, &element.whole, &forged);
    let at = a_place(&replaced, dice)?;
    let kept = match dice.below(3) {
        0 => genuine,
        1 => format!(
            "<samlp:Extensions xmlns:samlp=\"{}\">{genuine}</samlp:Extensions>",
            SPACES[1]
        ),
        _ => format!(
            "<ds:Object xmlns:ds=\"{}\">{genuine}</ds:Object>",
            SPACES[2]
        ),
    };
    Some(insert(&replaced, at, &kept))
}

fn insert_element(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let name = dice.one_of(NAMES)?;
    let start = with_spaces(name);
    let attribute = dice.one_of(&["", " ID=\"_n\"", " Name=\"n\"", " Name=\"groups\""])?;
    let inside = dice.one_of(VALUES)?;
    let at = a_place(text, dice)?;
    Some(insert(
        text,
        at,
        &format!("<{start}{attribute}>{inside}</{name}>"),
    ))
}

fn change_attribute(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let attribute = dice.one_of(&element.attributes)?;
    let old = &text[attribute.value.clone()];
    let new = match dice.below(4) {
        0 => (*dice.one_of(VALUES)?).to_owned(),
        1 => format!("{old} "),
        2 => format!("{old}x"),
        _ => old.chars().rev().collect(),
    };
    Some(splice(text, &attribute.value, &new))
}

fn remove_attribute(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let attribute = dice.one_of(&element.attributes)?;
    Some(splice(text, &attribute.whole, ""))
}

fn add_attribute(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let (name, value) = (dice.one_of(ATTRIBUTES)?, dice.one_of(VALUES)?);
    let spaces = match name.split_once(':') {
        Some(("x", _)) => " xmlns:x=\"urn:evil\"",
        Some(("xsi", _)) => " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"",
        _ => "",
    };
    let attribute = format!("{spaces} {name}=\"{value}\"");
    Some(insert(text, element.name.end, &attribute))
}

fn duplicate_attribute(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let (from, to) = (an_element(text, dice)?, an_element(text, dice)?);
    let attribute = dice.one_of(&from.attributes)?;
    let copy = text[attribute.whole.clone()].to_owned();
    Some(insert(text, to.name.end, &copy))
}

/// Declares a prefix that is used inside, or a new one.
fn declare(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let element = an_element(text, dice)?;
    let prefix = dice.one_of(&["", ":saml", ":samlp", ":ds", ":xs", ":xsi", ":new"])?;
    let space = dice.one_of(SPACES)?;
    let declaration = format!(" xmlns{prefix}=\"{space}\"");
    Some(insert(text, element.name.end, &declaration))
}

/// Binds a declared prefix to another namespace.
fn rebind(text: &str, dice: &mut Dice<'_>) -> Option<String> {
    let declarations: Vec<Range<usize>> = scan(text)
        .iter()
        .flat_map(|element| element.attributes.clone())
        .filter(|attribute| text[attribute.name.clone()].starts_with("xmlns"))
        .map(|attribute| attribute.value)
        .collect();
    let value = dice.one_of(&declarations)?;
    Some(splice(text, value, dice.one_of(SPACES)?))
}
