"""The JSONPath that columns of custom resources are written in.

Source: k8s.io/client-go util/jsonpath (fields, indexes, wildcards and equality filters).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

_STEP = re.compile(
    r"""\.(?P<name>(?:[^.\[\\]|\\.)+)
    |\['(?P<quoted>[^']*)'\]
    |\[(?P<index>-?\d+|\*)\]
    |\[\?\(@\.(?P<key>[\w.]+)\s*==\s*['"](?P<wanted>[^'"]*)['"]\)\]
    |\.(?P<self>$)""",
    re.X,
)

Step = tuple[str, str]


@lru_cache(maxsize=1024)
def steps(path: str) -> tuple[Step, ...] | None:
    """A path as its steps; None if it is none that we can read."""
    found: list[Step] = []
    at = 0
    while at < len(path):
        matched = _STEP.match(path, at)
        if matched is None:
            return None
        at = matched.end()
        if matched["wanted"] is not None:
            found.append((f"?{matched['key']}", matched["wanted"]))
        elif matched["index"] is not None:
            found.append(("[]", matched["index"]))
        elif matched["self"] is None:
            name = matched["quoted"] if matched["quoted"] is not None else matched["name"]
            found.append((".", re.sub(r"\\(.)", r"\1", name)))
    return tuple(found)


def find(value: Any, path: str) -> list[Any]:
    """What stands at a path."""
    return list(_walk(value, steps(path) or ())) if steps(path) is not None else []


def first(value: Any, path: str) -> Any:
    """What stands first at a path, or None."""
    return next(iter(find(value, path)), None)


def _walk(value: Any, rest: tuple[Step, ...]) -> Iterator[Any]:
    if not rest:
        yield value
        return
    (kind, word), more = rest[0], rest[1:]
    if kind == "." and isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        if word == "*":
            for inner in members.values():
                yield from _walk(inner, more)
        elif word in members:
            yield from _walk(members[word], more)
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        if kind == "[]" and word != "*":
            position = int(word)
            if -len(items) <= position < len(items):
                yield from _walk(items[position], more)
        elif kind == "[]":
            for item in items:
                yield from _walk(item, more)
        elif kind.startswith("?"):
            for item in items:
                if str(first(item, f".{kind[1:]}")) == word:
                    yield from _walk(item, more)


def put(body: dict[str, Any], path: str, value: Any) -> None:
    """Set the member that a path of plain names leads to."""
    names = [word for _, word in steps(path) or ()]
    here = body
    for name in names[:-1]:
        here = here.setdefault(name, {})
    here[names[-1]] = value
