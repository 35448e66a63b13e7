"""A dict-backed store, a manual clock and counted identities for the tests of this room."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

from poolwright.model.errors import NotFound, Precondition
from poolwright.model.instant import Instant, Now
from poolwright.model.record import Stored
from poolwright.ports.store import Change, Check, Commit, Create, Delete, Update


class FakeClock:
    def __init__(self):
        self.wall = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def now(self):
        return Now(Instant(0), self.wall)

    async def sleep_until(self, at):
        await asyncio.sleep(3600)

    async def sleep(self, duration: timedelta):
        await asyncio.sleep(duration.total_seconds())

    def monotonic(self):
        return asyncio.get_running_loop().time()


class FakeIdentity:
    def __init__(self):
        self.count = 0

    def uid(self):
        self.count += 1
        return f"00000000-0000-4000-8000-{self.count:012x}"

    def suffix(self, length):
        self.count += 1
        letters = "bcdfghjklmnpqrstvwxz2456789"
        text, rest = "", self.count
        for _ in range(length):
            rest, digit = divmod(rest, len(letters))
            text += letters[digit]
        return text


class FakeStore:
    def __init__(self):
        self.scopes_ = {}
        self.revisions = {}
        self.log = []
        self.waiting = []

    async def get(self, scope, kind, name):
        return self.scopes_.get(scope, {}).get((kind.name, name))

    async def list(self, scope, kind, *, prefix=""):
        rows = self.scopes_.get(scope, {})
        found = [r for (k, n), r in sorted(rows.items()) if k == kind.name and n.startswith(prefix)]
        return found, self.revisions.get(scope, 0)

    async def find(self, scope_prefix, kind):
        return [
            row
            for scope in sorted(self.scopes_)
            if scope.startswith(scope_prefix)
            for (k, _), row in sorted(self.scopes_[scope].items())
            if k == kind.name
        ]

    async def scopes(self, prefix):
        return sorted(s for s, rows in self.scopes_.items() if s.startswith(prefix) and rows)

    async def revision(self, scope):
        return self.revisions.get(scope, 0)

    async def drop(self, scope):
        self.scopes_.pop(scope, None)

    def _guard(self, row, write):
        if row is None:
            raise NotFound(f"{write.name} not found")
        for want, have in (
            (write.expect_uid, row.uid),
            (write.expect_revision, row.revision),
            (write.expect_generation, row.generation),
        ):
            if want is not None and want != have:
                raise Precondition(f"{write.name} moved on")

    async def transact(self, scope, writes):
        await asyncio.sleep(0)
        rows = self.scopes_.setdefault(scope, {})
        for write in writes:
            row = rows.get((write.kind.name, write.name))
            if isinstance(write, Create) or (isinstance(write, Check) and write.expect_absent):
                if row is not None:
                    raise Precondition("exists")
            else:
                self._guard(row, write)
        records = []
        for write in writes:
            key = (write.kind.name, write.name)
            row = rows.get(key)
            if isinstance(write, Check):
                records.append(row)
                continue
            revision = self.revisions[scope] = self.revisions.get(scope, 0) + 1
            if isinstance(write, Create):
                new = Stored(
                    write.kind,
                    scope,
                    write.name,
                    write.uid,
                    revision,
                    1,
                    write.spec,
                    write.status,
                    write.created_at,
                )
                rows[key] = new
            elif isinstance(write, Update):
                new = dataclasses.replace(
                    row,
                    revision=revision,
                    spec=row.spec if write.spec is None else write.spec,
                    status=row.status if write.status is None else write.status,
                )
                rows[key] = new
            else:
                new = dataclasses.replace(row, revision=revision)
                del rows[key]
            self.log.append(Change(scope, revision, new, isinstance(write, Delete), row))
            records.append(new)
        waiting, self.waiting = self.waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        return Commit(self.revisions.get(scope, 0), tuple(records))

    async def watch(self, scope, after):
        position = 0
        while True:
            while position < len(self.log):
                change = self.log[position]
                position += 1
                if change.scope == scope and change.revision > after:
                    yield change
            waiter = asyncio.get_running_loop().create_future()
            self.waiting.append(waiter)
            await waiter

    async def lease(self, key, holder, duration):
        return 1

    async def release(self, key, holder):
        return None
