"""Reading Kubernetes' protobuf bodies: kubectl's typed commands send nothing else.

Answers are always JSON (or YAML): clients that send protobuf accept that.

Source: k8s.io/apimachinery pkg/runtime/serializer/protobuf (envelope); the layout is in
``messages.json``, written by ``tools/make_kubernetes_messages.py``.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, cast

import msgspec

from poolwright.model.instant import wall_text, wall_text_micro

MAGIC = b"k8s\x00"
_SCALARS = frozenset("sibyd")
_ZEROS: dict[str, Any] = {"s": "", "i": 0, "b": False, "d": 0.0}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Layout = dict[str, tuple[str, str]]


class Malformed(ValueError):
    """The bytes are no message of that type."""


@cache
def _messages() -> dict[str, _Layout]:
    data = files("poolwright.kubesim").joinpath("messages.json").read_bytes()
    return cast("dict[str, _Layout]", msgspec.json.decode(data)) | _EXPRESSIONS


def read_object(data: bytes) -> dict[str, Any]:
    """An enveloped object in its JSON form.

    Raises:
        Malformed: not an object of a kind that we know.
    """
    if not data.startswith(MAGIC):
        raise Malformed("the body has no protobuf prefix")
    version, kind, raw = "", "", b""
    for number, value in _fields(data[len(MAGIC) :]):
        if number == 1:
            for inner, text in _fields(_bytes(value)):
                if inner == 1:
                    version = _bytes(text).decode()
                elif inner == 2:
                    kind = _bytes(text).decode()
        elif number == 2:
            raw = _bytes(value)
    name = _message_name(version, kind)
    if name not in _messages():
        raise Malformed(f'no kind "{kind}" is registered for version "{version}"')
    return {"kind": kind, "apiVersion": version, **_message(raw, name)}


def read_message(data: bytes, name: str) -> dict[str, Any]:
    """A message of a type that we know, without an envelope."""
    return _message(data, name)


def _message_name(version: str, kind: str) -> str:
    group, _, plain = version.rpartition("/")
    if kind == "DeleteOptions":
        return "meta/v1.DeleteOptions"
    return f"{group.partition('.')[0] or 'core'}/{plain}.{kind}"


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message as (number, varint or bytes)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in {1, 5}:
            length = 8 if wire == 1 else 4
        else:
            raise Malformed(f"illegal wire type {wire}")
        if at + length > len(data):
            raise Malformed("unexpected EOF")
        yield number, data[at : at + length]
        at += length


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise Malformed("a length-delimited field was expected")
    return value


def _signed(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise Malformed("a varint field was expected")
    return value - (1 << 64) if value >= 1 << 63 else value


def _message(data: bytes, name: str) -> dict[str, Any]:
    layout = _messages()[name]
    made: dict[str, Any] = {}
    for number, raw in _fields(data):
        row = layout.get(str(number))
        if row is None:
            continue
        label, kind = row
        plain = kind.lstrip("*!")
        if plain.startswith("[]"):
            items = made.setdefault(label, [])
            items.extend(_items(raw, plain[2:]))
        elif plain.startswith("{}"):
            key, value = _map_entry(_bytes(raw), plain[2:])
            made.setdefault(label, {})[key] = value
        elif not label:
            made.update(_message(_bytes(raw), plain))
        else:
            value = _value(raw, plain)
            said = kind[0] in "*!"
            if value is not None and (said or value not in ("", 0, False, {})):
                made[label] = value
    return made


def _items(raw: int | bytes, kind: str) -> list[Any]:
    if kind == "i" and isinstance(raw, bytes):  # packed
        found: list[Any] = []
        at = 0
        while at < len(raw):
            value, at = _varint(raw, at)
            found.append(_signed(value))
        return found
    return [_value(raw, kind)]


def _map_entry(data: bytes, kind: str) -> tuple[str, Any]:
    key = ""
    value: Any = _ZEROS.get(kind, "" if kind == "y" else {})
    for number, raw in _fields(data):
        if number == 1:
            key = _bytes(raw).decode()
        elif number == 2:
            value = _value(raw, kind)
    return key, value


def _value(raw: int | bytes, kind: str) -> Any:
    if kind in _SCALARS:
        return _scalar(raw, kind)
    data = _bytes(raw)
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(data)
    if kind.startswith("[]"):  # a named list, such as ExtraValue: a message with its items
        return [item for _, inner in _fields(data) for item in _items(inner, kind[2:])]
    return _message(data, kind)


def _scalar(raw: int | bytes, kind: str) -> Any:
    match kind:
        case "s":
            return _bytes(raw).decode()
        case "i":
            return _signed(raw)
        case "b":
            return bool(_signed(raw))
        case "y":
            return base64.b64encode(_bytes(raw)).decode()
        case _:
            return struct.unpack("<d", _bytes(raw))[0]


def _quantity(data: bytes) -> str:
    return next((_bytes(raw).decode() for number, raw in _fields(data) if number == 1), "")


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_fields(data))
    if parts.get(1, 0):
        return _bytes(parts.get(3, b"")).decode()
    return _signed(parts.get(2, 0))


def _moment(data: bytes) -> datetime | None:
    parts = {number: _signed(raw) for number, raw in _fields(data)}
    if not parts:
        return None
    try:
        return _EPOCH + timedelta(seconds=parts.get(1, 0), microseconds=parts.get(2, 0) // 1000)
    except OverflowError as error:
        raise Malformed("a time out of range") from error


def _time(data: bytes) -> str | None:
    moment = _moment(data)
    return None if moment is None else wall_text(moment)


def _micro_time(data: bytes) -> str | None:
    moment = _moment(data)
    return None if moment is None else wall_text_micro(moment)


def _json(data: bytes) -> Any:
    raw = next((_bytes(raw) for number, raw in _fields(data) if number == 1), b"")
    return msgspec.json.decode(raw) if raw else {}


def _schema_or_array(data: bytes) -> Any:
    """``items``: one schema, or one for each place."""
    parts = list(_fields(data))
    schemas = [_message(_bytes(raw), _SCHEMA) for number, raw in parts if number == 2]
    one = [_message(_bytes(raw), _SCHEMA) for number, raw in parts if number == 1]
    return one[0] if one else schemas


def _schema_or_bool(data: bytes) -> Any:
    """``additionalProperties``: a schema, or whether there may be any."""
    allowed = False
    for number, raw in _fields(data):
        if number == 2:
            return _message(_bytes(raw), _SCHEMA)
        allowed = bool(_signed(raw))
    return allowed


def _schema_or_strings(data: bytes) -> Any:
    """``dependencies``: a schema, or the names of other members."""
    words: list[str] = []
    for number, raw in _fields(data):
        if number == 1:
            return _message(_bytes(raw), _SCHEMA)
        words.append(_bytes(raw).decode())
    return words


_SCHEMA = "apiextensions/v1.JSONSchemaProps"
_SPECIAL: dict[str, Any] = {
    "raw": bytes,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Time": _time,
    "MicroTime": _micro_time,
    "FieldsV1": _json,
    "RawExtension": _json,
    "SchemaOrArray": _schema_or_array,
    "SchemaOrBool": _schema_or_bool,
    "SchemaOrStrings": _schema_or_strings,
}

_EXPRESSIONS: dict[str, _Layout] = {
    "cel.Any": {"2": ("bytes", "!raw")},
    "cel.ParsedExpr": {"2": ("expr", "!cel.Expr"), "3": ("sourceInfo", "cel.SourceInfo")},
    "cel.SourceInfo": {"4": ("positions", "[]cel.Position")},
    "cel.Position": {"1": ("id", "i"), "2": ("offset", "i")},
    "cel.Expr": {
        "2": ("id", "!i"), "3": ("const", "!cel.Constant"), "4": ("ident", "!cel.Ident"),
        "5": ("select", "!cel.Select"), "6": ("call", "!cel.Call"), "7": ("list", "!cel.List"),
        "8": ("struct", "!cel.Struct"), "9": ("comprehension", "!cel.Comprehension"),
    },
    "cel.Constant": {
        "1": ("null", "!i"), "2": ("bool", "!b"), "3": ("int", "!i"), "4": ("uint", "!i"),
        "5": ("double", "!d"), "6": ("string", "!s"), "7": ("bytes", "!y"),
    },
    "cel.Ident": {"1": ("name", "s")},
    "cel.Select": {"1": ("operand", "cel.Expr"), "2": ("field", "!s"), "3": ("testOnly", "b")},
    "cel.Call": {"1": ("target", "cel.Expr"), "2": ("function", "s"), "3": ("args", "[]cel.Expr")},
    "cel.List": {"1": ("elements", "[]cel.Expr"), "2": ("optionals", "[]i")},
    "cel.Struct": {"1": ("name", "s"), "2": ("entries", "[]cel.Entry")},
    "cel.Entry": {
        "1": ("id", "!i"), "2": ("field", "s"), "3": ("key", "cel.Expr"),
        "4": ("value", "cel.Expr"), "5": ("isOptional", "b"),
    },
    "cel.Comprehension": {
        "1": ("variable", "s"), "8": ("second", "s"), "2": ("range", "cel.Expr"),
        "3": ("accumulator", "s"), "4": ("start", "cel.Expr"), "5": ("condition", "cel.Expr"),
        "6": ("step", "cel.Expr"), "7": ("result", "cel.Expr"),
    },
}  # fmt: skip
"""A parsed expression in CEL (cel.expr syntax.proto)."""
