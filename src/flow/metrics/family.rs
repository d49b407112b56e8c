//! The one table of what is measured, and how it becomes text.
//!
//! Nothing is served that does not stand in the table; the handbook's page of metrics is held against it.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::model::DurationCounts;

/// A metric: its whole name, its labels, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name in the text, for a counter with `_total`.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($konst:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $konst: Metric = Metric {
            name: $name,
            kind: stringify!($kind),
            labels: &[$($label),*],
            help: $help,
        };)*

        /// Every metric, in the order of the text.
        pub const METRICS: &[Metric] = &[$($konst),*];
    };
}

metrics! {
    BUILD gauge "rolegate_build_info" ["version"] "1, with the version that runs";
    READY gauge "rolegate_ready" [] "1 where /readyz answers 200";
    PROBLEM gauge "rolegate_problem" ["check", "needed"] "1 where a check of /readyz finds something wrong; needed is whether that makes it 503";
    CLOCK gauge "rolegate_clock_seconds" [] "The time as the gateway reads it, in seconds since 1970";
    REQUESTS counter "rolegate_http_requests_total" ["route", "method", "status"] "Requests answered";
    REQUEST_SECONDS histogram "rolegate_http_request_duration_seconds" ["route"] "From the head of a request to its answer";
    SIGN_INS counter "rolegate_sign_ins_total" ["idp", "outcome"] "Responses and callbacks of IdPs, by what came of them";
    FETCHES counter "rolegate_fetches_total" ["outcome"] "Fetches of credentials by leases";
    STS_CALLS counter "rolegate_sts_calls_total" ["method", "outcome"] "Calls of STS for credentials, tries after a failure among them";
    STS_SECONDS histogram "rolegate_sts_call_duration_seconds" ["method"] "How long such a call took";
    REFRESHES counter "rolegate_oidc_refreshes_total" ["idp", "outcome"] "Refresh tokens shown to OpenID providers";
    VERIFICATIONS_WAITING gauge "rolegate_verifications_waiting" [] "Documents of sign-ins that wait for a free core";
    VERIFICATION_SECONDS histogram "rolegate_verification_duration_seconds" [] "How long a document took to verify, once it was its turn";
    LIMITED counter "rolegate_limits_turned_away_total" ["limit"] "Requests and connections turned away by a limit";
    CONNECTIONS gauge "rolegate_connections_open" [] "Connections of clients that are open";
    CONNECTIONS_MOST gauge "rolegate_connections_max" [] "Connections of clients that are taken at once";
    MINTING gauge "rolegate_sign_ins_minting" [] "Sign-ins for which STS is asked just now";
    MINTING_MOST gauge "rolegate_sign_ins_minting_max" [] "Sign-ins for which STS is asked at once, at most";
    UNDERWAY gauge "rolegate_tasks_underway" [] "Tasks that no request waits for and that the process ends only after";
    JOB_SUCCESS gauge "rolegate_job_last_success_seconds" ["name", "of"] "When the last run of a job began that came to its end, in seconds since 1970";
    JOB_INTERVAL gauge "rolegate_job_interval_seconds" ["name", "of"] "How long after the end of a run of a job the next begins";
    JOB_FAILING gauge "rolegate_job_failures_in_a_row" ["name", "of"] "How many runs of a job have failed since the last that did not";
    JOB_RUNS counter "rolegate_job_runs_total" ["name", "of", "outcome"] "Runs of a job that ended";
    JOB_DONE counter "rolegate_job_done_total" ["name", "of"] "What the runs of a job removed or renewed";
    SESSIONS gauge "rolegate_sessions" [] "Confirmed sessions that have neither ended nor run out, a million at most";
    LEASES gauge "rolegate_leases" [] "Leases that are neither revoked nor over, a million at most";
    CREDENTIALS gauge "rolegate_credentials" [] "Credentials kept that have not expired, a million at most";
    ENTRIES gauge "rolegate_allowed_role_entries" [] "Entries of the allow-list in force, denying ones among them";
    HOLDS gauge "rolegate_holds" [] "Holds in force";
    TOKEN_ENDS gauge "rolegate_token_not_after_seconds" ["name", "role"] "When the last API token of a name ends, in seconds since 1970; 200 names at most, those that end first";
    AUDIT_RECORDS counter "rolegate_audit_records_total" ["kind"] "Audit records that this process wrote";
    AUDIT_FAILURES counter "rolegate_audit_write_failures_total" [] "Audit records that could not be written";
    AUDIT_QUEUE gauge "rolegate_audit_queue" [] "Audit records that wait for the disk; at 1,024 who writes one waits for room";
    AUDIT_HEAD gauge "rolegate_audit_head_seq" [] "The number of the last audit record, of all replicas";
    AUDIT_FIRST gauge "rolegate_audit_first_seq" [] "The number of the oldest audit record that is kept";
    AUDIT_COPIED counter "rolegate_audit_copied_total" [] "Audit records of this process that were written to the copy";
    AUDIT_COPY_PENDING gauge "rolegate_audit_copy_pending" [] "Audit records of this process that are still to be written to the copy";
    AUDIT_COPY_FAILURES counter "rolegate_audit_copy_failures_total" [] "Writes to the copy of the audit that failed; each is tried again";
    STORE_UP gauge "rolegate_store_up" [] "1 where the store was heard from within 5 seconds";
    STORE_HEARD gauge "rolegate_store_last_heard_seconds" [] "How long ago the store was heard from";
    STORE_IN_USE gauge "rolegate_store_connections_in_use" ["pool"] "Connections to the store at work";
    STORE_MOST gauge "rolegate_store_connections_max" ["pool"] "Connections to the store there may be";
    STORE_SIZE gauge "rolegate_store_size_bytes" [] "What the database takes up";
    STORE_FREE gauge "rolegate_store_disk_free_bytes" [] "What is free where the SQLite file is";
    STORE_READ gauge "rolegate_store_levels_age_seconds" [] "How old the numbers are that are counted in the store, 15 seconds at most while it answers";
    IDP_READY gauge "rolegate_idp_ready" ["idp"] "Whether the identity provider can be used";
    IDP_CERTIFICATE gauge "rolegate_idp_certificate_not_after_seconds" ["idp", "sha256"] "When the signing certificate ends, in seconds since 1970";
    IDP_AGE gauge "rolegate_idp_metadata_age_seconds" ["idp"] "How long ago the metadata was last seen at its source";
    IDP_VALID gauge "rolegate_idp_metadata_valid_until_seconds" ["idp"] "The metadata's own validUntil, in seconds since 1970";
    IDP_FAILURES counter "rolegate_idp_metadata_refresh_failures_total" ["idp"] "How often looking for metadata gave nothing good";
    TLS_CERTIFICATE gauge "rolegate_tls_certificate_not_after_seconds" [] "When the certificate ends that this process serves with, in seconds since 1970";
    RELAY_KEY gauge "rolegate_relay_key_age_seconds" [] "How long ago the relay key was made that signs now";
    MASTER_KEYS gauge "rolegate_master_keys_held" [] "Master keys that this process holds";
    UNDER_FORMER gauge "rolegate_values_under_former_keys" [] "Values in the store that are still sealed under a former master key, a thousand of a column at most";
    GATEWAYS gauge "rolegate_gateways" [] "Gateways at work on the store";
    RESIDENT gauge "process_resident_memory_bytes" [] "Memory of the process that is in RAM";
    VIRTUAL gauge "process_virtual_memory_bytes" [] "Memory of the process in all";
    CPU counter "process_cpu_seconds_total" [] "Processor time that the process took";
    STARTED gauge "process_start_time_seconds" [] "When the process started, in seconds since 1970";
    THREADS gauge "process_threads" [] "Threads of the process";
    FILES gauge "process_open_fds" [] "Files and connections that are open";
    MOST_FILES gauge "process_max_fds" [] "Files and connections that may be open";
}

/// The labels' values of a sample, in the order of the table.
pub(super) type Values = Vec<String>;

/// Where the text is written.
pub(super) struct Text<'a>(pub(super) DescriptorEncoder<'a>);

impl Text<'_> {
    /// A gauge without labels; nothing where there is no value.
    pub(super) fn level<N>(&mut self, metric: Metric, value: Option<N>) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        self.gauge(metric, value.map(|value| (Values::new(), value)))
    }

    /// A gauge with a value for each set of labels.
    pub(super) fn gauge<N>(
        &mut self,
        metric: Metric,
        samples: impl IntoIterator<Item = (Values, N)>,
    ) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        let samples = samples.into_iter();
        let samples = samples.map(|(values, value)| (values, ConstGauge::new(value)));
        self.family(metric, MetricType::Gauge, samples)
    }

    /// A counter with a value for each set of labels.
    pub(super) fn counter<N>(
        &mut self,
        metric: Metric,
        samples: impl IntoIterator<Item = (Values, N)>,
    ) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        let samples = samples.into_iter();
        let samples = samples.map(|(values, value)| (values, ConstCounter::new(value)));
        self.family(metric, MetricType::Counter, samples)
    }

    /// A histogram with counts for each set of labels.
    pub(super) fn histogram(
        &mut self,
        metric: Metric,
        samples: impl IntoIterator<Item = (Values, DurationCounts)>,
    ) -> fmt::Result {
        let kind = MetricType::Histogram;
        let mut encoder = self
            .0
            .encode_descriptor(metric.name, metric.help, None, kind)?;
        for (values, counts) in samples {
            let labels = labels(metric, values);
            let (sum, count, buckets) = (counts.sum, counts.count, &counts.buckets);
            if labels.is_empty() {
                encoder.encode_histogram::<NoLabelSet>(sum, count, buckets, None)?;
            } else {
                let mut of_labels = encoder.encode_family(&labels)?;
                of_labels.encode_histogram::<NoLabelSet>(sum, count, buckets, None)?;
            }
        }
        Ok(())
    }

    fn family<M: EncodeMetric>(
        &mut self,
        metric: Metric,
        kind: MetricType,
        mut samples: impl Iterator<Item = (Values, M)>,
    ) -> fmt::Result {
        // The encoder itself puts `_total` behind a counter's name.
        let name = match kind {
            MetricType::Counter => metric.name.trim_end_matches("_total"),
            _ => metric.name,
        };
        let mut encoder = self.0.encode_descriptor(name, metric.help, None, kind)?;
        if metric.labels.is_empty() {
            let first = samples.next();
            return first.map_or(Ok(()), |(_, value)| value.encode(encoder));
        }
        for (values, value) in samples {
            value.encode(encoder.encode_family(&labels(metric, values))?)?;
        }
        Ok(())
    }
}

fn labels(metric: Metric, values: Values) -> Vec<(&'static str, String)> {
    metric.labels.iter().copied().zip(values).collect()
}

/// Labels of one value.
pub(super) fn one(value: &(impl ToString + ?Sized)) -> Values {
    vec![value.to_string()]
}
