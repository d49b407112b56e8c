//! The protocol's own claims of an ID token (OpenID Connect Core 1.0, 2 and 3.1.3.7).
//!
//! Each is read in its one form and checked here, whether or not a library checks it too. Time is handed in.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::ProviderSettings;
use super::claims::Claims;
use super::refusal::{Refusal, cut, listed};
use crate::model::Secret;

/// The longest `sub` (OpenID Connect Core 1.0, 2).
const LONGEST_SUBJECT: usize = 255;
/// How old a token may be at a sign-in: it was made while we waited.
const OLDEST: TimeDelta = TimeDelta::minutes(10);
/// The end of the year 9999, the last second that RFC 3339 can write.
const LAST_SECOND: i64 = 253_402_300_799;

/// The protocol's claims of a token that may be used now.
#[derive(Debug)]
pub(super) struct Protocol {
    /// `sub`.
    pub(super) subject: String,
    /// `iat`, in whole seconds.
    pub(super) issued_at: DateTime<Utc>,
    /// `exp`, in whole seconds.
    pub(super) expires_at: DateTime<Utc>,
}

impl Protocol {
    /// Checks issuer, audience, subject and times. After it `aud` or `azp` is the configured client.
    pub(super) fn checked(
        claims: &Claims,
        settings: &ProviderSettings,
        now: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        issuer(claims, &settings.issuer)?;
        audience(claims, &settings.client_id)?;
        let skew = settings.clock_skew;
        let expires_at = time(claims, "exp")?.ok_or_else(|| missing("exp"))?;
        let issued_at = time(claims, "iat")?.ok_or_else(|| missing("iat"))?;
        if now >= expires_at + skew {
            return Err(Refusal::Expired {
                at: expires_at,
                now,
            });
        }
        let not_before = time(claims, "nbf")?.map(|at| ("nbf", at));
        for (claim, at) in not_before.into_iter().chain([("iat", issued_at)]) {
            if at > now + skew {
                return Err(Refusal::NotYetValid { claim, at, now });
            }
        }
        Ok(Self {
            subject: subject(claims)?,
            issued_at,
            expires_at,
        })
    }

    /// Whether the token was made for the sign-in that is going on.
    pub(super) fn is_fresh(&self, skew: TimeDelta, now: DateTime<Utc>) -> Result<(), Refusal> {
        let at = self.issued_at;
        if now - at > OLDEST + skew {
            return Err(Refusal::IssuedTooLongAgo { at, now });
        }
        Ok(())
    }
}

/// Whether the nonce is the request's; `None` where the token has none.
pub(super) fn nonce(claims: &Claims, expected: &Secret) -> Result<Option<()>, Refusal> {
    match present(claims, "nonce") {
        None => Ok(None),
        Some(Value::String(found)) if is_same(found, expected.expose()) => Ok(Some(())),
        Some(_) => Err(Refusal::Nonce {
            found: "another than the request's",
        }),
    }
}

/// Compares in constant time, by digests of one length.
fn is_same(found: &str, expected: &str) -> bool {
    let digest = |text: &str| openssl::sha::sha256(text.as_bytes());
    openssl::memcmp::eq(&digest(found), &digest(expected))
}

fn issuer(claims: &Claims, expected: &str) -> Result<(), Refusal> {
    let found = text(claims, "iss")?;
    if found == expected {
        return Ok(());
    }
    Err(Refusal::Issuer {
        found: cut(found),
        expected: expected.to_owned(),
    })
}

/// `aud` names the client; where it names others too, `azp` must be there; where `azp` is, it is the client.
fn audience(claims: &Claims, client_id: &str) -> Result<(), Refusal> {
    let audiences = audiences(claims)?;
    if !audiences.contains(&client_id) {
        return Err(Refusal::Audience {
            found: listed(audiences),
            expected: client_id.to_owned(),
        });
    }
    let party = match present(claims, "azp") {
        None if audiences.len() == 1 => return Ok(()),
        None => "missing".to_owned(),
        Some(Value::String(party)) if party == client_id => return Ok(()),
        Some(Value::String(party)) => format!("{:?}", cut(party)),
        Some(_) => return Err(malformed("azp", "is no text")),
    };
    Err(Refusal::AuthorizedParty {
        found: party,
        expected: client_id.to_owned(),
    })
}

fn audiences(claims: &Claims) -> Result<Vec<&str>, Refusal> {
    let bad = || malformed("aud", "is neither a text nor an array of texts");
    match claims.get("aud") {
        None | Some(Value::Null) => Err(missing("aud")),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(several)) => {
            let texts = several.iter().map(|item| item.as_str().ok_or_else(bad));
            texts.collect()
        }
        Some(_) => Err(bad()),
    }
}

fn subject(claims: &Claims) -> Result<String, Refusal> {
    let found = text(claims, "sub")?;
    let printable = found.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if found.is_empty() || found.len() > LONGEST_SUBJECT || !printable {
        return Err(malformed("sub", "is not of 1 to 255 ASCII characters"));
    }
    Ok(found.to_owned())
}

/// A NumericDate (RFC 7519, 2) in whole seconds; fractions are cut off.
fn time(claims: &Claims, claim: &'static str) -> Result<Option<DateTime<Utc>>, Refusal> {
    let Some(value) = present(claims, claim) else {
        return Ok(None);
    };
    let bad = || malformed(claim, "is no number of seconds since 1970");
    let seconds = value.as_number().and_then(whole_seconds).ok_or_else(bad)?;
    let at = DateTime::from_timestamp(seconds, 0).ok_or_else(bad)?;
    Ok(Some(at))
}

fn whole_seconds(number: &serde_json::Number) -> Option<i64> {
    let whole = match number.as_i64() {
        Some(whole) => whole,
        // Without a cast: the text of a number with a fraction begins with its whole seconds.
        None if number.is_f64() => {
            let float = number.as_f64()?.trunc();
            format!("{float:.0}").parse().ok()?
        }
        None => return None,
    };
    (0..=LAST_SECOND).contains(&whole).then_some(whole)
}

/// A claim that is there and not null.
fn present<'c>(claims: &'c Claims, claim: &str) -> Option<&'c Value> {
    claims.get(claim).filter(|value| !value.is_null())
}

fn text<'c>(claims: &'c Claims, claim: &'static str) -> Result<&'c str, Refusal> {
    let value = present(claims, claim).ok_or_else(|| missing(claim))?;
    value.as_str().ok_or_else(|| malformed(claim, "is no text"))
}

fn missing(claim: &'static str) -> Refusal {
    malformed(claim, "is missing")
}

fn malformed(claim: &'static str, why: &'static str) -> Refusal {
    Refusal::Malformed { claim, why }
}
