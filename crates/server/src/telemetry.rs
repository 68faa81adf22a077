//! Metrics, in the text format of OpenMetrics. No name of a secret, role or token is ever a label.

mod kms;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hyperion_vault_api::endpoint::Endpoint;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::failure::Failure;

pub use kms::KmsMetrics;

/// Upper bounds of the buckets of request times, in seconds.
const REQUEST_SECONDS: [f64; 11] = [0.000_1, 0.000_3, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    target: &'static str,
    fault: &'static str,
}

/// A figure that some part of the node keeps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// It only grows; its name gets `_total`.
    Counter(u64),
    Gauge(i64),
}

/// Where a figure is read from when the metrics are.
pub struct Reading {
    pub name: &'static str,
    pub help: &'static str,
    /// Absent while it isn't known; it is left out then.
    pub read: Box<dyn Fn() -> Option<Figure> + Send + Sync>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What this node counts.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Histogram,
    unrecorded: Counter<u64, AtomicU64>,
    rotations: Family<ResultLabel, Counter>,
    rotation_faults: Family<FaultLabels, Counter>,
    expired: Counter,
    rewrap_passes: Family<ResultLabel, Counter>,
}

impl Metrics {
    /// With what the other parts count beside it.
    #[must_use]
    pub fn new(readings: Vec<Reading>) -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("hyperion_vault"),
            requests: Family::default(),
            seconds: Histogram::new(REQUEST_SECONDS),
            unrecorded: Counter::default(),
            rotations: Family::default(),
            rotation_faults: Family::default(),
            expired: Counter::default(),
            rewrap_passes: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests by endpoint and status", metrics.requests.clone());
        registry.register("request_seconds", "Time from request to answer", metrics.seconds.clone());
        registry.register(
            "unrecorded_requests",
            "Requests refused because their audit record could not be written",
            metrics.unrecorded.clone(),
        );
        registry.register("scheduled_rotations", "Scheduled rotations by result", metrics.rotations.clone());
        registry.register(
            "rotation_failures",
            "Failed attempts to rotate, by type of target and reason",
            metrics.rotation_faults.clone(),
        );
        registry.register("expired_versions", "Versions removed after their grace", metrics.expired.clone());
        registry.register("rewrap_passes", "Re-wrap passes ended, by result", metrics.rewrap_passes.clone());
        registry.register_collector(Box::new(Readings(readings)));
        metrics
    }

    /// Shows the calls to key management too.
    #[must_use]
    pub fn with_kms(mut self, kms: &KmsMetrics) -> Metrics {
        kms.register(&mut self.registry);
        self
    }

    /// One request was answered.
    pub fn request(&self, endpoint: Option<Endpoint>, status: u16, took: Duration) {
        let endpoint = endpoint.map_or("none", Endpoint::as_str);
        self.requests.get_or_create(&RequestLabels { endpoint, status: status.into() }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// One request was refused because its record could not be written.
    pub fn unrecorded(&self) {
        self.unrecorded.inc();
    }

    /// One scheduled rotation was tried.
    pub fn rotation(&self, done: bool) {
        let result = if done { "done" } else { "failed" };
        self.rotations.get_or_create(&ResultLabel { result }).inc();
    }

    /// One attempt to rotate failed. `target` is the type of its target.
    pub fn rotation_fault(&self, target: &'static str, fault: &'static str) {
        self.rotation_faults.get_or_create(&FaultLabels { target, fault }).inc();
    }

    /// Versions were removed after their grace.
    pub fn expired(&self, versions: u64) {
        self.expired.inc_by(versions);
    }

    /// This node ended a pass of re-wrapping.
    pub fn rewrap_pass(&self, complete: bool) {
        let result = if complete { "complete" } else { "incomplete" };
        self.rewrap_passes.get_or_create(&ResultLabel { result }).inc();
    }

    /// # Errors
    /// [`Failure::Internal`]; none in practice.
    pub fn encode(&self) -> Result<String, Failure> {
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(Failure::internal)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Readings(Vec<Reading>);

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for reading in &self.0 {
            match (reading.read)() {
                Some(Figure::Counter(count)) => {
                    encode_reading(&mut encoder, reading, &ConstCounter::new(count))?
                }
                Some(Figure::Gauge(size)) => encode_reading(&mut encoder, reading, &ConstGauge::new(size))?,
                None => {}
            }
        }
        Ok(())
    }
}

fn encode_reading(
    encoder: &mut DescriptorEncoder,
    reading: &Reading,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    let descriptor = encoder.encode_descriptor(reading.name, reading.help, None, metric.metric_type())?;
    metric.encode(descriptor)
}
