"""Server-side tables: what kubectl prints."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from poolwright.kubesim.kinds.cell import age
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


def definitions(kind: ObjectKind) -> list[dict[str, Any]]:
    """The columns of a kind's table."""
    return _definitions((_NAME, *kind.columns) if kind.row else (_NAME, Column("Age")))


def table_row(kind: ObjectKind, body: Mapping[str, Any], now: datetime) -> list[Any]:
    """The cells of one object: its name, then the kind's columns."""
    name = body["metadata"]["name"]
    if kind.row is None:
        return [name, age(body["metadata"].get("creationTimestamp"), now)]
    return [name, *kind.row(body, now)]
