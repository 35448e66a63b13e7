"""The operators of CEL, and optional values, over plain values of Python.

Source: github.com/google/cel-spec doc/langdef.md; words of errors: github.com/google/cel-go.
"""

# Values of any type come here, and lists and maps of them.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from poolwright.kubesim.cel_value import CelError, equal, frozen

NO_OVERLOAD = "no such overload"
_INT_MAX = 2**63
_KINDS = (
    (bool, "bool"), (int, "int"), (float, "double"), (str, "string"), (bytes, "bytes"),
    (list, "list"), (Mapping, "map"), (dt.datetime, "timestamp"), (dt.timedelta, "duration"),
    (type(None), "null_type"),
)  # fmt: skip
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_UPPER = str.maketrans(ascii_lowercase, ascii_uppercase)
_ORDERED = (int, float, str, bytes, dt.datetime, dt.timedelta)
_LENGTHS = (str, bytes, list, Mapping)


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type as a value."""

    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be missing: none or one."""

    held: tuple[Any, ...] = ()


def kind_of_value(value: Any) -> str:
    """The type of a value."""
    if isinstance(value, Optional):
        return "optional_type"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "type")


def _whole(found: int) -> int:
    if not -_INT_MAX <= found < _INT_MAX:
        raise CelError("integer overflow")
    return found


def _numbers(one: Any, other: Any) -> bool:
    """Whether both are numbers of one type."""
    return type(one) is type(other) and type(one) in {int, float}


def add(one: Any, other: Any) -> Any:
    """``+``."""
    if type(one) is int and type(other) is int:
        return _whole(one + other)
    times = (dt.datetime, dt.timedelta)
    if isinstance(one, times) and isinstance(other, times):
        if isinstance(one, dt.datetime) and isinstance(other, dt.datetime):
            raise CelError(NO_OVERLOAD)
        return _timed(operator.add, one, other)
    if type(one) is type(other) and isinstance(one, float | str | bytes | list):
        return one + other
    raise CelError(NO_OVERLOAD)


def subtract(one: Any, other: Any) -> Any:
    """``-``."""
    if _numbers(one, other):
        return _whole(one - other) if isinstance(one, int) else one - other
    is_timed = isinstance(one, dt.datetime | dt.timedelta)
    if is_timed and isinstance(other, dt.timedelta | type(one)):
        return _timed(operator.sub, one, other)
    raise CelError(NO_OVERLOAD)


def _timed(apply: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    try:
        return apply(one, other)
    except OverflowError:
        raise CelError("timestamp overflow") from None


def multiply(one: Any, other: Any) -> Any:
    """``*``."""
    if not _numbers(one, other):
        raise CelError(NO_OVERLOAD)
    return _whole(one * other) if isinstance(one, int) else one * other


def divide(one: Any, other: Any) -> Any:
    """``/``: whole numbers are cut towards zero."""
    if not _numbers(one, other):
        raise CelError(NO_OVERLOAD)
    if isinstance(one, int):
        if not other:
            raise CelError("division by zero")
        found = abs(one) // abs(other)
        return _whole(found if (one < 0) == (other < 0) else -found)
    if other:
        return one / other
    return float("nan") if not one or one != one else one * float("inf")  # noqa: PLR0124


def remainder(one: Any, other: Any) -> Any:
    """``%``: with the sign of what is divided."""
    if type(one) is not int or type(other) is not int:
        raise CelError(NO_OVERLOAD)
    if not other:
        raise CelError("modulus by zero")
    found = abs(one) % abs(other)
    return -found if one < 0 else found


def negate(value: Any) -> Any:
    """``-`` before a number."""
    if type(value) is int:
        return _whole(-value)
    if isinstance(value, float):
        return -value
    raise CelError(NO_OVERLOAD)


def invert(value: Any) -> bool:
    """``!``."""
    if not isinstance(value, bool):
        raise CelError(NO_OVERLOAD)
    return not value


def comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """``<`` and its like: numbers of all types, and values of one type that has an order."""

    def compared(one: Any, other: Any) -> bool:
        if type(one) is type(other):
            if isinstance(one, _ORDERED):
                return compare(one, other)
        elif type(one) in {int, float} and type(other) in {int, float}:
            return compare(one, other)
        raise CelError(NO_OVERLOAD)

    return compared


def contains(wanted: Any, held: Any) -> bool:
    """``in``."""
    if isinstance(held, list):
        if isinstance(wanted, str):
            return wanted in held
        stands = frozen(wanted)
        return any(frozen(item) == stands for item in held)
    if isinstance(held, Mapping):
        return _key(held, wanted)
    raise CelError(NO_OVERLOAD)


def _key(held: Mapping[Any, Any], wanted: Any) -> bool:
    if isinstance(wanted, bool) or not isinstance(wanted, str | int | float):
        return any(equal(wanted, key) for key in held)
    return wanted in held


def index(held: Any, place: Any) -> Any:
    """``held[place]``."""
    if isinstance(held, Optional):
        return optional_index(held, place)
    if isinstance(held, list):
        if isinstance(place, bool) or not isinstance(place, int | float) or place != int(place):
            raise CelError(NO_OVERLOAD)
        if not 0 <= place < len(held):
            raise CelError(f"index out of bounds: {int(place)}")
        return held[int(place)]
    if isinstance(held, Mapping):
        if not _key(held, place):
            raise CelError(f"no such key: {place}")
        return held[place]
    raise CelError(NO_OVERLOAD)


def field(held: Any, name: str) -> Any:
    """``held.name``."""
    if isinstance(held, Optional):
        return optional_index(held, name)
    if not isinstance(held, Mapping):
        raise CelError(NO_OVERLOAD)
    if name not in held:
        raise CelError(f"no such key: {name}")
    return held[name]


def has_field(held: Any, name: str) -> bool:
    """``has(held.name)``."""
    if isinstance(held, Optional):
        return bool(held.held) and has_field(held.held[0], name)
    if not isinstance(held, Mapping):
        raise CelError(NO_OVERLOAD)
    return name in held


def optional_index(held: Any, place: Any) -> Optional:
    """``held[?place]``, ``held.?place``: none where there is none."""
    if isinstance(held, Optional):
        return optional_index(held.held[0], place) if held.held else held
    if isinstance(held, Mapping):
        return Optional((held[place],) if _key(held, place) else ())
    if not isinstance(held, list) or type(place) is not int:
        raise CelError(NO_OVERLOAD)
    inside = 0 <= place < len(held)
    return Optional((held[place],) if inside else ())


def size(value: Any) -> int:
    """How many characters, bytes, items or members."""
    if not isinstance(value, _LENGTHS):
        raise CelError(NO_OVERLOAD)
    return len(value)


def _held(value: Any) -> Any:
    if not value.held:
        raise CelError("optional.none() dereference")
    return value.held[0]


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "_+_": add, "_-_": subtract, "_*_": multiply, "_/_": divide, "_%_": remainder, "-_": negate,
    "!_": invert, "_<_": comparison(operator.lt), "_<=_": comparison(operator.le),
    "_>_": comparison(operator.gt), "_>=_": comparison(operator.ge), "_==_": equal,
    "_!=_": lambda one, other: not equal(one, other), "@in": contains, "_[_]": index,
    "_?._": optional_index, "_[?_]": optional_index, "size": size, "dyn": lambda value: value,
    "type": lambda value: TypeName(kind_of_value(value)),
    "optional.of": lambda value: Optional((value,)), "optional.none": Optional,
    "optional.ofNonZeroValue": lambda value: Optional((value,) if value else ()),
}  # fmt: skip
OF_OPTIONALS: Mapping[str, Callable[..., Any]] = {
    "hasValue": lambda value: bool(value.held), "value": _held,
    "orValue": lambda value, otherwise: value.held[0] if value.held else otherwise,
    "or": lambda value, other: value if value.held else other,
}  # fmt: skip
"""What optional values are asked."""
OF_TEXTS: Mapping[str, Callable[..., Any]] = {
    "startsWith": str.startswith, "endsWith": str.endswith, "contains": str.__contains__,
    "lowerAscii": lambda text: text.translate(_LOWER),
    "upperAscii": lambda text: text.translate(_UPPER),
}  # fmt: skip
"""What texts are asked most; its arguments are texts, too."""
