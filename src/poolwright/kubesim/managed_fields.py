"""Who set which field: ``metadata.managedFields``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def track_update(
    new: dict[str, Any],
    old: Mapping[str, Any] | None,
    manager: str,
    time: str,
    subresource: str,
) -> None:
    """Move ownership of the fields that this write changed to ``manager``."""
