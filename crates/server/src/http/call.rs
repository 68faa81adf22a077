//! One request on its way through: what handlers take their arguments from.

use std::net::IpAddr;
use std::ops::Deref;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use axum::http::{HeaderMap, HeaderName};
use hyperion_vault_api::json;
use hyperion_vault_core::secret::VersionNumber;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::body::{BodyLimits, read_body};
use super::error::Refused;
use crate::config::Consistency;
use crate::failure::Failure;
use crate::trail::Trail;

/// The parameter of every read of the state.
const CONSISTENCY: &str = "consistency";

/// One request.
pub(super) struct Call {
    pub(super) client: IpAddr,
    pub(super) trail: Trail,
    /// The path's parameter, decoded and not checked.
    pub(super) parameter: String,
    pub(super) headers: HeaderMap,
    pub(super) query: Option<String>,
    /// Whether `?consistency=` is one of its parameters.
    pub(super) takes_consistency: bool,
    pub(super) body: Option<Body>,
}

/// A bearer token as it was sent. Wiped when dropped.
pub(super) struct Bearer(Zeroizing<Vec<u8>>);

impl Deref for Bearer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Call {
    /// The bearer token, if there is one and only one. The scheme may be in any case (RFC 9110 §11.1).
    pub(super) fn bearer(&self) -> Option<Bearer> {
        let value = single(&self.headers, &AUTHORIZATION)?;
        let space = value.iter().position(|byte| *byte == b' ')?;
        let (scheme, token) = value.split_at_checked(space)?;
        let token = token.trim_ascii();
        (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty())
            .then(|| Bearer(Zeroizing::new(token.to_vec())))
    }

    /// The body as JSON. Can be read once.
    pub(super) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Refused> {
        if !single(&self.headers, &CONTENT_TYPE).is_some_and(is_json) {
            return Err(Refused::MediaType);
        }
        let body = read_body(self.body.take().unwrap_or_default(), BodyLimits::default()).await?;
        Ok(json::parse(&body)?)
    }

    /// The version in `If-Match: "<version>"`.
    pub(super) fn if_match(&self) -> Result<Option<VersionNumber>, Failure> {
        if !self.headers.contains_key(IF_MATCH) {
            return Ok(None);
        }
        let version = single(&self.headers, &IF_MATCH)
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|value| value.trim().strip_prefix('"')?.strip_suffix('"'))
            .and_then(parse_number);
        let version =
            version.ok_or_else(|| Failure::Invalid("If-Match must be one \"<version>\"".to_owned()))?;
        Ok(Some(VersionNumber::new(version)))
    }

    /// Takes `?consistency=` out of the parameters, where it is one.
    pub(super) fn take_consistency(&mut self) -> Result<Option<Consistency>, Failure> {
        let query = self.query.clone().unwrap_or_default();
        let (own, rest): (Vec<_>, Vec<_>) =
            query.split('&').partition(|pair| self.takes_consistency && name_of(pair) == CONSISTENCY);
        let [word] = own.as_slice() else {
            return if own.is_empty() { Ok(None) } else { Err(stands_twice()) };
        };
        let word = decode(word.split_once('=').map_or("", |(_, value)| value))?;
        let consistency = Consistency::parse(&word)
            .ok_or_else(|| Failure::Invalid("consistency must be local or linearizable".to_owned()))?;
        self.query = Some(rest.join("&"));
        Ok(Some(consistency))
    }

    /// The parameters of the query string, each of which must be one of `known` and stand there once.
    pub(super) fn query<const N: usize>(&self, known: [&str; N]) -> Result<[Option<String>; N], Failure> {
        let mut values = [const { None }; N];
        let query = self.query.as_deref().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = known.iter().position(|known| *known == name).and_then(|index| values.get_mut(index));
            match slot {
                Some(slot @ None) => *slot = Some(decode(value)?),
                Some(_) => return Err(stands_twice()),
                None => return Err(self.unknown_parameter(&known)),
            }
        }
        Ok(values)
    }

    /// Refuses any query parameter.
    pub(super) fn no_query(&self) -> Result<(), Failure> {
        self.query([]).map(|_: [Option<String>; 0]| ())
    }

    fn unknown_parameter(&self, known: &[&str]) -> Failure {
        let consistency = self.takes_consistency.then_some(CONSISTENCY);
        let known: Vec<_> = known.iter().copied().chain(consistency).collect();
        Failure::Invalid(match known.as_slice() {
            [] => "this path takes no query parameters".to_owned(),
            known => format!("unknown query parameter; known are {}", known.join(", ")),
        })
    }
}

/// The header's value, if it is there once.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first.as_bytes())
}

fn is_json(content_type: &[u8]) -> bool {
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    content_type.get(..end).is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

fn stands_twice() -> Failure {
    Failure::Invalid("a query parameter stands twice".to_owned())
}

fn decode(value: &str) -> Result<String, Failure> {
    let spaced = value.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    Ok(decoded.map_err(|_| Failure::Invalid("a query parameter is not UTF-8".to_owned()))?.into_owned())
}

/// A number of digits alone: no sign, no space.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
