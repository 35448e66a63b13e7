"""Evaluates an expression in CEL step by step, counting what each costs.

The runtime counts no costs, ends long loops early, takes no times in values, and lacks some
macros; what it cannot do is done here, slower by far. Functions are the runtime's own.

Source: github.com/google/cel-go interpreter/runtimecost.go (costs), interpreter/interpretable.go.
"""

# Values of any type come here, and lists and maps of them.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from poolwright.kubesim.cel_check import Overload, functions
from poolwright.kubesim.cel_cost_call import RULES, Operand, call_cost
from poolwright.kubesim.cel_operator import (
    NO_OVERLOAD,
    OF_OPTIONALS,
    OF_TEXTS,
    OPERATORS,
    Optional,
    TypeName,
    field,
    has_field,
    index,
    kind_of_value,
)
from poolwright.kubesim.cel_span import CHARACTER, fixed
from poolwright.kubesim.cel_tree import Node, kind_of, qualified_name
from poolwright.kubesim.cel_type import DYN, Type
from poolwright.kubesim.cel_value import CelError

_TYPES = (
    "bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string",
    "timestamp", "type", "uint",
)  # fmt: skip
_WELL_KNOWN = {"google.protobuf.Timestamp": "timestamp", "google.protobuf.Duration": "duration"}
_ACCUMULATORS = frozenset({"__result__", "@result"})
_NUMBERS = (bool, int, float)
_PARTS = ("key", "value")
_CONVERSIONS = frozenset(
    {"bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"}
)
_OPTIONAL_PARTS = frozenset({"_?._", "_[?_]"})
_WALKED = frozenset({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"})
_FORMAT_PATTERN = 8
"""Of matching a text with the pattern of a format, for ten of its characters."""
_SIZED_BY_RESULT = frozenset({"lists.range", "slice"})

Values = dict[str, Any]
Step = Callable[[Values], Any]


Call = Callable[[str, Sequence[Any], bool], Any]
"""Calls a function of the runtime: its name, its arguments (of a member function the receiver
before all), and whether it is one.
"""


class CostExceeded(Exception):
    """An expression has cost more than it may."""


class _Failed:
    """In the place of the value of a loop: what went wrong, unless a later turn makes up for it."""

    __slots__ = ("error",)

    def __init__(self, error: CelError) -> None:
        self.error = error


class Evaluation:
    """One evaluation of one tree. ``cost`` is what it has cost so far."""

    def __init__(self, call: Call, limit: int) -> None:
        self.cost = 0
        self._call = call
        self._limit = limit
        self._named: dict[str, Any] = {name: TypeName(name) for name in _TYPES}
        self._named |= {name: TypeName(plain) for name, plain in _WELL_KNOWN.items()}

    def value(self, root: Node, values: Mapping[str, Any]) -> Any:
        """What an expression is.

        Raises:
            CelError: it has no value.
            CostExceeded: it costs more than it may.
        """
        step = self._step(root)
        try:
            found = step(self._named | dict(values))
        finally:
            self._check()
        return found

    def _check(self) -> None:
        if self.cost > self._limit:
            raise CostExceeded

    # Parts of the language: each becomes a step that is taken as often as needed

    def _step(self, node: Node) -> Step:
        match kind_of(node):
            case "const":
                return self._constant(node["const"])
            case "ident":
                return self._name(qualified_name(node))
            case "select":
                return self._select(node)
            case "call":
                return self._call_step(node["call"])
            case "list":
                return self._list(node["list"])
            case "struct":
                return self._map(node["struct"])
            case _:
                return self._loop(node["comprehension"])

    @staticmethod
    def _constant(const: Mapping[str, Any]) -> Step:
        name, value = next(iter(const.items()))
        made = {"null": None, "bytes": base64.b64decode(value) if name == "bytes" else b""}
        found = made.get(name, value)
        return lambda _: found

    def _name(self, name: str) -> Step:
        plain = name.removeprefix(".")
        cost = 0 if plain in self._named else 1

        def step(values: Values) -> Any:
            self.cost += cost
            try:
                found = values[plain]
            except KeyError:
                raise CelError(f"no such attribute(s): {plain}") from None
            if found.__class__ is _Failed:
                raise found.error
            return found

        return step

    def _select(self, node: Node) -> Step:
        name, select = qualified_name(node), node["select"]
        if name in self._named:
            return self._name(name)
        operand, member = self._step(select["operand"]), select["field"]
        if select.get("testOnly"):
            return lambda values: has_field(operand(values), member)
        cost = 1 if _is_path(select["operand"]) else 2

        def step(values: Values) -> Any:
            found = operand(values)
            self.cost += cost
            return field(found, member)

        return step

    def _list(self, made: Mapping[str, Any]) -> Step:
        base = 0 if all(map(_is_constant, made.get("elements", ()))) else 10
        optionals = frozenset(made.get("optionals", ()))
        steps = [self._step(element) for element in made.get("elements", ())]

        def step(values: Values) -> list[Any]:
            self.cost += base
            found: list[Any] = []
            for place, each in enumerate(steps):
                item = each(values)
                found.extend(item.held if place in optionals else (item,))
            return found

        return step

    def _map(self, made: Mapping[str, Any]) -> Step:
        parts = [entry[part] for entry in made.get("entries", ()) for part in _PARTS]
        base = 0 if all(map(_is_constant, parts)) else 30
        steps = [
            (self._step(entry["key"]), self._step(entry["value"]), bool(entry.get("isOptional")))
            for entry in made.get("entries", ())
        ]

        def step(values: Values) -> dict[Any, Any]:
            self.cost += base
            found: dict[Any, Any] = {}
            for key, value, is_optional in steps:
                name, item = key(values), value(values)
                if not is_optional:
                    found[name] = item
                elif item.held:
                    found[name] = item.held[0]
            return found

        return step

    # Loops

    def _loop(self, loop: Mapping[str, Any]) -> Step:
        held, start, result = (self._step(loop[part]) for part in ("range", "start", "result"))
        name, first, second = loop["accumulator"], loop["variable"], loop.get("second")
        condition, step = self._step(loop["condition"]), self._step(loop["step"])
        goes_on = loop["condition"].get("const", {}).get("bool") is True

        def turn(values: Values) -> bool:
            """One time around; whether that was the last."""
            if not condition(values):
                return True
            try:
                values[name] = step(values)
            except CelError as error:
                values[name] = _Failed(error)
                return goes_on
            return False

        def run(values: Values) -> Any:
            inner = dict(values)
            items = held(values)
            inner[name] = start(values)
            for item in _pairs(items) if second else _singles(items):
                if second:
                    inner[first], inner[second] = item
                else:
                    inner[first] = item
                if turn(inner):
                    break
                if self.cost > self._limit:
                    raise CostExceeded
            return result(inner)

        return run

    # Calls

    def _call_step(self, call: Mapping[str, Any]) -> Step:
        name, target, nodes = call["function"], call.get("target"), list(call.get("args", ()))
        special = {
            "_&&_": self._logical, "_||_": self._logical, "_?_:_": self._either,
            "@not_strictly_false": self._not_false, "cel.@mapInsert": self._insert,
            "_[_]": self._index,
        }.get(name)  # fmt: skip
        if special is not None:
            return special(name, nodes)
        if name == "_+_" and qualified_name(nodes[0]) in _ACCUMULATORS and "list" in nodes[1]:
            return self._append(nodes)
        if target is not None:
            spaced = f"{qualified_name(target)}.{name}"
            if spaced in functions():
                return self._plain(spaced, nodes, is_member=False)
            return self._plain(name, [target, *nodes], is_member=True)
        return self._plain(name, nodes, is_member=False)

    def _plain(self, name: str, nodes: Sequence[Node], *, is_member: bool) -> Step:
        is_free = _is_free(name, nodes)
        of_text = OF_TEXTS.get(name) if is_member else None
        own, steps = OPERATORS.get(name), [self._step(node) for node in nodes]
        of_optional = OF_OPTIONALS.get(name) if is_member else None
        if name in {"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"}:
            return self._comparison(OPERATORS[name], steps)

        def step(values: Values) -> Any:
            given = [each(values) for each in steps]
            if of_optional is not None and isinstance(given[0], Optional):
                self.cost += 1
                return of_optional(*given)
            if of_text is not None and all(isinstance(each, str) for each in given):
                found = of_text(*given)
            else:
                found = own(*given) if own else self._call(name, given, is_member)
            if not is_free:
                self.cost += _steps_of(name, nodes, given, found, is_member=is_member)
            return found

        return step

    def _comparison(self, compare: Callable[[Any, Any], bool], steps: Sequence[Step]) -> Step:
        left, right = steps

        def step(values: Values) -> bool:
            one, other = left(values), right(values)
            shorter = 1
            if not isinstance(one, _NUMBERS) and not isinstance(other, _NUMBERS):
                shorter = min(_length(one), _length(other))
            self.cost += _read(shorter)
            return compare(one, other)

        return step

    def _append(self, nodes: Sequence[Node]) -> Step:
        """What a loop has gathered, and one more: in place, for nothing else knows that list."""
        gathered, more = (self._step(node) for node in nodes)

        def step(values: Values) -> Any:
            found = gathered(values)
            found.extend(more(values))
            self.cost += 1
            return found

        return step

    def _insert(self, _: str, nodes: Sequence[Node]) -> Step:
        gathered, *more = (self._step(node) for node in nodes)

        def step(values: Values) -> Any:
            found, given = gathered(values), [each(values) for each in more]
            self.cost += 1
            entries = given[0] if len(given) == 1 else {given[0]: given[1]}
            for key, value in entries.items():
                if key in found:
                    raise CelError(f"insert failed: key {key} already exists")
                found[key] = value
            return found

        return step

    def _logical(self, name: str, nodes: Sequence[Node]) -> Step:
        """``&&`` and ``||``: one side alone may decide, whatever the other has to say."""
        left, right = (self._step(node) for node in nodes)
        decides = name == "_||_"

        def side(step: Step, values: Values) -> bool | CelError:
            try:
                found = step(values)
            except CelError as error:
                return error
            return found if isinstance(found, bool) else CelError(NO_OVERLOAD)

        def step(values: Values) -> bool:
            one = side(left, values)
            if one is decides:
                return decides
            other = side(right, values)
            if other is decides:
                return decides
            for found in (one, other):
                if isinstance(found, CelError):
                    raise found
            return not decides

        return step

    def _index(self, _: str, nodes: Sequence[Node]) -> Step:
        held, place = (self._step(node) for node in nodes)
        cost = (1 if _is_path(nodes[0]) else 2) - _is_path(nodes[1])

        def step(values: Values) -> Any:
            found = index(held(values), place(values))
            self.cost += cost
            return found

        return step

    def _either(self, _: str, nodes: Sequence[Node]) -> Step:
        condition, yes, no = (self._step(node) for node in nodes)
        spared = {True: _is_path(nodes[1]), False: _is_path(nodes[2])}

        def step(values: Values) -> Any:
            found = condition(values)
            if not isinstance(found, bool):
                raise CelError(NO_OVERLOAD)
            self.cost -= spared[found]
            return yes(values) if found else no(values)

        return step

    def _not_false(self, _: str, nodes: Sequence[Node]) -> Step:
        inner = self._step(nodes[0])

        def step(values: Values) -> bool:
            self.cost += 1
            try:
                return inner(values) is not False
            except CelError:
                return True

        return step


def _singles(held: Any) -> Iterable[Any]:
    """What a loop over one variable goes through."""
    if not isinstance(held, list | Mapping):
        raise CelError(NO_OVERLOAD)
    return list(held)


def _pairs(held: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(held, list):
        return enumerate(held)
    if isinstance(held, Mapping):
        return list(held.items())
    raise CelError(NO_OVERLOAD)


# Costs


def _is_constant(node: Node) -> bool:
    """Whether a value is written there, which is made once and for all."""
    if "list" in node:
        return all(map(_is_constant, node["list"].get("elements", ())))
    if "struct" in node:
        parts = [entry[part] for entry in node["struct"].get("entries", ()) for part in _PARTS]
        return all(map(_is_constant, parts))
    return "const" in node


def _is_path(node: Node) -> bool:
    """Whether it leads from a variable to a part of it; that is one look, not several."""
    if "select" in node:
        return not node["select"].get("testOnly") and _is_path(node["select"]["operand"])
    if "call" in node:
        call = node["call"]
        return call["function"] == "_[_]" and _is_path(call["args"][0])
    return "ident" in node


def _is_free(name: str, nodes: Sequence[Node]) -> bool:
    """Whether a call is made when the expression is compiled, is part of a path, or becomes a look
    into a set.
    """
    if name in _OPTIONAL_PARTS:
        return True
    if name in _CONVERSIONS:
        return "const" in nodes[0]
    return name == "@in" and "list" in nodes[1] and _is_constant(nodes[1])


def _length(value: Any) -> int:
    if isinstance(value, str | bytes | list | Mapping):
        return len(value)
    return _length(value.held[0]) if isinstance(value, Optional) and value.held else 1


def _read(characters: int) -> int:
    """Of reading so many characters: a tenth for each."""
    return -(-characters // 10)


def _walk_cost(value: Any) -> int:
    """Of looking at everything in a value."""
    if isinstance(value, str):
        return int(len(value.encode()) * CHARACTER)
    if isinstance(value, bytes):
        return int(len(value) * CHARACTER)
    if isinstance(value, list):
        return sum(map(_walk_cost, value))
    if isinstance(value, Mapping):
        return sum(_walk_cost(k) + _walk_cost(v) for k, v in value.items())
    return 1


def _steps_of(
    name: str, nodes: Sequence[Node], given: Sequence[Any], found: Any, *, is_member: bool
) -> int:
    """What a call costs beyond its arguments."""
    if name in _WALKED:
        return _walk_cost(given[0])
    if name in {"startsWith", "endsWith"}:
        return _read(_length(given[0]))
    if name == "join":
        return _read(2 * _length(found))
    if name == "validate":
        return _read(1 + _length(given[1])) * _FORMAT_PATTERN
    if name in {"containsIP", "containsCIDR"}:
        size = -(-int(given[0]["cidr"].rpartition("/")[2]) // 8)
        other = _read(len(given[1])) if isinstance(given[1], str) else 0
        return _read(2 * size) + other + (name == "containsCIDR") * (_read(size) + 1)
    if name in _SIZED_BY_RESULT:
        return 11 + _length(found)
    if name not in RULES or (name == "_+_" and isinstance(given[0], _NUMBERS)):
        return 1
    kinds = tuple(Type(kind_of_value(value)) for value in given)
    operands = [
        Operand(node, kind, (), fixed(_length(value)))
        for node, kind, value in zip(nodes, kinds, given, strict=True)
    ]
    target = operands.pop(0) if is_member else None
    overload = Overload(is_member, kinds, DYN)
    return call_cost(name, overload, target, operands, lambda _: None).cost.most
