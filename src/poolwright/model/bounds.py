"""Bounds of settings: one table for the check, and for whoever describes the settings.

A class of settings has them as ``BOUNDS`` and calls `check_bounds` when it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from math import inf
from typing import Any, cast

Bounds = Mapping[str, tuple[float, float]]
"""The least and the most of a field, in seconds for durations; of a mapping, of each value. None is
always allowed where the type allows it.
"""


def check_bounds(settings: object, bounds: Bounds, where: str = "") -> None:
    """Refuse a value outside of its bounds.

    Raises:
        ValueError: ``name: must be between … and …``.
    """
    for field, (least, most) in bounds.items():
        for name, value in _values(f"{where}{field}", getattr(settings, field)):
            if not least <= value <= most:
                raise ValueError(f"{name}: must be {_span(least, most)}")


def _values(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, timedelta):
        yield name, value.total_seconds()
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, Any]", value).items():
            yield from _values(f"{name}.{key}", inner)
    elif value is not None:
        yield name, value


def _span(least: float, most: float) -> str:
    if most == inf:
        return f"{_figure(least)} or more"
    return f"between {_figure(least)} and {_figure(most)}"


def _figure(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
