"""A shell's script as a tree: lists of commands, ``if``, ``for``, ``while``, functions.

What is outside of that (``case``, here-documents, jobs) is not understood, and that
is all that is said of it: a simulated container then does what an unknown program does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias


class NotUnderstoodError(ValueError):
    """A part of the language that this one does not have."""


class UnterminatedError(ValueError):
    """A quotation that never ends."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a word: ``text`` as it stands, or what is to be put there.

    ``kind`` is ``text``, ``variable`` (its name), ``arithmetic`` or ``output`` (of a script);
    ``written`` is how it was written.
    """

    kind: str
    text: str
    written: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a command."""

    parts: tuple[Part, ...]
    is_quoted: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether nothing is to be filled in."""
        return all(part.kind == "text" for part in self.parts)

    @property
    def bare(self) -> str:
        """The text of a word that may be a word of the language; else nothing."""
        return "" if self.is_quoted or not self.is_plain else "".join(p.text for p in self.parts)


@dataclass(frozen=True, slots=True)
class Simple:
    """A command with its words; ``odd`` is the first symbol in it that is not understood."""

    words: tuple[Word, ...]
    odd: str = ""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where a descriptor leads: ``2>&1`` or ``>> log``; ``&>`` is both of them."""

    descriptor: str
    operator: str
    to: Word = Word(())


@dataclass(frozen=True, slots=True)
class Redirected:
    """A command with what it prints, or reads, led elsewhere."""

    command: Command
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands of which each reads what the one before prints."""

    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class If:
    """Conditions, each with what is done if it holds; ``otherwise`` if none does."""

    branches: tuple[tuple[Block, Block], ...]
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class While:
    """A loop that goes on while its condition holds; with ``until``, while it does not."""

    condition: Block
    body: Block
    is_until: bool


@dataclass(frozen=True, slots=True)
class For:
    """A loop over words."""

    name: str
    words: tuple[Word, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Function:
    """A definition."""

    name: str
    body: Block


@dataclass(frozen=True, slots=True)
class Block:
    """Commands one after the other, each with the operator before it: ``;``, ``&&`` or ``||``."""

    commands: tuple[tuple[str, Command], ...]


Command: TypeAlias = Simple | Redirected | Pipeline | If | While | For | Function | Block

MOST_DEPTH = 20
"""So deep may a script be nested."""
_NAME = re.compile(r"[A-Za-z_]\w*")
_REDIRECT = re.compile(r"(\d?)(>>|>&|>\||>|<(?![<&(]))|(&)(>>?)")
_OPERATORS = ("&&", "||", ";;", ">>", "<<", ";", "&", "|", "<", ">", "(", ")", "\n")
_BLANK = " \t\r"
_REFUSED = frozenset(
    (
        "case",
        "select",
        "function",
        "(",
        ")",
        ";;",
        "then",
        "elif",
        "else",
        "fi",
        "do",
        "done",
        "}",
    )
)
"""What no command of this language begins with."""
_ENDS = frozenset((";", "&&", "||"))


def parse(script: str) -> Block:
    """Read a script."""
    reader = _Reader(_tokens(script))
    block = reader.block(())
    if not reader.is_over:
        raise NotUnderstoodError(reader.next)
    return block


# ---------------------------------------------------------------------- words and symbols


_Token: TypeAlias = Word | Redirect | str


def _tokens(script: str) -> list[_Token]:
    """The words of a script, and its symbols as strings; the end of a line is ``;``."""
    found: list[_Token] = []
    at = 0
    while at < len(script):
        symbol = next((o for o in _OPERATORS if script.startswith(o, at)), "")
        led = _REDIRECT.match(script, at)
        if script[at] in _BLANK:
            at += 1
        elif led is not None:
            found.append(Redirect(led[1] or led[3] or "", (led[2] or led[4]).rstrip("|")))
            at = led.end()
        elif script.startswith("\\\n", at):
            at += 2
        elif script[at] == "#":
            at = _until(script, "\n", at)
        elif symbol:
            found.append(";" if symbol == "\n" else symbol)
            at += len(symbol)
        else:
            word, at = _word(script, at)
            found.append(word)
    return found


def _until(script: str, mark: str, start: int) -> int:
    end = script.find(mark, start)
    return len(script) if end < 0 else end


def _word(script: str, at: int) -> tuple[Word, int]:
    parts: list[Part] = []
    is_quoted = False
    while at < len(script) and script[at] not in _BLANK and not script.startswith(_OPERATORS, at):
        match script[at]:
            case "'":
                end = _closing(script, "'", at + 1)
                parts.append(Part("text", script[at + 1 : end]))
                is_quoted, at = True, end + 1
            case '"':
                is_quoted = True
                at = _quoted(script, at + 1, parts)
            case "\\":
                parts.append(Part("text", script[at + 1 : at + 2]))
                is_quoted, at = True, at + 2
            case "`":
                raise NotUnderstoodError("`")
            case "$":
                part, at = _filled(script, at)
                parts.append(part)
            case letter:
                parts.append(Part("text", letter))
                at += 1
    return Word(_joined(parts), is_quoted), at


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    joined: list[Part] = []
    for part in parts:
        if joined and part.kind == joined[-1].kind == "text":
            joined[-1] = Part("text", joined[-1].text + part.text)
        else:
            joined.append(part)
    return tuple(joined)


def _closing(script: str, mark: str, start: int) -> int:
    end = script.find(mark, start)
    if end < 0:
        raise UnterminatedError(mark)
    return end


def _quoted(script: str, at: int, parts: list[Part]) -> int:
    while at < len(script) and script[at] != '"':
        if script[at] == "\\" and script[at + 1 : at + 2] in ('"', "\\", "$", "`"):
            parts.append(Part("text", script[at + 1]))
            at += 2
        elif script[at] == "$":
            part, at = _filled(script, at)
            parts.append(part)
        else:
            parts.append(Part("text", script[at]))
            at += 1
    if at >= len(script):
        raise UnterminatedError('"')
    return at + 1


def _filled(script: str, at: int) -> tuple[Part, int]:
    """What a ``$`` stands for, and where it ends."""
    if script.startswith("$((", at):
        end = _balanced(script, at + 1)
        return Part("arithmetic", script[at + 3 : end - 2], script[at:end]), end
    if script.startswith("$(", at):
        end = _balanced(script, at + 1)
        return Part("output", script[at + 2 : end - 1], script[at:end]), end
    if script.startswith("${", at):
        end = _closing(script, "}", at) + 1
        name = script[at + 2 : end - 1]
        kind = "variable" if _NAME.fullmatch(name) else "text"
        return Part(kind, name if kind == "variable" else script[at:end], script[at:end]), end
    named = _NAME.match(script, at + 1)
    if named is not None:
        return Part("variable", named[0], f"${named[0]}"), named.end()
    if script[at + 1 : at + 2] == "?":
        return Part("variable", "?", "$?"), at + 2
    return Part("text", "$"), at + 1


def _balanced(script: str, at: int) -> int:
    """Where the bracket that opens at ``at`` is closed."""
    depth = 0
    for index in range(at, len(script)):
        depth += (script[index] == "(") - (script[index] == ")")
        if depth == 0:
            return index + 1
    raise UnterminatedError("(")


# ---------------------------------------------------------------------- commands


class _Reader:
    """Reads commands from tokens."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._tokens)

    @property
    def next(self) -> str:
        """The next symbol, or word of the language."""
        if self.is_over:
            return ""
        token = self._tokens[self._at]
        if isinstance(token, Redirect):
            return token.operator
        return token if isinstance(token, str) else token.bare

    def _skip(self, expected: str) -> None:
        if self.next != expected:
            self._refuse()
        self._at += 1

    def _refuse(self) -> NoReturn:
        raise NotUnderstoodError(self.next or "end of script")

    def block(self, ends: Sequence[str]) -> Block:
        """Commands up to one of these words, which is left there."""
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise NotUnderstoodError("nested too deeply")
        commands: list[tuple[str, Command]] = []
        operator = ";"
        while not self.is_over and self.next not in ends:
            if self.next in _ENDS:
                operator = self.next if commands and operator == ";" else operator
                self._at += 1
                continue
            commands.append((operator, self._pipeline()))
            operator = ";"
        self._depth -= 1
        return Block(tuple(commands))

    def _pipeline(self) -> Command:
        commands = [self._redirected(self._command())]
        while self.next == "|":
            self._at += 1
            self._skip_ends()
            commands.append(self._redirected(self._command()))
        return commands[0] if len(commands) == 1 else Pipeline(tuple(commands))

    def _skip_ends(self) -> None:
        while self.next == ";":
            self._at += 1

    def _redirected(self, command: Command) -> Command:
        """What a compound command's end is followed by; a simple one has its own."""
        redirects = self._redirects()
        return Redirected(command, redirects) if redirects else command

    def _redirects(self) -> tuple[Redirect, ...]:
        found: list[Redirect] = []
        while not self.is_over:
            token = self._tokens[self._at]
            if not isinstance(token, Redirect):
                break
            words = self._tokens[self._at + 1 : self._at + 2]
            if not words or not isinstance(words[0], Word):
                self._refuse()
            found.append(Redirect(token.descriptor, token.operator, words[0]))
            self._at += 2
        return tuple(found)

    def _command(self) -> Command:
        kind = self.next
        if kind in _REFUSED:
            self._refuse()
        match kind:
            case "if":
                return self._if()
            case "while" | "until":
                self._at += 1
                condition = self.block(("do",))
                return While(condition, self._body("do", "done"), kind == "until")
            case "for":
                return self._for()
            case "{":
                return self._body("{", "}")
            case _:
                return self._definition() or self._simple()

    def _body(self, begin: str, end: str) -> Block:
        self._skip(begin)
        body = self.block((end,))
        self._skip(end)
        return body

    def _if(self) -> If:
        branches: list[tuple[Block, Block]] = []
        otherwise: Block | None = None
        while self.next in ("if", "elif"):
            self._at += 1
            condition = self.block(("then",))
            self._skip("then")
            branches.append((condition, self.block(("elif", "else", "fi"))))
        if self.next == "else":
            self._at += 1
            otherwise = self.block(("fi",))
        self._skip("fi")
        return If(tuple(branches), otherwise)

    def _for(self) -> For:
        self._at += 1
        name = self.next
        self._at += 1
        self._skip("in")
        words = self._words()
        while self.next == ";":
            self._at += 1
        if not _NAME.fullmatch(name):
            raise NotUnderstoodError(name)
        return For(name, words, self._body("do", "done"))

    def _definition(self) -> Function | None:
        ahead = self._tokens[self._at + 1 : self._at + 3]
        if ahead != ["(", ")"] or not _NAME.fullmatch(self.next):
            return None
        name = self.next
        self._at += 3
        while self.next == ";":
            self._at += 1
        return Function(name, self._body("{", "}"))

    def _words(self) -> tuple[Word, ...]:
        words: list[Word] = []
        while not self.is_over:
            token = self._tokens[self._at]
            if not isinstance(token, Word):
                break
            words.append(token)
            self._at += 1
        return tuple(words)

    def _simple(self) -> Command:
        words, redirects = self._words(), self._redirects()
        while more := self._words() or self._redirects():
            words += tuple(each for each in more if isinstance(each, Word))
            redirects += tuple(each for each in more if isinstance(each, Redirect))
        odd = ""
        while self.next and self.next not in _ENDS and self.next != "|":
            odd = odd or self.next
            self._at += 1
            self._words()
        command = Simple(words, odd)
        return Redirected(command, redirects) if redirects else command
