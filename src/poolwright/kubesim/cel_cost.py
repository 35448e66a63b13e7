"""What an expression in CEL may cost, from what its text and the bounds of its variables say.

A cost is a span from the least to the most; it counts steps, and a tenth for a character.
What each function adds is in ``cel_cost_call``.

Source: github.com/google/cel-go checker/cost.go.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poolwright.kubesim.cel_check import Choice, Overload, Verdict
from poolwright.kubesim.cel_cost_call import CallCost, Operand, call_cost
from poolwright.kubesim.cel_extent import Extent
from poolwright.kubesim.cel_span import NOTHING, ONE, UNKNOWN, Span, fixed
from poolwright.kubesim.cel_tree import Node, kind_of
from poolwright.kubesim.cel_type import DYN, Type

_SCALARS = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})
_LIST_BASE, _MAP_BASE = fixed(10), fixed(30)
_EMPTY = Span(2**64 - 1, 0)
_ACCUMULATORS = frozenset({"__result__", "@result"})

Path = tuple[str, ...]
"""From a variable to a part of it: names of fields, ``@items``, ``@keys``, ``@values``."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The sizes of what a list or map that an expression makes holds."""

    is_list: bool
    key: Span
    value: Span

    def joined(self, other: Entries | None) -> Entries | None:
        """Those of either."""
        if other is None:
            return None
        return Entries(self.is_list, self.key.joined(other.key), self.value.joined(other.value))


@dataclass(frozen=True, slots=True)
class _Local:
    path: Path
    size: Span | None
    entries: Entries | None


def estimated_cost(root: Node, verdict: Verdict, extent: Extent) -> Span:
    """The cost of a sound expression over variables that are all of one extent."""
    return _Walk(verdict, extent).cost(root)


class _Walk:
    """One look at one tree."""

    def __init__(self, verdict: Verdict, extent: Extent) -> None:
        self._verdict = verdict
        self._extent = extent
        self._paths: dict[int, Path] = {}
        self._sizes: dict[int, Span] = {}
        self._entries: dict[int, Entries] = {}
        self._locals: dict[str, list[_Local]] = {}

    def cost(self, node: Node) -> Span:
        """Of an expression, noting where it leads to and how large it is."""
        match kind_of(node):
            case "const":
                return NOTHING
            case "ident":
                name = str(node["ident"].get("name", ""))
                local = self._local(node)
                self._paths[node["id"]] = (name,) if local is None else local.path
                return ONE
            case "select":
                return self._select(node)
            case "call":
                return self._call(node)
            case "list":
                return self._list(node)
            case "struct":
                return self._map(node)
            case _:
                return self._loop(node)

    def _local(self, node: Node) -> _Local | None:
        if "ident" not in node:
            return None
        found = self._locals.get(str(node["ident"].get("name", "")))
        return found[-1] if found else None

    def _type(self, node: Node) -> Type:
        return self._verdict.types.get(node["id"], DYN)

    def _path(self, node: Node) -> Path:
        local = self._local(node)
        return self._paths.get(node["id"], ()) if local is None else local.path

    # Sizes

    def size(self, node: Node) -> Span | None:
        """How large the value of an expression is, as far as that is known."""
        known = self._sizes.get(node["id"]) or _literal_size(node)
        if known is not None:
            return known
        bounded = self.bound(self._path(node))
        if bounded is not None:
            self._sizes[node["id"]] = bounded
            return bounded
        if _is_scalar(self._type(node)):
            return ONE
        local = self._local(node)
        return local.size if local is not None else None

    def bound(self, path: Path) -> Span | None:
        """What the schema says of the size of a part of a variable."""
        if not path:
            return None
        found: Extent | None = self._extent
        for name in path[1:]:
            found = found.at(name) if found is not None else None
        return None if found is None else Span(0, found.most)

    def entries(self, node: Node) -> Entries | None:
        """The sizes of what a list or map holds."""
        found = self._entries.get(node["id"])
        if found is not None:
            return found
        local = self._local(node)
        return local.entries if local is not None else None

    def _set_entries(self, node: Node, found: Entries | None) -> None:
        if found is not None:
            self._entries[node["id"]] = found

    # Parts of the language

    def _select(self, node: Node) -> Span:
        operand = node["select"]["operand"]
        total = self.cost(operand)
        if node["select"].get("testOnly"):
            return total
        held = self._type(operand)
        self._paths[node["id"]] = (*self._path(operand), node["select"]["field"])
        return total.plus(ONE) if held.name == "map" or held.is_message else total

    def _list(self, node: Node) -> Span:
        elements: Sequence[Node] = node["list"].get("elements", ())
        total, size = _LIST_BASE, _EMPTY if elements else fixed(0)
        for element in elements:
            total = total.plus(self.cost(element))
            size = size.joined(self.size(element) or UNKNOWN)
        self._entries[node["id"]] = Entries(True, ONE, size)
        return total

    def _map(self, node: Node) -> Span:
        entries = node["struct"].get("entries", ())
        total, start = _MAP_BASE, _EMPTY if entries else fixed(0)
        key = value = start
        for entry in entries:
            total = total.plus(self.cost(entry["key"])).plus(self.cost(entry["value"]))
            key = key.joined(self.size(entry["key"]) or UNKNOWN)
            value = value.joined(self.size(entry["value"]) or UNKNOWN)
        self._entries[node["id"]] = Entries(False, key, value)
        return total

    def _call(self, node: Node) -> Span:
        choice = self._verdict.choices.get(node["id"])
        arguments: Sequence[Node] = node["call"].get("args", ())
        if choice is None:
            return NOTHING
        if choice.name == "dyn":
            total = self.cost(arguments[0]).plus(ONE)
            self._copy(node, arguments[0])
            return total
        costs = [self.cost(argument) for argument in arguments]
        operands = [self._operand(argument) for argument in arguments]
        total, target = NOTHING, None
        if choice.has_target:
            total = self.cost(node["call"]["target"])
            target = self._operand(node["call"]["target"])
        dearest, size = _EMPTY, None
        for overload in choice.overloads or (None,):
            found = self._called(node, choice, overload, target, operands, costs)
            dearest = dearest.joined(found.cost)
            if found.size is not None:
                size = found.size if size is None else size.joined(found.size)
            if choice.name == "_[_]" and overload is not None:
                size = self._indexed(node, arguments[0], overload, size)
            size = size or self.size(node)
        if size is not None:
            self._sizes[node["id"]] = size
        return total.plus(dearest)

    def _called(
        self,
        node: Node,
        choice: Choice,
        overload: Overload | None,
        target: Operand | None,
        operands: Sequence[Operand],
        costs: Sequence[Span],
    ) -> CallCost:
        arguments = [operand.node for operand in operands]
        spent = NOTHING.plus(*costs)
        if choice.name in {"_&&_", "_||_"}:
            return CallCost(Span(costs[0].least, spent.most))
        if choice.name == "_?_:_":
            either = self._joined_entries(arguments[1], arguments[2])
            self._set_entries(node, either)
            size = (operands[1].size or UNKNOWN).joined(operands[2].size or UNKNOWN)
            return CallCost(costs[0].plus(costs[1].joined(costs[2])), size)
        if choice.name == "_+_":
            self._set_entries(node, self._joined_entries(arguments[0], arguments[1]))
        found = call_cost(choice.name, overload, target, operands, self.bound)
        return CallCost(found.cost.plus(spent), found.size)

    def _joined_entries(self, one: Node, other: Node) -> Entries | None:
        first = self.entries(one)
        return None if first is None else first.joined(self.entries(other))

    def _indexed(
        self, node: Node, held: Node, overload: Overload, size: Span | None
    ) -> Span | None:
        """An item of a list or a value of a map leads on."""
        of = overload.parameters[0].name
        if of not in {"list", "map"}:
            return size
        self._paths[node["id"]] = (*self._path(held), "@items" if of == "list" else "@values")
        found = self.entries(held)
        return None if found is None else found.value

    def _operand(self, node: Node) -> Operand:
        path = self._path(node)
        if path and path[0] in _ACCUMULATORS:
            path = ()
        return Operand(node, self._type(node), path, self.size(node))

    def _copy(self, to: Node, source: Node) -> None:
        size = self.size(source)
        if size is not None:
            self._sizes[to["id"]] = size
        self._set_entries(to, self.entries(source))

    # Loops

    def _loop(self, node: Node) -> Span:
        loop = node["comprehension"]
        held, name = loop["range"], loop["accumulator"]
        total = self.cost(held).plus(self.cost(loop["start"]))
        start = loop["start"]
        self._push(name, _Local(self._path(start), self.size(start), self.entries(start)))
        if _is_binding(loop):
            total = total.plus(self.cost(loop["result"]))
            self._locals[name].pop()
            self._copy(node, loop["result"])
            return total
        variables = self._loop_variables(loop)
        for variable, local in variables.items():
            self._push(variable, local)
        each = self.cost(loop["condition"]).plus(self.cost(loop["step"]))
        for variable in variables:
            self._locals[variable].pop()
        total = total.plus(self.cost(loop["result"]))
        self._locals[name].pop()
        count = self.size(held) or UNKNOWN
        if "const" in start:
            size = self.size(start)
            if size is not None:
                self._sizes[node["id"]] = size
        elif "list" in start or "struct" in start:
            self._sizes[node["id"]] = count
            self._set_entries(node, self.entries(loop["step"]))
        return total.plus(count.times(each))

    def _push(self, name: str, local: _Local) -> None:
        self._locals.setdefault(name, []).append(local)

    def _loop_variables(self, loop: Node) -> Mapping[str, _Local]:
        held = loop["range"]
        entries, path = self.entries(held), self._path(held)
        is_list = entries.is_list if entries else self._type(held).name == "list"
        keys = _Local((*path, "@keys"), entries and entries.key, None)
        if is_list and "second" in loop:
            keys = _Local((*path, "@indices"), entries and entries.key, None)
        values = _Local(
            (*path, "@items" if is_list else "@values"), entries and entries.value, None
        )
        if "second" in loop:
            return {loop["variable"]: keys, loop["second"]: values}
        return {loop["variable"]: values if is_list else keys}


def _is_binding(loop: Node) -> bool:
    """A loop over nothing that only gives a name to a value."""
    return (
        "list" in loop["range"]
        and not loop["range"]["list"].get("elements")
        and loop["condition"].get("const", {}).get("bool") is False
        and loop["accumulator"] != "__result__"
    )


def _is_scalar(given: Type) -> bool:
    if given.name == "optional_type":
        return _is_scalar(given.parameters[0])
    return given.name in _SCALARS


def _literal_size(node: Node) -> Span | None:
    match kind_of(node):
        case "const":
            value = node["const"]
            if "string" in value:
                return fixed(len(value["string"]))
            return fixed(len(base64.b64decode(value["bytes"]))) if "bytes" in value else ONE
        case "list":
            return fixed(len(node["list"].get("elements", ())))
        case "struct":
            return fixed(len(node["struct"].get("entries", ())))
        case _:
            return None
