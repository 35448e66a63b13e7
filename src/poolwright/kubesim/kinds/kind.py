"""What a kind declares about itself; everything else in the room works from this row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from poolwright.kubesim.schema import Shape
from poolwright.kubesim.status import Cause
from poolwright.model.kubernetes import Resource

Body = dict[str, Any]
"""A mutable Kubernetes object while it is being written."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the server-side table. ``priority`` above 0 is shown by ``-o wide`` only."""

    name: str
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""


Row = Callable[[Mapping[str, Any], datetime], Sequence[Any]]
"""The cells of one object at a wall time, one for each column."""


def no_defaults(_body: Body) -> None:
    """Nothing is filled in."""


def _keep(_new: Body, _old: Mapping[str, Any] | None) -> None:
    """Nothing is reset by a write."""


def _valid(_new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Sequence[Cause]:
    """No rules beyond those of every kind."""
    return ()


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a custom resource keeps what its scale shows, as JSONPath."""

    spec: str
    status: str
    selector: str


@dataclass(frozen=True, slots=True)
class Declared:
    """What a CustomResourceDefinition says of one version of a kind. ``validate_status`` names
    what is wrong with a status that is written alone; ``warning`` is told to all who use it.
    """

    schema: Mapping[str, Any]
    shape: Shape
    list_kind: str
    scale: ScalePaths | None
    validate_status: Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[Cause]]
    warning: str = ""


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """One kind of object that the cluster keeps.

    ``default`` fills what was left out; ``prepare`` resets what a write may not set (old is None
    on create); ``validate`` names what is wrong, ``validate_status`` what is in a status that is
    written alone; ``fields`` are the field selectors beyond
    ``metadata.name`` and ``metadata.namespace``; those in ``indexed`` are looked up, not scanned.
    ``grace`` says how long a deletion waits for somebody to carry it out; ``leave`` is what the
    first request to delete adds. ``declared`` and ``revive`` (which brings an object of an earlier
    definition to the present one) are those of custom kinds. ``created_by_put``: a PUT of an
    object that is not there makes it (AllowCreateOnUpdate). ``warn`` is told to whoever creates.
    ``free_finalizers`` need no domain; ``looks``: how often its rules look at the metadata of an
    update, and tell what is wrong there (they may call those of a creation).
    """

    resource: Resource
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    row: Row | None = None
    default: Callable[[Body], None] = no_defaults
    prepare: Callable[[Body, Mapping[str, Any] | None], None] = _keep
    validate: Callable[[Mapping[str, Any], Mapping[str, Any] | None], Sequence[Cause]] = _valid
    name_rule: str = "subdomain"
    fields: Mapping[str, Callable[[Mapping[str, Any]], str]] = field(
        default_factory=dict[str, Callable[[Mapping[str, Any]], str]]
    )
    indexed: tuple[str, ...] = ()
    validate_status: Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[Cause]] = _valid
    has_generation: bool = False
    grace: Callable[[Mapping[str, Any], int | None], int] | None = None
    leave: Callable[[Body, str], None] | None = None
    declared: Declared | None = None
    revive: Callable[[Body], None] | None = None
    created_by_put: bool = False
    warn: Callable[[Mapping[str, Any]], Iterable[str]] | None = None
    free_finalizers: bool = False
    looks: int = 1
    prefix: bytes = field(init=False)

    def __post_init__(self) -> None:
        head = f'{{"kind":"{self.resource.kind}","apiVersion":"{self.resource.api_version}"'
        object.__setattr__(self, "prefix", f'{head},"metadata":{{'.encode())

    @property
    def list_kind(self) -> str:
        """The kind of its lists."""
        return (self.declared.list_kind if self.declared else "") or f"{self.resource.kind}List"

    @property
    def store_name(self) -> str:
        """The name of the store kind."""
        return f"{self.resource.group}/{self.resource.plural}"

    @property
    def has_status(self) -> bool:
        """Whether status is written through its own subresource."""
        return "status" in self.subresources
