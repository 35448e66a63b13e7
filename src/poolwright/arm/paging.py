"""Lists in pages: ``$top`` and ``$skipToken`` in, ``nextLink`` out.

Source: facts aks-api §2.8 (both spellings of the token are accepted, as recorded).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse
from poolwright.model.errors import InvalidRequest

PAGE_MAX = 1000
"""Items of one page, and the largest ``$top``."""


def _number(request: ArmRequest, name: str, least: int, most: int, default: int) -> int:
    text = request.query.get(name.lower(), "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise InvalidRequest(
            f"Invalid value '{text[:32]}' for the query parameter '{name}'. The value must be a "
            f"number between {least} and {most}.",
            code="InvalidQueryParameter",
        )
    return int(text)


def paged(request: ArmRequest, items: Sequence[Any]) -> ArmResponse:
    """One page of a list, with ``nextLink`` while there is more.

    Raises:
        InvalidRequest: ``$top`` or ``$skipToken`` is not one.
    """
    size = _number(request, "$top", 1, PAGE_MAX, PAGE_MAX)
    start = _number(request, "$skipToken", 0, 10**9 - 1, 0)
    start = start or _number(request, "skipToken", 0, 10**9 - 1, 0)
    page: dict[str, Any] = {"value": list(items[start : start + size])}
    if start + size < len(items):
        kept = {
            name: value
            for name, value in request.query.items()
            if name not in {"$skiptoken", "skiptoken"}
        }
        query = urlencode({**kept, "$skiptoken": str(start + size)})
        page["nextLink"] = f"{request.base_url}{quote(request.path)}?{query}"
    return ArmResponse(200, page)
