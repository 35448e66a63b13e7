"""An answer before it is bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ArmResponse:
    """Status, JSON-able content (None: no body) and headers beside the usual ones."""

    status: int
    content: Any = None
    headers: Headers = ()


def listing(items: Sequence[Any], **more: Any) -> ArmResponse:
    """A collection on one page: ``{"value": […]}``, without nextLink."""
    return ArmResponse(200, {"value": list(items), **more})
