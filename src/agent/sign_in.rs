//! The sessions that `login` keeps, one a gateway, in files for this user alone.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::AgentError;
use super::private_file;
use crate::model::{Clock, Secret, SystemClock, Token, TokenKind, hex};

/// Where sessions are kept.
pub(super) struct SignIns {
    folder: PathBuf,
}

/// What the gateway gave.
#[derive(Deserialize, Serialize)]
pub(super) struct Session {
    pub(super) session_token: String,
    pub(super) user: String,
    pub(super) idp: String,
    pub(super) expires_at: DateTime<Utc>,
}

impl SignIns {
    /// `$XDG_STATE_HOME/rolegate/sessions`, or that below `~/.local/state`.
    pub(super) fn of_this_user() -> Result<Self, AgentError> {
        let state = home_folder("XDG_STATE_HOME", ".local/state").ok_or(AgentError::NoHome)?;
        Ok(Self {
            folder: state.join("rolegate/sessions"),
        })
    }

    /// The session's token for the gateway at `url`, while it lasts.
    pub(super) fn token(&self, url: &str) -> Option<Secret> {
        let text = Zeroizing::new(std::fs::read(self.file(url)).ok()?);
        let session: Session = serde_json::from_slice(&text).ok()?;
        let token: Token = session.session_token.parse().ok()?;
        let lasts = SystemClock.now() < session.expires_at;
        (lasts && token.kind() == TokenKind::Session).then(|| token.into_secret())
    }

    /// Keeps `session` for the gateway at `url`.
    pub(super) fn keep(&self, url: &str, session: &Session) -> Result<(), AgentError> {
        let path = self.file(url);
        let written = serde_json::to_vec(session)
            .map_err(std::io::Error::from)
            .and_then(|text| {
                private_file::make_folder(&self.folder)?;
                private_file::write(&path, &Zeroizing::new(text), 0o600)
            });
        written.map_err(|problem| AgentError::Write { path, problem })
    }

    /// Forgets the session for the gateway at `url`; says whether there was one.
    pub(super) fn forget(&self, url: &str) -> Result<bool, AgentError> {
        let path = self.file(url);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(problem) => Err(AgentError::Write { path, problem }),
        }
    }

    fn file(&self, url: &str) -> PathBuf {
        let name = hex(&openssl::sha::sha256(url.as_bytes()));
        self.folder.join(format!("{name}.json"))
    }
}

/// The folder of `variable`, or `below` the home folder; a relative one does not count, as XDG says.
pub(super) fn home_folder(variable: &str, below: &str) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    set(variable)
        .filter(|folder| folder.is_absolute())
        .or_else(|| {
            set("HOME")
                .filter(|home| home.is_absolute())
                .map(|home| home.join(below))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OsEntropy;
    use chrono::TimeDelta;

    #[test]
    fn a_session_is_kept_for_its_gateway_while_it_lasts() {
        let place = tempfile::tempdir().unwrap();
        let sign_ins = SignIns {
            folder: place.path().join("sessions"),
        };
        let text = Token::fresh(TokenKind::Session, &OsEntropy).into_secret();
        let session = |minutes| Session {
            session_token: text.expose().to_owned(),
            user: "alice".to_owned(),
            idp: "okta".to_owned(),
            expires_at: SystemClock.now() + TimeDelta::minutes(minutes),
        };
        let (one, other) = ("https://a.example.org", "https://b.example.org");
        assert!(sign_ins.token(one).is_none());
        sign_ins.keep(one, &session(1)).unwrap();
        assert_eq!(sign_ins.token(one), Some(text.clone()));
        assert!(sign_ins.token(other).is_none());
        sign_ins.keep(one, &session(-1)).unwrap();
        assert!(sign_ins.token(one).is_none());
        assert!(sign_ins.forget(one).unwrap());
        assert!(!sign_ins.forget(one).unwrap());
    }
}
