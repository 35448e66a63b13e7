"""From a Kubernetes Status, or a broken connection, to the errors of the contract.

Source: k8s.io/apimachinery pkg/apis/meta/v1 (StatusReason, CauseType).
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import msgspec

from poolwright.model.errors import (
    Conflict,
    Expired,
    InvalidRequest,
    NotFound,
    PoolwrightError,
    Precondition,
    Refused,
    Transient,
    Unknown,
    Unsupported,
)


class _Cause(msgspec.Struct):
    reason: str | None = None
    message: str | None = None
    field: str | None = None


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None
    retryAfterSeconds: int | None = None  # noqa: N815 (wire name)


class Status(msgspec.Struct):
    """What the API server answers when it refuses."""

    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


_REFUSED: Mapping[int, type[Refused]] = {
    400: InvalidRequest,
    403: InvalidRequest,  # a namespace that ends, a resource quota: the server refused the object
    404: NotFound,
    405: Unsupported,
    406: Unsupported,
    409: Precondition,
    410: Expired,
    412: Precondition,
    413: InvalidRequest,
    415: Unsupported,
    422: InvalidRequest,
}

_NOTHING_DONE = frozenset({401, 408, 429, 503})
"""Answers of a server that did not begin: a write is safe to repeat. 401 is a token that ran out,
503 an API server or load balancer without a backend.
"""

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)

_decode = msgspec.json.Decoder(Status).decode


def read_status(body: bytes) -> Status:
    """The Status in an error body; empty for anything else (a proxy's HTML page)."""
    try:
        return _decode(body)
    except msgspec.DecodeError:
        return Status(message=body[:200].decode("utf-8", "replace"))


def _has_cause(status: Status, reason: str) -> bool:
    causes = (status.details and status.details.causes) or ()
    return any(cause.reason == reason for cause in causes)


def _is_another(status: Status) -> bool:
    """Whether the object is not the one whose uid a patch named: to a server, a wrong new uid."""
    causes = (status.details and status.details.causes) or ()
    return any(cause.field == "metadata.uid" for cause in causes)


def answer_error(
    code: int, status: Status, *, is_write: bool, retry_after: str = ""
) -> PoolwrightError:
    """The error that an answer of 400 or more stands for. ``retry_after`` is that header's: what
    throttles (API priority and fairness) answers without a Status.
    """
    message = status.message or f"the API server answered {code}"
    reason = status.reason or ""
    if code == 409 and (reason == "AlreadyExists" or _has_cause(status, "FieldManagerConflict")):
        return Conflict(message, code=reason)
    if code == 429 and _has_cause(status, "DisruptionBudget"):
        return Conflict(message, code="TooManyRequests")
    if code == 422 and _is_another(status):
        return Precondition(message, code=reason)
    if code in _REFUSED:
        return _REFUSED[code](message, code=reason or None)
    if code in _NOTHING_DONE or not is_write:
        seconds = status.details and status.details.retryAfterSeconds
        if seconds is None and retry_after.isdecimal():
            seconds = int(retry_after)
        return Transient(message, retry_after=seconds)
    return Unknown(message)


def transport_error(error: httpx.TransportError, *, is_write: bool) -> PoolwrightError:
    """The error that a connection which broke stands for."""
    message = f"{type(error).__name__}: {error}"
    if is_write and not isinstance(error, _NEVER_SENT):
        return Unknown(message)
    return Transient(message)
