//! Times on the wire: RFC 3339, UTC, with milliseconds.

use hyperion_vault_core::time::Timestamp;

/// `2026-01-02T03:04:05.678Z`. A time beyond what the format can say is shown as the last that it can.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let ms = i64::try_from(at.as_unix_ms()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{at:.3}")
}

/// A text is no time of RFC 3339 after 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a time such as 2026-01-02T03:04:05Z")]
pub struct NotATime;

/// Reads an RFC 3339 time with any offset.
///
/// # Errors
/// [`NotATime`].
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, NotATime> {
    let at: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
    u64::try_from(at.as_millisecond()).map(Timestamp::from_unix_ms).map_err(|_| NotATime)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_go_out_in_utc_with_milliseconds_and_come_back() {
        let at = Timestamp::from_unix_ms(1_767_323_045_678);
        assert_eq!(rfc3339(at), "2026-01-02T03:04:05.678Z");
        assert_eq!(parse_rfc3339(&rfc3339(at)), Ok(at));
        assert_eq!(parse_rfc3339("2026-01-02T04:04:05.678+01:00"), Ok(at));
        assert_eq!(rfc3339(Timestamp::EPOCH), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_rfc3339("yesterday"), Err(NotATime));
        assert!(rfc3339(Timestamp::from_unix_ms(u64::MAX)).starts_with("9999"));
    }
}
