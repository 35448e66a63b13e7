"""A custom resource as its rules see it: by its schema, with times as times and names escaped.

Source: k8s.io/apiserver pkg/cel/common/values.go.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from poolwright.kubesim.cel_schema import OF_EVERY_ROOT, Schema, escaped, properties_of

_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d|w)")
_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400,
    "w": 604800,
}  # fmt: skip


def _time(text: str) -> Any:
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _duration(text: str) -> Any:
    plain = text.lstrip("+-")
    parts = _PART.findall(plain)
    if "".join(number + unit for number, unit in parts) != plain:
        raise ValueError(text)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return dt.timedelta(seconds=-seconds if text.startswith("-") else seconds)


_FORMATS: Mapping[str, Callable[[str], Any]] = {
    "byte": base64.b64decode,
    "date": _time,
    "date-time": _time,
    "duration": _duration,
}


def seen(value: Any, schema: Schema, *, is_root: bool = False) -> Any:
    """A value that a schema describes."""
    if schema.get("x-kubernetes-int-or-string"):
        return value
    if isinstance(value, list):
        items: Schema = schema.get("items") or {}
        return [_inner(item, items) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return _members(cast("Mapping[str, Any]", value), schema, is_root=is_root)
    if isinstance(value, str):
        return _text(value, schema)
    if isinstance(value, int | float) and not isinstance(value, bool):
        kind = schema.get("type")
        return float(value) if kind == "number" else int(value) if kind == "integer" else value
    return value


def _inner(value: Any, schema: Schema) -> Any:
    return seen(value, schema, is_root=bool(schema.get("x-kubernetes-embedded-resource")))


def _members(value: Mapping[str, Any], schema: Schema, *, is_root: bool) -> dict[str, Any]:
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and more and not is_root:
        inner = cast("Schema", more)
        return {name: _inner(found, inner) for name, found in value.items()}
    known = {**properties_of(schema), **(OF_EVERY_ROOT if is_root else {})}
    return {
        escaped(name): _inner(value[name], inner)
        for name, inner in known.items()
        if name in value and escaped(name)
    }


def _text(value: str, schema: Schema) -> Any:
    read = _FORMATS.get(schema.get("format", ""))
    if read is None:
        return value
    try:
        return read(value)
    except (ValueError, binascii.Error):
        return value
