"""What admission may ask of a cluster's objects, without knowing who keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from poolwright.kubesim.cache import ObjectCache
from poolwright.kubesim.catalog import Catalog
from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.kubesim.kinds.kind import Body, ObjectKind
from poolwright.model.kubernetes import Resource

Holds = list[tuple[str, frozenset[int | str]]]
"""By uid, the ports and addresses of services that are on their way to the store."""


class Objects(Protocol):
    """The registry, as those see it that it asks."""

    catalog: Catalog
    holds: Holds

    def entry(
        self, resource: Resource | ObjectKind, name: str, namespace: str = ""
    ) -> Entry | None:
        """One object, still encoded."""
        ...

    def get(
        self, resource: Resource | ObjectKind, name: str, namespace: str = ""
    ) -> dict[str, Any] | None:
        """One object, decoded."""
        ...

    def list(self, resource: Resource | ObjectKind, namespace: str = "") -> Sequence[Entry]:
        """All objects of a kind, or those of a namespace."""
        ...

    def cache(self, resource: Resource | ObjectKind) -> ObjectCache:
        """The objects of one kind, for reads by index."""
        ...

    def subscribe(
        self,
        listener: Callable[[ObjectChange], None],
        resources: Iterable[Resource | ObjectKind] = (),
        *,
        lost: Callable[[Exception], None],
    ) -> Callable[[], None]:
        """Hear every change."""
        ...

    def on_reload(self, told: Callable[[], None]) -> Callable[[], None]:
        """Hear that everything was read anew."""
        ...

    async def update(
        self,
        resource: Resource | ObjectKind,
        name: str,
        mutate: Callable[[Body], Body | None],
        *,
        namespace: str = "",
        subresource: str = "",
    ) -> dict[str, Any]:
        """Change one object."""
        ...
