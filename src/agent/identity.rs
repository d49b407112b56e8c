//! As whom to ask: with a job's lease token, or with the person's own sign-in.
//!
//! A token file is read for each request, so that a new token counts at once. Nothing of what a file or a
//! variable holds is repeated in an error.

use std::path::PathBuf;

use super::error::{AgentError, Trouble};
use super::sign_in::SignIns;
use crate::model::{RoleArn, Secret, Token, TokenKind};

/// The variable that a launcher injects.
pub(super) const LEASE_TOKEN: &str = "ROLEGATE_LEASE_TOKEN";

/// As whom to ask.
pub(super) enum Identity {
    /// A lease token that was given once.
    Lease(Secret),
    /// A lease token in a file that may be replaced.
    LeaseFile(PathBuf),
    /// A person, for one of their roles.
    Person(SignIns, RoleArn),
}

/// What to ask with.
pub(super) enum Proof<'a> {
    /// A lease's token.
    Lease(Secret),
    /// A session's token, for this role.
    Person(Secret, &'a RoleArn),
}

impl Proof<'_> {
    /// The token.
    pub(super) fn token(&self) -> &Secret {
        match self {
            Self::Lease(token) | Self::Person(token, _) => token,
        }
    }
}

impl Identity {
    /// The file before the variable, and either before the person.
    pub(super) fn choose(
        file: Option<PathBuf>,
        variable: Option<String>,
        role: Option<RoleArn>,
    ) -> Result<Self, AgentError> {
        match (file, variable.filter(|text| !text.trim().is_empty()), role) {
            (Some(file), _, _) => Ok(Self::LeaseFile(file)),
            (None, Some(text), _) => lease_token(&text)
                .map(Self::Lease)
                .ok_or(AgentError::BadLeaseToken(LEASE_TOKEN)),
            (None, None, Some(role)) => Ok(Self::Person(SignIns::of_this_user()?, role)),
            (None, None, None) => Err(AgentError::NoIdentity),
        }
    }

    /// The token as it is now, for the gateway at `url`.
    pub(super) fn proof(&self, url: &str) -> Result<Proof<'_>, Trouble> {
        match self {
            Self::Lease(token) => Ok(Proof::Lease(token.clone())),
            Self::LeaseFile(file) => {
                let text = std::fs::read_to_string(file)
                    .map(zeroize::Zeroizing::new)
                    .map_err(|problem| {
                        let file = file.display();
                        Trouble::Away(format!("cannot read --lease-token-file {file}: {problem}"))
                    })?;
                let bad = || AgentError::BadLeaseToken("--lease-token-file");
                lease_token(&text)
                    .map(Proof::Lease)
                    .ok_or_else(|| Trouble::Away(bad().to_string()))
            }
            Self::Person(sign_ins, role) => sign_ins
                .token(url)
                .map(|token| Proof::Person(token, role))
                .ok_or_else(|| sign_in_needed(url)),
        }
    }
}

/// That nobody is signed in here.
pub(super) fn sign_in_needed(url: &str) -> Trouble {
    Trouble::Refused {
        status: 401,
        code: "sign_in_needed".to_owned(),
        message: format!("you are not signed in at {url}, or no longer; run `rolegate login`"),
    }
}

fn lease_token(text: &str) -> Option<Secret> {
    let token = text.trim().parse::<Token>().ok()?;
    (token.kind() == TokenKind::Lease).then(|| token.into_secret())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OsEntropy;

    fn token(kind: TokenKind) -> String {
        let secret = Token::fresh(kind, &OsEntropy).into_secret();
        secret.expose().to_owned()
    }

    #[test]
    fn a_token_file_is_read_again_and_no_other_token_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let identity = Identity::choose(Some(file.clone()), None, None).unwrap();
        let url = "https://gate.example.org";
        assert!(matches!(identity.proof(url), Err(Trouble::Away(_))));
        for _ in 0..2 {
            let text = token(TokenKind::Lease);
            std::fs::write(&file, format!("{text}\n")).unwrap();
            assert_eq!(identity.proof(url).unwrap().token().expose(), text);
        }
        let session = token(TokenKind::Session);
        std::fs::write(&file, &session).unwrap();
        let error = identity.proof(url).err().unwrap().to_string();
        assert!(
            error.contains("rgj_") && !error.contains(&session),
            "{error}"
        );
        let error = Identity::choose(None, Some(session.clone()), None)
            .err()
            .unwrap();
        assert!(!error.to_string().contains(&session));
        assert!(matches!(
            Identity::choose(None, Some(" ".to_owned()), None),
            Err(AgentError::NoIdentity)
        ));
    }
}
