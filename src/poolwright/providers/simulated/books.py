"""The cloud's memory: its ledger, mirrored, indexed and written through.

Several processes may work on one ledger. Each keeps its mirror up with the ledger's changes, and
before it gives out quota or an address it takes the region's desk (`ledger.Desk`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from poolwright.model.catalog import VmSize, vm_size
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Expired, PoolwrightError, Precondition, Transient
from poolwright.model.instant import Instant, Now
from poolwright.model.machine import Machine
from poolwright.model.record import Stored
from poolwright.model.scarcity import Scarcity
from poolwright.ports.store import Change, Check, Commit, Create, Store, Update, Write
from poolwright.providers.simulated.ledger import (
    DESK,
    DESK_NAME,
    MACHINE,
    SCARCITY,
    SCARCITY_NAME,
    SCOPE_PREFIX,
    Desk,
    MachineCourse,
    MachineSpec,
    observe,
    region_scope,
)
from poolwright.providers.simulated.scarce import TOTAL, quota_family


@dataclass(slots=True)
class Entry:
    """One machine in memory. What it looks like is remembered until its next segment begins."""

    record: Stored[MachineSpec, MachineCourse]
    _seen: Machine | None = None
    _until: Instant | None = None

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.record.spec.request.name

    @property
    def cluster(self) -> ClusterKey:
        """The cluster it belongs to."""
        return self.record.spec.request.cluster

    @property
    def course(self) -> MachineCourse:
        """Where it is going."""
        return self.record.status

    @property
    def size(self) -> VmSize:
        """Its size; a size that left the catalogue counts as one without vCPUs."""
        name = self.record.spec.request.vm_size
        return vm_size(name) or VmSize(name, "", 0, 0, "amd64")

    def at(self, world: Instant) -> Machine:
        """The machine as it is now."""
        if self._seen is None or (self._until is not None and self._until <= world):
            self._seen = observe(self.record, world)
            self._until = self.course.next_after(world)
        return self._seen


@dataclass(slots=True)
class ClusterMachines:
    """The machines of one cluster, and which addresses of its subnet are taken."""

    by_name: dict[str, Entry] = field(default_factory=dict[str, Entry])
    _pools: dict[str, dict[str, Entry]] = field(default_factory=dict[str, dict[str, Entry]])
    addresses: dict[int, str] = field(default_factory=dict[int, str])
    """Who has them, by name."""
    _lowest_free: int = 0

    def of_pool(self, pool: str | None) -> Mapping[str, Entry]:
        """The machines of one pool, or all of them, by name."""
        return self.by_name if pool is None else self._pools.get(pool, {})

    def put(self, entry: Entry) -> None:
        """Take in a machine, or its next state."""
        self.by_name[entry.name] = entry
        self._pools.setdefault(entry.record.spec.request.pool, {})[entry.name] = entry
        self.addresses[entry.record.spec.address_index] = entry.name

    def drop(self, entry: Entry) -> None:
        """The machine is gone."""
        pool = entry.record.spec.request.pool
        del self.by_name[entry.name]
        del self._pools[pool][entry.name]
        if not self._pools[pool]:
            del self._pools[pool]
        self.give_address(entry.record.spec.address_index, entry.name)

    def take_address(self, name: str) -> int:
        """The lowest address that nobody has, for a machine."""
        while self._lowest_free in self.addresses:
            self._lowest_free += 1
        self.addresses[self._lowest_free] = name
        return self._lowest_free

    def give_address(self, index: int, name: str) -> None:
        """The address is free again, unless another process gave it to somebody else."""
        if self.addresses.get(index) != name:
            return
        del self.addresses[index]
        self._lowest_free = min(self._lowest_free, index)


_TAKES = 20
"""How often in a row the desk may be lost to others before the caller is sent away."""


class Books:
    """The mirror of the scopes ``cloud/…``. Everything is committed first and remembered then;
    what a create needs of quota and addresses is reserved before, so that creates under way
    together cannot overdraw.
    """

    def __init__(self, store: Store, first_scarcity: Scarcity, clerk: str) -> None:
        self._store = store
        self._first_scarcity = first_scarcity
        self._clerk = clerk
        self._known: dict[str, int] = {}
        """Of each scope: up to which revision every change is in the mirror."""
        self._clusters: dict[ClusterKey, ClusterMachines] = {}
        self._used: defaultdict[str, dict[str, int]] = defaultdict(dict[str, int])
        self._reserved: dict[tuple[ClusterKey, str], MachineSpec] = {}
        self._scarcity: dict[str, Scarcity] = {}
        self._unsure: dict[str, object] = {}
        """Scopes whose region may refuse something else than the mirror has: nobody looked since
        the desk was taken, or since a write of that failed. Each doubt is an object of its own.
        """
        self._changed: list[Entry] = []
        """Machines that somebody else changed, and nobody was told of yet."""
        self._desks: dict[str, int] = {}
        """Scopes whose desk is ours, as far as we know, with the revision of our taking it."""
        self._taking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def knows(self, change: Change) -> bool:
        """Whether a change is in the mirror already."""
        return change.revision <= self._known.get(change.scope, -1)

    async def load(self) -> Sequence[Entry]:
        """Bring the mirror up with the ledger; the machines that somebody else changed, as they
        are now, or were last if they are gone.

        Raises:
            Transient: the ledger cannot be read.
        """
        for scope in list(self._unsure):
            await self._read_terms(scope)
        for scope, revision in (await self._store.revisions(SCOPE_PREFIX)).items():
            known = self._known.get(scope)
            if known is None or known < revision:
                await self._catch_up(scope, known)
        changed, self._changed = self._changed, []
        return changed

    async def _catch_up(self, scope: str, known: int | None) -> None:
        if known is None:
            await self._read_anew(scope)
            return
        try:
            changes = await self._store.changes(scope, known)
        except Expired:
            await self._read_anew(scope)
        else:
            await self._take_in(scope, changes)

    async def _read_anew(self, scope: str) -> None:
        records, revision = await self._store.list(scope, MACHINE)
        await self._read_terms(scope)
        here = {record.name for record in records}
        for record in records:
            self._see(record)
        for entry in list(self.entries()):
            record = entry.record
            if record.scope == scope and record.name not in here and record.revision <= revision:
                self.forget(entry)
                self._changed.append(entry)
        self._known[scope] = max(revision, self._known.get(scope, 0))

    async def _take_in(self, scope: str, changes: Sequence[Change]) -> None:
        """Of several changes of one record the last one holds: it may be our own, which is in the
        mirror already, and those before it must not come back.
        """
        latest = {(each.record.kind.name, each.record.name): each for each in changes}
        terms_moved = False
        for (kind, _), change in latest.items():
            record: Stored[Any, Any] = change.record
            if kind == MACHINE.name:
                if change.deleted:
                    self._see_gone(record)
                else:
                    self._see(record)
            elif kind == DESK.name:
                terms_moved = terms_moved or change.revision > self._desks.get(scope, 0)
            elif kind == SCARCITY.name:
                terms_moved = terms_moved or scope not in self._desks
        if terms_moved:
            await self._read_terms(scope)
        if changes:
            self._known[scope] = max(changes[-1].revision, self._known.get(scope, 0))

    async def _read_terms(self, scope: str) -> None:
        """See whose the desk is, and what the region refuses: its clerk writes that."""
        doubt = self._unsure.get(scope)
        desk = await self._store.get(scope, DESK, DESK_NAME)
        if desk is None or desk.revision != self._desks.get(scope):
            self._desks.pop(scope, None)
        scarcity = await self._store.get(scope, SCARCITY, SCARCITY_NAME)
        if scarcity is not None:
            self._scarcity[scope] = scarcity.spec
        else:
            self._scarcity.pop(scope, None)
        if self._unsure.get(scope) is doubt:
            self._unsure.pop(scope, None)

    def _see(self, record: Stored[MachineSpec, MachineCourse]) -> None:
        """Take in a machine that somebody committed, unless that is known."""
        name, cluster = record.spec.request.name, record.spec.request.cluster
        before = self.entry(cluster, name)
        if before is None or before.record.revision < record.revision:
            self._changed.append(self.remember(record))

    def _see_gone(self, record: Stored[MachineSpec, MachineCourse]) -> None:
        entry = self.entry(record.spec.request.cluster, record.spec.request.name)
        if entry is not None and entry.record.revision <= record.revision:
            self.forget(entry)
            self._changed.append(entry)

    async def take_desk(self, region: str, now: Now) -> Check:
        """Be the clerk of a region; the guard of what we give out. What was given out before is in
        the mirror after the next `load`; whether the desk is ours still, `has_desk` says then.

        Raises:
            Transient: the ledger cannot be reached, or others want the desk as badly.
        """
        scope = region_scope(region)
        async with self._taking[scope]:
            for _ in range(_TAKES):
                if scope in self._unsure:
                    await self._read_terms(scope)
                if scope in self._desks:
                    return Check(DESK, DESK_NAME, expect_revision=self._desks[scope])
                held = await self._store.get(scope, DESK, DESK_NAME)
                try:
                    commit = await self._store.transact(scope, [self._taking_of(held, now)])
                except Precondition:
                    continue
                assert commit.records[0] is not None
                self._desks[scope] = commit.records[0].revision
                self._unsure[scope] = object()
        raise Transient(f"the ledger of {region} is in demand")

    def _taking_of(self, held: Stored[Desk, None] | None, now: Now) -> Write:
        if held is None:
            return Create(DESK, DESK_NAME, DESK_NAME, Desk(self._clerk), None, now.wall)
        return Update(DESK, DESK_NAME, spec=Desk(self._clerk), expect_revision=held.revision)

    def has_desk(self, region: str, desk: Check) -> bool:
        """Whether we are the clerk still, as far as we know, and know what the region refuses."""
        scope = region_scope(region)
        return self._desks.get(scope) == desk.expect_revision and scope not in self._unsure

    def machines(self, cluster: ClusterKey) -> ClusterMachines:
        """The machines of one cluster."""
        return self._clusters.setdefault(cluster, ClusterMachines())

    def entry(self, cluster: ClusterKey, name: str) -> Entry | None:
        """One machine."""
        return self.machines(cluster).by_name.get(name)

    def entries(self) -> Iterator[Entry]:
        """Every machine there is."""
        for machines in self._clusters.values():
            yield from machines.by_name.values()

    def reserve(self, spec: MachineSpec) -> None:
        """Hold quota and address for a create that is under way."""
        self._reserved[spec.request.cluster, spec.request.name] = spec
        self._count(spec, 1)

    def release(self, spec: MachineSpec) -> None:
        """The create has ended, well or not."""
        del self._reserved[spec.request.cluster, spec.request.name]
        self._count(spec, -1)
        cluster, name = spec.request.cluster, spec.request.name
        if name not in self.machines(cluster).by_name:
            self.machines(cluster).give_address(spec.address_index, name)

    def remember(self, record: Stored[MachineSpec, MachineCourse]) -> Entry:
        """A machine was committed; the machine as it is by what was committed since."""
        entry = Entry(record)
        machines = self.machines(entry.cluster)
        before = machines.by_name.get(entry.name)
        if before is not None and before.record.revision >= record.revision:
            return before
        if before is None and record.revision <= self._known.get(record.scope, -1):
            return entry  # gone again
        if before is not None and before.course.charged:
            self._count(before.record.spec, -1)
        if entry.course.charged:
            self._count(record.spec, 1)
        machines.put(entry)
        return entry

    def forget(self, entry: Entry) -> None:
        """A machine is gone from the ledger."""
        machines = self.machines(entry.cluster)
        if machines.by_name.get(entry.name) is entry:
            machines.drop(entry)
            if entry.course.charged:
                self._count(entry.record.spec, -1)

    def used(self, region: str) -> Mapping[str, int]:
        """vCPUs in use by quota family, in lower case."""
        return self._used[region.lower()]

    def _count(self, spec: MachineSpec, sign: int) -> None:
        request = spec.request
        size = vm_size(request.vm_size)
        if size is None:
            return
        used = self._used[request.region.lower()]
        for family in (TOTAL, quota_family(size, spot=request.spot).lower()):
            used[family] = used.get(family, 0) + sign * size.vcpus

    def scarcity(self, region: str) -> Scarcity:
        """What the region refuses."""
        return self._scarcity.get(region_scope(region), self._first_scarcity)

    def scarcity_write(self, region: str, scarcity: Scarcity, now: Now) -> Write:
        """Hold this from now on; the write that makes it last. Only for the clerk."""
        is_new = region_scope(region) not in self._scarcity
        self._scarcity[region_scope(region)] = scarcity
        if is_new:
            return Create(SCARCITY, SCARCITY_NAME, SCARCITY_NAME, scarcity, None, now.wall)
        return Update(SCARCITY, SCARCITY_NAME, spec=scarcity)

    async def commit(self, region: str, writes: Sequence[Write]) -> Commit:
        """Write to the region's ledger; after an unclear or failed end, what the region
        refuses is read anew.

        Raises:
            As `Store.transact`.
        """
        scope = region_scope(region)
        try:
            return await self._store.transact(scope, writes)
        except PoolwrightError:
            if any(write.kind is SCARCITY for write in writes):
                self._unsure[scope] = object()
            raise
