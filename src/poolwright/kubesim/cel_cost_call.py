"""What a call of each function in CEL may cost beyond its arguments, and how large its value is.

Source: github.com/google/cel-go checker/cost.go (functionCost), ext/lists.go, ext/sets.go, and
k8s.io/apiserver pkg/cel/library/cost.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from poolwright.kubesim.cel_check import Overload
from poolwright.kubesim.cel_span import CHARACTER, LIMIT, ONE, UNKNOWN, Span, fixed
from poolwright.kubesim.cel_tree import Node
from poolwright.kubesim.cel_type import Type

_PATTERN = 0.25
_CHECK = fixed(350_000)
_LIST_BASE = 10
_REQUIREMENT = 10 + 40
_FORMAT_MAX, _FORMAT_PATTERN_MAX = 64, 128
_ADDRESS = Span(4, 16)
_AT_ONCE = frozenset(
    {"kubernetes.Quantity", "kubernetes.Semver", "net.IP", "net.CIDR"}
    | {f"kubernetes.authorization.{n}" for n in ("Authorizer", "PathCheck", "GroupCheck")}
    | {f"kubernetes.authorization.{n}" for n in ("ResourceCheck", "Decision")}
)
"""Types whose values are compared at once."""


@dataclass(frozen=True, slots=True)
class Operand:
    """What is known of an argument; ``size`` is None where nothing is."""

    node: Node
    type: Type
    path: tuple[str, ...]
    size: Span | None


@dataclass(frozen=True, slots=True)
class CallCost:
    """``size`` is None where the value has none, or it is not known."""

    cost: Span
    size: Span | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    """A call; of a member function, ``all`` begins with the receiver."""

    name: str
    overload: Overload | None
    target: Operand | None
    operands: Sequence[Operand]
    bound: Callable[[tuple[str, ...]], Span | None]

    @property
    def all(self) -> Sequence[Operand]:
        return self.operands if self.target is None else (self.target, *self.operands)

    def size(self, place: int) -> Span:
        """Of an argument, the receiver before all."""
        return self.all[place].size or UNKNOWN

    def kind(self, place: int) -> str:
        """The type that the chosen form of the function declares for an argument."""
        return self.overload.parameters[place].name if self.overload else ""


def call_cost(
    name: str,
    overload: Overload | None,
    target: Operand | None,
    operands: Sequence[Operand],
    bound: Callable[[tuple[str, ...]], Span | None],
) -> CallCost:
    """Of one form of a function; ``bound`` is what the schema says of the size at a path."""
    rule = RULES.get(name)
    found = rule(_Call(name, overload, target, operands, bound)) if rule else None
    return found or CallCost(ONE)


_Rule = Callable[[_Call], CallCost | None]


# Texts


def _read(call: _Call) -> CallCost:
    """Reads the whole text."""
    return CallCost(call.size(0).scaled(CHARACTER))


def _read_twice(call: _Call) -> CallCost:
    return CallCost(call.size(0).scaled(2 * CHARACTER))


def _as_long(call: _Call) -> CallCost:
    """Reads a text and makes one that is no longer."""
    return CallCost(call.size(0).scaled(CHARACTER), call.size(0))


def _ends(call: _Call) -> CallCost:
    return CallCost(call.size(1).scaled(CHARACTER))


def _contains(call: _Call) -> CallCost:
    return CallCost(call.size(0).scaled(CHARACTER).times(call.size(1).scaled(CHARACTER)))


def _pattern(call: _Call) -> Span:
    return call.size(0).plus(ONE).scaled(CHARACTER).times(call.size(1).scaled(_PATTERN))


def _matches(call: _Call) -> CallCost | None:
    return CallCost(_pattern(call)) if call.target is not None else None


def _find(call: _Call) -> CallCost:
    return CallCost(_pattern(call), Span(0, call.size(0).most))


def _to_bytes(call: _Call) -> CallCost | None:
    size = call.size(0)
    if call.kind(0) != "string":
        return None
    return CallCost(size.scaled(CHARACTER), Span(size.least, size.most * 4))


def _to_string(call: _Call) -> CallCost | None:
    size = call.size(0)
    if call.kind(0) != "bytes":
        return None
    return CallCost(size.scaled(CHARACTER), Span(size.least // 4, size.most))


def _quote(call: _Call) -> CallCost:
    size = call.size(0)
    return CallCost(size.scaled(CHARACTER), Span(size.least + 2, size.most * 2 + 2))


def _replace(call: _Call) -> CallCost:
    size, old, new = call.size(0), call.size(1), call.size(2)
    if old.least == 0:
        most = (min(LIMIT, size.most + 1), size.most)
    elif new.most <= old.least:
        most = (0, size.most)
    else:
        most = (math.ceil(size.most / old.least), 0)
    if old.most == 0:
        least = (min(LIMIT, size.least + 1), size.least)
    elif old.most <= new.least:
        least = (0, size.least)
    else:
        least = (math.ceil(size.least / old.most), 0)
    made = Span(least[0], most[0]).times(new).plus(Span(least[1], most[1]))
    return CallCost(size.scaled(2 * CHARACTER), made)


def _split(call: _Call) -> CallCost:
    size = call.size(0)
    most = _number(call.operands[1], size.most) if len(call.operands) > 1 else size.most
    return CallCost(size.scaled(2 * CHARACTER), Span(0, most))


def _join(call: _Call) -> CallCost:
    count, item = call.size(0), _item(call)
    size = count.times(item[1]) if item else fixed(0)
    if call.operands:
        between = Span(max(0, count.least - 1), max(0, count.most - 1))
        size = size.plus(call.size(1).times(between))
    return CallCost(size.scaled(CHARACTER), size)


def _number(operand: Operand, otherwise: int) -> int:
    """A whole number that is written there."""
    found = operand.node.get("const", {}).get("int")
    return otherwise if found is None else max(0, int(found))


# Lists


def _item(call: _Call) -> tuple[Type, Span] | None:
    """Type and size of the items of the receiver; None if it is no list."""
    held = call.all[0]
    if not held.type.parameters:
        return None
    known = call.bound((*held.path, "@items")) if held.path else None
    return held.type.parameters[0], known or UNKNOWN


def _walked(call: _Call) -> CallCost | None:
    if call.target is None:
        return None
    item = _item(call)
    if item is None:
        return _read(call)
    is_text = item[0].name in {"string", "bytes"}
    each = ONE.plus(item[1].scaled(CHARACTER)) if is_text else ONE
    return CallCost(call.size(0).times(each))


def _in(call: _Call) -> CallCost | None:
    return CallCost(call.size(1)) if call.kind(1) == "list" else None


def _sets(factor: float) -> _Rule:
    return lambda call: CallCost(call.size(0).times(call.size(1)).scaled(factor).plus(ONE))


def _made(factor: float, size: Span) -> CallCost:
    return CallCost(size.scaled(factor).plus(fixed(1 + _LIST_BASE)), size)


def _slice(call: _Call) -> CallCost:
    start, end = _number(call.operands[0], 0), _number(call.operands[1], call.size(0).most)
    return _made(1, fixed(max(0, end - start)))


def _flat(call: _Call) -> CallCost:
    return _made(_number(call.operands[0], LIMIT) if call.operands else 1, call.size(0))


def _squared(call: _Call) -> CallCost:
    return _made(2, call.size(0).times(call.size(0)))


def _sorted(call: _Call) -> CallCost:
    place = len(call.all) - 1
    sorted_by = call.overload.parameters[place] if call.overload else None
    item = sorted_by.parameters[0].name if sorted_by and sorted_by.parameters else ""
    size = call.size(place)
    return _made(2 + CHARACTER * (item in {"string", "bytes"}), size.times(size))


# Operators


def _added(call: _Call) -> CallCost | None:
    if call.kind(0) not in {"string", "bytes", "list"}:
        return None
    size = call.size(0).plus(call.size(1))
    return CallCost(ONE if call.kind(0) == "list" else size.scaled(CHARACTER), size)


def _compared(call: _Call) -> CallCost | None:
    if call.kind(0) not in {"string", "bytes"} or call.kind(1) != call.kind(0):
        return None
    return _matched(call)


def _matched(call: _Call) -> CallCost:
    """As many characters or items as the shorter one has."""
    shorter = min(call.size(0).most, call.size(1).most)
    return CallCost(Span(min(1, shorter), shorter).scaled(CHARACTER))


def _equal(call: _Call) -> CallCost:
    of = call.all[0].type
    if call.name == "_==_" and of == call.all[1].type:
        if of.name in _AT_ONCE:
            return CallCost(ONE)
        if of.name == "kubernetes.NamedFormat":
            return CallCost(Span(1, _FORMAT_MAX).scaled(CHARACTER))
        if of.name == "kubernetes.URL":
            size = call.all[1].size or ONE
            return CallCost(Span(1, size.most).scaled(CHARACTER))
    return _matched(call)


# Kubernetes' own


def _selector(call: _Call) -> CallCost:
    size = call.size(1)
    parsed = size.scaled(CHARACTER).plus(size.scaled(0.5).scaled(_REQUIREMENT))
    return CallCost(parsed.plus(fixed(_LIST_BASE)))


def _ip(call: _Call) -> CallCost | None:
    return _read(call) if call.target is None else None


def _within(more: Span) -> _Rule:
    def found(call: _Call) -> CallCost:
        cost = _ADDRESS.plus(_ADDRESS).scaled(CHARACTER).plus(more)
        if call.kind(1) == "string":
            cost = cost.plus(call.size(1).scaled(CHARACTER))
        return CallCost(cost)

    return found


def _validated(call: _Call) -> CallCost:
    return CallCost(call.size(1).scaled(CHARACTER).scaled(_FORMAT_PATTERN_MAX * _PATTERN))


RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(("isIP", "isCIDR", "cidr"), _read),
    **dict.fromkeys(("quantity", "isQuantity", "semver", "isSemver", "format"), _read),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _as_long),
    **dict.fromkeys(("url", "jsonpatch.escapeKey"), _as_long),
    **dict.fromkeys(("startsWith", "endsWith"), _ends),
    **dict.fromkeys(("find", "findAll"), _find),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _walked),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _compared),
    **dict.fromkeys(("_==_", "_!=_"), _equal),
    **dict.fromkeys(("sets.contains", "sets.intersects"), _sets(1)),
    **dict.fromkeys(("fieldSelector", "labelSelector"), _selector),
    **dict.fromkeys(("sort", "@sortByAssociatedKeys"), _sorted),
    "contains": _contains, "matches": _matches, "bytes": _to_bytes, "string": _to_string,
    "strings.quote": _quote, "replace": _replace, "split": _split, "join": _join,
    "@in": _in, "sets.equivalent": _sets(2), "slice": _slice, "flatten": _flat,
    "distinct": _squared, "reverse": lambda call: _made(1, call.size(0)),
    "lists.range": lambda call: _made(1, fixed(_number(call.operands[0], LIMIT))),
    "_+_": _added, "check": lambda _: CallCost(_CHECK), "ip": _ip,
    "ip.isCanonical": _read_twice, "containsIP": _within(fixed(0)),
    "containsCIDR": _within(_ADDRESS.scaled(CHARACTER).plus(ONE)), "validate": _validated,
}  # fmt: skip
"""The functions that cost more than one step."""
