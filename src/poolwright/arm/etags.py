"""ETags: a GUID per resource, and the preconditions of requests.

Source: AKS use-etags doc (facts aks-api §5.3).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from poolwright.arm.errors import ETAG_MISMATCH
from poolwright.arm.request import ArmRequest
from poolwright.model.errors import InvalidRequest
from poolwright.model.record import Stored


def etag_of(record: Stored[Any, Any]) -> str:
    """The ETag of a record: a GUID derived from its uid and revision (records.md R13)."""
    digest = blake2b(f"{record.uid}/{record.revision}".encode(), digest_size=16).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))


def check_etag(request: ArmRequest, etag: str | None) -> None:
    """Check ``If-Match`` and ``If-None-Match`` against a resource (``etag`` None: absent).

    An absent resource only fails a PUT with ``If-Match``: PATCH and DELETE answer 404 and 204.

    Raises:
        InvalidRequest: both headers at once, or an If-None-Match other than ``*``.
        Precondition: the condition does not hold (412).
    """
    wanted, unwanted = request.if_match, request.if_none_match
    if not wanted and not unwanted:
        return
    if wanted and unwanted:
        raise InvalidRequest(
            "If-Match and If-None-Match must not be combined in one request.", code="BadRequest"
        )
    if unwanted:
        if unwanted != "*":
            raise InvalidRequest("If-None-Match must be empty or '*'.", code="BadRequest")
        if etag is not None:
            raise ETAG_MISMATCH(header="If-None-Match", etag=unwanted)
        return
    if etag is None:
        if request.method == "PUT":
            raise ETAG_MISMATCH(header="If-Match", etag=wanted)
        return
    if wanted not in {"*", etag}:
        raise ETAG_MISMATCH(header="If-Match", etag=wanted)
