"""What both databases share: reads from memory, watches and followers.

`EmbeddedStore` (SQLite) and `SharedStore` (PostgreSQL) add how a scope is loaded and kept fresh,
and how a transaction is committed.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from poolwright.model.errors import Expired, Transient
from poolwright.model.record import Kind, Stored
from poolwright.ports.store import Change, Commit, Write
from poolwright.store.codec import opaque_kind
from poolwright.store.scope_state import ScopeState
from poolwright.store.transaction import Effect

SpecT = TypeVar("SpecT")
StatusT = TypeVar("StatusT")

RING_SIZE = 4096
"""Changes of a scope that stay in memory for its watchers (up to twice as many)."""
FOLLOW_LIMIT = 65_536
"""Changes that a follower may leave unread; then it gets `Expired`."""


class Follower:
    """One `follow`: the unread changes of all scopes with a prefix."""

    __slots__ = ("arrived", "expired", "prefix", "unread")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.unread: deque[Change] = deque()
        self.arrived = asyncio.Event()
        self.expired = False

    def put(self, changes: Sequence[Change]) -> None:
        """Add changes, or expire if too many are unread."""
        if len(self.unread) + len(changes) > FOLLOW_LIMIT:
            self.expire()
        else:
            self.unread.extend(changes)
            self.arrived.set()

    def expire(self) -> None:
        """Tell the follower that it has missed changes."""
        self.expired = True
        self.unread.clear()
        self.arrived.set()


class ScopedStore(ABC):
    """The store on an open database; ended by `close`. ``kinds`` as for `SqlStore.open`."""

    def __init__(self, kinds: Iterable[Kind[Any, Any]]) -> None:
        self._states: dict[str, ScopeState] = {}
        self._kinds: dict[tuple[str, str], Kind[Any, Any]] = {("", k.name): k for k in kinds}
        self._followers: list[Follower] = []
        self._closed_because: str | None = None
        self._is_closed = False
        self.ended = asyncio.Event()
        """Set when the store cannot be used any more; `ended_because` says why."""

    @property
    def ended_because(self) -> str:
        """Why calls are refused; empty while they are not."""
        return self._closed_because or ""

    @abstractmethod
    async def claim(self, holder: str, *, alone: bool) -> None:
        """Be a server of this store, named ``holder``, for as long as the process lives; with
        ``alone`` the only one. A store that is lost to another ends.

        Raises:
            Conflict: another server has it alone, or we would.
        """

    @abstractmethod
    async def time(self) -> datetime:
        """The time of the store's clock, the same for all who share it."""

    async def get(
        self, scope: str, kind: Kind[SpecT, StatusT], name: str
    ) -> Stored[SpecT, StatusT] | None:
        """As `Store.get`."""
        self._learn(scope, kind)
        return (await self._fresh(scope)).get(kind, name)

    async def list(
        self, scope: str, kind: Kind[SpecT, StatusT], *, prefix: str = ""
    ) -> tuple[Sequence[Stored[SpecT, StatusT]], int]:
        """As `Store.list`."""
        self._learn(scope, kind)
        state = await self._fresh(scope)
        return state.list(kind, prefix), state.revision

    async def find(
        self, scope_prefix: str, kind: Kind[SpecT, StatusT]
    ) -> Sequence[Stored[SpecT, StatusT]]:
        """As `Store.find`."""
        self._learn(scope_prefix, kind)
        found: list[Stored[SpecT, StatusT]] = []
        for state in await self._fresh_all(scope_prefix):
            found.extend(state.list(kind, ""))
        return found

    async def scopes(self, prefix: str) -> Sequence[str]:
        """As `Store.scopes`."""
        return await self._scopes(prefix)

    async def revision(self, scope: str) -> int:
        """As `Store.revision`."""
        return (await self._fresh(scope)).revision

    async def changes(self, scope: str, after: int) -> Sequence[Change]:
        """As `Store.changes`."""
        state = await self._fresh(scope)
        if not state.floor <= after <= state.revision:
            raise Expired(f"changes of {scope} after revision {after} are not in memory")
        return state.since(after)

    @abstractmethod
    async def revisions(self, scope_prefix: str) -> Mapping[str, int]:
        """As `Store.revisions`."""

    async def watch(self, scope: str, after: int) -> AsyncIterator[Change]:
        """As `Store.watch`."""
        state = await self._attach(scope)
        if after > state.revision:
            raise Expired(f"{scope} is at revision {state.revision}, before {after}")
        while True:
            self._require_open()
            if after < state.floor:
                for change in await self._history(state, after):
                    yield change
                    after = change.revision
                continue
            change = state.after(after)
            if change is None:
                await state.wait()
            else:
                after = change.revision
                yield change

    async def follow(self, scope_prefix: str) -> AsyncIterator[Change]:
        """As `Store.follow`.

        Raises:
            Expired: too many changes were left unread.
        """
        follower = Follower(scope_prefix)
        await self._subscribe(follower)
        try:
            while True:
                self._require_open()
                while follower.unread and not follower.expired:
                    yield follower.unread.popleft()
                if follower.expired:
                    raise Expired(f"too many changes of {scope_prefix}* were left unread")
                follower.arrived.clear()
                await follower.arrived.wait()
        finally:
            self._followers.remove(follower)

    @abstractmethod
    async def transact(self, scope: str, writes: Sequence[Write]) -> Commit:
        """As `Store.transact`."""

    @abstractmethod
    async def drop(self, scope: str) -> None:
        """As `Store.drop`."""

    @abstractmethod
    async def lease(self, key: str, holder: str, duration: timedelta) -> int | None:
        """As `Store.lease`."""

    @abstractmethod
    async def release(self, key: str, holder: str) -> None:
        """As `Store.release`."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was accepted and give the database back; closing twice is fine."""

    @abstractmethod
    async def _fresh(self, scope: str) -> ScopeState:
        """The scope as last committed; one without a past is not kept."""

    @abstractmethod
    async def _fresh_all(self, prefix: str) -> Sequence[ScopeState]:
        """All scopes with a prefix, as last committed, by name."""

    @abstractmethod
    async def _scopes(self, prefix: str) -> Sequence[str]:
        """As `Store.scopes`."""

    @abstractmethod
    async def _attach(self, scope: str) -> ScopeState:
        """The scope as last committed, kept and fed with its changes from now on."""

    @abstractmethod
    async def _subscribe(self, follower: Follower) -> None:
        """Add a follower, and feed it from now on."""

    @abstractmethod
    async def _history(self, state: ScopeState, after: int) -> Sequence[Change]:
        """The next changes after a revision that the ring no longer holds; at least one.

        Raises:
            Expired: the log does not hold them either.
        """

    def _learn(self, scope: str, kind: Kind[Any, Any]) -> None:
        self._kinds[scope.partition("/")[0], kind.name] = kind

    def _kind(self, scope: str, name: str) -> Kind[Any, Any]:
        """The kind of that name in this part of the store, as far as anybody has said."""
        area = scope.partition("/")[0]
        return self._kinds.get((area, name)) or self._kinds.get(("", name)) or opaque_kind(name)

    def _publish(self, state: ScopeState, effects: Iterable[Effect]) -> None:
        """Show committed changes to readers, watchers and followers."""
        changes = [state.publish(effect.record, deleted=effect.deleted) for effect in effects]
        for follower in self._followers:
            if state.scope.startswith(follower.prefix):
                follower.put(changes)
        state.pulse()

    def _require_open(self) -> None:
        if self._closed_because is not None:
            raise Transient(self._closed_because)

    def _end(self, reason: str) -> None:
        """Refuse further calls, and wake those who wait so that they notice."""
        self._closed_because = self._closed_because or reason
        self.ended.set()
        for state in self._states.values():
            state.pulse()
        for follower in self._followers:
            follower.arrived.set()
