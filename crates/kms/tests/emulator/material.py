"""Key material of master keys, and the blobs that it encrypts.

A blob is `LABEL | key id (36, ASCII) | material id (16) | nonce (12) | AES-256-GCM ciphertext and tag`. All
that stands before the nonce, and the encryption context, is authenticated.
"""

import json
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from refusal import refusal

LABEL = b"EKM1"
KEY_ID_BYTES = 36
MATERIAL_ID_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
HEADER_BYTES = len(LABEL) + KEY_ID_BYTES + MATERIAL_ID_BYTES
MASTER_KEY_BITS = 256


class Material:
    """What one rotation made."""

    def __init__(self) -> None:
        self.id = os.urandom(MATERIAL_ID_BYTES)
        self._cipher = AESGCM(AESGCM.generate_key(MASTER_KEY_BITS))

    def encrypt(self, key_id: str, plaintext: bytes, context: dict[str, str]) -> bytes:
        header = LABEL + key_id.encode("ascii").ljust(KEY_ID_BYTES) + self.id
        nonce = os.urandom(NONCE_BYTES)
        return header + nonce + self._cipher.encrypt(nonce, plaintext, header + canonical(context))

    def decrypt(self, blob: "Blob", context: dict[str, str]) -> bytes:
        try:
            return self._cipher.decrypt(blob.nonce, blob.ciphertext, blob.header + canonical(context))
        except InvalidTag:
            raise refusal("InvalidCiphertextException") from None


@dataclass(frozen=True)
class Blob:
    """A ciphertext in its parts. Nothing of it is authentic before it is decrypted."""

    header: bytes
    key_id: str
    material_id: bytes
    nonce: bytes
    ciphertext: bytes

    @staticmethod
    def parse(data: bytes) -> "Blob":
        if len(data) < HEADER_BYTES + NONCE_BYTES + TAG_BYTES or not data.startswith(LABEL):
            raise refusal("InvalidCiphertextException")
        header, rest = data[:HEADER_BYTES], data[HEADER_BYTES:]
        key_id = header[len(LABEL) : len(LABEL) + KEY_ID_BYTES].decode("ascii", "replace").rstrip()
        return Blob(header, key_id, header[-MATERIAL_ID_BYTES:], rest[:NONCE_BYTES], rest[NONCE_BYTES:])


def canonical(context: dict[str, str]) -> bytes:
    """The same bytes for the same pairs in any order, and never the same for others: moto joins names and
    values without a border, so that {"ab": "c"} would open what {"a": "bc"} sealed."""
    if not isinstance(context, dict) or not all(isinstance(value, str) for value in context.values()):
        raise refusal("ValidationException", "the encryption context must be a map of strings to strings")
    return json.dumps(context, sort_keys=True, separators=(",", ":")).encode("ascii")
