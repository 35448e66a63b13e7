"""Server-side tables: what kubectl prints."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from poolwright.kubesim.kinds.kind import Column, ObjectKind

_NAME = Column(
    "Name",
    format="name",
    description="Name must be unique within a namespace. Is required when creating resources,"
    " although some resources may allow a client to request the generation of an appropriate name"
    " automatically. Name is primarily intended for creation idempotence and configuration"
    " definition. Cannot be updated. More info:"
    " https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
)
_CREATED = Column(
    "Created At",
    "date",
    description="CreationTimestamp is a timestamp representing the server time when this object was"
    " created. It is not guaranteed to be set in happens-before order across separate operations."
    " Clients may not set this value. It is represented in RFC3339 form and is in UTC.",
)  # of kinds that have no printer of their own (rest.NewDefaultTableConvertor)


@cache
def _definitions(columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns
    ]


def _names_itself(kind: ObjectKind) -> bool:
    """Whether the kind places its name among its own columns (events do)."""
    return any(column.name == _NAME.name for column in kind.columns)


def definitions(kind: ObjectKind) -> list[dict[str, Any]]:
    """The columns of a kind's table."""
    if kind.row is None:
        return _definitions((_NAME, _CREATED))
    return _definitions(kind.columns if _names_itself(kind) else (_NAME, *kind.columns))


def table_row(kind: ObjectKind, body: Mapping[str, Any], now: datetime) -> list[Any]:
    """The cells of one object, one for each column."""
    if kind.row is None:
        return [body["metadata"]["name"], body["metadata"].get("creationTimestamp")]
    cells = kind.row(body, now)
    return list(cells) if _names_itself(kind) else [body["metadata"]["name"], *cells]
