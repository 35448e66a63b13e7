"""What a request's path names."""

from __future__ import annotations

from poolwright.kubesim import status
from poolwright.kubesim.version import View


class Target:
    """What a request's path names."""

    __slots__ = ("name", "namespace", "subresource", "view")

    def __init__(self, view: View, namespace: str, name: str, subresource: str) -> None:
        self.view = view
        self.namespace = namespace
        self.name = name
        self.subresource = subresource

    @property
    def missing(self) -> status.StatusError:
        """404 for this name."""
        resource = self.view.resource
        return status.not_found(resource.group, resource.plural, self.name)
