"""Walking JSON that came from outside, without surprises from nulls and missing members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

Json = Mapping[str, Any]
"""A JSON object."""

_OBJECT = (dict, Mapping)  # dict first: asking an abstract class costs ten times as much


def child(wire: Json, *path: str) -> Json:
    """The object at a path of members; empty where a member is missing, null or no object."""
    here: Any = wire
    for name in path:
        if here is None:  # not asking an abstract class about it
            return {}
        here = cast("Json", here).get(name) if isinstance(here, _OBJECT) else None
    return cast("Json", here) if here is not None and isinstance(here, _OBJECT) else {}


def children(wire: Json, *path: str) -> list[Json]:
    """The objects in the list at a path; empty where it is missing, null or no list."""
    holder = wire if len(path) == 1 else child(wire, *path[:-1])
    here: Any = holder.get(path[-1])
    if not here or not isinstance(here, list):
        return []
    return [cast("Json", item) for item in cast("list[Any]", here) if isinstance(item, _OBJECT)]
