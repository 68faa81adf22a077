"""What goes wrong on demand, and what was seen: everything that stands before the keys."""

import json
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Iterator

from refusal import refusal
from strict_kms import ACCOUNT, arn_of

# The user whose policy is judged.
USER = f"arn:aws:iam::{ACCOUNT}:user/vault"
WINDOW_SECONDS = 1.0


class Hangup(Exception):
    """The connection is to be closed without an answer."""


class PlainStatus(Exception):
    """An answer that is not the service's own, such as a load balancer's."""

    def __init__(self, status: int):
        super().__init__(status)
        self.status = status


@dataclass
class Failure:
    """What calls of some operations come to; without operations, all calls do."""

    operations: list[str] = field(default_factory=list)
    code: str | None = None
    status: int | None = None
    # How many calls are left to fail; None for all.
    times: int | None = None

    def take(self, operation: str) -> bool:
        """Whether this call is to fail. One less is left then."""
        if self.times == 0 or (self.operations and operation not in self.operations):
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def strike(self) -> None:
        if self.code is not None:
            raise refusal(self.code, f"{self.code} on demand")
        if self.status is not None:
            raise PlainStatus(self.status)
        raise Hangup


@dataclass
class Stall:
    """How long calls of some operations take; without operations, all calls do."""

    operations: list[str] = field(default_factory=list)
    millis: int = 0


class Policy:
    """An IAM policy of `Allow` statements without conditions: all that the documented ones are made of."""

    def __init__(self, document: dict[str, Any]):
        self.allowed = [pair for statement in document["Statement"] for pair in _pairs(statement)]

    def check(self, action: str, resource: str) -> None:
        for allowed, where in self.allowed:
            if fnmatchcase(action.lower(), allowed.lower()) and fnmatchcase(resource, where):
                return
        raise refusal(
            "AccessDeniedException",
            f"User: {USER} is not authorized to perform: {action} on resource: {resource} because no "
            f"identity-based policy allows the {action} action",
        )


def _pairs(statement: dict[str, Any]) -> list[tuple[str, str]]:
    unknown = set(statement) - {"Sid", "Effect", "Action", "Resource"}
    if unknown or statement["Effect"] != "Allow":
        raise ValueError(f"the emulator understands no such statement: {json.dumps(statement)}")
    resources = _list(statement["Resource"])
    return [(action, resource) for action in _list(statement["Action"]) for resource in resources]


def _list(one_or_more: str | list[str]) -> list[str]:
    return [one_or_more] if isinstance(one_or_more, str) else one_or_more


class Faults:
    """All of them, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._throttled = 0
        self._in_flight = 0
        self._in_flight_max = 0
        self._served_at: deque[float] = deque()
        self.heal()

    def heal(self) -> None:
        """Nothing goes wrong any more, and everything is allowed."""
        self.calls_per_second: int | None = None
        self.stall = Stall()
        self.failures: list[Failure] = []
        self.policy: Policy | None = None

    def seen(self) -> dict[str, Any]:
        with self._lock:
            return {
                "calls": dict(self._calls),
                "throttled": self._throttled,
                "in_flight_max": self._in_flight_max,
            }

    @contextmanager
    def call(self, operation: str) -> Iterator[None]:
        """Counts a call, whatever becomes of it."""
        with self._lock:
            self._calls[operation] += 1
            self._in_flight += 1
            self._in_flight_max = max(self._in_flight_max, self._in_flight)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def strike(self, region: str, operation: str, body: bytes) -> None:
        """Returns where nothing goes wrong with this call."""
        stall = self.stall
        if not stall.operations or operation in stall.operations:
            time.sleep(stall.millis / 1000)
        with self._lock:
            self._throttle()
            failure = next((failure for failure in self.failures if failure.take(operation)), None)
        if failure is not None:
            failure.strike()
        if self.policy is not None:
            for action, resource in _needed(region, operation, json.loads(body)):
                self.policy.check(action, resource)

    def _throttle(self) -> None:
        """As many calls in any second as are allowed; those that are refused don't count."""
        if self.calls_per_second is None:
            return
        now = time.monotonic()
        while self._served_at and self._served_at[0] <= now - WINDOW_SECONDS:
            self._served_at.popleft()
        if len(self._served_at) >= self.calls_per_second:
            self._throttled += 1
            raise refusal("ThrottlingException")
        self._served_at.append(now)


def _needed(region: str, operation: str, request: dict[str, Any]) -> list[tuple[str, str]]:
    """The actions that a call needs, each with the key that it needs it on."""
    blob = request.get("CiphertextBlob")
    if operation == "ReEncrypt":
        return [
            ("kms:ReEncryptFrom", arn_of(region, request.get("SourceKeyId"), blob)),
            ("kms:ReEncryptTo", arn_of(region, request.get("DestinationKeyId"), None)),
        ]
    return [(f"kms:{operation}", arn_of(region, request.get("KeyId"), blob))]
