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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::TimeDelta;

    use super::*;
    use crate::config::{self, Config};
    use crate::flow::Idps;

    fn config(folder: &std::path::Path) -> Config {
        let metadata = include_bytes!("../../../fixtures/saml/idp-expired.xml");
        std::fs::write(folder.join("idp.xml"), metadata).unwrap();
        let text = "[server]\npublic_url = \"http://127.0.0.1:8080\"\n\
            [[saml.idp]]\nname = \"okta\"\nmetadata_file = \"idp.xml\"\n";
        std::fs::write(folder.join("rolegate.toml"), text).unwrap();
        config::load(&folder.join("rolegate.toml"), &BTreeMap::new()).unwrap()
    }

    #[test]
    fn each_threshold_is_told_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = "2020-01-01T00:00:00Z".parse().unwrap();
        let idps = Idps::load(&config(folder.path()), at).unwrap();
        let end = idps.views(at)[0].keys[0].not_after;
        let mut expiry = Expiry::default();
        let mut told = |days: i64| {
            let news = expiry.nearer(&idps.all(), end - TimeDelta::days(days));
            news.into_iter().map(|(_, _, nearness)| nearness).next()
        };
        let seen = [61, 60, 45, 30, 30, 8, 7, 1, 0, -1].map(&mut told);
        let (two, month) = (Some(Nearness::TwoMonths), Some(Nearness::Month));
        let (week, ended) = (Some(Nearness::Week), Some(Nearness::Ended));
        let nothing = None;
        assert_eq!(
            seen,
            [
                nothing, two, nothing, month, nothing, nothing, week, nothing, ended, nothing
            ]
        );
        // A process that starts late says how it stands.
        let mut late = Expiry::default();
        assert_eq!(late.nearer(&idps.all(), end - TimeDelta::days(3)).len(), 1);
    }
}
