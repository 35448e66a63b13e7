"""A shell's arithmetic: what ``$(( ))`` and ``expr`` work out, in 64 bits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_TOKEN = re.compile(r"\s*(?:(\d{1,18})|(\w+)|(==|!=|<=|>=|&&|\|\||[-+*/%()<>!]))")
_MOST_TOKENS = 100


def _divided(left: int, right: int) -> int:
    """Towards zero, as C does."""
    whole = abs(left) // abs(right)
    return whole if (left < 0) == (right < 0) else -whole


def _rest(left: int, right: int) -> int:
    return left - right * _divided(left, right)


_LEVELS: tuple[Mapping[str, Callable[[int, int], int]], ...] = (
    {"||": lambda a, b: int(bool(a) or bool(b))},
    {"&&": lambda a, b: int(bool(a) and bool(b))},
    {"==": lambda a, b: int(a == b), "!=": lambda a, b: int(a != b)},
    {
        "<": lambda a, b: int(a < b),
        ">": lambda a, b: int(a > b),
        "<=": lambda a, b: int(a <= b),
        ">=": lambda a, b: int(a >= b),
    },
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b},
    {"*": lambda a, b: a * b, "/": _divided, "%": _rest},
)
"""Operators, those that bind least first."""


def evaluate(text: str, variable: Callable[[str], str]) -> int:
    """What an expression comes to; ``variable`` gives a name's value.

    Raises ValueError if it is none, ZeroDivisionError as it says.
    """
    found: list[str] = []
    at = 0
    text = text.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or len(found) > _MOST_TOKENS:
            raise ValueError(text)
        found.append(token[1] or (str(_number(variable(token[2]))) if token[2] else token[3]))
        at = token.end()
    value, rest = _level(found, 0)
    if rest:
        raise ValueError(text)
    return value


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else 0


def _level(tokens: list[str], level: int) -> tuple[int, list[str]]:
    if level == len(_LEVELS):
        return _operand(tokens)
    value, rest = _level(tokens, level + 1)
    while rest and rest[0] in _LEVELS[level]:
        operator = _LEVELS[level][rest[0]]
        right, rest = _level(rest[1:], level + 1)
        value = _wrapped(operator(value, right))
    return value, rest


def _operand(tokens: list[str]) -> tuple[int, list[str]]:
    if not tokens:
        raise ValueError("an operand is missing")
    first, rest = tokens[0], tokens[1:]
    if first == "(":
        value, rest = _level(rest, 0)
        if rest[:1] != [")"]:
            raise ValueError("a bracket is not closed")
        return value, rest[1:]
    if first in ("-", "+", "!"):
        value, rest = _operand(rest)
        return {"-": -value, "+": value, "!": int(not value)}[first], rest
    return int(first), rest


def _wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63
