//! The provider's answer, as the browser brings it to `/oidc/{provider}/callback`.
//!
//! Everything in it is from a stranger. It is read in form alone; the code comes out only when the answer is
//! known to be from the provider that was asked (RFC 9207).

use thiserror::Error;

use super::refusal::{Refusal, cut, printable};
use super::{ProviderMetadata, ProviderSettings};
use crate::model::Secret;

/// Longer queries are refused.
const LONGEST_QUERY: usize = 16 * 1024;
/// Of a provider's `error_description` so much is kept.
pub(super) const DESCRIPTION: usize = 256;

/// Why a query is no answer of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallbackError {
    /// Longer than any provider's answer.
    #[error("the query is longer than 16 KiB")]
    TooLong,
    /// A parameter that stands twice.
    #[error("the parameter {0:?} stands more than once")]
    Repeated(&'static str),
    /// Without `state` nobody asked for it.
    #[error("there is no state")]
    NoState,
    /// Neither an answer nor an error, or both.
    #[error("there must be either a code or an error")]
    NeitherOrBoth,
}

/// An answer of well-formed parameters; nothing else is known of it.
#[derive(Debug)]
pub struct Callback {
    state: String,
    issuer: Option<String>,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Code(Secret),
    Error { error: String, description: String },
}

impl Callback {
    /// Reads the query of the callback.
    pub fn parse(query: &str) -> Result<Self, CallbackError> {
        if query.len() > LONGEST_QUERY {
            return Err(CallbackError::TooLong);
        }
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let mut read = Parameters { pairs };
        let state = read.take("state")?.ok_or(CallbackError::NoState)?;
        let issuer = read.take("iss")?;
        let description = read.take("error_description")?.unwrap_or_default();
        let outcome = match (read.take("code")?, read.take("error")?) {
            (Some(code), None) => Outcome::Code(Secret::new(code)),
            (None, Some(error)) => Outcome::Error {
                error: printable(&error, 64),
                description: printable(&description, DESCRIPTION),
            },
            _ => return Err(CallbackError::NeitherOrBoth),
        };
        Ok(Self {
            state,
            issuer,
            outcome,
        })
    }

    /// The request that it claims to answer.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The code, where the answer is this provider's (RFC 9207, 2.4) and no error.
    pub fn code(
        self,
        settings: &ProviderSettings,
        metadata: &ProviderMetadata,
    ) -> Result<Secret, Refusal> {
        let mix_up = |found: String| Refusal::MixUp {
            found,
            expected: settings.issuer.clone(),
        };
        match &self.issuer {
            Some(found) if *found != settings.issuer => {
                return Err(mix_up(format!("{:?}", cut(found))));
            }
            None if metadata.names_itself_in_answers() => {
                return Err(mix_up(
                    "missing, though the provider says it always sends it".into(),
                ));
            }
            _ => {}
        }
        match self.outcome {
            Outcome::Code(code) => Ok(code),
            Outcome::Error { error, description } => {
                Err(Refusal::ProviderError { error, description })
            }
        }
    }
}

struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// The one value of `name`, where it is there and not empty.
    fn take(&mut self, name: &'static str) -> Result<Option<String>, CallbackError> {
        let mut values = self.pairs.iter_mut().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| std::mem::take(value));
        if values.next().is_some() {
            return Err(CallbackError::Repeated(name));
        }
        Ok(value.filter(|value| !value.is_empty()))
    }
}
