"""The statements, written once with SQLAlchemy Core for both databases.

SQLite runs them as text on the driver: `sqlite_text` is what they compile to (a test compares), so
that a warm start need not load SQLAlchemy.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ClauseElement, Column, Table, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import Delete, Insert

from poolwright.store.columns import OBJECT_KEY, ROW_COLUMNS
from poolwright.store.schema import changes, leases, objects, scopes


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


def drop(table: Table) -> Delete:
    """Remove a scope's rows."""
    return table.delete().where(table.c.scope == bindparam("scope"))


def read_objects() -> ClauseElement:
    """All records of a scope, by kind and name."""
    return (
        select(*row_columns(objects))
        .where(objects.c.scope == bindparam("scope"))
        .order_by(objects.c.kind, objects.c.name)
    )


def read_changes() -> ClauseElement:
    """The changes of a scope after a revision, and whether each removed its record."""
    return (
        select(*row_columns(changes), changes.c.deleted)
        .where(changes.c.scope == bindparam("scope"), changes.c.revision > bindparam("after"))
        .order_by(changes.c.revision)
    )


def read_scopes() -> ClauseElement:
    """The counters of all scopes."""
    return select(scopes.c.scope, scopes.c.revision)


def read_occupied() -> ClauseElement:
    """Scopes that hold a record."""
    return select(objects.c.scope).distinct()


def read_leases() -> ClauseElement:
    """The last holder and epoch of each lease."""
    return select(leases.c.key, leases.c.holder, leases.c.epoch)


def _upsert(dialect: Dialect, table: Table, key: tuple[str, ...]) -> Insert:
    build = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    insert = build(table).values({c.name: bindparam(c.name) for c in table.c})
    return insert.on_conflict_do_update(
        index_elements=list(key),
        set_={c.name: insert.excluded[c.name] for c in table.c if c.name not in key},
    )
