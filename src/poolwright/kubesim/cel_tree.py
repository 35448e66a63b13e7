"""The syntax tree of an expression in CEL, and where in the text its parts are.

The runtime parses and hands the tree out as ``cel.expr.ParsedExpr``; here it becomes plain
mappings whose members are named as in that message. Macros are already spelled out.

Source: github.com/google/cel-spec proto/cel/expr/syntax.proto; the form of a complaint:
github.com/google/cel-go common/error.go.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from poolwright.kubesim.protobuf import read_message

Node = Mapping[str, Any]
"""An expression: its ``id`` and one member more, named for what it is."""

_COMPLAINTS_MAX = 100
_SHOWN_MAX = 16384


def kind_of(node: Node) -> str:
    """Which of the kinds of expressions this is."""
    return next((name for name in node if name != "id"), "")


def qualified_name(node: Node) -> str:
    """``a.b.c`` as one name; empty for what is none."""
    if "ident" in node:
        return str(node["ident"].get("name", ""))
    select = node.get("select")
    if select is None or select.get("testOnly"):
        return ""
    before = qualified_name(select["operand"])
    return f"{before}.{select['field']}" if before else ""


def descendants(node: Any) -> Iterable[Node]:
    """Every expression in a tree, itself first."""
    if isinstance(node, Mapping):
        members = cast("Node", node)
        if "id" in members:
            yield members
        for inner in members.values():
            yield from descendants(inner)
    elif isinstance(node, list):
        for inner in cast("list[Any]", node):
            yield from descendants(inner)


def literal_arguments(root: Node, name: str) -> Iterable[tuple[Node, str]]:
    """The last argument of every call of a function, where it is a text that is written there."""
    for node in descendants(root):
        call = node.get("call")
        arguments = call.get("args", ()) if call and call["function"] == name else ()
        if arguments and "string" in arguments[-1].get("const", {}):
            yield arguments[-1], arguments[-1]["const"]["string"]


@dataclass(frozen=True, slots=True)
class Tree:
    """A parsed text; ``places`` has the offset of every expression in it."""

    text: str
    root: Node
    places: Mapping[int, int]

    def complaints(self, found: Iterable[tuple[int, str]]) -> str:
        """What is wrong with which expressions, as the compiler prints it."""
        lines = self.text.split("\n")
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        placed: list[tuple[int, int, str]] = []
        for number, words in found:
            offset = self.places.get(number, 0)
            line = bisect_right(starts, offset) - 1
            placed.append((line, offset - starts[line], words))
        placed.sort(key=lambda item: item[:2])
        shown = [_complaint(lines[line], line, column, words) for line, column, words in placed]
        if len(placed) > _COMPLAINTS_MAX:
            left = len(placed) - _COMPLAINTS_MAX
            shown = [*shown[:_COMPLAINTS_MAX], f"{left} more errors were truncated"]
        return "\n".join(shown)


def _complaint(text: str, line: int, column: int, words: str) -> str:
    said = f"ERROR: <input>:{line + 1}:{column + 1}: {words}"
    if len(text) > _SHOWN_MAX:
        return said
    text = text.replace("\t", " ")
    dots = "".join("." if sign.isascii() else "\uff0e" for sign in text[:column])
    mark = "^" if text[column : column + 1].isascii() else "\uff3e"
    return f"{said}\n | {text}\n | {dots}{mark}"


def read_tree(text: str, serialized: bytes) -> Tree:
    """What the runtime's parser made of a text."""
    parsed = read_message(read_message(serialized, "cel.Any")["bytes"], "cel.ParsedExpr")
    positions = parsed.get("sourceInfo", {}).get("positions", ())
    places = {item.get("id", 0): item.get("offset", 0) for item in positions}
    return Tree(text, parsed["expr"], places)
