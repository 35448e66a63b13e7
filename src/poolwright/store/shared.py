"""The store on PostgreSQL, shared by several replicas.

Each replica keeps the scopes that it uses in memory, and before every read asks the database what
has happened since; that is one small query when nothing has. A commit notifies all replicas, which
then fetch the changes for their watchers. Reads and writes of a scope go in rounds: one query on
a thread at a time, shared by all who wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

import psycopg

from poolwright.model.errors import Conflict, Expired, PoolwrightError, Refused
from poolwright.model.record import Kind, Stored
from poolwright.ports.store import Change, Commit, Write
from poolwright.store.claim import Claim
from poolwright.store.codec import Row, record_of
from poolwright.store.draft import require_names, require_values
from poolwright.store.postgresql import DROPPED, News, PostgresDatabase, Written
from poolwright.store.rounds import Rounds
from poolwright.store.scope_state import ScopeState
from poolwright.store.scoped_store import RING_SIZE, Follower, ScopedStore
from poolwright.store.transaction import Effect

Reading = Rounds[None, News, ScopeState]
Writing = Rounds[Sequence[Write], Written, Commit]
Counting = Rounds[None, dict[str, int], Mapping[str, int]]
_BEAT_SECONDS = 1.0
_BEATS_PER_POLL = 5
"""How often commits are looked for that a silent connection did not tell of."""
RETRY_SECONDS = 0.1
"""While the listening connection is down, scopes are polled and it is reopened so often."""


class SharedStore(ScopedStore):
    """See the module."""

    def __init__(
        self, url: str, kinds: Iterable[Kind[Any, Any]] = (), *, migrates: bool = True
    ) -> None:
        super().__init__(kinds)
        self._database = PostgresDatabase(url, migrates=migrates)
        self._reading: dict[str, Reading] = {}
        self._writing: dict[str, Writing] = {}
        self._counting: dict[str, Counting] = {}
        """By prefix."""
        self._attaching: set[str] = set()
        """Scopes that are to be kept even if nothing was ever written to them."""
        self._connecting: asyncio.Future[psycopg.Connection] | None = None
        self._listener: psycopg.Connection | None = None
        self._listening_on = -1
        self._claim: Claim | None = None
        self._claiming: asyncio.Future[None] | None = None
        self._claimed_on = -1
        self._beats = 0
        self._polling_again: asyncio.TimerHandle | None = None

    async def claim(self, holder: str, *, alone: bool) -> None:
        """As `ScopedStore.claim`."""
        self._require_open()
        claim = Claim(self._database.connect, holder, alone=alone)
        await asyncio.to_thread(claim.take)
        self._claim = claim
        if alone:  # whoever held them is gone
            await asyncio.to_thread(self._database.release_all)
        self._watch_claim(claim)
        self._beat()

    async def time(self) -> datetime:
        """As `ScopedStore.time`."""
        self._require_open()
        return await asyncio.to_thread(self._database.time)

    async def transact(self, scope: str, writes: Sequence[Write]) -> Commit:
        """As `Store.transact`."""
        self._require_open()
        require_names(scope, writes)
        for write in writes:
            self._learn(scope, write.kind)
            # Here, so that a value that cannot be kept fails its writer, not the whole round.
            require_values(write)
        rounds = self._writing.get(scope)
        if rounds is None:
            rounds = self._writing[scope] = Rounds(
                lambda transactions: partial(self._database.commit, scope, transactions),
                lambda _, written: self._settle(scope, written),
            )
        try:
            return await rounds.join(writes)
        finally:
            if rounds.is_idle:
                self._writing.pop(scope, None)

    async def drop(self, scope: str) -> None:
        """As `Store.drop`."""
        self._require_open()
        await asyncio.to_thread(self._database.drop, scope)
        if scope in self._states:
            await self._fresh(scope)

    async def revisions(self, scope_prefix: str) -> Mapping[str, int]:
        """As `Store.revisions`."""
        self._require_open()
        return await self._join_counting(scope_prefix)

    async def lease(self, key: str, holder: str, duration: timedelta) -> int | None:
        """As `Store.lease`."""
        self._require_open()
        return await asyncio.to_thread(self._database.lease, key, holder, duration)

    async def release(self, key: str, holder: str) -> None:
        """As `Store.release`."""
        self._require_open()
        await asyncio.to_thread(self._database.release, key, holder)

    async def close(self) -> None:
        """As `ScopedStore.close`."""
        if self._is_closed:
            return
        self._is_closed = True
        self._end("the store is closed")
        unfinished: list[asyncio.Future[Any]] = []
        for rounds in (
            *self._writing.values(),
            *self._reading.values(),
            *self._counting.values(),
        ):
            unfinished += rounds.unfinished()
        unfinished += [job for job in (self._connecting, self._claiming) if job is not None]
        if unfinished:
            await asyncio.wait(unfinished)
        self._lose_listener()
        self._unwatch_claim()
        if self._claim is not None:
            self._claim.close()
        await asyncio.to_thread(self._database.close)

    async def _fresh(self, scope: str) -> ScopeState:
        self._require_open()
        return await self._join_reading(scope)

    async def _fresh_all(self, prefix: str) -> Sequence[ScopeState]:
        self._require_open()
        states: list[ScopeState] = []
        revisions = await self._join_counting(prefix)
        for scope, revision in revisions.items():
            state = self._states.get(scope)
            if state is None or state.revision < revision:
                state = await self._fresh(scope)
            states.append(state)
        return states

    async def _scopes(self, prefix: str) -> Sequence[str]:
        self._require_open()
        return await asyncio.to_thread(self._database.occupied, prefix)

    async def _attach(self, scope: str) -> ScopeState:
        await self._listen()
        self._attaching.add(scope)
        return await self._fresh(scope)

    async def _subscribe(self, follower: Follower) -> None:
        await self._listen()
        await self._fresh_all(follower.prefix)
        self._followers.append(follower)

    async def _history(self, state: ScopeState, after: int) -> Sequence[Change]:
        scope = state.scope
        found = await asyncio.to_thread(self._database.log, scope, after)
        if not found or found[0][0].revision != after + 1 or found[0][0].kind == DROPPED:
            raise Expired(f"changes of {scope} after revision {after} are no longer kept")
        return [
            Change(scope, row.revision, self._record(scope, row), deleted) for row, deleted in found
        ]

    def _record(self, scope: str, row: Row) -> Stored[Any, Any]:
        return record_of(scope, self._kind(scope, row.kind), row)

    def _join_reading(self, scope: str) -> asyncio.Future[ScopeState]:
        rounds = self._reading.get(scope)
        if rounds is None:
            rounds = self._reading[scope] = Rounds(
                lambda _: partial(self._database.news, scope, self._known(scope)),
                lambda readers, news: [self._take(scope, news)] * len(readers),
            )
        future = rounds.join(None)
        future.add_done_callback(lambda _: _forget_idle(self._reading, scope))
        return future

    def _join_counting(self, prefix: str) -> asyncio.Future[Mapping[str, int]]:
        rounds = self._counting.get(prefix)
        if rounds is None:
            rounds = self._counting[prefix] = Rounds(
                lambda _: partial(self._database.revisions, prefix),
                lambda readers, found: [found] * len(readers),
            )
        future = rounds.join(None)
        future.add_done_callback(lambda _: _forget_idle(self._counting, prefix))
        return future

    def _known(self, scope: str) -> int | None:
        """Up to which revision a scope is in memory. Of a scope that is new to us and that
        somebody follows, we need to hear everything from the start.
        """
        state = self._states.get(scope)
        if state is None and self._is_followed(scope):
            state = self._states[scope] = ScopeState(scope, 0, ring_size=RING_SIZE)
        return None if state is None else state.revision

    def _take(self, scope: str, news: News) -> ScopeState:
        """Bring the scope in memory up to date; concurrent rounds may have done so already."""
        state = self._states.get(scope)
        if news.fresh is None:
            assert state is not None
            changes = [(r, deleted) for r, deleted in news.changes if r.revision > state.revision]
            if changes and changes[0][0].kind == DROPPED:
                (mark, _), *changes = changes
                state.replace(ScopeState(scope, mark.revision, ring_size=RING_SIZE))
            self._publish(
                state, [Effect(self._record(scope, row), deleted, row) for row, deleted in changes]
            )
            return state
        fresh = ScopeState(scope, news.revision, ring_size=RING_SIZE)
        for kind, rows in groupby(news.fresh, key=attrgetter("kind")):
            fresh.load(self._kind(scope, kind), rows)
        if state is None:
            if news.revision or scope in self._attaching:
                self._states[scope] = fresh
                self._attaching.discard(scope)
            return fresh
        if news.revision > state.revision:
            state.replace(fresh)
            for follower in self._followers:
                if scope.startswith(follower.prefix):
                    follower.expire()
        return state

    def _settle(self, scope: str, written: Written) -> Sequence[Commit | Refused]:
        """Show our own commit at once if nobody else's is missing before it."""
        state = self._states.get(scope)
        if state is not None and state.revision == written.before:
            self._publish(state, written.effects)
        return written.answers

    def _beat(self) -> None:
        """Once a second: notice connections that are open and silent."""
        if self._closed_because is not None:
            return
        loop = asyncio.get_running_loop()
        loop.call_later(_BEAT_SECONDS, self._beat)
        self._beats += 1
        if self._database.beat() and self._listener is not None:
            self._lose_listener()  # as silent as the one that was cut
            self._connect()
        elif self._beats % _BEATS_PER_POLL == 0 and "" not in self._counting:
            self._poll()

    def _watch_claim(self, claim: Claim) -> None:
        # Remembered, for a lost connection no longer tells its descriptor.
        self._claimed_on = claim.fileno()
        asyncio.get_running_loop().add_reader(self._claimed_on, self._claim_lost)

    def _unwatch_claim(self) -> None:
        if self._claimed_on >= 0:
            asyncio.get_running_loop().remove_reader(self._claimed_on)
            self._claimed_on = -1

    def _claim_lost(self) -> None:
        """The connection of our claim has something to say: that it ended."""
        self._unwatch_claim()
        self._retake_claim()

    def _retake_claim(self) -> None:
        if self._closed_because is None and self._claim is not None:
            loop = asyncio.get_running_loop()
            self._claiming = loop.run_in_executor(None, self._claim.take)
            self._claiming.add_done_callback(self._claim_taken)

    def _claim_taken(self, job: asyncio.Future[None]) -> None:
        assert self._claim is not None
        self._claiming = None
        try:
            job.result()
        except Conflict as error:
            self._end(error.message)
        except PoolwrightError:
            asyncio.get_running_loop().call_later(_BEAT_SECONDS, self._retake_claim)
        else:
            self._watch_claim(self._claim)

    def _is_followed(self, scope: str) -> bool:
        return any(scope.startswith(follower.prefix) for follower in self._followers)

    async def _listen(self) -> None:
        """Begin to hear of commits, if we do not yet. A failure is not the caller's: until the
        connection is there, scopes are polled.
        """
        self._require_open()
        if self._listener is None:
            if self._connecting is None:
                self._connect()
            assert self._connecting is not None
            await asyncio.wait([self._connecting])

    def _connect(self) -> None:
        if self._closed_because is None:
            loop = asyncio.get_running_loop()
            self._connecting = loop.run_in_executor(None, self._database.listen)
            self._connecting.add_done_callback(self._connected)

    def _connected(self, job: asyncio.Future[psycopg.Connection]) -> None:
        self._connecting = None
        loop = asyncio.get_running_loop()
        try:
            self._listener = job.result()
        except psycopg.Error:
            loop.call_later(RETRY_SECONDS, self._connect)
        else:
            # Remembered, for a lost connection no longer tells its descriptor.
            self._listening_on = self._listener.fileno()
            loop.add_reader(self._listening_on, self._hear)
        self._poll()

    def _lose_listener(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listening_on)
            self._listener.close()
            self._listener = None

    def _hear(self) -> None:
        """Fetch what other replicas have committed, where somebody here wants to know."""
        assert self._listener is not None
        protocol = self._listener.pgconn
        try:
            protocol.consume_input()
        except psycopg.OperationalError:
            self._lose_listener()
            self._connect()
            return
        newest: dict[str, int] = {}
        while (notification := protocol.notifies()) is not None:
            revision, _, scope = notification.extra.decode().partition(" ")
            newest[scope] = int(revision)
        self._compare(newest)

    def _poll(self) -> None:
        """Look for commits that nobody told us about."""
        if self._closed_because is None:
            self._join_counting("").add_done_callback(self._polled)

    def _polled(self, job: asyncio.Future[Mapping[str, int]]) -> None:
        try:
            self._compare(job.result())
        except PoolwrightError:
            # The next attempt to listen polls again.
            if self._listener is not None:
                self._poll_soon()

    def _poll_soon(self) -> None:
        if self._polling_again is None:
            loop = asyncio.get_running_loop()
            self._polling_again = loop.call_later(RETRY_SECONDS, self._poll_again)

    def _poll_again(self) -> None:
        self._polling_again = None
        self._poll()

    def _compare(self, newest: Mapping[str, int]) -> None:
        for scope, revision in newest.items():
            state = self._states.get(scope)
            if state is None:
                # A read that is on its way may have been too early to see it.
                is_behind = scope in self._reading or self._is_followed(scope)
            else:
                is_behind = state.revision < revision
            if is_behind and self._closed_because is None:
                self._join_reading(scope).add_done_callback(self._caught_up)

    def _caught_up(self, job: asyncio.Future[ScopeState]) -> None:
        if not job.cancelled() and job.exception() is not None:
            self._poll_soon()


def _forget_idle(served: dict[str, Rounds[Any, Any, Any]], key: str) -> None:
    rounds = served.get(key)
    if rounds is not None and rounds.is_idle:
        del served[key]
