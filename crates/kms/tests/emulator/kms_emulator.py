"""AWS KMS for tests: moto, made strict, with faults on demand.

Prints `<KMS port> <control port>` and serves both until standard input ends, that is, until whoever started
it is gone. The KMS port speaks the API of AWS; the control port takes `POST /<order>` with a JSON body, and
performs any KMS operation as `POST /operation/<operation>`, past all faults.
"""

import json
import os
import re
import sys
import threading
import traceback
from typing import Any

from moto.core.exceptions import JsonRESTError

from faults import Failure, Faults, Hangup, PlainStatus, Policy, Stall
from http_port import HttpPort
from refusal import refusal
from strict_kms import ROTATIONS_MAX, StrictResponse, perform

REGION = "eu-central-1"
ACCESS_KEY = "AKIAEMULATOREMULATOR"
# The key and the region of a signature of version 4. That it is right is not checked.
SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/kms/aws4_request,")


class Emulator:
    """The two ports over the same keys."""

    def __init__(self) -> None:
        self.faults = Faults()
        # moto is not made for threads.
        self.keys_lock = threading.Lock()
        self.kms = HttpPort(self.answer_kms)
        self.control = HttpPort(self.answer_control)

    def answer_kms(self, _path: str, headers: dict[str, str], body: bytes) -> tuple[int, str] | None:
        operation = headers.get("x-amz-target", "").removeprefix("TrentService.")
        with self.faults.call(operation):
            try:
                region = _signed_region(headers)
                self.faults.strike(region, operation, body)
                return self.perform(region, operation, body)
            except JsonRESTError as error:
                return error.code, error.description
            except PlainStatus as failure:
                return failure.status, "<html><body>on demand</body></html>"
            except Hangup:
                return None
            except Exception:
                traceback.print_exc()
                error = refusal("KMSInternalException")
                return error.code, error.description

    def perform(self, region: str, operation: str, body: bytes) -> tuple[int, str]:
        with self.keys_lock:
            return perform(region, operation, body)

    def answer_control(self, path: str, _headers: dict[str, str], body: bytes) -> tuple[int, str]:
        if path.startswith("/operation/"):
            return self.perform(REGION, path.removeprefix("/operation/"), body)
        order = getattr(Orders, path.removeprefix("/"), None)
        if order is None:
            return 404, f"no such order: {path}"
        try:
            return 200, json.dumps(order(self, **json.loads(body)))
        except Exception as error:
            return 400, repr(error)


class Orders:
    """What the control port takes, each with the members of its body."""

    def throttle(self: Emulator, calls_per_second: int | None) -> None:
        self.faults.calls_per_second = calls_per_second

    def stall(self: Emulator, operations: list[str], millis: int) -> None:
        self.faults.stall = Stall(operations, millis)

    def fail(self: Emulator, **failure: Any) -> None:
        self.faults.failures.append(Failure(**failure))

    def allow(self: Emulator, policy: dict[str, Any]) -> None:
        self.faults.policy = Policy(policy)

    def heal(self: Emulator) -> None:
        self.faults.heal()

    def open(self: Emulator) -> None:
        self.kms.open()

    def close(self: Emulator) -> None:
        self.kms.close()

    def seen(self: Emulator) -> dict[str, Any]:
        return self.faults.seen()

    def forget_old_material(self: Emulator, key_id: str) -> None:
        with self.keys_lock:
            StrictResponse.backend_of(REGION).forget_old_material(key_id)

    def page(self: Emulator, rotations_max: int = ROTATIONS_MAX) -> None:
        StrictResponse.backend_of(REGION).rotations_max = rotations_max


def _signed_region(headers: dict[str, str]) -> str:
    authorization = headers.get("authorization")
    if authorization is None:
        raise refusal("MissingAuthenticationTokenException")
    signed = SIGNED.match(authorization)
    if signed is None or "Signature=" not in authorization:
        raise refusal("IncompleteSignatureException", "Authorization is not a signature for this service")
    if signed[1] != ACCESS_KEY:
        raise refusal("UnrecognizedClientException")
    return signed[2]


def main() -> None:
    emulator = Emulator()
    print(emulator.kms.number, emulator.control.number, flush=True)
    sys.stdin.buffer.read()
    # Threads that stall must not hold it up.
    os._exit(0)


if __name__ == "__main__":
    main()
