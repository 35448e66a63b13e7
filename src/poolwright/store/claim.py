"""Being a server of a PostgreSQL store: a session lock, shared or alone.

The lock ends with its connection, so with the process, however that ends. Blocking; called on
threads.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from poolwright.model.errors import Conflict, Transient

_LOCK = "SELECT pg_advisory_lock(7665728, 1)"
_LOCK_SHARED = "SELECT pg_advisory_lock_shared(7665728, 1)"
"""Any two numbers name our lock among the advisory ones of a database."""
_PATIENTLY = "SET lock_timeout = '5s'"
"""A server that was killed takes a moment to be missed."""
_LOCKED_OUT = psycopg.errors.LockNotAvailable
_HOLDERS = """
SELECT activity.pid, activity.application_name, locks.mode = 'ExclusiveLock' AS alone
FROM pg_locks AS locks JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
WHERE locks.locktype = 'advisory' AND locks.granted AND activity.datname = current_database()
  AND (locks.classid, locks.objid, locks.objsubid) = (7665728, 1, 2)
"""
_NAME_LENGTH = 63
"""PostgreSQL cuts names of applications after it."""


class Claim:
    """One server's lock. ``connect`` opens a connection of its own."""

    def __init__(
        self, connect: Callable[..., psycopg.Connection], holder: str, *, alone: bool
    ) -> None:
        self._connect = connect
        self._name = holder[-_NAME_LENGTH:]
        self._alone = alone
        self._connection: psycopg.Connection | None = None

    def fileno(self) -> int:
        """Where the end of the connection shows."""
        assert self._connection is not None
        return self._connection.fileno()

    def close(self) -> None:
        """Give the lock back."""
        if self._connection is not None:
            self._connection.close()

    def take(self) -> None:
        """Take the lock, or take it again after the connection was lost.

        Raises:
            Conflict: another server has it, in a way that excludes us.
            Transient: the database cannot be reached.
        """
        self.close()
        try:
            connection = self._connect(application_name=self._name)
            try:
                self._lock(connection)
            except (Conflict, psycopg.Error):
                connection.close()
                raise
        except psycopg.Error as error:
            raise Transient(
                f"the database did not answer: {' '.join(str(error).split())}"
            ) from error
        self._connection = connection

    def _lock(self, connection: psycopg.Connection) -> None:
        for pid, name, _ in connection.execute(_HOLDERS).fetchall():
            if name == self._name:  # ourselves, before the connection was lost
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        connection.execute(_PATIENTLY)
        try:
            connection.execute(_LOCK if self._alone else _LOCK_SHARED)
        except _LOCKED_OUT as error:
            holders = connection.execute(_HOLDERS).fetchall()
            raise Conflict(_refusal(holders)) from error


def _refusal(holders: list[tuple[int, str, bool]]) -> str:
    names = ", ".join(sorted(name for _, name, _ in holders if name)) or "another server"
    if any(alone for _, _, alone in holders):
        return (
            f"the store belongs to {names}, whose clusters live in its process; servers "
            "can share a store where each is given a Kubernetes (--kubeconfig)"
        )
    return (
        f"the store is shared by {names}; a server that makes clusters in its own process needs a "
        "store of its own, or a Kubernetes (--kubeconfig)"
    )
