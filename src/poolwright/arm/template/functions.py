"""The functions of the template language that need nothing but their arguments.

Source: learn.microsoft.com/azure/azure-resource-manager/templates/template-functions.
"""

# The arguments of these functions are whatever JSON the template has; `_plain` answers for it.
# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, cast
from urllib.parse import quote, unquote, urljoin

from poolwright.arm.template.language import Evaluator, Expression, Function, TemplateError

_GUID_NAMESPACE = bytes.fromhex("11fb06fb712d4dddbad7d3f8b0a7b2d9")
# ARM formats the thirteen characters of uniqueString from this alphabet.
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def fail(name: str, problem: str) -> TemplateError:
    """The error of a function whose arguments do not fit."""
    return TemplateError(
        f"Unable to evaluate template language function '{name}': {problem}. Please see "
        "https://aka.ms/arm-functions for usage details."
    )


def _plain(name: str, function: Callable[..., Any], least: int, most: int | None) -> Function:
    def run(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
        count = len(arguments)
        if count < least or (most is not None and count > most):
            wanted = str(least) if most == least else f"at least {least}"
            raise fail(
                name, f"function requires {wanted} argument(s) while '{count}' were provided"
            )
        values = [evaluator.run(argument) for argument in arguments]
        try:
            return function(*values)
        except (
            TypeError,
            ValueError,
            AttributeError,
            KeyError,
            IndexError,
            OverflowError,
        ) as error:
            raise fail(
                name, f"the provided arguments are not of the expected type ({error})"
            ) from None

    return run


def text_of(value: Any) -> str:
    """``string()``: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    return json.dumps(value, separators=(",", ":"))


def _format(pattern: str, *values: Any) -> str:
    for index, value in enumerate(values):
        pattern = pattern.replace("{" + str(index) + "}", text_of(value))
    return pattern


def _concat(*values: Any) -> Any:
    if values and isinstance(values[0], list):
        return [item for value in values for item in cast("list[Any]", value)]
    return "".join(text_of(value) for value in values)


def _empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, Mapping):
        members = cast("Mapping[str, Any]", container)
        return str(item).lower() in {name.lower() for name in members}
    if isinstance(container, list):
        return item in cast("list[Any]", container)
    return text_of(item) in str(container)


def _union(*values: Any) -> Any:
    if isinstance(values[0], list):
        result: list[Any] = []
        for value in values:
            result += [item for item in value if item not in result]
        return result
    merged: dict[str, Any] = {}
    for value in values:
        for name, inner in cast("dict[str, Any]", value).items():
            old = merged.get(name)
            both = isinstance(old, dict) and isinstance(inner, dict)
            merged[name] = _union(old, inner) if both else inner
    return merged


def _intersection(first: Any, *others: Any) -> Any:
    if isinstance(first, list):
        return [item for item in cast("list[Any]", first) if all(item in o for o in others)]
    members = cast("dict[str, Any]", first)
    return {n: v for n, v in members.items() if all(o.get(n) == v for o in others)}


def _cut(value: Any, start: int, end: int | None) -> Any:
    return value[max(start, 0) : None if end is None else max(end, 0)]


def _substring(text: str, start: int, length: int | None = None) -> str:
    end = len(text) if length is None else start + length
    if start < 0 or end > len(text) or end < start:
        raise ValueError("the index and length must refer to a location within the string")
    return text[start:end]


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new) if old else text


def _split(text: str, delimiters: Any) -> list[str]:
    marks = cast("list[str]", delimiters) if isinstance(delimiters, list) else [delimiters]
    for mark in marks[1:]:
        text = text.replace(mark, marks[0])
    return text.split(marks[0])


def _extreme(pick: Callable[[list[int]], int]) -> Callable[..., int]:
    def run(*values: Any) -> int:
        return pick(values[0] if isinstance(values[0], list) else list(values))

    return run


def _quotient(a: int, b: int) -> int:
    if b == 0:
        raise ValueError("cannot divide by zero")
    return int(a / b)


def unique_string(*values: str) -> str:
    """Thirteen characters that depend only on the arguments (a hash of ours, not Azure's)."""
    digest = int.from_bytes(hashlib.sha256("-".join(values).encode()).digest()[:9], "big")
    return "".join(_BASE32[digest >> (5 * i) & 31] for i in range(13))


def guid(*values: str) -> str:
    """A GUID that depends only on the arguments (version 5 of RFC 4122)."""
    digest = bytearray(hashlib.sha1(_GUID_NAMESPACE + "-".join(values).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _base64_to_string(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        if value.lower() not in {"true", "false"}:
            raise ValueError(f"{value!r} is no boolean")
        return value.lower() == "true"
    return bool(value)


def _create_object(*values: Any) -> dict[str, Any]:
    if len(values) % 2:
        raise ValueError("an even number of arguments is needed")
    return dict(zip(values[::2], values[1::2], strict=True))


def _range(start: int, count: int) -> list[int]:
    if not 0 <= count <= 10_000:
        raise ValueError("the count must be between 0 and 10000")
    return list(range(start, start + count))


def _order(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(a: Any, b: Any) -> bool:
        if isinstance(a, str) != isinstance(b, str):
            raise TypeError("the arguments must be of one type")
        return compare(a, b)

    return run


def _equals(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b


def _index_of(text: Any, part: Any) -> int:
    if isinstance(text, list):
        items = cast("list[Any]", text)
        return items.index(part) if part in items else -1
    return str(text).lower().find(str(part).lower())


def duration(text: str) -> timedelta:
    """An ISO 8601 duration of days and smaller (``P1DT2H``); years and months are refused.

    Raises:
        ValueError: not such a duration.
    """
    sign = -1 if text.startswith("-") else 1
    date, _, time = text.lstrip("-").removeprefix("P").partition("T")
    units = {"W": 604_800, "D": 86_400, "h": 3600, "m": 60, "s": 1}
    seconds = 0.0
    number = ""
    for letter in date + time.lower():
        if letter.isdigit() or letter == ".":
            number += letter
        else:
            if letter not in units or not number:
                raise ValueError(f"{text!r} is no duration of days, hours, minutes and seconds")
            seconds += float(number) * units[letter]
            number = ""
    return timedelta(seconds=sign * seconds)


def _if(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    if len(arguments) != 3:
        raise fail("if", f"function requires 3 argument(s) while '{len(arguments)}' were provided")
    condition = evaluator.run(arguments[0])
    if not isinstance(condition, bool):
        raise fail("if", "the first argument must be a boolean")
    return evaluator.run(arguments[1 if condition else 2])


def _try_get(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    values = [evaluator.run(argument) for argument in arguments]
    here = values[0]
    for key in values[1:]:
        try:
            here = here[key]
        except (KeyError, IndexError, TypeError):
            return None
    return here


# name: (function, fewest arguments, most arguments or None)
_PLAIN: Mapping[str, tuple[Callable[..., Any], int, int | None]] = {
    "array": (lambda v: v if isinstance(v, list) else [v], 1, 1),
    "coalesce": (lambda *v: next((x for x in v if x is not None), None), 1, None),
    "concat": (_concat, 1, None),
    "contains": (_contains, 2, 2),
    "createarray": (lambda *v: list(v), 0, None),
    "createobject": (_create_object, 0, None),
    "empty": (_empty, 1, 1),
    "false": (lambda: False, 0, 0),
    "true": (lambda: True, 0, 0),
    "null": (lambda: None, 0, 0),
    "first": (lambda v: v[0] if v else (None if isinstance(v, list) else ""), 1, 1),
    "last": (lambda v: v[-1] if v else (None if isinstance(v, list) else ""), 1, 1),
    "flatten": (lambda v: [x for item in v for x in item], 1, 1),
    "items": (lambda v: [{"key": k, "value": v[k]} for k in sorted(v)], 1, 1),
    "objectkeys": (sorted, 1, 1),
    "intersection": (_intersection, 2, None),
    "union": (_union, 2, None),
    "length": (len, 1, 1),
    "take": (lambda v, n: _cut(v, 0, n), 2, 2),
    "skip": (lambda v, n: _cut(v, n, None), 2, 2),
    "range": (_range, 2, 2),
    "min": (_extreme(min), 1, None),
    "max": (_extreme(max), 1, None),
    "indexof": (_index_of, 2, 2),
    "add": (lambda a, b: a + b, 2, 2),
    "sub": (lambda a, b: a - b, 2, 2),
    "mul": (lambda a, b: a * b, 2, 2),
    "div": (_quotient, 2, 2),
    "mod": (lambda a, b: a - b * _quotient(a, b), 2, 2),
    "int": (int, 1, 1),
    "float": (float, 1, 1),
    "bool": (_bool, 1, 1),
    "string": (text_of, 1, 1),
    "json": (json.loads, 1, 1),
    "and": (lambda *v: all(v), 2, None),
    "or": (lambda *v: any(v), 2, None),
    "not": (lambda v: not v, 1, 1),
    "equals": (_equals, 2, 2),
    "greater": (_order(lambda a, b: a > b), 2, 2),
    "greaterorequals": (_order(lambda a, b: a >= b), 2, 2),
    "less": (_order(lambda a, b: a < b), 2, 2),
    "lessorequals": (_order(lambda a, b: a <= b), 2, 2),
    "format": (_format, 1, None),
    "join": (lambda v, mark: mark.join(text_of(x) for x in v), 2, 2),
    "split": (_split, 2, 2),
    "replace": (_replace, 3, 3),
    "substring": (_substring, 2, 3),
    "tolower": (lambda v: v.lower(), 1, 1),
    "toupper": (lambda v: v.upper(), 1, 1),
    "trim": (lambda v: v.strip(), 1, 1),
    "startswith": (lambda a, b: a.lower().startswith(b.lower()), 2, 2),
    "endswith": (lambda a, b: a.lower().endswith(b.lower()), 2, 2),
    "lastindexof": (lambda a, b: a.lower().rfind(b.lower()), 2, 2),
    "padleft": (lambda v, n, c=" ": text_of(v).rjust(n, c), 2, 3),
    "uniquestring": (unique_string, 1, None),
    "guid": (guid, 1, None),
    "base64": (lambda v: base64.b64encode(v.encode()).decode(), 1, 1),
    "base64tostring": (_base64_to_string, 1, 1),
    "base64tojson": (lambda v: json.loads(_base64_to_string(v)), 1, 1),
    "uri": (urljoin, 2, 2),
    "uricomponent": (lambda v: quote(v, safe=""), 1, 1),
    "uricomponenttostring": (unquote, 1, 1),
}

PURE_FUNCTIONS: Mapping[str, Function] = {
    **{name: _plain(name, *entry) for name, entry in _PLAIN.items()},
    "if": _if,
    "tryget": _try_get,
}
"""By name in lower case; names are matched without regard to case."""
