"""The kinds and views that one cluster serves: ours, and those that its definitions declare."""

from __future__ import annotations

from typing import Any

from poolwright.kubesim.kinds import BY_RESOURCE, KINDS
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.version import VIEWS, View
from poolwright.model.kubernetes import Resource

ViewKey = tuple[str, str, str]
"""Group, version, plural."""

_OURS = {kind.store_name: kind for kind in KINDS}
_made_of_ours: dict[Any, bytes] = {}


class Catalog:
    """``made`` keeps what is computed from the catalog (discovery, OpenAPI) until it changes;
    clusters without definitions share theirs.
    """

    def __init__(self) -> None:
        self._custom: dict[str, tuple[ObjectKind, tuple[View, ...]]] = {}
        self._refresh()

    def _refresh(self) -> None:
        self.kinds: tuple[ObjectKind, ...] = KINDS
        self.views: dict[ViewKey, View] = VIEWS
        self.made: dict[Any, bytes] = _made_of_ours
        self._by_store_name = _OURS
        self._by_resource = BY_RESOURCE
        if not self._custom:
            return
        customs = [kind for kind, _ in self._custom.values()]
        self.kinds = (*KINDS, *customs)
        self.views = dict(VIEWS)
        for _, views in self._custom.values():
            for view in views:
                resource = view.resource
                self.views[resource.group, resource.version, resource.plural] = view
        self.made = {}
        self._by_store_name = {kind.store_name: kind for kind in self.kinds}
        self._by_resource = {(k.resource.group, k.resource.plural): k for k in self.kinds}

    def put(self, definition: str, kind: ObjectKind, views: tuple[View, ...]) -> None:
        """Serve what a definition declares, in place of what it declared before."""
        self._custom[definition] = (kind, views)
        self._refresh()

    def remove(self, definition: str) -> ObjectKind | None:
        """Serve a definition's kind no more; the kind, if there was one."""
        found = self._custom.pop(definition, None)
        self._refresh()
        return found[0] if found else None

    def custom_kind(self, definition: str) -> ObjectKind | None:
        """The kind of a definition."""
        found = self._custom.get(definition)
        return found[0] if found else None

    def stored_as(self, store_name: str) -> ObjectKind | None:
        """The kind behind a name of the store."""
        return self._by_store_name.get(store_name)

    def kind_of(self, resource: Resource | ObjectKind) -> ObjectKind:
        """The kind of a resource that is served, in its present form."""
        if isinstance(resource, ObjectKind):
            if resource.declared is None:
                return resource
            return self._by_store_name.get(resource.store_name, resource)
        return self._by_resource[resource.group, resource.plural]

    def groups(self) -> set[tuple[str, str]]:
        """Groups and versions."""
        return {(group, version) for group, version, _ in self.views}
