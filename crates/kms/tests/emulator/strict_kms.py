"""moto's KMS, as strict as the real one where a vault depends on it.

Keys that are disabled or wait for deletion refuse; ciphertexts name the material that made them; each
rotation makes new material and keeps the old; rotations are listed in pages; a key is found only under its
own id, ARN or alias.
"""

import base64
import binascii
import json
import time
from typing import Any

from moto.core.request import Request
from moto.kms import models
from moto.kms.exceptions import NotFoundException
from moto.kms.models import Key, KmsBackend
from moto.kms.responses import KmsResponse

from material import Blob, Material
from refusal import refusal

ACCOUNT = "123456789012"
# https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyRotations.html
ROTATIONS_DEFAULT = 100
ROTATIONS_MAX = 1000
# https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
PENDING_WINDOW_DAYS = range(7, 31)

# moto makes an RSA key beside every master key, which takes its time and which nothing here uses.
models.generate_private_key = lambda _spec: None


class StrictBackend(KmsBackend):
    """The keys of one region."""

    def __init__(self, region_name: str, account_id: str | None = None):
        super().__init__(region_name, account_id)
        # By the key's id, oldest first.
        self.materials: dict[str, list[Material]] = {}
        self.rotations_max = ROTATIONS_MAX

    def create_key(self, *args: Any, **kwargs: Any) -> Key:
        key = super().create_key(*args, **kwargs)
        self.materials[key.id] = [Material()]
        return key

    def find(self, key_id: str) -> Key | None:
        """By any of its names."""
        alias = self.get_alias_name(key_id)
        known = self.get_key_id_from_alias(alias) if alias.startswith("alias/") else self.get_key_id(key_id)
        return self.keys.get(known)

    def usable(self, key_id: str) -> Key:
        key = self.present(key_id)
        if not key.enabled:
            raise refusal("DisabledException", f"{key.arn} is disabled.")
        return key

    def present(self, key_id: str) -> Key:
        """A key that is not on its way out."""
        key = self.keys[self.any_id_to_key_id(key_id)]
        if key.key_state == "PendingDeletion":
            raise refusal("KMSInvalidStateException", f"{key.arn} is pending deletion.")
        return key

    def encrypt(self, key_id: str, plaintext: bytes, encryption_context: dict[str, str]) -> tuple[bytes, str]:
        key = self.usable(key_id)
        return self.materials[key.id][-1].encrypt(key.id, plaintext, encryption_context), key.arn

    def decrypt(
        self, ciphertext_blob: bytes, encryption_context: dict[str, str], key_id: str | None = None
    ) -> tuple[bytes, str]:
        blob = Blob.parse(ciphertext_blob)
        if blob.key_id not in self.keys:
            raise refusal("InvalidCiphertextException")
        key = self.usable(key_id or blob.key_id)
        if blob.key_id != key.id:
            raise refusal("IncorrectKeyException")
        material = next((known for known in self.materials[key.id] if known.id == blob.material_id), None)
        if material is None:
            raise refusal("InvalidCiphertextException")
        return material.decrypt(blob, encryption_context), key.arn

    def disable_key(self, key_id: str) -> None:
        super().disable_key(self.present(key_id).id)

    def enable_key(self, key_id: str) -> None:
        super().enable_key(self.present(key_id).id)

    def schedule_key_deletion(self, key_id: str, pending_window_in_days: int) -> float:
        if pending_window_in_days not in PENDING_WINDOW_DAYS:
            raise refusal("ValidationException", "PendingWindowInDays must be between 7 and 30")
        return super().schedule_key_deletion(self.present(key_id).id, pending_window_in_days)

    def cancel_key_deletion(self, key_id: str) -> None:
        key = self.keys[self.get_key_id(key_id)]
        if key.key_state != "PendingDeletion":
            raise refusal("KMSInvalidStateException", f"{key.arn} is not pending deletion.")
        super().cancel_key_deletion(key.id)

    def rotate_key_on_demand(self, key_id: str) -> str:
        key = self.usable(key_id)
        self.materials[key.id].append(Material())
        # In whole milliseconds, as AWS has them, and no two the same.
        earliest = key.rotations[-1]["RotationDate"] + 0.001 if key.rotations else 0
        rotated_at = round(max(time.time(), earliest), 3)
        key.rotations.append({"KeyId": key.id, "RotationDate": rotated_at, "RotationType": "ON_DEMAND"})
        return key.id

    def forget_old_material(self, key_id: str) -> None:
        """What no real KMS does: shows that nothing is needed any more but what the last rotation made."""
        key = self.keys[self.any_id_to_key_id(key_id)]
        del self.materials[key.id][:-1]

    def rotations_page(
        self, key_id: str, limit: int | None, marker: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Some rotations, oldest first, and the marker of those after them. AWS promises no order, and not as
        many as the limit allows: who reads one page only misses the newest."""
        key = self.present(key_id)
        limit = ROTATIONS_DEFAULT if limit is None else limit
        if not 1 <= limit <= ROTATIONS_MAX:
            raise refusal("ValidationException", f"'limit' must be between 1 and {ROTATIONS_MAX}")
        start = _read_marker(marker, key.id) if marker else 0
        end = start + min(limit, self.rotations_max)
        following = _marker(key.id, end) if end < len(key.rotations) else None
        return key.rotations[start:end], following


def _marker(key_id: str, start: int) -> str:
    return base64.b64encode(json.dumps([key_id, start]).encode()).decode()


def _read_marker(marker: str, key_id: str) -> int:
    try:
        owner, start = json.loads(base64.b64decode(marker, validate=True))
    except (binascii.Error, ValueError, TypeError):
        raise refusal("InvalidMarkerException") from None
    if owner != key_id:
        raise refusal("InvalidMarkerException")
    return start


class StrictResponse(KmsResponse):
    """The operations, on the strict backend."""

    backends: dict[str, StrictBackend] = {}

    @classmethod
    def backend_of(cls, region: str) -> StrictBackend:
        return cls.backends.setdefault(region, StrictBackend(region, ACCOUNT))

    @property
    def kms_backend(self) -> StrictBackend:
        return self.backend_of(self.region)

    def _validate_cmk_id(self, key_id: str) -> None:
        self._refuse_foreign_arn(key_id)
        super()._validate_cmk_id(key_id)

    def _validate_alias(self, key_id: str) -> None:
        self._refuse_foreign_arn(key_id)
        super()._validate_alias(key_id)

    def _refuse_foreign_arn(self, key_id: str) -> None:
        """moto looks at the end of an ARN only."""
        if key_id.startswith("arn:") and not key_id.startswith(f"arn:aws:kms:{self.region}:{ACCOUNT}:"):
            raise NotFoundException(f"Invalid arn {key_id}")

    def re_encrypt(self) -> str:
        """moto takes any source."""
        source = self._get_param("SourceKeyId")
        if source:
            self._validate_key_id(source)
        destination = self._get_param("DestinationKeyId")
        self._validate_key_id(destination)
        plaintext, source_arn = self.kms_backend.decrypt(
            self._get_param("CiphertextBlob"), self._get_param("SourceEncryptionContext", {}), source
        )
        blob, arn = self.kms_backend.encrypt(
            destination, plaintext, self._get_param("DestinationEncryptionContext", {})
        )
        encoded = base64.b64encode(blob).decode()
        return json.dumps({"CiphertextBlob": encoded, "KeyId": arn, "SourceKeyId": source_arn})

    def rotate_key_on_demand(self) -> str:
        self._validate_cmk_id(self._get_param("KeyId"))
        return super().rotate_key_on_demand()

    def list_key_rotations(self) -> str:
        """moto takes an alias, which AWS does not."""
        key_id = self._get_param("KeyId")
        self._validate_cmk_id(key_id)
        page, marker = self.kms_backend.rotations_page(
            key_id, self._get_param("Limit"), self._get_param("Marker")
        )
        following = {"NextMarker": marker} if marker else {}
        return json.dumps({"Rotations": page, "Truncated": marker is not None, **following})


def perform(region: str, operation: str, body: bytes) -> tuple[int, str]:
    """Status and body of what this operation answers, refusals included."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"TrentService.{operation}"}
    request = Request.from_primitives("POST", f"https://kms.{region}.amazonaws.com/", headers, body)
    try:
        status, _, answer = StrictResponse.dispatch(request)
    except NotImplementedError:
        error = refusal("UnknownOperationException")
        return error.code, error.description
    return status, answer


def arn_of(region: str, key_id: str | None, blob: str | None) -> str:
    """The ARN of the key that a request is about, by its id or by the blob that it made; what was asked for
    where there is no such key."""
    if key_id is None and blob is not None:
        key_id = Blob.parse(base64.b64decode(blob)).key_id
    key = StrictResponse.backend_of(region).find(key_id) if key_id else None
    return key.arn if key else key_id or "*"
