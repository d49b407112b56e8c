//! The letters of XML: characters, names, attributes, references, before there is a tree.
//!
//! It trusts nothing and repairs nothing. Names are ASCII, references are the five entities and legal
//! characters, white space is XML's four characters and not Unicode's.

use std::borrow::Cow;

use super::refusal::{Refusal, cut};

/// XML 1.0, 2.11: a CR LF pair and a lone CR are a line feed.
pub(super) fn line_ends(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') {
        Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(raw)
    }
}

/// The next `name="value"` behind white space; `None` at the end of the tag.
pub(super) fn next_attribute(rest: &str) -> Result<Option<(&str, &str, &str)>, Refusal> {
    let trimmed = rest.trim_start_matches(is_white_space);
    if trimmed.is_empty() {
        return Ok(None);
    }
    let bad = || malformed("an attribute is not name=\"value\"");
    if trimmed.len() == rest.len() {
        return Err(bad());
    }
    let (name, after) = trimmed.split_once('=').ok_or_else(bad)?;
    let after = after.trim_start_matches(is_white_space);
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
    let quote = quote.ok_or_else(bad)?;
    let (value, tail) = after
        .get(1..)
        .and_then(|after| after.split_once(quote))
        .ok_or_else(bad)?;
    if value.contains('<') {
        return Err(malformed("`<` stands in an attribute"));
    }
    Ok(Some((name.trim_end_matches(is_white_space), value, tail)))
}

/// XML 1.0, 3.3.3: references are resolved, white space becomes blanks.
pub(super) fn attribute_value(raw: &str) -> Result<Cow<'_, str>, Refusal> {
    if !raw
        .bytes()
        .any(|b| matches!(b, b'&' | b'\t' | b'\n' | b'\r'))
    {
        return Ok(Cow::Borrowed(raw));
    }
    let mut value = String::with_capacity(raw.len());
    let normal = line_ends(raw);
    let mut rest = normal.as_ref();
    while let Some((before, after)) = rest.split_once('&') {
        value.push_str(&before.replace(is_white_space, " "));
        let end = after.find(';').ok_or_else(|| malformed("a `&` is bare"))?;
        let (name, tail) = after.split_at_checked(end + 1).unwrap_or((after, ""));
        value.push(character_of(&format!("&{name}"))?);
        rest = tail;
    }
    value.push_str(&rest.replace(is_white_space, " "));
    Ok(Cow::Owned(value))
}

/// The character that `&name;` or `&#number;` stands for.
pub(super) fn character_of(reference: &str) -> Result<char, Refusal> {
    let refused = || Refusal::Entity {
        found: cut(reference),
    };
    let name = reference
        .strip_prefix('&')
        .and_then(|name| name.strip_suffix(';'))
        .ok_or_else(refused)?;
    let Some(number) = name.strip_prefix('#') else {
        return match name {
            "amp" => Ok('&'),
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err(refused()),
        };
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    let plain =
        !digits.is_empty() && digits.len() <= 8 && digits.chars().all(|c| c.is_digit(radix));
    let code = u32::from_str_radix(digits, radix).map_err(|_| refused())?;
    char::from_u32(code)
        .filter(|c| plain && is_legal(*c))
        .ok_or_else(refused)
}

/// XML 1.0, production 2.
pub(super) fn is_legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && c != '\u{fffe}' && c != '\u{ffff}')
}

/// Checks characters before anything is read: rule 3 of the gate, but the declaration.
pub(super) fn check_characters(text: &str) -> Result<(), Refusal> {
    if text.starts_with('\u{feff}') {
        return Err(Refusal::Character {
            found: '\u{feff}',
            at: 0,
        });
    }
    let control = |byte: u8| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    // The first look is one that the compiler turns into a few instructions a block.
    if text.bytes().any(|byte| control(byte) || byte == 0xbf) {
        let bad =
            |(at, byte): &(usize, u8)| control(*byte) || (*byte == 0xbf && !is_legal_at(text, *at));
        if let Some((at, byte)) = text.bytes().enumerate().find(bad) {
            let found = if byte < 0x20 {
                char::from(byte)
            } else {
                '\u{ffff}'
            };
            return Err(Refusal::Character { found, at });
        }
    }
    if text.contains("<!") {
        return Err(Refusal::Markup {});
    }
    if text.match_indices("<?").any(|(at, _)| at != 0) {
        return Err(Refusal::Instruction {});
    }
    check_declaration(text)
}

/// U+FFFE and U+FFFF are EF BF BE and EF BF BF; the middle byte gives them away.
pub(super) fn is_legal_at(text: &str, at: usize) -> bool {
    let around = at
        .checked_sub(1)
        .and_then(|from| text.as_bytes().get(from..at + 2));
    !matches!(around, Some([0xef, 0xbf, 0xbe | 0xbf]))
}

pub(super) fn check_declaration(text: &str) -> Result<(), Refusal> {
    let Some(rest) = text.strip_prefix("<?") else {
        return Ok(());
    };
    let found = || Refusal::Declaration { found: cut(rest) };
    let (inner, _) = rest.split_once("?>").ok_or_else(found)?;
    let mut rest = inner.strip_prefix("xml").ok_or_else(found)?;
    let mut position = 0;
    while let Some((name, value, tail)) = next_attribute(rest).map_err(|_| found())? {
        rest = tail;
        position = match (position, name) {
            (0, "version") if value == "1.0" => 1,
            (1, "encoding") if value.eq_ignore_ascii_case("utf-8") => 2,
            (1 | 2, "standalone") if matches!(value, "yes" | "no") => 3,
            _ => return Err(found()),
        };
    }
    if position == 0 { Err(found()) } else { Ok(()) }
}

pub(super) fn split_name(qualified: &str) -> Result<(&str, &str), Refusal> {
    let (prefix, local) = qualified.split_once(':').unwrap_or(("", qualified));
    let good = ncname(local) && (ncname(prefix) || !qualified.contains(':')) && prefix != "xmlns";
    if good {
        Ok((prefix, local))
    } else {
        Err(malformed(&format!("{qualified} is no name")))
    }
}

/// Names in ASCII alone: what SAML, its extensions and every identity provider use.
pub(super) fn ncname(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// RFC 3986, 4.3: a scheme, a colon and something after it. Narrower than what libxml2 can read, which
/// else gives up canonicalising and complains of it on standard error.
pub(super) fn absolute(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return false;
    };
    let first = scheme
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let host_is_good = rest.strip_prefix("//").is_none_or(|after| {
        let host = after.split(['/', '?', '#']).next().unwrap_or_default();
        is_host(host)
    });
    first
        && scheme.bytes().all(letters)
        && !rest.is_empty()
        && is_address(rest)
        && rest.matches('#').count() <= 1
        && host_is_good
}

/// A name, and a port or none.
fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let letters =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !name.is_empty()
        && name.bytes().all(letters)
        && (1..=5).contains(&port.len())
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 3986, 2: its letters, and `%` before two hexadecimal digits; no reference and no quote.
fn is_address(rest: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$()*+,;=:@/?#".contains(&byte);
    let mut parts = rest.split('%');
    parts.next().is_some_and(|part| part.bytes().all(letters))
        && parts.all(|part| {
            part.len() >= 2
                && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
                && part.bytes().all(letters)
        })
}

pub(super) fn white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// White space as XML means it, not as Unicode does.
pub(super) fn is_white_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

pub(super) fn malformed(why: &str) -> Refusal {
    Refusal::Malformed { why: cut(why) }
}
