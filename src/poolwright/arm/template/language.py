"""Expressions of the template language: from ``[text]`` to a tree, and from a tree to a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from poolwright.model.errors import InvalidRequest


class TemplateError(InvalidRequest):
    """The template cannot be used; code ``InvalidTemplate``."""

    default_code = "InvalidTemplate"


@dataclass(frozen=True, slots=True)
class Literal:
    """A string or an integer."""

    value: str | int


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments; a user's own function has its namespace in the name."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """``base.name``; with ``is_safe`` (``.?``) a missing one is null."""

    base: Expression
    name: str
    is_safe: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """``base[key]``."""

    base: Expression
    key: Expression
    is_safe: bool = False


Expression = Literal | Call | Member | Index

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_][\w-]*)|(?P<mark>\.\?|[()\[\],.?]))"
)


def _tokens(text: str) -> list[tuple[str, str]]:
    result: list[tuple[str, str]] = []
    at = 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if match is None or match.lastgroup is None:
            raise TemplateError(
                "The language expression "
                f"'{text}' is not valid: the string character '{stripped[at:].lstrip()[:1]}' at "
                f"position '{at}' is not expected."
            )
        result.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return result


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise self.fail()
        token = self.tokens[self.at]
        self.at += 1
        return token

    def expect(self, mark: str) -> None:
        if self.take() != ("mark", mark):
            self.at -= 1
            raise self.fail()

    def fail(self) -> TemplateError:
        found = self.peek() or "end of expression"
        return TemplateError(
            f"Unable to parse language expression '{self.text}': unexpected '{found}'. Please see "
            "https://aka.ms/arm-template-expressions for usage details."
        )

    def whole(self) -> Expression:
        result = self.expression()
        if self.at != len(self.tokens):
            raise self.fail()
        return result

    def expression(self) -> Expression:
        kind, text = self.take()
        if kind == "string":
            return self.rest(Literal(text[1:-1].replace("''", "'")))
        if kind == "number":
            return self.rest(Literal(int(text)))
        if kind == "name":
            name = text
            while self.peek() == ".":  # a user's function: namespace.name(…)
                self.take()
                name += "." + self.take()[1]
            return self.rest(Call(name, self.arguments()))
        self.at -= 1
        raise self.fail()

    def arguments(self) -> tuple[Expression, ...]:
        self.expect("(")
        result: list[Expression] = []
        if self.peek() != ")":
            result.append(self.expression())
            while self.peek() == ",":
                self.take()
                result.append(self.expression())
        self.expect(")")
        return tuple(result)

    def rest(self, base: Expression) -> Expression:
        while True:
            match self.peek():
                case "." | ".?" as mark:
                    self.take()
                    kind, name = self.take()
                    if kind != "name":
                        self.at -= 1
                        raise self.fail()
                    base = Member(base, name, mark == ".?")
                case "[":
                    self.take()
                    is_safe = self.peek() == "?"
                    if is_safe:
                        self.take()
                    base = Index(base, self.expression(), is_safe)
                    self.expect("]")
                case _:
                    return base


def parse(text: str) -> Expression:
    """The tree of an expression without its outer brackets.

    Raises:
        TemplateError: it is not an expression.
    """
    return _Parser(text).whole()


Function = Callable[["Evaluator", tuple[Expression, ...]], Any]
"""A function gets its arguments unevaluated, because ``if`` and lambdas must not run all."""


def same_name(members: Mapping[str, Any], name: str) -> str | None:
    """The member's name as stored, found without regard to case; None if there is none."""
    if name in members:
        return name
    lower = name.lower()
    return next((member for member in members if member.lower() == lower), None)


class Evaluator:
    """Evaluates expressions and whole values with a set of functions.

    ``scope`` is what functions need: parameters, variables, copy indexes, lambda arguments.
    """

    def __init__(self, functions: Mapping[str, Function], scope: Any) -> None:
        self.functions = functions
        self.scope = scope

    def value(self, value: Any) -> Any:
        """A JSON value with every expression in it evaluated, names of members too.

        Raises:
            TemplateError: an expression is wrong or cannot be evaluated.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in cast("list[Any]", value)]
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            return {self.text(name): self.value(inner) for name, inner in members.items()}
        return value

    def text(self, text: str) -> Any:
        """A string: an expression in brackets, ``[[`` for a literal bracket, or itself."""
        if not (text.startswith("[") and text.endswith("]")):
            return text
        if text.startswith("[["):
            return text[1:]
        return self.run(parse(text[1:-1]))

    def run(self, expression: Expression) -> Any:
        """The value of a tree.

        Raises:
            TemplateError: an unknown function, a missing property, a wrong argument.
        """
        match expression:
            case Literal(value):
                return value
            case Call(name, arguments):
                function = self.functions.get(name.lower())
                if function is None:
                    raise TemplateError(
                        f"The template function '{name}' is not valid. Please see "
                        "https://aka.ms/arm-functions for usage details."
                    )
                return function(self, arguments)
            case Member(base, name, is_safe):
                return self._member(self.run(base), name, is_safe=is_safe)
            case Index(base, key, is_safe):
                return self._member(self.run(base), self.run(key), is_safe=is_safe)

    def _member(self, base: Any, key: Any, *, is_safe: bool) -> Any:
        if isinstance(base, Mapping) and isinstance(key, str):
            members = cast("Mapping[str, Any]", base)
            name = same_name(members, key)
            if name is not None:
                return members[name]
            if is_safe:
                return None
            raise TemplateError(
                f"The language expression property '{key}' doesn't exist, available properties are "
                f"'{', '.join(members)}'."
            )
        if isinstance(base, list) and isinstance(key, int):
            items = cast("list[Any]", base)
            if 0 <= key < len(items):
                return items[key]
            if is_safe:
                return None
            raise TemplateError(
                f"The language expression property array index '{key}' is out of bounds."
            )
        if base is None and is_safe:
            return None
        raise TemplateError(
            f"The language expression property '{key}' can't be evaluated: the value is not an "
            "object or array of that kind."
        )
