//! Calls to key management, by what was asked and how it went. No label holds an id of a key or a word of an error.

use std::time::Duration;

use hyperion_vault_kms::{CallResult, KmsObserver, Operation};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the buckets of the times of calls, in seconds. An attempt is given up after 2 s.
const CALL_SECONDS: [f64; 10] = [0.000_5, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

/// What the key provider was asked; every attempt counts.
pub struct KmsMetrics {
    calls: Family<CallLabels, Counter>,
    seconds: Family<OperationLabel, Histogram>,
}

impl Default for KmsMetrics {
    fn default() -> KmsMetrics {
        let seconds = Family::new_with_constructor(call_seconds as fn() -> Histogram);
        KmsMetrics { calls: Family::default(), seconds }
    }
}

impl KmsMetrics {
    /// Shows them beside the rest.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("kms_calls", "Calls to key management by operation and result", self.calls.clone());
        registry.register("kms_call_seconds", "Time of a call to key management", self.seconds.clone());
    }
}

impl KmsObserver for KmsMetrics {
    fn called(&self, operation: Operation, result: CallResult, took: Duration) {
        let (operation, result) = (operation.as_str(), result.as_str());
        self.calls.get_or_create(&CallLabels { operation, result }).inc();
        // One that was not made took no time, and says nothing of those that were.
        if !took.is_zero() {
            self.seconds.get_or_create(&OperationLabel { operation }).observe(took.as_secs_f64());
        }
    }
}

fn call_seconds() -> Histogram {
    Histogram::new(CALL_SECONDS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hyperion_vault_kms::Outage;

    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn each_call_is_counted_by_what_was_asked_and_how_it_went() {
        let kms = KmsMetrics::default();
        let metrics = Metrics::new(Vec::new()).with_kms(&kms);
        let took = Duration::from_millis(3);
        kms.called(Operation::Unwrap, CallResult::Ok, took);
        kms.called(Operation::Unwrap, CallResult::Ok, took);
        kms.called(Operation::Generate, CallResult::Unavailable(Outage::Throttled), took);
        kms.called(Operation::Generate, CallResult::Misconfigured, took);
        kms.called(Operation::Generate, CallResult::Unavailable(Outage::CircuitOpen), Duration::ZERO);
        let text = metrics.encode().unwrap();
        for line in [
            r#"hyperion_vault_kms_calls_total{operation="unwrap",result="ok"} 2"#,
            r#"hyperion_vault_kms_calls_total{operation="generate",result="throttled"} 1"#,
            r#"hyperion_vault_kms_calls_total{operation="generate",result="misconfigured"} 1"#,
            r#"hyperion_vault_kms_calls_total{operation="generate",result="circuit_open"} 1"#,
            r#"hyperion_vault_kms_call_seconds_bucket{le="0.002",operation="unwrap"} 0"#,
            r#"hyperion_vault_kms_call_seconds_bucket{le="0.005",operation="unwrap"} 2"#,
            r#"hyperion_vault_kms_call_seconds_count{operation="generate"} 2"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
