"""From a method and a path to a route: a tree of path segments that ignores case.

ARM paths are matched without regard to case; the values of template names keep the casing they
were sent in. A template is a path with names in braces::

    /subscriptions/{subscription}/resourceGroups/{resource_group}/providers/…/{cluster}

The names ``subscription``, ``resource_group``, ``cluster`` and ``pool`` have a meaning:
`poolwright.arm.parents` checks that what they name exists.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from urllib.parse import unquote

from poolwright.arm.context import ArmContext
from poolwright.arm.errors import Shape
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse


class Access(Enum):
    """What a caller must show to a route."""

    TOKEN = "token"
    """A bearer token and an api-version."""
    PUBLIC = "public"
    """Nothing: what a client needs before it can have a token."""


# az resource writes an empty segment where a resource has no parent: …/NAMESPACE//type/name.
_NO_PARENT = re.compile(r"(/providers/[^/]+)//", re.IGNORECASE)
_KNOWN_MAX = 4096
_KNOWN_LENGTH_MAX = 512

Handler = Callable[[ArmContext, ArmRequest], Awaitable[ArmResponse]]


@dataclass(frozen=True)
class Route:
    """One operation of the API.

    ``versions``: the api-versions that have it, newest last; None: any well-formed date.
    ``parents_first``: whether the parents of the path (subscription, resource group, cluster) are
    checked before the handler. A read of one resource says False: it looks for the resource
    first, and only when that is missing (`NotFound`) the parents decide which 404 it is.
    ``access``: what a caller must show.
    """

    method: str
    template: str
    handler: Handler
    versions: tuple[str, ...] | None = None
    parents_first: bool = True
    access: Access = Access.TOKEN

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The template's segments; names in braces as they are."""
        return tuple(self.template.strip("/").split("/"))

    @cached_property
    def _namespace_index(self) -> int | None:
        """Where the last literal namespace stands (``providers/{namespace}`` names none)."""
        for index in range(len(self.segments) - 1, 0, -1):
            named = not self.segments[index].startswith("{")
            if named and self.segments[index - 1] == "providers":
                return index
        return None

    @cached_property
    def namespace(self) -> str:
        """The provider namespace, or empty for ARM's own paths."""
        index = self._namespace_index
        return "" if index is None else self.segments[index]

    @cached_property
    def resource_type(self) -> str:
        """The bare type, such as ``managedClusters/agentPools``; an action is part of no type."""
        index = self._namespace_index
        after = self.segments if index is None else self.segments[index + 1 :]
        if self.is_action:
            after = after[:-1]
        return "/".join(segment for segment in after if not segment.startswith("{"))

    @cached_property
    def is_action(self) -> bool:
        """Whether this is an action on a resource, such as ``POST …/{cluster}/stop``."""
        return self.method == "POST" and not self.segments[-1].startswith("{")

    @cached_property
    def shape(self) -> Shape:
        """The shape of this route's own errors."""
        flat = self.namespace.lower() == "microsoft.containerservice"
        return Shape.FLAT if flat else Shape.WRAPPED

    @cached_property
    def has_body(self) -> bool:
        """Whether a request of this method carries content to wait for."""
        return self.method in {"PUT", "POST", "PATCH", "DELETE"}


@dataclass(slots=True)
class _Segment:
    """A place in the tree."""

    literals: dict[str, _Segment] = field(default_factory=dict[str, "_Segment"])
    name: _Segment | None = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(
        default_factory=dict[str, tuple[Route, tuple[str, ...]]]
    )


@dataclass(frozen=True, slots=True)
class Match:
    """A route with the values of its names; ``route`` is None where only the method is wrong,
    and ``methods`` are those that the path has.
    """

    route: Route | None
    names: dict[str, str]
    methods: tuple[str, ...]


class RouteTable:
    """All routes, as a tree: the cost of a match is the depth of the path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Segment()
        self._known: dict[tuple[str, str], Match] = {}
        self.routes = tuple(routes)
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        here = self._root
        names: list[str] = []
        for segment in route.segments:
            if segment.startswith("{"):
                names.append(segment[1:-1])
                here.name = here.name or _Segment()
                here = here.name
            else:
                here = here.literals.setdefault(segment.lower(), _Segment())
        assert route.method not in here.routes, f"two routes: {route.method} {route.template}"
        here.routes[route.method] = (route, tuple(names))

    def match(self, method: str, path: str) -> Match | None:
        """The route of a still encoded path, or None if no template has that path.

        Clients poll: what was matched before is remembered, up to a bound.
        """
        known = self._known.get((method, path))
        if known is None:
            known = self._search(method, path)
            if known is None or known.route is None:
                return known
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            if len(path) <= _KNOWN_LENGTH_MAX:
                self._known[method, path] = known
        return Match(known.route, dict(known.names), known.methods)

    def _search(self, method: str, path: str) -> Match | None:
        segments = _NO_PARENT.sub(r"\1/", path).strip("/").split("/")
        if "%" in path:
            segments = [unquote(segment) for segment in segments]
        values: list[str] = []
        end = self._walk(self._root, segments, 0, values)
        if end is None:
            return None
        entry = end.routes.get(method) or (method == "HEAD" and end.routes.get("GET")) or None
        if entry is None:
            some_names = next(iter(end.routes.values()))[1]
            return Match(None, dict(zip(some_names, values, strict=True)), tuple(end.routes))
        route, names = entry
        return Match(route, dict(zip(names, values, strict=True)), tuple(end.routes))

    def _walk(
        self, here: _Segment, segments: list[str], index: int, values: list[str]
    ) -> _Segment | None:
        """Literal segments win over names; a wrong turn is taken back."""
        if index == len(segments):
            return here if here.routes else None
        literal = here.literals.get(segments[index].lower())
        if literal is not None:
            found = self._walk(literal, segments, index + 1, values)
            if found is not None:
                return found
        if here.name is not None and segments[index]:
            values.append(segments[index])
            found = self._walk(here.name, segments, index + 1, values)
            if found is not None:
                return found
            values.pop()
        return None
