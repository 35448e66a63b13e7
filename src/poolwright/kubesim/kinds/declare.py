"""The words in which kinds declare defaults and rules: a path and what holds there.

A path is dotted; ``name[]`` stands for every item of the list ``name``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from poolwright.kubesim.kinds.kind import Body
from poolwright.kubesim.status import Cause, forbidden, invalid, not_supported, required
from poolwright.model.json_value import child

Rule = Callable[[Mapping[str, Any], Mapping[str, Any] | None], Iterable[Cause]]


def _parents(
    body: Mapping[str, Any], parts: Sequence[str], path: str, *, make: bool
) -> Iterator[tuple[str, Any]]:
    """The objects that hold the last part, with where they are; missing ones can be made."""
    if len(parts) == 1:
        yield path, body
        return
    name = parts[0].removesuffix("[]")
    here = f"{path}{name}"
    inner: Any = body.get(name)
    if parts[0].endswith("[]"):
        for position, item in enumerate(cast("list[Any]", inner or ())):
            if isinstance(item, dict):
                found = cast("dict[str, Any]", item)
                yield from _parents(found, parts[1:], f"{here}[{position}].", make=make)
        return
    if inner is None and make:
        inner = cast("Body", body)[name] = {}
    if isinstance(inner, dict):
        yield from _parents(cast("Body", inner), parts[1:], f"{here}.", make=make)


def values(body: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """What stands at a path: (where, value), None where its parent is there and it is not."""
    parts = path.split(".")
    name = parts[-1].removesuffix("[]")
    for place, parent in _parents(body, parts, "", make=False):
        value = parent.get(name)
        if parts[-1].endswith("[]"):
            for position, item in enumerate(cast("list[Any]", value or ())):
                yield f"{place}{name}[{position}]", item
        else:
            yield f"{place}{name}", value


def defaults(
    table: Mapping[str, Any],
    *more: Callable[[Body], None],
    only_in: Sequence[str] = (),
    pointers: Mapping[str, Any] | None = None,
) -> Callable[[Body], None]:
    """Fill what was left out, by path; objects on the way are made, items of lists are not.
    An empty text counts as left out, as in Go.

    Paths under one of ``only_in`` are filled only where that object was given. Of ``pointers`` an
    empty text counts as given.
    """
    all_of_them = {**table, **(pointers or {})}
    rows = [(path.split("."), value, path in table) for path, value in all_of_them.items()]
    optional = tuple(prefix + "." for prefix in only_in)

    def fill(body: Body) -> None:
        for parts, value, is_plain in rows:
            make = not ".".join(parts).startswith(optional) if optional else True
            for _, parent in _parents(body, parts, "", make=make):
                given = parent.get(parts[-1])
                if given is None or (given == "" and isinstance(value, str) and is_plain):
                    parent[parts[-1]] = _fresh(value)
        for fill_more in more:
            fill_more(body)

    return fill


def _fresh(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _fresh(inner) for name, inner in cast("Body", value).items()}
    if isinstance(value, list):
        return [_fresh(inner) for inner in cast("list[Any]", value)]
    return value


def all_of(
    *rules: Rule,
) -> Callable[[Mapping[str, Any], Mapping[str, Any] | None], Sequence[Cause]]:
    """Every rule, in order."""

    def check(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
        return [cause for rule in rules for cause in rule(new, old)]

    return check


def needed(*paths: str) -> Rule:
    """There must be something."""

    def check(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
        for path in paths:
            found = list(values(new, path))
            if not found and "[]" not in path:
                found = [(path, None)]  # not even its parent is there
            for where, value in found:
                if value is None or value in ("", [], {}):
                    yield required(where)

    return check


def one_of(path: str, allowed: Sequence[str]) -> Rule:
    """It must be one of a few words, if it is there."""

    def check(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
        for where, value in values(new, path):
            if value is not None and value not in allowed:
                yield not_supported(where, value, allowed)

    return check


def at_least(bound: int, *paths: str) -> Rule:
    """A number must not be smaller."""

    def check(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
        for path in paths:
            for where, value in values(new, path):
                if isinstance(value, int) and value < bound:
                    yield invalid(where, value, f"must be greater than or equal to {bound}")

    return check


def unchanged(*paths: str, why: str = "field is immutable") -> Rule:
    """An update must leave it as it is."""

    def check(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
        for path in paths if old is not None else ():
            before = [value for _, value in values(cast("Body", old), path)]
            for position, (where, value) in enumerate(values(new, path)):
                if position >= len(before) or before[position] != value:
                    yield invalid(where, value, why)

    return check


def only_changes(member: str, allowed: Sequence[str], why: str) -> Rule:
    """An update may change nothing in ``member`` but what is allowed."""

    def check(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
        if old is None:
            return
        before, after = (
            {name: value for name, value in child(body, member).items() if name not in allowed}
            for body in (old, new)
        )
        if before != after:
            yield forbidden(member, why)

    return check


def starts_with_status(status: Mapping[str, Any]) -> Callable[[Body, Any], None]:
    """A new object begins with this status, whatever was sent."""

    def prepare(body: Body, old: Mapping[str, Any] | None) -> None:
        if old is None:
            body["status"] = _fresh(dict(status))

    return prepare
