"""The statements, written once with SQLAlchemy Core for both databases.

The hot writes of SQLite run as prepared text on the driver: `prepared` compiles them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table, bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import Delete, Insert

from poolwright.store.codec import Row
from poolwright.store.schema import changes, leases, objects, scopes

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


def row_columns(table: Table) -> list[Column[Any]]:
    """The columns of ``objects`` or ``changes`` that make a `codec.Row`."""
    return [table.c[name] for name in ROW_COLUMNS]


def insert_change(dialect: Dialect) -> Insert:
    """One row of ``changes``."""
    build = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    return build(changes).values({c.name: bindparam(c.name) for c in changes.c})


def upsert_object(dialect: Dialect) -> Insert:
    """Insert or replace one row of ``objects``."""
    return _upsert(dialect, objects, OBJECT_KEY)


def upsert_scope(dialect: Dialect) -> Insert:
    """Insert or set the counter of a scope."""
    return _upsert(dialect, scopes, ("scope",))


def upsert_lease(dialect: Dialect) -> Insert:
    """Insert or set a lease."""
    return _upsert(dialect, leases, ("key",))


def delete_object() -> Delete:
    """Remove one row of ``objects``."""
    return delete(objects).where(*(objects.c[name] == bindparam(name) for name in OBJECT_KEY))


def compact_changes() -> Delete:
    """Forget the changes of a scope up to ``floor``."""
    return delete(changes).where(
        changes.c.scope == bindparam("scope"), changes.c.revision <= bindparam("floor")
    )


def prepared(statement: Insert | Delete, columns: tuple[str, ...]) -> str:
    """SQLite's text of a statement whose parameters come in the order of ``columns``."""
    dialect = sqlite.dialect(paramstyle="qmark")
    compiled = statement.compile(dialect=dialect)
    assert tuple(compiled.positiontup or ()) == columns, compiled.positiontup
    return str(compiled)


def _upsert(dialect: Dialect, table: Table, key: tuple[str, ...]) -> Insert:
    build = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    insert = build(table).values({c.name: bindparam(c.name) for c in table.c})
    return insert.on_conflict_do_update(
        index_elements=list(key),
        set_={c.name: insert.excluded[c.name] for c in table.c if c.name not in key},
    )
