"""The errors that a port may raise, and that the API turns into answers.

::

    PoolwrightError
    ├─ Refused    nothing was applied, and the same call fails again until something changes
    │   InvalidRequest, Immutable, Unsupported, FeatureNotRegistered, NotFound, Conflict,
    │   Precondition, QuotaExceeded, NoCapacity, Expired
    ├─ Transient  nothing was applied; the same call may work later
    └─ Unknown    it may have been applied; observe again

Bugs are not in this tree: they are assertions.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """One entry of an error as clients see it: ARM's ``{code, message, target}``."""

    code: str
    message: str
    target: str | None = None


class PoolwrightError(Exception):
    """Any error that is part of a contract.

    ``code`` is the wire code (ARM's or AKS's) where the raiser knows it; ``target`` is the JSON
    path of the offending member, as ARM's ``target``; ``details`` are further entries.
    """

    default_code = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        target: str | None = None,
        details: tuple[ErrorDetail, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.target = target
        self.details = details

    def detail(self) -> ErrorDetail:
        """The error as one wire entry."""
        return ErrorDetail(self.code, self.message, self.target)


class Refused(PoolwrightError):
    """Nothing was applied, and the same call fails again until something changes."""

    default_code = "BadRequest"


class InvalidRequest(Refused):
    """The request is malformed or breaks a rule of one property."""

    default_code = "InvalidParameter"


class Immutable(Refused):
    """The request would change a property that is fixed at creation."""

    default_code = "PropertyChangeNotAllowed"


class Unsupported(Refused):
    """The adapter or the api-version cannot do this at all."""

    default_code = "NotSupported"


class FeatureNotRegistered(Refused):
    """A preview feature flag is missing."""

    default_code = "PreviewFeatureNotRegistered"


class NotFound(Refused):
    """The thing named does not exist."""

    default_code = "NotFound"


class Conflict(Refused):
    """Another operation or object is in the way (HTTP 409)."""

    default_code = "OperationNotAllowed"


class Precondition(Refused):
    """A guard (revision, generation, uid, ETag) did not hold; observe again (HTTP 412 or 409)."""

    default_code = "PreconditionFailed"


class QuotaExceeded(Refused):
    """The subscription's quota does not allow it."""

    default_code = "QuotaExceeded"


class NoCapacity(Refused):
    """The region or zone has no machine of that size right now."""

    default_code = "AllocationFailed"


class Expired(Refused):
    """The change log was compacted past the revision asked for: list again (HTTP 410)."""

    default_code = "Expired"


class Transient(PoolwrightError):
    """Nothing was applied; the same call may work later.

    ``retry_after`` is in real seconds, or None.
    """

    default_code = "ServiceUnavailable"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unknown(PoolwrightError):
    """The call may or may not have been applied; observe again. Never shown to users."""
