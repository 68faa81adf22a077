"""Errors in the shapes that AWS gives them."""

import json

from moto.core.exceptions import JsonRESTError

# Codes that AWS answers with another status than 400.
STATUSES = {
    "DependencyTimeoutException": 503,
    "InternalFailure": 500,
    "KMSInternalException": 500,
    "KeyUnavailableException": 500,
    "ServiceUnavailableException": 503,
}
# AWS says nothing beside the code.
SILENT = {"InvalidCiphertextException"}
# AWS spells the member with a capital.
CAPITAL = {"AccessDeniedException"}
MESSAGES = {
    "IncorrectKeyException": (
        "The key ID in the request does not identify a CMK that can perform this operation."
    ),
    "InvalidMarkerException": "Could not deserialize marker.",
    "MissingAuthenticationTokenException": "Missing Authentication Token",
    "ThrottlingException": (
        "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
    ),
    "UnrecognizedClientException": "The security token included in the request is invalid.",
}


def refusal(code: str, message: str | None = None) -> JsonRESTError:
    """To be raised: what AWS answers with this code."""
    error = JsonRESTError(code, message or MESSAGES.get(code, code))
    error.code = STATUSES.get(code, 400)
    body = {"__type": code}
    if code not in SILENT:
        body["Message" if code in CAPITAL else "message"] = error.message
    error.description = json.dumps(body)
    return error
