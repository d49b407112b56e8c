//! Traces on their way to a collector, by OTLP over HTTP.
//!
//! Only where the configuration names a collector is anything of this made. Finished spans wait in a bounded queue
//! for a thread of their own; a collector that is away or slow costs spans and never a request. The collector is
//! trusted to receive and to nothing else: of its answer the status is read. Nothing but spans marked
//! [`TRACES`] is sent, and no event of the log. The exporter is ours, over OpenTelemetry's own conversion, since
//! the one of `opentelemetry-otlp` heeds environment variables before the configuration. Times and ids of spans are
//! the SDK's; nothing rests on them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
    SpanLimits,
};
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, layer};

use crate::config::{ConfigError, Telemetry};
use crate::model::{Secret, TRACES};

/// Finished spans that may wait; what comes beyond is lost.
const QUEUE: usize = 2048;
/// How many are posted together.
const BATCH: usize = 512;
/// How long a span waits for others at most.
const DELAY: Duration = Duration::from_secs(2);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a post may take.
const WHOLE: Duration = Duration::from_secs(5);
/// How long the end of the gateway waits for the last spans.
const FLUSH: Duration = Duration::from_secs(3);

/// Spans on their way to the collector.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts to send to the collector of `settings`; nothing is asked of it yet. Must be called within a Tokio
    /// runtime, which does the sending.
    pub fn start(settings: &Telemetry) -> Self {
        let resource = Resource::builder_empty()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let exporter = Exporter {
            resource: ResourceAttributesWithSchema::from(&resource),
            runtime: Handle::current(),
            collector: Arc::new(Collector::new(settings.clone())),
        };
        // Each value is set, since the environment has a say in those that are not.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        let ratio = Sampler::TraceIdRatioBased(settings.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_span_limits(SpanLimits::default())
            .with_resource(resource)
            .with_span_processor(processor)
            .build();
        Self(provider)
    }

    /// What takes spans out of the process's `tracing`: those marked [`TRACES`], and no events.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    {
        let spans = Targets::new().with_target(TRACES, LevelFilter::INFO);
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("rolegate"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        layer::Layer::with_filter(layer, spans)
    }

    /// Sends what waits, within three seconds, and ends.
    pub async fn stop(self) {
        let flushed = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH));
        // What is lost was said when the collector went away.
        let _lost = tokio::time::timeout(FLUSH, flushed).await;
    }
}

/// Called by the queue's thread, which has no runtime of its own.
struct Exporter {
    resource: ResourceAttributesWithSchema,
    runtime: Handle,
    collector: Arc<Collector>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter(..)")
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let collector = Arc::clone(&self.collector);
        let posted = self
            .runtime
            .spawn(async move { collector.take(body).await });
        let lost = |why: String| Err(OTelSdkError::InternalFailure(why));
        posted.await.or_else(|error| lost(error.to_string()))
    }
}

/// Why the collector has not got a batch.
#[derive(Debug, Error)]
enum Lost {
    #[error("the authorities in SSL_CERT_FILE cannot be used ({0}); let it name a PEM file")]
    Authorities(String),
    #[error("it cannot be reached ({0})")]
    Unreachable(String),
    #[error("it did not answer within 5 seconds")]
    TimedOut,
    #[error("it answered with status {0}")]
    Status(u16),
}

/// The way to the collector.
struct Collector {
    settings: Telemetry,
    /// Made with the first batch: certificate authorities take memory.
    client: OnceCell<Client>,
    away: AtomicBool,
    bad_headers: AtomicBool,
    headers: std::sync::Mutex<HeaderMap>,
}

impl Collector {
    fn new(settings: Telemetry) -> Self {
        Self {
            settings,
            client: OnceCell::new(),
            away: AtomicBool::new(false),
            bad_headers: AtomicBool::new(false),
            headers: std::sync::Mutex::default(),
        }
    }

    /// Posts a batch; says so once when the collector goes away, and once when it is back.
    async fn take(&self, body: Vec<u8>) {
        let posted = tokio::time::timeout(WHOLE, self.post(body)).await;
        match posted.unwrap_or(Err(Lost::TimedOut)) {
            Ok(()) if self.away.swap(false, Ordering::Relaxed) => {
                tracing::info!(event = "traces_back", "the collector takes traces again");
            }
            Err(error) if !self.away.swap(true, Ordering::Relaxed) => {
                tracing::warn!(event = "traces_lost", %error, "the collector takes no traces; they are dropped until it does");
            }
            _ => {}
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), Lost> {
        let client = self.client.get_or_try_init(async || client()).await?;
        let answer = client
            .post(self.settings.endpoint.clone())
            .headers(self.headers_now())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(body)
            .send()
            .await
            .map_err(|error| Lost::Unreachable(chain(&error.without_url())))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(Lost::Status(answer.status().as_u16()))
    }

    /// The headers of the file, or where it is bad now, those that were good last.
    fn headers_now(&self) -> HeaderMap {
        let read = self.settings.headers();
        let mut good = self
            .headers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match read {
            Ok(read) => {
                self.bad_headers.store(false, Ordering::Relaxed);
                *good = headers(read);
            }
            Err(error) => self.note(&error),
        }
        good.clone()
    }

    fn note(&self, error: &ConfigError) {
        if !self.bad_headers.swap(true, Ordering::Relaxed) {
            tracing::warn!(event = "traces_headers_bad", %error, "the headers in force are kept");
        }
    }
}

fn headers(read: Vec<(String, Secret)>) -> HeaderMap {
    let header = |(name, value): (String, Secret)| {
        let name = HeaderName::try_from(name).ok()?;
        let mut value = HeaderValue::from_str(value.expose()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    read.into_iter().filter_map(header).collect()
}

/// A client that trusts the authorities of `SSL_CERT_FILE`, where that is set, else the system's.
fn client() -> Result<Client, Lost> {
    let bad = |error: &dyn Error| Lost::Authorities(chain(error));
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .user_agent(concat!("rolegate/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = std::env::var_os("SSL_CERT_FILE") {
        let pem = std::fs::read(file).map_err(|error| bad(&error))?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| bad(&error))?;
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|error| bad(&error))
}

/// An error with its causes: the outermost alone says little.
fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
