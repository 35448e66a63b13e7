"""Kubernetes' ``Status``: the only form in which an API server says no.

Source: k8s.io/apimachinery pkg/api/errors (constructors, wording) and
pkg/apis/meta/v1 StatusReason (wire strings).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from poolwright.model.errors import Refused


class StatusError(Refused):
    """A refusal with its HTTP status and the body that clients parse.

    ``reason`` is Kubernetes' StatusReason (``NotFound``, ``Conflict``, ``Invalid``, …).
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
        list_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=reason)
        self.status = status
        self.reason = reason
        self.status_details = dict(details or {})
        self._shows_details = details is not None
        self.retry_after = retry_after
        self.list_metadata = dict(list_metadata or {})

    def body(self) -> dict[str, Any]:
        """The ``Status`` object."""
        details = dict(self.status_details)
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.list_metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if details or self._shows_details:
            body["details"] = details
        body["code"] = self.status
        return body


class Cause:
    """One entry of ``details.causes``: a field and what is wrong with it (field.Error)."""

    __slots__ = ("field", "message", "reason")

    def __init__(self, reason: str, field: str, message: str) -> None:
        self.reason = reason
        self.field = field
        self.message = message

    def wire(self) -> dict[str, str]:
        """The JSON form."""
        return {"reason": self.reason, "message": self.message, "field": self.field}

    def text(self) -> str:
        """As it appears in the summary message."""
        return f"{self.field}: {self.message}"


_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
"""What Go's JSON escapes, for it may stand in a page."""


_ESCAPED = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n",
    "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def _quoted(sign: str) -> str:
    """A character within Go's quotes (strconv.Quote)."""
    if sign in _ESCAPED:
        return _ESCAPED[sign]
    if sign.isprintable():
        return sign
    code = ord(sign)
    width = (2, "x") if code < 0x80 else (4, "u") if code < 0x10000 else (8, "U")
    return f"\\{width[1]}{code:0{width[0]}x}"


def _shown(value: Any) -> str:
    """A bad value as Go's field.Error prints it: strings quoted, scalars bare."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{"".join(map(_quoted, value))}"'
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return str(value)
    import json  # noqa: PLC0415  (only on the way to an error)

    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_UNSAFE)


def required(field: str, detail: str = "") -> Cause:
    """A missing value."""
    return Cause("FieldValueRequired", field, f"Required value: {detail}".rstrip(": "))


def invalid(field: str, value: Any, detail: str) -> Cause:
    """A value that breaks a rule."""
    said = f": {detail}" if detail else ""
    return Cause("FieldValueInvalid", field, f"Invalid value: {_shown(value)}{said}")


def forbidden(field: str, detail: str) -> Cause:
    """A value that must not be given here."""
    return Cause("FieldValueForbidden", field, f"Forbidden: {detail}")


def not_supported(field: str, value: Any, allowed: Sequence[str]) -> Cause:
    """A value outside an enumeration."""
    names = ", ".join(f'"{name}"' for name in allowed)
    return Cause(
        "FieldValueNotSupported",
        field,
        f"Unsupported value: {_shown(value)}: supported values: {names}",
    )


def duplicate(field: str, value: Any) -> Cause:
    """A value that occurs twice in a set."""
    return Cause("FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}")


def too_long(field: str, limit: int) -> Cause:
    """A value beyond a maximum of bytes."""
    return Cause("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")


def too_many(field: str, count: int, most: int) -> Cause:
    """More items than a list may have."""
    words = f"Too many: {count}: must have at most {most} items"
    return Cause("FieldValueTooMany", field, words)


def _details(group: str, plural_or_kind: str, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = plural_or_kind
    return details


def _qualified(group: str, name: str) -> str:
    return f"{name}.{group}" if group else name


def not_found(group: str, plural: str, name: str) -> StatusError:
    """404: no such object."""
    return StatusError(
        404,
        "NotFound",
        f'{_qualified(group, plural)} "{name}" not found',
        details=_details(group, plural, name),
    )


def already_exists(group: str, plural: str, name: str) -> StatusError:
    """409 on create: the name is taken."""
    return StatusError(
        409,
        "AlreadyExists",
        f'{_qualified(group, plural)} "{name}" already exists',
        details=_details(group, plural, name),
    )


MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def conflict(group: str, plural: str, name: str, why: str = MODIFIED) -> StatusError:
    """409 on update: a guard did not hold."""
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {_qualified(group, plural)} "{name}": {why}',
        details=_details(group, plural, name),
    )


def unprocessable(group: str, kind: str, name: str, causes: Sequence[Cause]) -> StatusError:
    """422: the object breaks rules of its kind."""
    texts = list(dict.fromkeys(cause.text() for cause in causes))
    summary = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(group, kind, name)
    details["causes"] = [cause.wire() for cause in causes]
    return StatusError(
        422,
        "Invalid",
        f'{_qualified(group, kind)} "{name}" is invalid: {summary}',
        details=details,
    )


def bad_request(message: str) -> StatusError:
    """400: the request itself cannot be understood."""
    return StatusError(400, "BadRequest", message)


def expired(message: str) -> StatusError:
    """410: the resourceVersion or continue token is too old."""
    return StatusError(410, "Expired", message)


def page_not_found(*, plain: bool = False) -> StatusError:
    """404 for a path that no API serves; ``plain`` where not even a group answers."""
    if plain:
        return StatusError(404, "", "404 page not found")
    # kubectl debug reads the details of this answer without looking whether there are any.
    return StatusError(
        404, "NotFound", "the server could not find the requested resource", details={}
    )


def method_not_supported(verb: str) -> StatusError:
    """405."""
    return StatusError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        details={"kind": verb} if verb else None,
    )


def unauthorized() -> StatusError:
    """401."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def unavailable(message: str) -> StatusError:
    """503, of a moment: clients ask again by themselves."""
    return StatusError(503, "ServiceUnavailable", message, retry_after=1)


def stopped() -> StatusError:
    """503 of a control plane that somebody stopped: nothing for a client to wait for."""
    return StatusError(503, "ServiceUnavailable", "the control plane is stopped")


def timed_out() -> StatusError:
    """504: the write may have happened."""
    return StatusError(
        504, "Timeout", "Timeout: request did not complete within the allotted timeout"
    )


def too_many_requests(message: str, *, details: Mapping[str, Any]) -> StatusError:
    """429 of an eviction that a budget forbids (not a rate limit: no Retry-After)."""
    return StatusError(429, "TooManyRequests", message, details=details)
