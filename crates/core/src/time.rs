//! Points and spans of time as values. Nothing here knows what time it is.

use minicbor::{Decode, Encode};

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] u64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Timestamp = Timestamp(0);

    #[must_use]
    pub const fn from_unix_ms(ms: u64) -> Timestamp {
        Timestamp(ms)
    }

    #[must_use]
    pub const fn as_unix_ms(self) -> u64 {
        self.0
    }

    /// This much later; stops at the end of representable time.
    #[must_use]
    pub const fn plus(self, span: Seconds) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0.saturating_mul(1_000)))
    }

    /// So many milliseconds later; stops at the end of representable time.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; 0 when `earlier` is later.
    #[must_use]
    pub const fn ms_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds from `earlier` to here, rounded up; 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Timestamp) -> Seconds {
        Seconds(self.ms_since(earlier).div_ceil(1_000))
    }
}

/// A span of time in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Seconds(#[n(0)] u64);

impl Seconds {
    /// No time at all.
    pub const ZERO: Seconds = Seconds(0);

    #[must_use]
    pub const fn new(seconds: u64) -> Seconds {
        Seconds(seconds)
    }

    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}
