"""Keeping records: guarded transactions inside one scope, and the stream of their changes.

Contract: ``docs/contracts/store.md`` (rules S1…).

A *scope* is a name such as ``arm/<cluster key>``, ``kube/<cluster key>`` or ``cloud/<region>``.
It has its own revision counter. No transaction spans two scopes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from poolwright.model.record import Kind, Stored

SpecT = TypeVar("SpecT")
StatusT = TypeVar("StatusT")


@dataclass(frozen=True, slots=True)
class Create:
    """Insert; refused with `Precondition` if a record of that kind and name exists."""

    kind: Kind[Any, Any]
    name: str
    uid: str
    spec: Any
    status: Any
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Update:
    """Replace spec, status or both; None leaves a half as it is.

    Every guard that is given must hold, else `Precondition`. The generation is raised by one
    when ``spec`` is given and differs from the stored one. ``deleted_at`` can be set, not unset.
    A record that is not there: `NotFound`.
    """

    kind: Kind[Any, Any]
    name: str
    spec: Any = None
    status: Any = None
    deleted_at: datetime | None = None
    expect_uid: str | None = None
    expect_revision: int | None = None
    expect_generation: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove; the guards as for `Update`. A record that is not there: `NotFound`."""

    kind: Kind[Any, Any]
    name: str
    expect_uid: str | None = None
    expect_revision: int | None = None
    expect_generation: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """Write nothing, but refuse the transaction unless the guards hold.

    ``expect_absent`` demands that no such record exists; without it a missing record is
    `NotFound`.
    """

    kind: Kind[Any, Any]
    name: str
    expect_absent: bool = False
    expect_uid: str | None = None
    expect_revision: int | None = None
    expect_generation: int | None = None


Write = Create | Update | Delete | Check


@dataclass(frozen=True, slots=True)
class Commit:
    """What a transaction did: the scope's revision and the records after it, in write order.

    The record of a `Delete` is the last state before removal, stamped with the revision of the
    deletion; a `Check` contributes the record as it stands (None when checked absent).
    """

    revision: int
    records: tuple[Stored[Any, Any] | None, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change of one record; ``deleted`` says that it is gone.

    ``previous`` is the record before this change, None for a creation; it may also be None for
    changes that were read back from the log after a restart.
    """

    scope: str
    revision: int
    record: Stored[Any, Any]
    deleted: bool
    previous: Stored[Any, Any] | None = None


class Store(Protocol):
    """Records in scopes. Every call may raise `Transient`; a write may raise `Unknown`."""

    async def get(
        self, scope: str, kind: Kind[SpecT, StatusT], name: str
    ) -> Stored[SpecT, StatusT] | None:
        """The record as last committed, or None (S1)."""
        ...

    async def list(
        self, scope: str, kind: Kind[SpecT, StatusT], *, prefix: str = ""
    ) -> tuple[Sequence[Stored[SpecT, StatusT]], int]:
        """All records of a kind whose name starts with ``prefix``, by name, and the scope's
        revision at which that is the whole truth (S2).
        """
        ...

    async def find(
        self, scope_prefix: str, kind: Kind[SpecT, StatusT]
    ) -> Sequence[Stored[SpecT, StatusT]]:
        """All records of a kind in every scope whose name starts with ``scope_prefix`` (S3)."""
        ...

    async def scopes(self, prefix: str) -> Sequence[str]:
        """Names of the scopes that hold at least one record, sorted (S3)."""
        ...

    async def transact(self, scope: str, writes: Sequence[Write]) -> Commit:
        """Apply all writes, or none; resolves once they are durable (S4, S5).

        Raises:
            Precondition: a guard did not hold, or a created name exists; nothing was applied.
            NotFound: a record to update, delete or check is missing; nothing was applied.
            InvalidRequest: a name holds text that cannot be kept (S10); nothing was applied.
        """
        ...

    async def drop(self, scope: str) -> None:
        """Remove a scope with all its records and changes; a missing one is fine (S9).

        Its revision counter stays, so that a scope of the same name continues above it.
        """
        ...

    async def revision(self, scope: str) -> int:
        """The scope's current revision; 0 for a scope that never was written."""
        ...

    async def revisions(self, scope_prefix: str) -> Mapping[str, int]:
        """The current revisions of all scopes with that prefix that were ever written."""
        ...

    async def changes(self, scope: str, after: int) -> Sequence[Change]:
        """As `watch`, but those that are committed already, and no others (S6).

        Raises:
            Expired: as `watch`; what a process keeps in memory is all there is to be had.
        """
        ...

    def watch(self, scope: str, after: int) -> AsyncIterator[Change]:
        """Every change of one scope with a revision above ``after``, in order, without gaps (S6).

        Raises:
            Expired: the log was compacted past ``after``, the scope was dropped, or it has not
                yet come to ``after``.
        """
        ...

    def follow(self, scope_prefix: str) -> AsyncIterator[Change]:
        """Changes of all scopes with that prefix from now on, in commit order per scope (S7).

        The first ``__anext__`` subscribes; whoever lists after having subscribed misses nothing.

        Raises:
            Expired: too many changes were left unread; list and follow again.
        """
        ...

    async def lease(self, key: str, holder: str, duration: timedelta) -> int | None:
        """Take or renew a lease for ``duration`` of real time; the epoch, or None if another
        holder has it (S8). The epoch grows with every change of holder. A lease is for economy:
        nothing may depend on it for safety.
        """
        ...

    async def release(self, key: str, holder: str) -> None:
        """Give a lease back; not holding it is fine (S8)."""
        ...
