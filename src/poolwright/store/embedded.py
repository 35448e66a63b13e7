"""The store on SQLite, owned by this process: reads from memory, writes in groups.

A transaction is judged at once, in call order, against what is committed and what is queued. The
queue is written in one commit when the loop comes round, so that one flush to disk serves everybody
who wrote in that tick. Nothing is visible before it is committed, and a refusal that was judged
against queued writes waits for them too: who is refused can always read why.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from poolwright.model.errors import Expired, PoolwrightError, Refused, Transient, Unknown
from poolwright.model.record import Kind
from poolwright.ports.clock import Clock
from poolwright.ports.store import Change, Commit, Write
from poolwright.store.codec import record_of
from poolwright.store.policy import compaction_floor, policy_of
from poolwright.store.scope_state import ScopeState
from poolwright.store.scoped_store import RING_SIZE, Follower, ScopedStore
from poolwright.store.sqlite_file import Batch, SqliteFile
from poolwright.store.statement import change_values
from poolwright.store.transaction import Effect, Key, Record, judge

_DISK_BROKE = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Primary result codes after which nobody knows what is on the disk."""


@dataclass(slots=True)
class Draft:
    """What is queued for one scope, on top of what is committed."""

    state: ScopeState
    revision: int
    records: dict[Key, Record | None] = field(default_factory=dict[Key, Record | None])
    effects: list[Effect] = field(default_factory=list[Effect])

    def lookup(self, kind: Kind[Any, Any], name: str) -> Record | None:
        """A record as the next transaction will find it."""
        key = (kind.name, name)
        return self.records[key] if key in self.records else self.state.get(kind, name)

    def add(self, revision: int, effects: Iterable[Effect]) -> None:
        """Queue the effects of a transaction."""
        self.revision = revision
        for effect in effects:
            self.effects.append(effect)
            self.records[effect.row.kind, effect.row.name] = (
                None if effect.deleted else effect.record
            )


@dataclass(slots=True)
class Lease:
    """A lease in this process; ``until`` is in seconds of the monotonic clock."""

    holder: str
    epoch: int
    until: float


Answer = Commit | Refused | int | None


class EmbeddedStore(ScopedStore):
    """See the module."""

    def __init__(self, path: Path | None, clock: Clock, kinds: Iterable[Kind[Any, Any]]) -> None:
        super().__init__(kinds)
        self._clock = clock
        self._file = SqliteFile(path)
        self._revisions = self._file.revisions()
        """Of the scopes that are not loaded."""
        self._occupied = set(self._file.occupied())
        """Scopes that are not loaded and hold records."""
        self._leases = {
            key: Lease(holder, epoch, float("-inf"))
            for key, (holder, epoch) in self._file.leases().items()
        }
        self._drafts: dict[str, Draft] = {}
        self._queue: list[tuple[asyncio.Future[Any], Answer]] = []
        self._lease_writes: dict[str, tuple[str, int]] = {}

    async def transact(self, scope: str, writes: Sequence[Write]) -> Commit:
        """As `Store.transact`."""
        self._require_open()
        for write in writes:
            self._learn(scope, write.kind)
        draft = self._drafts.get(scope)
        if draft is None:
            state = self._load(scope, keep=True)
            draft = Draft(state, state.revision)
        try:
            outcome = judge(scope, draft.revision, draft.lookup, writes)
        except Refused as refusal:
            if not draft.effects:
                raise
            return await self._after_commit(refusal)
        commit = Commit(outcome.revision, outcome.records)
        if outcome.effects:
            self._drafts[scope] = draft
            draft.add(outcome.revision, outcome.effects)
        elif not draft.effects:
            return commit
        return await self._after_commit(commit)

    async def drop(self, scope: str) -> None:
        """As `Store.drop`."""
        self._require_open()
        self._flush()
        state = self._load(scope)
        if not state.revision:
            return
        revision = state.revision + 1
        try:
            self._file.drop(scope, revision)
        except sqlite3.Error as error:
            raise self._failure(error)() from error
        state.replace(ScopeState(scope, revision, ring_size=RING_SIZE))

    async def lease(self, key: str, holder: str, duration: timedelta) -> int | None:
        """As `Store.lease`."""
        self._require_open()
        now = self._clock.monotonic()
        until = now + duration.total_seconds()
        held = self._leases.get(key)
        if held is not None and held.holder == holder:
            held.until = until
            return held.epoch
        if held is not None and held.until > now:
            return None
        epoch = 1 if held is None else held.epoch + 1
        self._leases[key] = Lease(holder, epoch, until)
        self._lease_writes[key] = (holder, epoch)
        return await self._after_commit(epoch)

    async def release(self, key: str, holder: str) -> None:
        """As `Store.release`."""
        self._require_open()
        held = self._leases.get(key)
        if held is not None and held.holder == holder:
            held.until = float("-inf")

    async def close(self) -> None:
        """As `ScopedStore.close`."""
        if self._closed_because is None:
            self._flush()
            self._end("the store is closed")
            self._file.close()

    async def _fresh(self, scope: str) -> ScopeState:
        self._require_open()
        return self._states.get(scope) or self._load(scope)

    async def _fresh_all(self, prefix: str) -> Sequence[ScopeState]:
        self._require_open()
        return [self._load(scope) for scope in self._occupied_scopes(prefix)]

    async def _scopes(self, prefix: str) -> Sequence[str]:
        self._require_open()
        return self._occupied_scopes(prefix)

    async def _attach(self, scope: str) -> ScopeState:
        self._require_open()
        return self._load(scope, keep=True)

    async def _subscribe(self, follower: Follower) -> None:
        self._require_open()
        self._followers.append(follower)

    async def _history(self, state: ScopeState, after: int) -> Sequence[Change]:
        found = [
            Change(
                state.scope,
                row.revision,
                record_of(state.scope, self._kind(state.scope, row.kind), row),
                deleted,
            )
            for row, deleted in self._file.changes(state.scope, after)
        ]
        if not found or found[0].revision != after + 1:
            raise Expired(f"changes of {state.scope} after revision {after} are no longer kept")
        return found

    def _occupied_scopes(self, prefix: str) -> list[str]:
        loaded = [scope for scope, state in self._states.items() if not state.is_empty]
        return sorted(s for s in (*loaded, *self._occupied) if s.startswith(prefix))

    def _load(self, scope: str, *, keep: bool = False) -> ScopeState:
        state = self._states.get(scope)
        if state is not None:
            return state
        state = ScopeState(scope, self._revisions.get(scope, 0), ring_size=RING_SIZE)
        if scope in self._occupied:
            for kind, rows in groupby(self._file.rows(scope), key=attrgetter("kind")):
                state.load(self._kind(scope, kind), rows)
        if keep or state.revision:
            self._states[scope] = state
            self._revisions.pop(scope, None)
            self._occupied.discard(scope)
        return state

    async def _after_commit(self, answer: Answer) -> Any:
        """Queue an answer behind the writes that it depends on; wait until they are committed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._queue:
            loop.call_soon(self._flush)
        self._queue.append((future, answer))
        return await future

    def _flush(self) -> None:
        """Commit what is queued, show it, and answer those who wait."""
        if not self._queue:
            return
        queue, self._queue = self._queue, []
        drafts, self._drafts = self._drafts, {}
        batch = _batch(drafts.values())
        batch.leases, self._lease_writes = self._lease_writes, {}
        failure = None
        try:
            self._file.write(batch)
        except sqlite3.Error as error:
            failure = self._failure(error)
        else:
            for draft in drafts.values():
                self._publish(draft.state, draft.effects)
        for future, answer in queue:
            if future.done():
                continue
            if failure is not None:
                future.set_exception(failure())
            elif isinstance(answer, Refused):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _failure(self, error: sqlite3.Error) -> partial[PoolwrightError]:
        """What to tell those whose write failed; after an I/O error the store ends, for only a
        restart finds out what is on the disk.
        """
        if error.sqlite_errorcode & 0xFF in _DISK_BROKE:
            self._end(f"the database failed: {error}")
            return partial(Unknown, f"the database failed: {error}")
        return partial(Transient, f"the database refused the write: {error}")


def _batch(drafts: Iterable[Draft]) -> Batch:
    batch = Batch()
    for draft in drafts:
        scope = draft.state.scope
        policy = policy_of(scope)
        batch.is_durable = batch.is_durable or policy.survives_power_cut
        batch.revisions[scope] = draft.revision
        for effect in draft.effects:
            row = effect.row
            batch.objects[scope, row.kind, row.name] = None if effect.deleted else row
        if policy.keeps_log:
            batch.changes.extend(
                change_values(scope, effect.row, deleted=effect.deleted) for effect in draft.effects
            )
            floor = compaction_floor(draft.state.revision, draft.revision)
            if floor is not None:
                batch.floors[scope] = floor
    return batch
