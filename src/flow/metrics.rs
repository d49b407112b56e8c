//! What is measured, in OpenMetrics text.
//!
//! What is in force is read when somebody asks, so that no number here can be older than the thing it
//! tells of. Labels come from the configuration and from metadata in force, never from a request, so
//! that there are only ever a few. Nothing in here is a secret or names a person.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{IdpView, Idps, Providers};
use crate::model::Clock;

/// Everything that is measured.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// The metrics of the IdPs in force, OpenID providers among them.
    pub fn new(idps: Arc<Idps>, providers: Arc<Providers>, clock: Arc<dyn Clock>) -> Self {
        let mut registry = Registry::with_prefix("rolegate");
        registry.register_collector(Box::new(OfIdps {
            idps,
            providers,
            clock,
        }));
        Self(registry)
    }

    /// The text that a scraper reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a text does not fail; a collector that did would leave its part out.
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.0) {
            tracing::error!(event = "metrics_failed", %error, "metrics are incomplete");
        }
        text
    }
}

/// Keys, age and trouble of the IdPs' metadata.
struct OfIdps {
    idps: Arc<Idps>,
    providers: Arc<Providers>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for OfIdps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfIdps(..)")
    }
}

/// One value with its labels.
type Sample<N> = (Vec<(&'static str, String)>, N);

fn of(view: &IdpView) -> Vec<(&'static str, String)> {
    vec![("idp", view.name.to_string())]
}

impl Collector for OfIdps {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let now = self.clock.now();
        let mut views = self.idps.views(now);
        views.extend(self.providers.views(now));
        let each = |value: fn(&IdpView) -> Option<i64>| {
            let sample = move |view| Some((of(view), value(view)?));
            views
                .iter()
                .filter_map(sample)
                .collect::<Vec<Sample<i64>>>()
        };
        let keys = views.iter().flat_map(|view| {
            view.keys.iter().map(|key| {
                let mut labels = of(view);
                labels.push(("sha256", key.sha256.clone()));
                (labels, key.not_after.timestamp())
            })
        });
        gauge(
            &mut encoder,
            "idp_ready",
            "Whether the identity provider can be used",
            each(|view| Some(i64::from(view.ready))),
        )?;
        gauge(
            &mut encoder,
            "idp_certificate_not_after_seconds",
            "When the signing certificate ends, in seconds since 1970",
            keys.collect(),
        )?;
        gauge(
            &mut encoder,
            "idp_metadata_age_seconds",
            "How long ago the metadata was last seen at its source",
            each(|view| i64::try_from(view.metadata_age_seconds?).ok()),
        )?;
        gauge(
            &mut encoder,
            "idp_metadata_valid_until_seconds",
            "The metadata's own validUntil, in seconds since 1970",
            each(|view| Some(view.valid_until?.timestamp())),
        )?;
        let failures = views.iter().map(|view| (of(view), view.refresh_failures));
        counter(
            &mut encoder,
            "idp_metadata_refresh_failures",
            "How often looking for metadata gave nothing good",
            failures.collect(),
        )
    }
}

/// A gauge with a value for each set of labels.
fn gauge<N: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    samples: Vec<Sample<N>>,
) -> fmt::Result
where
    ConstGauge<N>: EncodeMetric,
{
    let values = samples
        .into_iter()
        .map(|(labels, value)| (labels, ConstGauge::new(value)));
    family(encoder, name, help, MetricType::Gauge, values)
}

/// A counter with a value for each set of labels; the text calls it `.._total`.
fn counter(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    samples: Vec<Sample<u64>>,
) -> fmt::Result {
    let values = samples
        .into_iter()
        .map(|(labels, value)| (labels, ConstCounter::new(value)));
    family(encoder, name, help, MetricType::Counter, values)
}

fn family<L: EncodeLabelSet, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    kind: MetricType,
    values: impl Iterator<Item = (L, M)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in values {
        value.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
