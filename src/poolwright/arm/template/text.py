"""JSON as template files have it: comments, bare keys, trailing commas, line breaks in strings.

``az deployment`` splices the raw text of the file into its body after a bare ``template:`` key, so
a strict reader cannot read it. JSON5 readers refuse the line breaks, hence this one.
"""

from __future__ import annotations

import re
from typing import Any

_SKIP = re.compile(r"(?:\s|\ufeff|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_BARE = re.compile(r"[A-Za-z_$][\w$]*")
_STRING_PART = re.compile(r'[^"\\]+')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"true": True, "false": False, "null": None}
_DEPTH_MAX = 100  # deeper than any template that the real service accepts


class TextError(ValueError):
    """Not readable; ``line`` and ``column`` count from 1."""

    def __init__(self, problem: str, text: str, position: int) -> None:
        self.line = text.count("\n", 0, position) + 1
        self.column = position - (text.rfind("\n", 0, position) + 1) + 1
        super().__init__(f"{problem} at line '{self.line}' and column '{self.column}'")


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> str:
        match = _SKIP.match(self.text, self.at)
        assert match is not None  # it also matches nothing
        self.at = match.end()
        return self.text[self.at : self.at + 1]

    def fail(self, problem: str) -> TextError:
        return TextError(problem, self.text, self.at)

    def value(self, depth: int = 0) -> Any:
        if depth > _DEPTH_MAX:
            raise self.fail("nested too deeply")
        match self.skip():
            case "{":
                return self.members(depth)
            case "[":
                return self.items(depth)
            case '"':
                return self.string()
            case _:
                return self.scalar()

    def scalar(self) -> Any:
        number = _NUMBER.match(self.text, self.at)
        if number is not None:
            self.at = number.end()
            text = number[0]
            return int(text) if text.lstrip("-").isdigit() else float(text)
        word = _BARE.match(self.text, self.at)
        if word is not None and word[0] in _WORDS:
            self.at = word.end()
            return _WORDS[word[0]]
        raise self.fail("unexpected character" if self.at < len(self.text) else "unexpected end")

    def string(self) -> str:
        parts: list[str] = []
        start = self.at
        self.at += 1
        while True:
            plain = _STRING_PART.match(self.text, self.at)
            if plain is not None:
                parts.append(plain[0])
                self.at = plain.end()
            here = self.text[self.at : self.at + 1]
            if here == '"':
                self.at += 1
                return "".join(parts)
            if not here:
                self.at = start
                raise self.fail("string without an end")
            parts.append(self.escape())

    def escape(self) -> str:
        kind = self.text[self.at + 1 : self.at + 2]
        if kind == "u":
            digits = self.text[self.at + 2 : self.at + 6]
            if not re.fullmatch("[0-9a-fA-F]{4}", digits):
                raise self.fail("bad escape")
            self.at += 6
            return chr(int(digits, 16))
        if kind not in _ESCAPES or not kind:
            raise self.fail("bad escape")
        self.at += 2
        return _ESCAPES[kind]

    def key(self) -> str:
        if self.skip() == '"':
            return self.string()
        bare = _BARE.match(self.text, self.at)
        if bare is None:
            raise self.fail("expected a name")
        self.at = bare.end()
        return bare[0]

    def members(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        self.at += 1
        while self.skip() != "}":
            name = self.key()
            if self.skip() != ":":
                raise self.fail("expected ':'")
            self.at += 1
            result[name] = self.value(depth + 1)
            self.comma("}")
        self.at += 1
        return result

    def items(self, depth: int) -> list[Any]:
        result: list[Any] = []
        self.at += 1
        while self.skip() != "]":
            result.append(self.value(depth + 1))
            self.comma("]")
        self.at += 1
        return result

    def comma(self, end: str) -> None:
        here = self.skip()
        if here == ",":
            self.at += 1
        elif here != end:
            raise self.fail(f"expected ',' or '{end}'")


def read_text(text: str) -> Any:
    """The value that the text holds.

    Raises:
        TextError: it is not readable even leniently.
    """
    reader = _Reader(text)
    value = reader.value()
    if reader.skip():
        raise reader.fail("unexpected text after the end")
    return value
