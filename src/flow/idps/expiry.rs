//! Tells the log when an IdP's signing certificate comes within 60, 30 and 7 days of its end, and when it ends:
//! each once in the life of the process.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Idp;
use crate::model::{IdpName, rfc3339};
use crate::saml::Certificate;
use crate::saml::metadata::Nearness;

/// What the log was told already.
#[derive(Default)]
pub(super) struct Expiry {
    told: HashMap<(IdpName, String), Nearness>,
}

impl Expiry {
    /// Logs what has come nearer.
    pub(super) fn tell(&mut self, idps: &[Arc<Idp>], now: DateTime<Utc>) {
        for (idp, certificate, nearness) in self.nearer(idps, now) {
            let end = rfc3339(certificate.not_after);
            let (sha256, days) = (
                &certificate.sha256,
                (certificate.not_after - now).num_days(),
            );
            if nearness >= Nearness::Week {
                tracing::error!(event = "idp_certificate_expires", %idp, sha256, not_after = end, days,
                    "a signing certificate of the IdP has ended or is about to; load its new metadata");
            } else {
                tracing::warn!(event = "idp_certificate_expires", %idp, sha256, not_after = end, days,
                    "a signing certificate of the IdP ends soon");
            }
        }
    }

    fn nearer(
        &mut self,
        idps: &[Arc<Idp>],
        now: DateTime<Utc>,
    ) -> Vec<(IdpName, Certificate, Nearness)> {
        let mut told = HashMap::new();
        let mut news = Vec::new();
        for idp in idps {
            for certificate in idp.trust.certificates() {
                let Some(nearness) = Nearness::of(certificate.not_after, now) else {
                    continue;
                };
                let key = (idp.settings.name.clone(), certificate.sha256.clone());
                if self.told.get(&key).is_none_or(|known| *known < nearness) {
                    news.push((key.0.clone(), certificate, nearness));
                }
                told.insert(key, nearness);
            }
        }
        // A certificate that is no longer published is forgotten.
        self.told = told;
        news
    }
}
