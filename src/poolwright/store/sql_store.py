"""Opening the store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from poolwright.model.record import Kind
from poolwright.ports.clock import Clock
from poolwright.store.embedded import EmbeddedStore
from poolwright.store.scoped_store import ScopedStore

_POSTGRESQL = ("postgresql://", "postgresql+psycopg://", "postgres://")


class SqlStore:
    """The one implementation of `ports.Store`, on the database that the target names."""

    @staticmethod
    def open(
        target: str | Path | None,
        *,
        clock: Clock,
        kinds: Iterable[Kind[Any, Any]] = (),
        migrates: bool = True,
    ) -> ScopedStore:
        """Open a store and bring its tables up to date; end it with `ScopedStore.close`.

        ``target`` is a ``postgresql://`` URL, the path of a SQLite file (or of the directory to
        keep it in), or None for a store in memory that ends with the process. ``kinds`` are the
        kinds that changes of an earlier life may be about; a kind that is named in a call is
        known from then on, and a change of an unknown kind is delivered with both halves as
        bytes. Without ``migrates`` PostgreSQL's tables must have been brought up to date before.

        Raises:
            Conflict: another process owns the file, or the tables are those of another version.
            Transient: the database cannot be reached.
        """
        if isinstance(target, str) and target.startswith(_POSTGRESQL):
            from poolwright.store.shared import SharedStore  # noqa: PLC0415 - loads the driver

            return SharedStore(target, kinds, migrates=migrates)
        if isinstance(target, str):
            target = Path(target.removeprefix("sqlite:///"))
        return EmbeddedStore(target, clock, kinds)
