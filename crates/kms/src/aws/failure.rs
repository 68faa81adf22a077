//! The errors of AWS KMS, sorted by what can be done about them.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use crate::provider::{KmsError, Outage};

/// Longest text of an error that is taken over, in characters.
const TEXT_CHARS_MAX: usize = 400;

/// What is altered or belongs elsewhere.
const TAMPERED: [&str; 2] = ["InvalidCiphertextException", "IncorrectKeyException"];
/// Asked too much. AWS's front doors know more words for it than its services.
const THROTTLED: [&str; 7] = [
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "LimitExceededException",
];
/// Of a kind of key whose material can't be rotated.
const UNSUPPORTED: &str = "UnsupportedOperationException";
/// Its own fault, whatever the HTTP status.
const FAULTY: [&str; 4] = [
    "KMSInternalException",
    "DependencyTimeoutException",
    "KeyUnavailableException",
    "ServiceUnavailableException",
];

/// In the place of a code, in an answer that has none.
const NO_CODE: &str = "unknown error";
/// What to do is said first: the SDK's reason goes through all places where it looked.
const NO_CREDENTIALS: &str = "there are no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a \
                              profile by AWS_PROFILE, or give the machine a role";

/// What a call came to. `permission` is what it takes, `key` what it was about. The error's own `Debug` is never
/// used: it could show the body of an answer.
pub(super) fn failure<E>(error: &SdkError<E, HttpResponse>, permission: &str, key: &str) -> KmsError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let said = service.err();
            of_answer(status, said.code().unwrap_or(NO_CODE), said.message(), permission, key)
        }
        SdkError::TimeoutError(_) => unavailable(Outage::TimedOut, "no answer in time".to_owned()),
        SdkError::DispatchFailure(_) => of_dispatch(error),
        SdkError::ResponseError(_) => unavailable(Outage::Faulty, "an answer that can't be read".to_owned()),
        _ => KmsError::Misconfigured { detail: chain(error) },
    }
}

/// Whether a key is said to be of a kind that is never rotated.
pub(super) fn has_no_rotations<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code() == Some(UNSUPPORTED)
}

fn of_answer(status: u16, code: &str, message: Option<&str>, permission: &str, key: &str) -> KmsError {
    let message: String = message.unwrap_or("no reason is given").chars().take(TEXT_CHARS_MAX).collect();
    let detail = format!("{code} ({status}) for {permission} on {key}: {message}");
    if TAMPERED.contains(&code) {
        KmsError::Tampered { detail }
    } else if THROTTLED.contains(&code) || status == 429 {
        unavailable(Outage::Throttled, detail)
    } else if status == 408 {
        unavailable(Outage::TimedOut, detail)
    } else if FAULTY.contains(&code) || status >= 500 {
        unavailable(Outage::Faulty, detail)
    } else {
        KmsError::Misconfigured { detail: format!("{detail}; {}", advice(code)) }
    }
}

/// What the operator can do about an answer that won't change by itself.
fn advice(code: &str) -> &'static str {
    match code {
        "AccessDeniedException" => {
            "grant the permission to the vault's identity, in IAM or in the key's policy"
        }
        "DisabledException" => "enable the key",
        "KMSInvalidStateException" => "cancel the key's deletion, or wait until it is usable",
        "NotFoundException" => "set the right key, region and account",
        "InvalidKeyUsageException" => "use a symmetric key for encryption",
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredTokenException"
        | "IncompleteSignatureException"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException" => {
            "give the vault valid AWS credentials, and the machine the right time"
        }
        NO_CODE => "see whether AWS_ENDPOINT_URL_KMS and proxies lead to AWS KMS",
        _ => "see the reason that AWS KMS gives",
    }
}

/// No answer: there was no connection, or not even a request for want of credentials.
fn of_dispatch<E>(error: &SdkError<E, HttpResponse>) -> KmsError
where
    E: Error + 'static,
{
    let SdkError::DispatchFailure(dispatch) = error else {
        return KmsError::Misconfigured { detail: chain(error) };
    };
    let credentials = sources(error).find_map(|source| source.downcast_ref::<CredentialsError>());
    match credentials {
        Some(CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_)) => {
            unavailable(Outage::Unreachable, chain(error))
        }
        Some(_) => KmsError::Misconfigured { detail: format!("{NO_CREDENTIALS}: {}", chain(error)) },
        // The SDK can't build a request for such an endpoint.
        None if dispatch.is_user() => KmsError::Misconfigured { detail: chain(error) },
        None if dispatch.is_timeout() => unavailable(Outage::TimedOut, chain(error)),
        None => unavailable(Outage::Unreachable, chain(error)),
    }
}

fn unavailable(outage: Outage, detail: String) -> KmsError {
    KmsError::Unavailable { outage, detail }
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The error and its causes, as they are displayed, on one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<_> = sources(error).map(ToString::to_string).collect();
    let words: Vec<_> = texts.iter().flat_map(|text| text.split_whitespace().chain([":"])).collect();
    let line = words.join(" ").replace(" :", ":");
    line.trim_end_matches(':').chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, code: &str) -> &'static str {
        match of_answer(status, code, None, "kms:Decrypt", "key") {
            KmsError::Tampered { .. } => "tampered",
            KmsError::Misconfigured { .. } => "ours",
            KmsError::Unavailable { outage, .. } => outage.as_str(),
        }
    }

    #[test]
    fn every_error_of_the_service_is_sorted_by_what_can_be_done_about_it() {
        for (status, code, expected) in [
            (400, "ThrottlingException", "throttled"),
            (503, "Throttling", "throttled"),
            (408, "SomethingNew", "timed out"),
            (429, "SomethingNew", "throttled"),
            (500, "KMSInternalException", "faulty"),
            (503, "SomethingNew", "faulty"),
            (400, "KeyUnavailableException", "faulty"),
            (400, "DependencyTimeoutException", "faulty"),
            (400, "AccessDeniedException", "ours"),
            (400, "DisabledException", "ours"),
            (400, "NotFoundException", "ours"),
            (400, "KMSInvalidStateException", "ours"),
            (403, "SomethingNew", "ours"),
            (400, "InvalidCiphertextException", "tampered"),
            (400, "IncorrectKeyException", "tampered"),
        ] {
            assert_eq!(class(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn what_an_operator_must_mend_names_the_permission_the_key_and_what_to_do() {
        let error = of_answer(400, "AccessDeniedException", Some("no"), "kms:Decrypt", "arn:k").to_string();
        for part in ["AccessDeniedException", "kms:Decrypt", "arn:k", "grant the permission"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
