"""The quantities of an object in the form in which the API server keeps and tells them.

A real API server reads every amount into a number and writes it anew, so ``1000m``, ``1.0`` and a
bare ``1`` are the same object. Where a kind holds amounts is worked out once from its schema; of
an object only the way to those is walked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.schema import Shape, shape, shape_of
from poolwright.model.quantity import canonical_listed_quantity, canonical_quantity

Walk = Callable[[Any], bool]
"""Settles the quantities beneath a value in place; whether one changed."""


_WALKS: dict[bytes, Walk | None] = {}
"""By the kind's prefix, which is hashed once."""

POD_TEMPLATE = "io.k8s.api.core.v1.PodTemplateSpec"
_PLAIN_MAPS = "io.k8s.api.resource."
"""Where a map of quantities is no ResourceList, whose amounts are rounded up to thousandths."""


def settle(kind: ObjectKind, body: dict[str, Any]) -> bool:
    """Bring every quantity of an object into its canonical form; whether one was in another.

    Custom kinds have none: what their schemas call so stays as it was sent.
    """
    if kind.declared is not None:
        return False
    try:
        walk = _WALKS[kind.prefix]
    except KeyError:
        walk = _WALKS[kind.prefix] = _walk_of(shape_of(kind.resource))
    return walk is not None and walk(body)


def settle_template(template: dict[str, Any]) -> None:
    """The same of a pod's template that stands by itself."""
    walk = _walk_of(shape(POD_TEMPLATE))
    if walk is not None:
        walk(template)


@cache
def _walk_of(kind: Shape) -> Walk | None:
    """How the quantities of a type are found; None if it has none."""
    return _made(kind, "", ())


def _made(kind: Shape, owner: str, above: tuple[int, ...]) -> Walk | None:
    if id(kind) in above:  # a type that holds itself: none has quantities
        return None
    within = (*above, id(kind))
    if kind.kind == "map" and kind.item is not None and kind.item.kind == "quantity":
        is_plain = owner.startswith(_PLAIN_MAPS)
        return _of_amounts(canonical_quantity if is_plain else canonical_listed_quantity)
    if kind.kind in {"array", "map"} and kind.item is not None:
        inner = _made(kind.item, owner, within)
        if inner is None:
            return None
        return _of_items(inner) if kind.kind == "array" else _of_values(inner)
    if kind.kind != "object":
        return None
    amounts = tuple(name for name, member in kind.members.items() if member.kind == "quantity")
    made = ((name, _made(member, kind.schema, within)) for name, member in kind.members.items())
    ways = tuple((name, walk) for name, walk in made if walk is not None)
    return _of_object(amounts, ways) if amounts or ways else None


def _of_object(amounts: tuple[str, ...], ways: tuple[tuple[str, Walk], ...]) -> Walk:
    def walk(value: dict[str, Any]) -> bool:
        changed = False
        for name in amounts:
            given = value.get(name)
            if given is not None:
                found = canonical_quantity(given)
                if found != given:
                    value[name] = found
                    changed = True
        for name, inner in ways:
            below = value.get(name)
            if below and inner(below):
                changed = True
        return changed

    return walk


def _of_amounts(canonical: Callable[[Any], str]) -> Walk:
    def walk(value: dict[str, Any]) -> bool:
        changed = False
        for name, given in value.items():
            found = canonical(given)
            if found != given:
                value[name] = found
                changed = True
        return changed

    return walk


def _of_items(inner: Walk) -> Walk:
    def walk(value: list[Any]) -> bool:
        changed = False
        for item in value:
            if item and inner(item):
                changed = True
        return changed

    return walk


def _of_values(inner: Walk) -> Walk:
    def walk(value: Mapping[str, Any]) -> bool:
        changed = False
        for item in value.values():
            if item and inner(item):
                changed = True
        return changed

    return walk
