//! Points in time as text: RFC 3339, UTC, exactly three digits of the second, which keeps the text sortable.

use std::fmt;

use hyperion_vault_core::time::Timestamp;
use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

/// Times that four digits of a year can't hold are written as the last one that they can.
fn civil(time: Timestamp) -> jiff::Timestamp {
    i64::try_from(time.as_unix_ms())
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or(jiff::Timestamp::MAX)
}

pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{:.3}", civil(*time)))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    from.deserialize_str(TimeVisitor)
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 time not before 1970")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
        let civil: jiff::Timestamp = text.parse().map_err(E::custom)?;
        u64::try_from(civil.as_millisecond()).map(Timestamp::from_unix_ms).map_err(E::custom)
    }
}
