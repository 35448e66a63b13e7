"""The store on SQLite, owned by this process: reads from memory, writes in groups.

A transaction is judged at once, in call order, against what is committed and what is queued. The
queue is written in one commit when the loop comes round, so that one flush to disk serves everybody
who wrote in that tick. Nothing is visible before it is committed, and a refusal that was judged
against queued writes waits for them too: who is refused can always read why.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import structlog

from poolwright.model.errors import Expired, InvalidRequest, Refused, Transient, Unknown
from poolwright.model.record import Kind
from poolwright.ports.clock import Clock
from poolwright.ports.store import Change, Commit, Write
from poolwright.store.codec import record_of
from poolwright.store.draft import Batch, Draft, require_names
from poolwright.store.policy import policy_of
from poolwright.store.scope_state import ScopeState
from poolwright.store.scoped_store import RING_SIZE, Follower, ScopedStore
from poolwright.store.sqlite_file import SqliteFile

_log: Any = structlog.get_logger("poolwright.store")
_DISK_BROKE = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Primary result codes after which nobody knows what is on the disk."""


@dataclass(slots=True)
class Lease:
    """A lease in this process; ``until`` is in seconds of the monotonic clock."""

    holder: str
    epoch: int
    until: float


Answer = Commit | Refused | int
Failure = partial[Transient] | partial[Unknown]


class EmbeddedStore(ScopedStore):
    """See the module."""

    def __init__(self, path: Path | None, clock: Clock, kinds: Iterable[Kind[Any, Any]]) -> None:
        super().__init__(kinds)
        self._clock = clock
        self._file = SqliteFile(path)
        try:
            self._revisions = self._file.revisions()
            """Of the scopes that are not loaded."""
            self._occupied = set(self._file.occupied())
            """Scopes that are not loaded and hold records."""
            leases = self._file.leases()
        except sqlite3.Error as error:
            self._file.close()
            raise InvalidRequest(f"{path} cannot be read as a database: {error}") from error
        self._leases = {
            key: Lease(holder, epoch, float("-inf")) for key, (holder, epoch) in leases.items()
        }
        self._drafts: dict[str, Draft] = {}
        self._queue: list[tuple[asyncio.Future[Any], Answer]] = []
        self._lease_writes: dict[str, tuple[str, int]] = {}
        self._takes_writes = True

    async def transact(self, scope: str, writes: Sequence[Write]) -> Commit:
        """As `Store.transact`."""
        self._require_open()
        require_names(scope, writes)
        for write in writes:
            self._learn(scope, write.kind)
        state = self._load(scope)
        draft = self._drafts.get(scope) or Draft(scope, state.revision, state.get)
        try:
            commit = draft.add(writes)
        except Refused as refusal:
            if not draft.effects:
                raise
            return await self._after_commit(refusal)
        if not draft.effects:
            return commit
        self._states[scope] = state
        self._drafts[scope] = draft
        return await self._after_commit(commit)

    async def drop(self, scope: str) -> None:
        """As `Store.drop`."""
        self._require_open()
        self._flush()
        state = self._load(scope)
        if not state.revision:
            return
        revision = state.revision + 1
        with self._guarded():
            self._file.drop(scope, revision)
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

    async def claim(self, holder: str, *, alone: bool) -> None:
        """As `ScopedStore.claim`: nobody shares a file (S12)."""
        del holder, alone
        self._require_open()

    async def time(self) -> datetime:
        """As `ScopedStore.time`."""
        return self._clock.now().wall

    async def revisions(self, scope_prefix: str) -> Mapping[str, int]:
        """As `Store.revisions`."""
        self._require_open()
        loaded = ((scope, state.revision) for scope, state in self._states.items())
        found = (*self._revisions.items(), *loaded)
        return {s: revision for s, revision in found if revision and s.startswith(scope_prefix)}

    async def release(self, key: str, holder: str) -> None:
        """As `Store.release`."""
        self._require_open()
        held = self._leases.get(key)
        if held is not None and held.holder == holder:
            held.until = float("-inf")

    async def close(self) -> None:
        """As `ScopedStore.close`."""
        if self._is_closed:
            return
        self._is_closed = True
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
        with self._guarded():
            rows = self._file.changes(state.scope, after)
        found = [
            Change(
                state.scope,
                row.revision,
                record_of(state.scope, self._kind(state.scope, row.kind), row),
                deleted,
            )
            for row, deleted in rows
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
            with self._guarded():
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
        # Until we know better: nobody who wrote may be left waiting, whatever happens here.
        failure: Failure | None = partial(Unknown, "the commit was abandoned")
        try:
            self._file.write(self._batch(drafts.values()))
            failure = None
            self._lease_writes = {}
            for draft in drafts.values():
                self._publish(self._states[draft.scope], draft.effects)
            self._note(None)
        except sqlite3.Error as error:
            failure = self._failure(error)
            self._note(error)
        finally:
            _answer(queue, failure)

    def _batch(self, drafts: Iterable[Draft]) -> Batch:
        batch = Batch()
        batch.leases = self._lease_writes
        for draft in drafts:
            policy = policy_of(draft.scope)
            batch.is_durable = batch.is_durable or policy.survives_power_cut
            batch.add(draft, keeps_log=policy.keeps_log)
        return batch

    @contextmanager
    def _guarded(self) -> Generator[None]:
        """What the database says in here, in the words of the port."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._failure(error)() from error

    def _note(self, error: sqlite3.Error | None) -> None:
        """Say once that the database takes no writes, and once that it does again."""
        if self._takes_writes is not (error is None):
            self._takes_writes = error is None
            said = "takes writes again" if error is None else "takes no writes"
            _log.warning(f"the database {said}", error=str(error) if error else None)

    def _failure(self, error: sqlite3.Error) -> Failure:
        """What to tell those whose write failed; after an I/O error the store ends, for only a
        restart finds out what is on the disk.
        """
        if error.sqlite_errorcode & 0xFF in _DISK_BROKE:
            self._end(f"the database failed: {error}")
            return partial(Unknown, f"the database failed: {error}")
        return partial(Transient, f"the database refuses: {error}")


def _answer(queue: Iterable[tuple[asyncio.Future[Any], Answer]], failure: Failure | None) -> None:
    for future, answer in queue:
        if future.done():
            continue
        if failure is not None:
            future.set_exception(failure())
        elif isinstance(answer, Refused):
            future.set_exception(answer)
        else:
            future.set_result(answer)
