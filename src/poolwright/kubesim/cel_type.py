"""Types in CEL: how they are written, and which value may stand where.

Source: github.com/google/cel-go checker/types.go (what may be assigned to what, how type
variables are bound) and checker/format.go (how a type is printed).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Bindings = dict[str, "Type"]
"""What type variables stand for."""


@dataclass(frozen=True, slots=True)
class Type:
    """A type. ``member`` finds the type of a field of an object; None: it has no such field."""

    name: str
    parameters: tuple[Type, ...] = ()
    member: Callable[[str], Type | None] | None = field(default=None, compare=False, repr=False)
    is_variable: bool = False

    def __str__(self) -> str:
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    @property
    def is_dynamic(self) -> bool:
        """Whether anything may be here."""
        return self.name in {"dyn", "any"}

    @property
    def is_unchecked(self) -> bool:
        """Whether nothing is to be said of it (any more)."""
        return self.is_dynamic or self is ERROR

    @property
    def is_message(self) -> bool:
        """Whether it is an object, with fields that are known or without any."""
        return self.member is not None or self.name.startswith("kubernetes.")


ERROR = Type("!error!")
DYN, BOOL, INT, STRING, BYTES = map(Type, ("dyn", "bool", "int", "string", "bytes"))
DOUBLE, UINT, NULL, TIMESTAMP = map(Type, ("double", "uint", "null", "timestamp"))
DURATION, TYPE = Type("duration"), Type("type")
_NEVER_NULL = frozenset({"bool", "bytes", "double", "int", "list", "map", "string", "type", "uint"})


def list_of(item: Type) -> Type:
    """A list."""
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """A map."""
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """A value that may be missing."""
    return Type("optional_type", (value,))


def object_of(name: str, members: Mapping[str, Type]) -> Type:
    """An object whose fields are known."""
    return Type(name, member=members.get)


_WORD = re.compile(r"\s*([(),]|<\w+>|[\w.]+)")


def parse_types(text: str) -> list[Type]:
    """Types as the table of functions writes them: ``list(<T>), int``."""
    words = [found[1] for found in _WORD.finditer(text)]
    found, at = _sequence(words, 0)
    assert at == len(words), text
    return found


def _sequence(words: list[str], at: int) -> tuple[list[Type], int]:
    found: list[Type] = []
    while at < len(words) and words[at] != ")":
        if words[at] == ",":
            at += 1
            continue
        word, inner = words[at], []
        at += 1
        if at < len(words) and words[at] == "(":
            inner, at = _sequence(words, at + 1)
            at += 1
        is_variable = word.startswith("<")
        found.append(Type(word.strip("<>"), tuple(inner), is_variable=is_variable))
    return found, at


def resolved(bound: Bindings, given: Type, *, free: Type | None = None) -> Type:
    """A type with its variables replaced; those that are not bound by ``free``, if it is given."""
    while given.is_variable and given.name in bound:
        given = bound[given.name]
    if given.is_variable:
        return free or given
    if not given.parameters:
        return given
    inner = tuple(resolved(bound, part, free=free) for part in given.parameters)
    return given if inner == given.parameters else Type(given.name, inner)


def instantiated(given: Type, fresh: Mapping[str, Type]) -> Type:
    """A declared type with other variables."""
    if given.is_variable:
        return fresh[given.name]
    if not given.parameters:
        return given
    return Type(given.name, tuple(instantiated(part, fresh) for part in given.parameters))


def variables_in(given: Type) -> Iterator[str]:
    """The variables of a declared type."""
    if given.is_variable:
        yield given.name
    for part in given.parameters:
        yield from variables_in(part)


def fits(bound: Bindings, one: Type, other: Type) -> bool:
    """Whether a value of one type may stand for one of the other; binds variables in place."""
    if other.is_variable:
        is_bound, was_known = _bind(bound, one, other)
        if is_bound or was_known:
            return is_bound
    if one.is_variable:
        return _bind(bound, other, one)[0]
    if one.is_unchecked or other.is_unchecked:
        return True
    if one.name == "null" or other.name == "null":
        rest = other if one.name == "null" else one
        return rest.name not in _NEVER_NULL
    if one.name == "type":
        return other.name == "type"
    return one.name == other.name and all_fit(bound, one.parameters, other.parameters)


def all_fit(bound: Bindings, ones: tuple[Type, ...], others: tuple[Type, ...]) -> bool:
    """Whether types fit one by one."""
    if len(ones) != len(others):
        return False
    return all(fits(bound, one, other) for one, other in zip(ones, others, strict=True))


def _bind(bound: Bindings, given: Type, variable: Type) -> tuple[bool, bool]:
    """Whether a variable may stand for a type, and whether it stood for one before."""
    if given == variable:
        return True, True
    known = bound.get(variable.name)
    if known is None:
        if _speaks_of(bound, variable, given):
            return False, False
        bound[variable.name] = given
        return True, False
    if given == known:
        return True, True
    if not fits(bound, given, known):
        return False, True
    general = more_general(given, known)
    if not _speaks_of(bound, variable, general):
        bound[variable.name] = general
    return True, True


def _speaks_of(bound: Bindings, variable: Type, given: Type) -> bool:
    """Whether a variable occurs in a type."""
    if given == variable:
        return True
    if given.is_variable:
        known = bound.get(given.name)
        return known is not None and _speaks_of(bound, variable, known)
    return any(_speaks_of(bound, variable, part) for part in given.parameters)


def more_general(one: Type, other: Type) -> Type:
    """Of two types that fit, the one that says less."""
    return one if _says_no_more(one, other) else other


def _says_no_more(one: Type, other: Type) -> bool:
    if one.is_dynamic or one.is_variable:
        return True
    if other.is_dynamic or other.is_variable or one.name != other.name:
        return False
    if one.name == "type":
        return True
    return len(one.parameters) == len(other.parameters) and all(
        _says_no_more(a, b) for a, b in zip(one.parameters, other.parameters, strict=True)
    )
