"""Names that the published models know; made by ``tools/make_property_names.py``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec


@cache
def _all() -> Mapping[str, Any]:
    file = resources.files("poolwright.arm.properties").joinpath("data/names.json")
    return msgspec.json.decode(file.read_bytes())


def known_names(root: str, version: str) -> Mapping[str, Any] | None:
    """The tree of names of a type in an api-version; None where we have no list."""
    names = _all()
    return names[root] if names["version"] == version else None
