"""Names that the published models know; made by ``tools/make_property_names.py``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, cast

import msgspec


@cache
def _all() -> Mapping[str, Mapping[str, Any]]:
    """By api-version, then by type."""
    file = resources.files("poolwright.arm.properties").joinpath("data/names.json")
    return msgspec.json.decode(file.read_bytes())["versions"]


def known_names(root: str, version: str) -> Mapping[str, Any] | None:
    """The tree of names of a type in an api-version; None where we have no list."""
    listed = _all().get(version)
    return None if listed is None else listed[root]


@cache
def possible_names(root: str, version: str) -> Mapping[str, Any] | None:
    """The names that a version can know: its own list, or those of its neighbours together.

    Released versions only ever gain names, so an older one knows at most what the oldest list
    has. Previews lose names too: before the oldest list of one, None.
    """
    is_preview = version.endswith("-preview")
    lists = [one for one in sorted(_all()) if one.endswith("-preview") == is_preview]
    below = [one for one in lists if one <= version]
    above = [one for one in lists if one >= version]
    if is_preview and not below:
        return None
    result: Mapping[str, Any] = {}
    for one in (*below[-1:], *above[:1]):
        result = _joined(result, _all()[one][root])
    return result


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """Every name of both trees; what can be written in either can be written."""
    result = dict(one)
    for name, inner in other.items():
        own = result.get(name)
        if isinstance(own, dict) and isinstance(inner, dict):
            result[name] = _joined(cast("Mapping[str, Any]", own), cast("Mapping[str, Any]", inner))
        elif name not in result or own == "r":
            result[name] = inner
    return result
