"""The columns of the tables in their fixed orders, for both databases.

Nothing here loads SQLAlchemy: a warm start on SQLite does without it.
"""

from __future__ import annotations

from poolwright.store.codec import Row

HEAD = "0001"
"""The newest migration. A database that says so is opened without loading Alembic."""
PAGE = 500
"""Changes that are read from the log at a time."""
OBJECT_KEY = ("scope", "kind", "name")
ROW_COLUMNS = (
    "kind",
    "name",
    "uid",
    "revision",
    "generation",
    "spec",
    "status",
    "created_at",
    "deleted_at",
)
"""The order of `codec.Row`."""
CHANGE_COLUMNS = (
    "scope",
    "revision",
    "kind",
    "name",
    "deleted",
    "uid",
    "generation",
    "spec",
    "status",
    "created_at",
    "deleted_at",
)
"""The order of `change_values`."""


def change_values(scope: str, row: Row, *, deleted: bool) -> tuple[object, ...]:
    """A row of ``changes``."""
    return (
        scope,
        row.revision,
        row.kind,
        row.name,
        deleted,
        row.uid,
        row.generation,
        row.spec,
        row.status,
        row.created_at,
        row.deleted_at,
    )
