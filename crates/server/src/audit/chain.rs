//! One record to one line and back: format version 1.
//!
//! ```text
//! {"v":1,"seq":7,…,"detail":null,"prev":"<64 hex>","hash":"<64 hex>"}\n
//! └──────────────── hashed bytes ───────────────┘
//! ```
//!
//! `hash` = SHA-256(label ‖ previous hash, 32 bytes ‖ hashed bytes); the first record's `prev` is all zeros.
//! The hash covers the bytes of the line as they stand, so checking it needs no JSON canonicalisation. All
//! bytes of a line are printable ASCII: whatever a client sent is escaped, and so can't end a line, colour a
//! terminal or reverse the direction of the text.

use std::fmt;
use std::io::{self, Write};

use hyperion_vault_core::limits::{BATCH_NAMES_MAX, SECRET_NAME_BYTES_MAX};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::ser::Formatter;
use sha2::{Digest, Sha256};

use super::error::LineFault;
use super::record::{FORMAT_VERSION, Record, TEXT_CHARS_MAX};

/// Separates these hashes from any other use of SHA-256 in the system.
const LABEL: &[u8] = b"hyperion-vault audit record v1\0";
const PREV_OPEN: &[u8] = br#","prev":""#;
const HASH_OPEN: &[u8] = br#","hash":""#;
const HASH_CLOSE: &[u8] = br#""}"#;
const HEX_BYTES: usize = 64;

/// Longest line, without its end, in bytes. A longer one was not written by this program.
pub(super) const LINE_BYTES_MAX: usize = 96 << 10;

/// Texts that a caller has a hand in: request id, actor, name.
const CALLER_TEXTS: usize = 3;
/// A character outside the basic plane is escaped as two `\uXXXX`.
const ESCAPED_CHAR_BYTES_MAX: usize = 12;
/// What is around the name and the version of a secret of a batch; such a name has nothing to escape.
const BATCH_SECRET_FRAME_BYTES: usize = br#"{"name":"","version":},"#.len();
/// Those of the largest version.
const VERSION_DIGITS_MAX: usize = u64::MAX.ilog10() as usize + 1;
const _: () = assert!(
    CALLER_TEXTS * (TEXT_CHARS_MAX + 1) * ESCAPED_CHAR_BYTES_MAX
        + BATCH_NAMES_MAX * (SECRET_NAME_BYTES_MAX + BATCH_SECRET_FRAME_BYTES + VERSION_DIGITS_MAX)
        + 2_048
        < LINE_BYTES_MAX,
    "the longest record with all its fixed members has to fit a line"
);

/// The hash of one record, and through it of all before.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first record of a log names as the one before it.
    pub const ZERO: Hash = Hash([0; 32]);

    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Hash {
        Hash(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn from_hex(hex: &[u8]) -> Option<Hash> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hex, &mut bytes).ok()?;
        Some(Hash(bytes))
    }

    fn to_hex(self) -> Result<[u8; HEX_BYTES], hex::FromHexError> {
        let mut text = [0; HEX_BYTES];
        hex::encode_to_slice(self.0, &mut text)?;
        Ok(text)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(from)?;
        Hash::from_hex(text.as_bytes()).ok_or_else(|| serde::de::Error::custom("not 64 hexadecimal digits"))
    }
}

/// The end of a chain: the number and the hash of its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub seq: u64,
    pub hash: Hash,
}

impl Head {
    /// The head of a log without records.
    pub const GENESIS: Head = Head { seq: 0, hash: Hash::ZERO };
}

/// Appends `record` to `out` as the line that follows `prev`, its end included, and returns the new head.
///
/// # Errors
/// When the record can't be encoded; `out` may then hold a part of the line.
pub fn seal(record: &Record, prev: &Hash, out: &mut Vec<u8>) -> io::Result<Head> {
    let start = out.len();
    record.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, AsciiFormatter))?;
    out.pop(); // the closing brace of the record, which moves behind the chain
    out.extend_from_slice(PREV_OPEN);
    out.extend_from_slice(&prev.to_hex().map_err(io::Error::other)?);
    out.push(b'"');
    let hash = link_hash(prev, out.get(start..).unwrap_or_default());
    out.extend_from_slice(HASH_OPEN);
    out.extend_from_slice(&hash.to_hex().map_err(io::Error::other)?);
    out.extend_from_slice(HASH_CLOSE);
    out.push(b'\n');
    Ok(Head { seq: record.seq, hash })
}

/// A line whose hash is right, by what ties it to its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub seq: u64,
    pub prev: Hash,
    pub hash: Hash,
}

impl Link {
    /// The head of a log that ends here.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

/// Checks one line, without its end, against its own hash.
///
/// # Errors
/// [`LineFault`]: it is not a line of a known format, or it was changed.
pub fn check(line: &[u8]) -> Result<Link, LineFault> {
    let (version, seq) = leading_members(line).ok_or(LineFault::Malformed)?;
    if version != u64::from(FORMAT_VERSION) {
        return Err(LineFault::UnknownFormat(u32::try_from(version).unwrap_or(u32::MAX)));
    }
    let (hashed, prev, hash) = split(line).ok_or(LineFault::Malformed)?;
    if link_hash(&prev, hashed) != hash {
        return Err(LineFault::WrongHash);
    }
    Ok(Link { seq, prev, hash })
}

/// The number of the record on `line`, unchecked.
pub(super) fn seq_of(line: &[u8]) -> Option<u64> {
    leading_members(line).map(|(_, seq)| seq)
}

fn link_hash(prev: &Hash, hashed: &[u8]) -> Hash {
    let digest = Sha256::new().chain_update(LABEL).chain_update(prev.0).chain_update(hashed).finalize();
    Hash(digest.into())
}

/// The hashed bytes, `prev` and `hash` of a line.
fn split(line: &[u8]) -> Option<(&[u8], Hash, Hash)> {
    let (rest, hash) = line.strip_suffix(HASH_CLOSE)?.split_last_chunk::<HEX_BYTES>()?;
    let hashed = rest.strip_suffix(HASH_OPEN)?;
    let (record, prev) = hashed.strip_suffix(b"\"")?.split_last_chunk::<HEX_BYTES>()?;
    record.strip_suffix(PREV_OPEN)?;
    Some((hashed, Hash::from_hex(prev)?, Hash::from_hex(hash)?))
}

/// The format version and the number, which open each line of every format version.
fn leading_members(line: &[u8]) -> Option<(u64, u64)> {
    let (version, rest) = number(line.strip_prefix(br#"{"v":"#)?)?;
    let (seq, _) = number(rest.strip_prefix(br#","seq":"#)?)?;
    Some((version, seq))
}

/// The number before the first comma, and what follows from there.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let comma = text.iter().position(|byte| *byte == b',')?;
    let (digits, rest) = text.split_at_checked(comma)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// Compact JSON in which everything but printable ASCII is escaped.
struct AsciiFormatter;

impl Formatter for AsciiFormatter {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, to: &mut W, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| !matches!(c, ' '..='~')) {
            let (plain, odd) = rest.split_at(at);
            to.write_all(plain.as_bytes())?;
            let mut chars = odd.chars();
            if let Some(odd) = chars.next() {
                odd.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(to, "\\u{unit:04x}"))?;
            }
            rest = chars.as_str();
        }
        to.write_all(rest.as_bytes())
    }
}
