//! A provider, the sandbox STS, a store, and gateways over them; ann signs in, and a job has a lease.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::party::{CLIENT, LIFE, Party};
use crate::audit;
use crate::demo::sts::{Account, OidcProvider, Role, SandboxSts, StsSettings as Sandbox};
use crate::flow::{
    AllowList, Budget, Fetch, FetchParts, Holds, IdTokens, IdTokensParts, Issuer, IssuerParts,
    Mint, MintTurns, Providers, Pulse, RelayKeys, RelayParts, Underway,
};
use crate::model::{
    Clock, IdToken, Method, Offer, OidcTokens, OsEntropy, ReplayId, Secret, SessionDuration,
    SessionId, SignIn, Subject, SubjectParts, TokenHash, WebIdentity,
};
use crate::policy::Limits;
use crate::store::testing::{Bench, TestSignIn, draft, person, role};
use crate::store::{Opened, SessionState, Store};
use crate::sts::{Sts, StsSettings};

pub(in crate::flow) struct Stage {
    pub(in crate::flow) bench: Bench,
    pub(super) party: Party,
    /// The provider `slow`, beside `okta`.
    pub(super) slow: Party,
    pub(in crate::flow) sandbox: SandboxSts,
}

/// A gateway, as far as these tests need one.
pub(in crate::flow) struct Gate {
    pub(super) id_tokens: Arc<IdTokens>,
    pub(in crate::flow) fetch: Arc<Fetch>,
    pub(in crate::flow) mint: Arc<Mint>,
    pub(in crate::flow) store: Store,
}

/// A sign-in with an ID token.
struct TokenSignIn {
    parts: SubjectParts,
    tokens: OidcTokens,
}

impl SignIn for TokenSignIn {
    type Proof = OidcTokens;

    fn replay_ids(&self) -> Vec<ReplayId> {
        let text = self.tokens.id_token.jwt.expose();
        vec![ReplayId(openssl::sha::sha256(text.as_bytes()))]
    }

    fn remember_until(&self) -> DateTime<Utc> {
        self.tokens.id_token.expires_at
    }

    fn in_response_to(&self) -> Option<&str> {
        None
    }

    fn into_parts(self) -> (SubjectParts, OidcTokens) {
        (self.parts, self.tokens)
    }
}

impl Stage {
    pub(in crate::flow) async fn set() -> Self {
        let bench = Bench::new();
        let party = Party::start(Arc::clone(&bench.clock)).await;
        let slow = Party::start(Arc::clone(&bench.clock)).await;
        let name = party.issuer().strip_prefix("http://").unwrap().to_owned();
        let arn = format!("arn:aws:iam::123456789012:oidc-provider/{name}");
        let policy = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Federated": arn },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": { "StringEquals": { format!("{name}:aud"): CLIENT } },
        }] });
        let account = Account {
            roles: vec![Role::new(role("reader").as_str(), &policy.to_string()).unwrap()],
            oidc_providers: vec![OidcProvider {
                arn,
                issuer: party.issuer().to_owned(),
                client_ids: vec![CLIENT.to_owned()],
            }],
            ..Account::default()
        };
        let settings = Sandbox {
            trusts: Vec::new(),
            providers: Vec::new(),
            clock: Arc::<crate::model::FixedClock>::clone(&bench.clock),
            entropy: Arc::new(OsEntropy),
        };
        let sandbox = SandboxSts::start_with(settings, account).await.unwrap();
        Self {
            bench,
            party,
            slow,
            sandbox,
        }
    }

    pub(in crate::flow) fn passes(&self, seconds: i64) {
        self.bench.clock.advance(TimeDelta::seconds(seconds));
    }

    async fn providers(&self) -> Arc<Providers> {
        let folder = tempfile::tempdir().unwrap();
        let provider = |name: &str, party: &Party| {
            let issuer = party.issuer();
            format!(
                "[[oidc.provider]]\nname = \"{name}\"\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT}\"\nclient_secret = \"the-client-secret\"\n"
            )
        };
        let text = format!(
            "[server]\npublic_url = \"http://127.0.0.1:8080\"\n{}{}",
            provider("okta", &self.party),
            provider("slow", &self.slow)
        );
        let file = folder.path().join("rolegate.toml");
        std::fs::write(&file, text).unwrap();
        let config = crate::config::load(&file, &BTreeMap::new()).unwrap();
        let providers = Providers::load(&config, &self.clock(), Arc::new(OsEntropy)).unwrap();
        assert!(providers.ask_all().await.is_empty());
        Arc::new(providers)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::<crate::model::FixedClock>::clone(&self.bench.clock)
    }

    /// Another gateway over the same store.
    pub(in crate::flow) async fn gate(&self, claimant: &str) -> Gate {
        let store = self.bench.open().await;
        let (clock, claimant) = (self.clock(), claimant.to_owned());
        let recorder = audit::Recorder::start(store.clone(), Arc::clone(&clock));
        let allow_list = Arc::new(allow_list(&store).await);
        let holds = Arc::new(Holds::load(store.clone()).await.unwrap());
        let id_tokens = Arc::new(IdTokens::new(IdTokensParts {
            store: store.clone(),
            providers: self.providers().await,
            allow_list: Arc::clone(&allow_list),
            holds: Arc::clone(&holds),
            recorder: recorder.clone(),
            clock: Arc::clone(&clock),
            claimant: claimant.clone(),
        }));
        let sts = StsSettings {
            endpoint: Some(self.sandbox.url().to_owned()),
            ..StsSettings::default()
        };
        let sts = Arc::new(Sts::new(sts, Arc::clone(&clock)));
        let issuer = Arc::new(Issuer::new(IssuerParts {
            store: store.clone(),
            sts: Arc::clone(&sts),
            relay: Arc::new(relay(&store, &recorder, &clock).await),
            id_tokens: Arc::clone(&id_tokens),
            budget: Budget::new(NonZeroU32::new(100).unwrap()),
            recorder: recorder.clone(),
            clock: Arc::clone(&clock),
            claimant: claimant.clone(),
            underway: Underway::here(),
        }));
        let fetch = Arc::new(Fetch::new(FetchParts {
            store: store.clone(),
            allow_list: Arc::clone(&allow_list),
            pulse: beating(),
            holds,
            issuer: Arc::clone(&issuer),
            recorder: recorder.clone(),
            clock: Arc::clone(&clock),
        }));
        id_tokens.tell(&fetch);
        let mint = Arc::new(Mint {
            store: store.clone(),
            sts,
            issuer,
            allow_list,
            recorder,
            clock,
            claimant,
            turns: MintTurns::new(10, Arc::default()),
            underway: Underway::here(),
        });
        Gate {
            id_tokens,
            fetch,
            mint,
            store,
        }
    }

    /// The role is allowed by web-identity, for a week after the sign-in.
    pub(in crate::flow) async fn allow_reader(&self) {
        let mut draft = draft("reader");
        draft.method = Some(Method::WebIdentity);
        draft.renew_for_seconds = Some(604_800);
        let store = self.bench.open().await;
        store.add_entry(draft, "a test").await.unwrap();
    }

    /// Ann signs in, with the refresh token `refresh-0` or without one.
    pub(in crate::flow) async fn sign_in(&self, gate: &Gate, refreshes: bool) -> Arc<Subject> {
        self.sign_in_at("okta", &self.party, gate, refreshes).await
    }

    /// Somebody of the same name signs in at another provider.
    pub(super) async fn sign_in_at(
        &self,
        idp: &str,
        provider: &Party,
        gate: &Gate,
        refreshes: bool,
    ) -> Arc<Subject> {
        let now = self.bench.clock.now();
        let whole = DateTime::from_timestamp(now.timestamp(), 0).unwrap();
        let (issuer, expires_at) = (provider.issuer(), whole + TimeDelta::seconds(LIFE));
        let id_token = IdToken {
            jwt: Secret::new(provider.id_token(&json!({}))),
            issuer: issuer.to_owned(),
            subject: "s-1".to_owned(),
            audience: CLIENT.to_owned(),
            issued_at: whole,
            expires_at,
        };
        let mut parts = TestSignIn::new("a").into_parts().0;
        parts.person = person(idp, "ann");
        parts.offers = vec![Offer {
            role: role("reader"),
            provider: None,
        }];
        parts.web_identity = Some(WebIdentity {
            issuer: issuer.to_owned(),
            subject: "s-1".to_owned(),
            audience: CLIENT.to_owned(),
            redeemable_until: (!refreshes).then_some(expires_at),
        });
        let refresh_at = crate::flow::refresh_at(
            &id_token,
            &SessionId::fresh(&*self.bench.clock, &OsEntropy),
            now,
        );
        let tokens = OidcTokens {
            id_token,
            refresh_token: refreshes.then(|| Secret::new("refresh-0".to_owned())),
        };
        let fresh = gate.store.accept(TokenSignIn { parts, tokens }, None).await;
        let mut open = self.bench.new_session(SessionState::Confirmed);
        open.expires_at = self.bench.at(604_800);
        let opened = gate
            .store
            .open_session_with_tokens(fresh.unwrap(), open, refresh_at)
            .await;
        let Opened { live, .. } = opened.unwrap();
        live.subject
    }

    /// A job with a lease on the role.
    pub(in crate::flow) async fn lease(&self, gate: &Gate) -> TokenHash {
        let (mut lease, token) = self.bench.lease("job-1");
        lease.expires_at = self.bench.at(604_800);
        gate.store.add_lease(&lease, &token).await.unwrap();
        token
    }
}

impl Gate {
    /// How often something of this kind is in the audit.
    pub(super) async fn recorded(&self, kind: &str) -> usize {
        let records = audit::list(&self.store, 0, 1000).await.unwrap();
        let of_kind = records.iter().filter(|record| record.kind.as_str() == kind);
        of_kind.count()
    }
}

async fn allow_list(store: &Store) -> AllowList {
    let limits = Limits {
        max_duration: SessionDuration::MAX,
        default_method: Method::WebIdentity,
        saml_providers: Vec::new(),
    };
    let list = AllowList::load(Vec::new(), limits, store.clone()).await;
    list.unwrap()
}

async fn relay(store: &Store, recorder: &audit::Recorder, clock: &Arc<dyn Clock>) -> RelayKeys {
    let keys = RelayKeys::load(RelayParts {
        store: store.clone(),
        recorder: recorder.clone(),
        clock: Arc::clone(clock),
        entropy: Arc::new(OsEntropy),
        issuer: "https://gate.example.org".to_owned(),
        publishes: false,
    });
    keys.await.unwrap()
}

/// A pulse of a store that answers all the time.
fn beating() -> Arc<Pulse> {
    let pulse = Arc::new(Pulse::started());
    let mine = Arc::downgrade(&pulse);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        while let Some(pulse) = mine.upgrade() {
            pulse.beat();
            drop(pulse);
            ticks.tick().await;
        }
    });
    pulse
}
