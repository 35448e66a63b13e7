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

from poolwright.model.errors import Conflict, InvalidRequest
from poolwright.store import sqlite_text
from poolwright.store.codec import Row
from poolwright.store.columns import HEAD, PAGE
from poolwright.store.draft import Batch

FILE_NAME = "poolwright.db"
_WAL_PAGES = 4_000
"""The log is copied into the database when it has so many pages (16 MiB); SQLite's 1,000 is for
phones and would copy hot pages four times as often."""
_AT_HEAD = "SELECT 1 FROM alembic_version WHERE version_num = ?"


class SqliteFile:
    """The open database."""

    def __init__(self, path: Path | None) -> None:
        self._lock: IO[str] | None = None
        if path is not None:
            if path.is_dir():
                path /= FILE_NAME
            self._lock = _take_lock(path)
        self._is_full = False
        if path is None:
            self._connection = _connect(path)
            _template().backup(self._connection)
            return
        try:
            self._connection = _connect(path)
        except sqlite3.Error as error:
            self._give_back()
            raise InvalidRequest(f"{path} cannot be opened as a database: {error}") from error
        try:
            _settle(self._connection)
        except sqlite3.DatabaseError as error:
            self.close()
            raise InvalidRequest(f"{path} cannot be used as a database: {error}") from error

    def close(self) -> None:
        """Copy the log into the database and give the file back."""
        self._connection.close()
        self._give_back()

    def _give_back(self) -> None:
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
        many(sqlite_text.UPSERT_OBJECT, batch.present())
        many(sqlite_text.DELETE_OBJECT, batch.gone())
        many(sqlite_text.INSERT_CHANGE, batch.changes)
        many(sqlite_text.UPSERT_SCOPE, batch.revisions.items())
        many(sqlite_text.COMPACT, batch.floors.items())
        many(
            sqlite_text.UPSERT_LEASE, [(k, h, epoch, 0.0) for k, (h, epoch) in batch.leases.items()]
        )

    def drop(self, scope: str, revision: int) -> None:
        """Remove a scope's records and changes and set its counter; durable."""
        connection = self._connection
        connection.execute("PRAGMA synchronous=FULL")
        self._is_full = True
        connection.execute("BEGIN IMMEDIATE")
        try:
            for text in sqlite_text.DROP:
                connection.execute(text, (scope,))
            connection.execute(sqlite_text.UPSERT_SCOPE, (scope, revision))
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def revisions(self) -> dict[str, int]:
        """The counters of all scopes."""
        return dict(self._connection.execute(sqlite_text.READ_SCOPES))

    def occupied(self) -> Iterable[str]:
        """Scopes that hold a record."""
        return [scope for (scope,) in self._connection.execute(sqlite_text.READ_OCCUPIED)]

    def leases(self) -> dict[str, tuple[str, int]]:
        """The last holder and epoch of each lease."""
        return {
            key: (holder, epoch)
            for key, holder, epoch in self._connection.execute(sqlite_text.READ_LEASES)
        }

    def rows(self, scope: str) -> Iterator[Row]:
        """All records of a scope, by kind and name."""
        return map(Row._make, self._connection.execute(sqlite_text.READ_OBJECTS, (scope,)))

    def changes(self, scope: str, after: int) -> Iterable[tuple[Row, bool]]:
        """The next changes after a revision, in order, and whether they removed the record."""
        cursor = self._connection.execute(sqlite_text.READ_CHANGES, (scope, after))
        page = cursor.fetchmany(PAGE)
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


def _is_current(connection: sqlite3.Connection) -> bool:
    try:
        return connection.execute(_AT_HEAD, (HEAD,)).fetchone() is not None
    except sqlite3.OperationalError:  # no such table: an empty database
        return False


def _migrate(connection: sqlite3.Connection) -> None:
    if _is_current(connection):
        return
    # Half a second of imports that a warm start need not pay.
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    from poolwright.store.migration import migrate  # noqa: PLC0415

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
