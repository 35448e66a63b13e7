"""Whether an expression in CEL is sound, before it is ever evaluated, and what type it has.

The rules are walked over the syntax tree; which functions there are is data,
``cel_functions.json``, as a Kubernetes API server declares them (``tools/cel_functions``).

Source: github.com/google/cel-go checker/checker.go (rules), checker/errors.go (wording).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import count

import msgspec

from poolwright.kubesim.cel_tree import Node, Tree, kind_of, qualified_name
from poolwright.kubesim.cel_type import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    ERROR,
    INT,
    NULL,
    STRING,
    UINT,
    Bindings,
    Type,
    all_fit,
    instantiated,
    list_of,
    map_of,
    more_general,
    optional_of,
    parse_types,
    resolved,
    variables_in,
)

_LITERALS = {
    "null": NULL, "bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING,
    "bytes": BYTES,
}  # fmt: skip
_LOGICAL = frozenset({"_&&_", "_||_"})
_OPTIONAL_FIELD = "_?._"


@dataclass(frozen=True, slots=True)
class Overload:
    """One form of a function; of a member function the receiver is the first parameter."""

    is_member: bool
    parameters: tuple[Type, ...]
    result: Type


@cache
def functions() -> Mapping[str, Sequence[Overload]]:
    """Every function by its name."""
    data = files("poolwright.kubesim").joinpath("cel_functions.json").read_bytes()
    declared: dict[str, list[str]] = msgspec.json.decode(data)["functions"]
    return {name: [_overload(text) for text in texts] for name, texts in declared.items()}


@cache
def _type_names() -> Mapping[str, Type]:
    data = files("poolwright.kubesim").joinpath("cel_functions.json").read_bytes()
    named: dict[str, str] = msgspec.json.decode(data)["types"]
    return {name: Type("type", tuple(parse_types(text))) for name, text in named.items()}


def _overload(text: str) -> Overload:
    """``string.(string) -> bool`` or ``(int, int) -> int``."""
    sent, _, result = text.rpartition(" -> ")
    receiver, is_member, rest = sent.partition(".(") if not sent.startswith("(") else ("", "", sent)
    words = f"{receiver}, {rest[:-1]}" if is_member else rest[1:-1]
    return Overload(bool(is_member), tuple(parse_types(words)), parse_types(result)[0])


@dataclass(frozen=True, slots=True)
class Choice:
    """The forms of a function that a call may mean; none for what the language has built in."""

    name: str
    overloads: Sequence[Overload] = ()
    has_target: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """``problems`` is empty where the expression is sound. Types and choices are by node."""

    result: Type
    problems: str
    types: Mapping[int, Type]
    choices: Mapping[int, Choice]


def check_types(tree: Tree, declared: Mapping[str, Type]) -> Verdict:
    """What a parsed expression is, over variables of these types."""
    walk = _Walk(declared)
    found = walk.visit(tree.root)
    types = {number: resolved(walk.bound, given, free=DYN) for number, given in walk.types.items()}
    result = resolved(walk.bound, found, free=DYN)
    return Verdict(result, tree.complaints(walk.problems), types, walk.choices)


class _Walk:
    """One look at one tree."""

    def __init__(self, declared: Mapping[str, Type]) -> None:
        self.scopes: list[Mapping[str, Type]] = [_type_names(), declared]
        self.bound: Bindings = {}
        self.problems: list[tuple[int, str]] = []
        self.types: dict[int, Type] = {}
        self.choices: dict[int, Choice] = {}
        self._fresh = count()

    def visit(self, node: Node) -> Type:
        """The type of an expression; notes it, and what is wrong with it."""
        found = self.types[node["id"]] = self._visited(node)
        return found

    def _visited(self, node: Node) -> Type:
        match kind_of(node):
            case "const":
                return _LITERALS[next(iter(node["const"]))]
            case "ident":
                return self._named(node, qualified_name(node))
            case "select":
                return self._select(node)
            case "call":
                return self._call(node)
            case "list":
                return self._list(node)
            case "struct":
                return self._map(node)
            case _:
                return self._comprehension(node)

    def _wrong(self, node: Node, words: str) -> Type:
        self.problems.append((node["id"], words))
        return ERROR

    def _undeclared(self, node: Node, name: str) -> Type:
        return self._wrong(node, f"undeclared reference to '{name}' (in container '')")

    def _expect(self, node: Node, wanted: Type, found: Type) -> None:
        if not self._fits((wanted,), (found,)):
            self._wrong(node, f"expected type '{wanted}' but found '{found}'")

    def _fits(self, ones: tuple[Type, ...], others: tuple[Type, ...]) -> bool:
        """Whether types fit; what that binds stays bound only if they do."""
        bound = dict(self.bound)
        if not all_fit(bound, ones, others):
            return False
        self.bound = bound
        return True

    def _new_variable(self) -> Type:
        return Type(f"_var{next(self._fresh)}", is_variable=True)

    # Names

    def _look_up(self, name: str) -> Type | None:
        plain = name.removeprefix(".")
        return next((scope[plain] for scope in reversed(self.scopes) if plain in scope), None)

    def _named(self, node: Node, name: str) -> Type:
        found = self._look_up(name)
        return self._undeclared(node, name) if found is None else found

    def _select(self, node: Node) -> Type:
        select = node["select"]
        name = qualified_name(node)
        found = self._look_up(name) if name else None
        if found is not None:
            return found
        result = self._field(node, select["operand"], select["field"])
        return BOOL if select.get("testOnly") else resolved(self.bound, result)

    def _field(self, node: Node, operand: Node, name: str, *, optional: bool = False) -> Type:
        held = resolved(self.bound, self.visit(operand))
        is_optional = held.name == "optional_type"
        target = held.parameters[0] if is_optional else held
        result = self._member(node, target, name)
        return optional_of(result) if is_optional or optional else result

    def _member(self, node: Node, target: Type, name: str) -> Type:
        if target.name == "map" and target.parameters:
            return target.parameters[1]
        if target.member is not None:
            return target.member(name) or self._wrong(node, f"undefined field '{name}'")
        if target.is_message:
            return self._wrong(node, f"unexpected failed resolution of '{target}'")
        if target.is_variable:
            self._fits((DYN,), (target,))
        elif not target.is_unchecked:
            self._wrong(node, f"type '{target}' does not support field selection")
        return DYN

    # Calls

    def _call(self, node: Node) -> Type:
        call = node["call"]
        name, target, arguments = call["function"], call.get("target"), call.get("args", ())
        if name == _OPTIONAL_FIELD:
            self.choices[node["id"]] = Choice(name)
            field = str(arguments[1].get("const", {}).get("string", ""))
            result = self._field(node, arguments[0], field, optional=True)
            return resolved(self.bound, result)
        given = tuple(self.visit(argument) for argument in arguments)
        if name in _LOGICAL:
            self.choices[node["id"]] = Choice(name)
            return self._logical(arguments, given)
        if target is not None:
            prefix = qualified_name(target)
            spaced = functions().get(f"{prefix}.{name}") if prefix else None
            if spaced is not None:
                return self._choose(node, f"{prefix}.{name}", spaced, given, is_member=False)
            given = (self.visit(target), *given)
        overloads = functions().get(name)
        if overloads is None:
            return self._undeclared(node, name)
        return self._choose(node, name, overloads, given, is_member=target is not None)

    def _logical(self, arguments: Sequence[Node], given: Sequence[Type]) -> Type:
        before = len(self.problems)
        for argument, found in zip(arguments, given, strict=True):
            if not self._fits((found,), (BOOL,)):
                self._wrong(argument, f"expected type 'bool' but found '{found}'")
        return BOOL if len(self.problems) == before else ERROR

    def _choose(
        self,
        node: Node,
        name: str,
        overloads: Sequence[Overload],
        given: tuple[Type, ...],
        *,
        is_member: bool,
    ) -> Type:
        result: Type | None = None
        chosen: list[Overload] = []
        for overload in overloads:
            if overload.is_member != is_member:
                continue
            parts = (overload.result, *overload.parameters)
            fresh = {
                variable: self._new_variable()
                for part in parts
                for variable in dict.fromkeys(variables_in(part))
            }
            wanted = tuple(instantiated(part, fresh) for part in parts)
            if self._fits(given, wanted[1:]):
                chosen.append(overload)
                found = resolved(self.bound, wanted[0])
                same = result is None or result.is_dynamic or found == result
                result = (found if result is None else result) if same else DYN
        if result is not None:
            self.choices[node["id"]] = Choice(name, chosen, is_member)
            return result
        shown = [str(resolved(self.bound, part, free=DYN)) for part in given]
        receiver, shown = (f"{shown[0]}.", shown[1:]) if is_member else ("", shown)
        applied = f"{receiver}({', '.join(shown)})"
        return self._wrong(node, f"found no matching overload for '{name}' applied to '{applied}'")

    # Aggregates

    def _joined(self, before: Type | None, found: Type) -> Type:
        if before is None:
            return found
        return more_general(before, found) if self._fits((before,), (found,)) else DYN

    def _unwrapped(self, node: Node, *, optional: bool) -> Type:
        found = self.visit(node)
        if not optional:
            return found
        if found.name == "optional_type":
            return found.parameters[0]
        if not found.is_dynamic:
            self._wrong(node, f"expected type '{optional_of(found)}' but found '{found}'")
        return found

    def _list(self, node: Node) -> Type:
        optionals = frozenset(node["list"].get("optionals", ()))
        item: Type | None = None
        for place, element in enumerate(node["list"].get("elements", ())):
            found = self._unwrapped(element, optional=place in optionals)
            item = self._joined(item, found)
        return list_of(item or self._new_variable())

    def _map(self, node: Node) -> Type:
        name = node["struct"].get("name")
        if name:
            return self._undeclared(node, name)
        key: Type | None = None
        value: Type | None = None
        for entry in node["struct"].get("entries", ()):
            key = self._joined(key, self.visit(entry["key"]))
            found = self._unwrapped(entry["value"], optional=bool(entry.get("isOptional")))
            value = self._joined(value, found)
        return map_of(key or self._new_variable(), value or self._new_variable())

    # Loops

    def _comprehension(self, node: Node) -> Type:
        loop = node["comprehension"]
        ranged, start = self.visit(loop["range"]), self.visit(loop["start"])
        ranged = resolved(self.bound, ranged)
        item = self._iterated(loop["range"], ranged)
        variables = {loop["variable"]: item}
        if "second" in loop:
            variables = {loop["variable"]: INT if ranged.name == "list" else item}
            variables[loop["second"]] = ranged.parameters[-1] if ranged.parameters else item
        self.scopes.append({loop["accumulator"]: start})
        self.scopes.append(variables)
        self._expect(loop["condition"], BOOL, self.visit(loop["condition"]))
        self._expect(loop["step"], start, self.visit(loop["step"]))
        self.scopes.pop()
        result = self.visit(loop["result"])
        self.scopes.pop()
        return resolved(self.bound, result)

    def _iterated(self, node: Node, ranged: Type) -> Type:
        """What the variable of a loop holds: an item of a list, a key of a map."""
        if ranged.name in {"list", "map"} and ranged.parameters:
            return ranged.parameters[0]
        if ranged.is_unchecked or ranged.is_variable:
            self._fits((DYN,), (ranged,))
            return DYN
        said = f"expression of type '{ranged}' cannot be range of a comprehension"
        return self._wrong(node, f"{said} (must be list, map, or dynamic)")
