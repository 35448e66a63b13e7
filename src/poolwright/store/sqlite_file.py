"""The SQLite database of one process: its lock, its settings and its statements. Blocking.

One connection, in exclusive mode, with a write-ahead log. ``synchronous`` is set for each commit:
FULL flushes the log to the disk, NORMAL leaves that to the kernel. As all scopes share one log, a
power cut loses the newest NORMAL commits only, never something in the middle.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import IO

from sqlalchemy import bindparam, create_engine, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import ClauseElement

from poolwright.model.errors import Conflict, InvalidRequest
from poolwright.store import statement
from poolwright.store.codec import Row
from poolwright.store.draft import Batch
from poolwright.store.migration import migrate
from poolwright.store.schema import changes, leases, objects, scopes

FILE_NAME = "poolwright.db"
_WAL_PAGES = 4_000
"""The log is copied into the database when it has so many pages (16 MiB); SQLite's 1,000 is for
phones and would copy hot pages four times as often."""
_DIALECT = sqlite.dialect(paramstyle="qmark")


def _text(build: ClauseElement) -> str:
    return str(build.compile(dialect=_DIALECT))


_UPSERT_OBJECT = statement.prepared(
    statement.upsert_object(_DIALECT), ("scope", *statement.ROW_COLUMNS)
)
_DELETE_OBJECT = statement.prepared(statement.delete_object(), statement.OBJECT_KEY)
_INSERT_CHANGE = statement.prepared(statement.insert_change(_DIALECT), statement.CHANGE_COLUMNS)
_UPSERT_SCOPE = statement.prepared(statement.upsert_scope(_DIALECT), ("scope", "revision"))
_COMPACT = statement.prepared(statement.compact_changes(), ("scope", "floor"))
_UPSERT_LEASE = statement.prepared(
    statement.upsert_lease(_DIALECT), ("key", "holder", "epoch", "until")
)
_DROP = tuple(
    _text(table.delete().where(table.c.scope == bindparam("scope"))) for table in (objects, changes)
)
_READ_OBJECTS = _text(
    select(*statement.row_columns(objects))
    .where(objects.c.scope == bindparam("scope"))
    .order_by(objects.c.kind, objects.c.name)
)
_READ_CHANGES = _text(
    select(*statement.row_columns(changes), changes.c.deleted)
    .where(changes.c.scope == bindparam("scope"), changes.c.revision > bindparam("after"))
    .order_by(changes.c.revision)
)
_READ_SCOPES = _text(select(scopes.c.scope, scopes.c.revision))
_READ_OCCUPIED = _text(select(objects.c.scope).distinct())
_READ_LEASES = _text(select(leases.c.key, leases.c.holder, leases.c.epoch))


class SqliteFile:
    """The open database."""

    def __init__(self, path: Path | None) -> None:
        self._lock: IO[str] | None = None
        if path is not None:
            if path.is_dir():
                path /= FILE_NAME
            self._lock = _take_lock(path)
        self._connection = _connect(path)
        self._is_full = False
        if path is None:
            _template().backup(self._connection)
            return
        try:
            _settle(self._connection)
        except sqlite3.DatabaseError as error:
            self.close()
            raise InvalidRequest(f"{path} cannot be used as a database: {error}") from error

    def close(self) -> None:
        """Copy the log into the database and give the file back."""
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    def write(self, batch: Batch) -> None:
        """Commit everything, or nothing.

        Raises:
            sqlite3.Error: nothing was committed; unless it is an I/O error, which leaves it open.
        """
        connection = self._connection
        if batch.is_durable is not self._is_full:
            connection.execute(f"PRAGMA synchronous={'FULL' if batch.is_durable else 'NORMAL'}")
            self._is_full = batch.is_durable
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._write(batch)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _write(self, batch: Batch) -> None:
        many = self._connection.executemany
        many(_UPSERT_OBJECT, batch.present())
        many(_DELETE_OBJECT, batch.gone())
        many(_INSERT_CHANGE, batch.changes)
        many(_UPSERT_SCOPE, batch.revisions.items())
        many(_COMPACT, batch.floors.items())
        many(_UPSERT_LEASE, [(k, h, epoch, 0.0) for k, (h, epoch) in batch.leases.items()])

    def drop(self, scope: str, revision: int) -> None:
        """Remove a scope's records and changes and set its counter; durable."""
        connection = self._connection
        connection.execute("PRAGMA synchronous=FULL")
        self._is_full = True
        connection.execute("BEGIN IMMEDIATE")
        try:
            for text in _DROP:
                connection.execute(text, (scope,))
            connection.execute(_UPSERT_SCOPE, (scope, revision))
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def revisions(self) -> dict[str, int]:
        """The counters of all scopes."""
        return dict(self._connection.execute(_READ_SCOPES))

    def occupied(self) -> Iterable[str]:
        """Scopes that hold a record."""
        return [scope for (scope,) in self._connection.execute(_READ_OCCUPIED)]

    def leases(self) -> dict[str, tuple[str, int]]:
        """The last holder and epoch of each lease."""
        return {
            key: (holder, epoch) for key, holder, epoch in self._connection.execute(_READ_LEASES)
        }

    def rows(self, scope: str) -> Iterator[Row]:
        """All records of a scope, by kind and name."""
        return map(Row._make, self._connection.execute(_READ_OBJECTS, (scope,)))

    def changes(self, scope: str, after: int) -> Iterable[tuple[Row, bool]]:
        """The next changes after a revision, in order, and whether they removed the record."""
        cursor = self._connection.execute(_READ_CHANGES, (scope, after))
        page = cursor.fetchmany(statement.PAGE)
        cursor.close()
        return [(Row._make(values), bool(deleted)) for *values, deleted in page]


def _take_lock(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise Conflict(f"{path} is in use by another process (pid {owner})") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _connect(path: Path | None) -> sqlite3.Connection:
    # Statements are ours to begin and commit; 64 of them stay prepared.
    return sqlite3.connect(
        ":memory:" if path is None else path, isolation_level=None, cached_statements=64
    )


def _settle(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
    _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as core:
        # The driver begins nothing by itself here, and half a migration would be a ruin.
        connection.execute("BEGIN IMMEDIATE")
        migrate(core)
        core.commit()


@cache
def _template() -> sqlite3.Connection:
    """An empty, migrated database in memory, copied for each store in memory."""
    connection = _connect(None)
    _migrate(connection)
    return connection
