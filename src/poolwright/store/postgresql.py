"""The PostgreSQL database: its statements. Blocking; called on threads.

Every transaction first takes the row of its scope, so that the revisions of a scope are given out
one after another and no reader ever sees a gap in them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import (
    Connection,
    bindparam,
    create_engine,
    delete,
    func,
    make_url,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from poolwright.model.errors import (
    InvalidRequest,
    PoolwrightError,
    Refused,
    Transient,
    Unknown,
)
from poolwright.model.record import Kind
from poolwright.ports.store import Commit, Write
from poolwright.store import columns, statement
from poolwright.store.codec import Row, record_of
from poolwright.store.draft import Batch, Draft
from poolwright.store.migration import migrate, require_head
from poolwright.store.schema import changes, leases, objects, scopes
from poolwright.store.transaction import Effect, Record

FoundT = TypeVar("FoundT")
CHANNEL = "poolwright_changes"
DROPPED = ""
"""The kind of the one change that a dropped scope leaves in its log, for the other replicas."""
POOL_SIZE = 8
"""Connections of one replica; one more listens."""
CATCH_UP_LIMIT = 4_096
"""A scope that is further behind is read afresh instead of change by change."""
_MIGRATION_LOCK = 7_665_728
"""Any number; replicas that start together migrate one after another."""
_TIMEOUTS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    # A replica that is paused or cut off within a transaction holds up nobody for longer.
    "options": (
        "-c statement_timeout=15000 -c lock_timeout=10000 "
        "-c idle_in_transaction_session_timeout=5000"
    ),
}
SILENT_BEATS = 20
"""After so many beats (seconds) without an answer a connection is cut: a network that swallows
everything but keeps connections open would be waited for without end."""

_DIALECT = postgresql.dialect()
_UPSERT_OBJECT = statement.upsert_object(_DIALECT)
_DELETE_OBJECT = statement.delete_object()
_INSERT_CHANGE = statement.insert_change(_DIALECT)
_COMPACT = statement.compact_changes()
_NAMED = ("scope", *columns.ROW_COLUMNS)

_LOCK_SCOPE = (
    postgresql.insert(scopes)
    .values(scope=bindparam("scope"), revision=0)
    .on_conflict_do_update(index_elements=["scope"], set_={"revision": scopes.c.revision})
    .returning(scopes.c.revision)
)
"""Creates the counter if it is new, locks it in any case: FOR UPDATE in one round trip."""
_SET_REVISION = (
    update(scopes)
    .where(scopes.c.scope == bindparam("of_scope"))
    .values(revision=bindparam("to_revision"))
)
_NOTIFY = select(func.pg_notify(CHANNEL, bindparam("payload")))
_READ_REVISION = select(scopes.c.revision).where(scopes.c.scope == bindparam("scope"))
_READ_OBJECTS = (
    select(*statement.row_columns(objects))
    .where(objects.c.scope == bindparam("scope"))
    .order_by(objects.c.kind, objects.c.name)
)
_READ_CHANGES = (
    select(*statement.row_columns(changes), changes.c.deleted)
    .where(changes.c.scope == bindparam("scope"), changes.c.revision > bindparam("after"))
    .order_by(changes.c.revision)
)
_NOW = func.extract("epoch", func.clock_timestamp())
_TAKE = postgresql.insert(leases).values(
    key=bindparam("key"), holder=bindparam("holder"), epoch=1, until=_NOW + bindparam("seconds")
)
_LEASE = _TAKE.on_conflict_do_update(
    index_elements=["key"],
    set_={
        "holder": _TAKE.excluded.holder,
        "until": _TAKE.excluded.until,
        "epoch": leases.c.epoch
        + func.cast(leases.c.holder != _TAKE.excluded.holder, postgresql.INTEGER()),
    },
    where=(leases.c.holder == _TAKE.excluded.holder) | (leases.c.until <= _NOW),
).returning(leases.c.epoch)
_RELEASE = (
    update(leases)
    .where(leases.c.key == bindparam("of_key"), leases.c.holder == bindparam("by_holder"))
    .values(until=0)
)
_RELEASE_ALL = update(leases).values(until=0)


@dataclass(frozen=True, slots=True)
class News:
    """What happened in a scope: its changes, or (``fresh``) all that is in it."""

    revision: int
    changes: Sequence[tuple[Row, bool]] = ()
    fresh: Sequence[Row] | None = None


@dataclass(slots=True)
class _Call:
    """One use of a connection: its socket, and how many beats it has lasted."""

    socket: int
    beats: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit did: one answer for each transaction, and the changes after ``before``."""

    answers: Sequence[Commit | Refused]
    before: int
    effects: Sequence[Effect]


class PostgresDatabase:
    """The connections of one replica."""

    def __init__(self, url: str, *, migrates: bool = True) -> None:
        try:
            self._url = make_url(url).set(drivername="postgresql+psycopg")
        except (ArgumentError, ValueError):  # what they say may be a part of the password
            raise InvalidRequest(
                "the store's URL cannot be read; is its password percent-encoded?"
            ) from None
        self._engine = create_engine(
            self._url,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=10,
            pool_pre_ping=True,
            connect_args=_TIMEOUTS,
        )
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._calls: list[_Call] = []
        self._snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ")
        try:
            self._write(self._migrate if migrates else require_head)
        except PoolwrightError:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def listen(self) -> psycopg.Connection:
        """A connection on which `CHANNEL` is heard; its owner closes it.

        Raises:
            psycopg.Error: the database cannot be reached.
        """
        connection = self.connect()
        connection.execute(f"LISTEN {CHANNEL}")
        return connection

    def commit(self, scope: str, transactions: Sequence[Sequence[Write]]) -> Written:
        """Judge the transactions in order and commit those that hold, together."""
        return self._write(lambda connection: _commit(connection, scope, transactions))

    def drop(self, scope: str) -> None:
        """Remove a scope's records and changes; its counter moves on by one."""
        self._write(lambda connection: _drop(connection, scope))

    def news(self, scope: str, known: int | None) -> News:
        """What happened in a scope after revision ``known`` (None: nothing is known)."""
        if known is not None:
            found = self._read(lambda connection: _changes_since(connection, scope, known))
            if found is not None:
                return found
        return self._read(lambda connection: _everything(connection, scope), snapshot=True)

    def log(self, scope: str, after: int) -> Sequence[tuple[Row, bool]]:
        """The next changes in the log."""
        return self._read(lambda connection: _log(connection, scope, after, columns.PAGE))

    def revisions(self, prefix: str) -> dict[str, int]:
        """The counters of all scopes with a prefix, by name."""
        query = (
            select(scopes.c.scope, scopes.c.revision)
            .where(scopes.c.scope.startswith(prefix, autoescape=True))
            .order_by(scopes.c.scope)
        )
        found = self._read(lambda connection: connection.execute(query).all())
        return {row.scope: row.revision for row in found}

    def occupied(self, prefix: str) -> Sequence[str]:
        """Scopes with a prefix that hold a record, sorted."""
        query = (
            select(scopes.c.scope)
            .where(
                scopes.c.scope.startswith(prefix, autoescape=True),
                select(objects.c.scope).where(objects.c.scope == scopes.c.scope).exists(),
            )
            .order_by(scopes.c.scope)
        )
        return self._read(lambda connection: connection.execute(query).scalars().all())

    def lease(self, key: str, holder: str, duration: timedelta) -> int | None:
        """As `Store.lease`, in the database's time."""
        values = {"key": key, "holder": holder, "seconds": duration.total_seconds()}
        return self._write(lambda connection: connection.execute(_LEASE, values).scalar())

    def release(self, key: str, holder: str) -> None:
        """As `Store.release`."""
        values = {"of_key": key, "by_holder": holder}
        self._write(lambda connection: connection.execute(_RELEASE, values))

    def release_all(self) -> None:
        """End every lease, whoever has it."""
        self._write(lambda connection: connection.execute(_RELEASE_ALL))

    def time(self) -> datetime:
        """The database's clock."""
        seconds = self._read(lambda connection: connection.execute(select(_NOW)).scalar_one())
        return datetime.fromtimestamp(float(seconds), UTC)

    def connect(self, **options: str) -> psycopg.Connection:
        """A connection of its own; its owner closes it.

        Raises:
            psycopg.Error: the database cannot be reached.
        """
        dsn = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(make_conninfo(dsn, **_TIMEOUTS, **options), autocommit=True)

    def beat(self) -> bool:
        """Cut the connections that have been silent for too long; whether there were some. To be
        called once a second.
        """
        has_cut = False
        for call in tuple(self._calls):
            call.beats += 1
            if call.beats > SILENT_BEATS:
                has_cut = True
                _cut(call.socket)
        return has_cut

    @contextmanager
    def _watched(self, connection: Connection) -> Generator[None]:
        driver: Any = connection.connection.driver_connection
        call = _Call(driver.fileno())
        self._calls.append(call)
        try:
            yield
        finally:
            self._calls.remove(call)

    def _read(self, work: Callable[[Connection], FoundT], *, snapshot: bool = False) -> FoundT:
        try:
            engine = self._snapshot if snapshot else self._reading
            with engine.connect() as connection, self._watched(connection):
                return work(connection)
        except (DBAPIError, PoolTimeout) as error:
            raise Transient(f"the database did not answer: {_reason(error)}") from error

    def _write(self, work: Callable[[Connection], FoundT]) -> FoundT:
        try:
            with self._engine.connect() as connection, self._watched(connection):
                found = work(connection)
                try:
                    connection.commit()
                except DBAPIError as error:
                    raise Unknown(f"the database did not confirm: {_reason(error)}") from error
                return found
        except (DBAPIError, PoolTimeout) as error:
            raise Transient(f"the database did not answer: {_reason(error)}") from error

    @staticmethod
    def _migrate(connection: Connection) -> None:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        migrate(connection)


def _cut(descriptor: int) -> None:
    """Shut a connection down under whoever waits for it."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as end:
            end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is closed already


def _reason(error: DBAPIError | PoolTimeout) -> str:
    """What the driver says, in one line, without statements and their values."""
    said = str(error.orig) if isinstance(error, DBAPIError) else "no connection is free"
    return " ".join(said.split())


def _commit(connection: Connection, scope: str, transactions: Sequence[Sequence[Write]]) -> Written:
    before: int = connection.execute(_LOCK_SCOPE, {"scope": scope}).scalar_one()
    rows = _rows_named(connection, scope, transactions)

    def find(kind: Kind[Any, Any], name: str) -> Record | None:
        row = rows.get((kind.name, name))
        return None if row is None else record_of(scope, kind, row)

    draft = Draft(scope, before, find)
    answers: list[Commit | Refused] = []
    for writes in transactions:
        try:
            answers.append(draft.add(writes))
        except Refused as refusal:
            answers.append(refusal)
    if draft.effects:
        _put(connection, draft)
    else:
        connection.rollback()
    return Written(answers, before, draft.effects)


def _rows_named(
    connection: Connection, scope: str, transactions: Iterable[Sequence[Write]]
) -> dict[tuple[str, str], Row]:
    keys = dict.fromkeys((w.kind.name, w.name) for writes in transactions for w in writes)
    query = select(*statement.row_columns(objects)).where(
        objects.c.scope == scope, tuple_(objects.c.kind, objects.c.name).in_(list(keys))
    )
    found = [Row._make(row) for row in connection.execute(query)] if keys else []
    return {(row.kind, row.name): row for row in found}


def _put(connection: Connection, draft: Draft) -> None:
    batch = Batch()
    batch.add(draft, keeps_log=True)
    present = _named(_NAMED, batch.present())
    if present:
        connection.execute(_UPSERT_OBJECT, present)
    gone = _named(columns.OBJECT_KEY, batch.gone())
    if gone:
        connection.execute(_DELETE_OBJECT, gone)
    connection.execute(_INSERT_CHANGE, _named(columns.CHANGE_COLUMNS, batch.changes))
    for scope, floor in batch.floors.items():
        connection.execute(_COMPACT, {"scope": scope, "floor": floor})
    _move(connection, draft.scope, draft.revision)


def _named(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[dict[str, object]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _drop(connection: Connection, scope: str) -> None:
    revision: int = connection.execute(_LOCK_SCOPE, {"scope": scope}).scalar_one()
    if not revision:
        connection.rollback()
        return
    for table in (objects, changes):
        connection.execute(delete(table).where(table.c.scope == scope))
    mark = (scope, revision + 1, DROPPED, "", True, "", 0, None, None, 0, None)
    connection.execute(_INSERT_CHANGE, _named(columns.CHANGE_COLUMNS, [mark]))
    _move(connection, scope, revision + 1)


def _move(connection: Connection, scope: str, revision: int) -> None:
    connection.execute(_SET_REVISION, {"of_scope": scope, "to_revision": revision})
    connection.execute(_NOTIFY, {"payload": f"{revision} {scope}"})


def _log(connection: Connection, scope: str, after: int, limit: int) -> Sequence[tuple[Row, bool]]:
    found = connection.execute(_READ_CHANGES.limit(limit), {"scope": scope, "after": after})
    return [(Row._make(values), deleted) for *values, deleted in found]


def _changes_since(connection: Connection, scope: str, known: int) -> News | None:
    """The changes, or None if there are too many or some are no longer kept."""
    revision: int = connection.execute(_READ_REVISION, {"scope": scope}).scalar() or 0
    if revision == known:
        return News(revision)
    if not known < revision <= known + CATCH_UP_LIMIT:
        return None
    found = _log(connection, scope, known, revision - known)
    is_whole = len(found) == revision - known and found[0][0].revision == known + 1
    return News(revision, found) if is_whole else None


def _everything(connection: Connection, scope: str) -> News:
    revision: int = connection.execute(_READ_REVISION, {"scope": scope}).scalar() or 0
    rows = connection.execute(_READ_OBJECTS, {"scope": scope})
    return News(revision, fresh=[Row._make(row) for row in rows])
