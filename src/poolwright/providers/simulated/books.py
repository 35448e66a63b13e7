"""The cloud's memory: its ledger, mirrored, indexed and written through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from poolwright.model.catalog import VmSize, vm_size
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import PoolwrightError
from poolwright.model.instant import Instant, Now
from poolwright.model.machine import Machine
from poolwright.model.record import Stored
from poolwright.model.scarcity import Scarcity
from poolwright.ports.store import Commit, Create, Store, Update, Write
from poolwright.providers.simulated.ledger import (
    MACHINE,
    SCARCITY,
    SCARCITY_NAME,
    SCOPE_PREFIX,
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
    addresses: set[int] = field(default_factory=set[int])
    _lowest_free: int = 0

    def of_pool(self, pool: str | None) -> Mapping[str, Entry]:
        """The machines of one pool, or all of them, by name."""
        return self.by_name if pool is None else self._pools.get(pool, {})

    def put(self, entry: Entry) -> None:
        """Take in a machine, or its next state."""
        self.by_name[entry.name] = entry
        self._pools.setdefault(entry.record.spec.request.pool, {})[entry.name] = entry
        self.addresses.add(entry.record.spec.address_index)

    def drop(self, entry: Entry) -> None:
        """The machine is gone."""
        pool = entry.record.spec.request.pool
        del self.by_name[entry.name]
        del self._pools[pool][entry.name]
        if not self._pools[pool]:
            del self._pools[pool]
        self.give_address(entry.record.spec.address_index)

    def take_address(self) -> int:
        """The lowest address that nobody has."""
        while self._lowest_free in self.addresses:
            self._lowest_free += 1
        self.addresses.add(self._lowest_free)
        return self._lowest_free

    def give_address(self, index: int) -> None:
        """The address is free again."""
        self.addresses.discard(index)
        self._lowest_free = min(self._lowest_free, index)


class Books:
    """The mirror of the scopes ``cloud/…``. Everything is committed first and remembered then;
    what a create needs of quota and addresses is reserved before, so that creates under way
    together cannot overdraw.
    """

    def __init__(self, store: Store, first_scarcity: Scarcity) -> None:
        self._store = store
        self._first_scarcity = first_scarcity
        self._is_loaded = False
        self._clusters: dict[ClusterKey, ClusterMachines] = {}
        self._used: defaultdict[str, dict[str, int]] = defaultdict(dict[str, int])
        self._reserved: dict[tuple[ClusterKey, str], MachineSpec] = {}
        self._scarcity: dict[str, Scarcity] = {}

    async def load(self) -> bool:
        """Read the ledger, unless it is known; whether it was read."""
        if self._is_loaded:
            return False
        machines = await self._store.find(SCOPE_PREFIX, MACHINE)
        scarcities = await self._store.find(SCOPE_PREFIX, SCARCITY)
        if self._is_loaded:
            return False  # somebody else was quicker, and may have written since
        self._is_loaded = True
        self._clusters.clear()
        self._used.clear()
        for record in machines:
            self.remember(record)
        for spec in self._reserved.values():
            self._count(spec, 1)
            self.machines(spec.request.cluster).addresses.add(spec.address_index)
        self._scarcity = {record.scope: record.spec for record in scarcities}
        return True

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
            self.machines(cluster).give_address(spec.address_index)

    def remember(self, record: Stored[MachineSpec, MachineCourse]) -> Entry:
        """A machine was committed."""
        entry = Entry(record)
        machines = self.machines(entry.cluster)
        before = machines.by_name.get(entry.name)
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
        """Hold this from now on; the write that makes it last."""
        is_new = region_scope(region) not in self._scarcity
        self._scarcity[region_scope(region)] = scarcity
        if is_new:
            return Create(SCARCITY, SCARCITY_NAME, SCARCITY_NAME, scarcity, None, now.wall)
        return Update(SCARCITY, SCARCITY_NAME, spec=scarcity)

    async def commit(self, region: str, writes: Sequence[Write]) -> Commit:
        """Write to the region's ledger; after an unclear or failed end, memory is read anew.

        Raises:
            As `Store.transact`.
        """
        try:
            return await self._store.transact(region_scope(region), writes)
        except PoolwrightError:
            self._is_loaded = False
            raise
