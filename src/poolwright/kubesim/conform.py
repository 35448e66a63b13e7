"""Whether JSON fits a schema as it stands, decided by a decoder made from the schema.

Almost every body is right. The decoder says so at the speed of parsing; only for the others does
`schema.Pruner` walk the object to drop what is unknown and to say what is wrong.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, cast

import msgspec

from poolwright.kubesim.schema import BASE64, KEPT_NULL, MICRO_TIME, TIME, Shape
from poolwright.model.quantity import QUANTITY_PATTERN

_KEPT = f'"{KEPT_NULL}":null'.encode()

_SCALARS: dict[str, Any] = {
    "string": str,
    "number": float,
    "boolean": bool,
    "any": msgspec.Raw,
    "int-or-string": Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)] | str,
    "quantity": Annotated[str, msgspec.Meta(pattern=f"^(?:{QUANTITY_PATTERN})$")]
    | Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
    | Annotated[float, msgspec.Meta(ge=-1e100, le=1e100)],
}


def _text(pattern: str) -> Any:
    return Annotated[str, msgspec.Meta(pattern=f"^(?:{pattern})$")]


_FORMATS: dict[str, Any] = {"date-time": _text(TIME.pattern), "byte": _text(BASE64.pattern)}
_NAMED: dict[str, Any] = {"MicroTime": _text(MICRO_TIME.pattern)}


class _Recursive(Exception):
    """A type that holds itself: none is worth a decoder."""


def _type(kind: Shape, above: tuple[int, ...]) -> Any:
    if id(kind) in above:
        raise _Recursive
    within = (*above, id(kind))
    match kind.kind:
        case "object":
            fields = [
                (f"f{n}", _member(name, _type(member, within)), msgspec.UNSET)
                for n, (name, member) in enumerate(kind.members.items())
            ]
            names = {f"f{n}": name for n, name in enumerate(kind.members)}
            return msgspec.defstruct(
                kind.name or "Anonymous", fields, rename=names, forbid_unknown_fields=True, gc=False
            )
        case "map":
            return dict[str, _type(cast("Shape", kind.item), within)]
        case "array":
            return list[_type(cast("Shape", kind.item), within)]
        case "integer":
            bits = 63 if kind.format == "int64" else 31
            return Annotated[int, msgspec.Meta(ge=-(1 << bits), le=(1 << bits) - 1)]
        case scalar:
            return _NAMED.get(kind.name) or _FORMATS.get(kind.format) or _SCALARS[scalar]


def _member(name: str, kind: Any) -> Any:
    return kind | None | msgspec.UnsetType if name == KEPT_NULL else kind | msgspec.UnsetType


@cache
def _decoder(kind: Shape) -> msgspec.json.Decoder[Any] | None:
    try:
        return msgspec.json.Decoder(_type(kind, ()))
    except _Recursive:
        return None


def conforms(data: bytes, kind: Shape) -> bool:
    """Whether every field is known and has its type. A null makes it no: it is to be dropped
    (but for `KEPT_NULL`).
    """
    decoder = _decoder(kind)
    if decoder is None or data.count(b"null") != data.count(_KEPT):
        return False
    try:
        decoder.decode(data)
    except msgspec.DecodeError:
        return False
    return True
