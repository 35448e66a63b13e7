"""The simulated cloud: `MachineProvider` over a ledger, and the world that it moves."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from poolwright.model.catalog import vm_size
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import (
    ErrorDetail,
    Expired,
    InvalidRequest,
    NotFound,
    PoolwrightError,
    Precondition,
    Transient,
    Unknown,
)
from poolwright.model.instant import Instant
from poolwright.model.machine import Bootstrap, Machine, MachinePhase, MachineRequest
from poolwright.model.scarcity import Scarcity, Usage
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.kube import Clusters
from poolwright.ports.machine_provider import MachineChange
from poolwright.ports.store import Check, Create, Delete, Store, Update, Write
from poolwright.providers.simulated import scarce, stages
from poolwright.providers.simulated.agenda import Agenda
from poolwright.providers.simulated.books import Books, Entry
from poolwright.providers.simulated.fleet import Fleet
from poolwright.providers.simulated.kubelet_api import KubeletApi
from poolwright.providers.simulated.ledger import (
    BILLING,
    MACHINE,
    SCOPE_PREFIX,
    BillingEntry,
    MachineCourse,
    MachineSpec,
    billing_record_name,
    machine_record_name,
)
from poolwright.providers.simulated.node_side import NewNodeSide, NodeSide, Retire
from poolwright.providers.simulated.settings import SimulatedCloudSettings
from poolwright.providers.simulated.stages import Draw, Segment, Stage, Subject
from poolwright.providers.simulated.surroundings import Surroundings
from poolwright.reconcile.lease import Leases

_SCALE_SET_NAME = re.compile(r"^(aks-.+-\d{8}-vmss|aks.+)([0-9a-z]{6})$")
_RETRY = timedelta(seconds=1)
_REFUSALS = 20
"""How often in a row a write may be refused because another process was first."""
_LOOKS_PER_LEASE = 5
"""How often the lease of a cluster's nodes is renewed, and asked for by others."""


def instance_id(name: str) -> str:
    """The number of a machine in its scale set: the last six characters of its name, in base 36.

    Source: facts gpu-stack §1.1.
    """
    match = _SCALE_SET_NAME.match(name)
    return str(int(match[2], 36)) if match else "0"


class _Inbox:
    """What one subscriber has not read yet."""

    def __init__(self) -> None:
        self.pending: dict[MachineChange, None] = {}
        self.filled = asyncio.Event()

    def put(self, change: MachineChange) -> None:
        self.pending[change] = None
        self.filled.set()


class SimulatedCloud:
    """Machines that exist in a ledger, go their way in world time, and become Nodes.

    Calls work at once; nothing moves on unless `run` runs. ``new_node_side`` makes who turns a
    cluster's machines into Nodes; by default kubelets of the cloud's own.
    """

    def __init__(
        self,
        store: Store,
        clusters: Clusters,
        clock: Clock,
        identity: Identity,
        rng: random.Random,
        settings: SimulatedCloudSettings | None = None,
        *,
        new_node_side: NewNodeSide | None = None,
    ) -> None:
        self._settings = settings or SimulatedCloudSettings()
        self._clock = clock
        self._identity = identity
        self._seed = rng.getrandbits(64)
        self._store = store
        self._holder = identity.uid()
        self._books = Books(store, self._settings.scarcity, self._holder)
        self._agenda = Agenda(clock)
        self._around = Surroundings(
            store,
            clusters,
            clock,
            self._books,
            self._agenda,
            self._seed,
            self._settings,
            self._load,
        )
        self._under_way: dict[tuple[ClusterKey, str], asyncio.Event] = {}
        self._inboxes: list[_Inbox] = []
        self._new_node_side = new_node_side or self._new_fleet
        self._node_sides: dict[ClusterKey, NodeSide] = {}
        self._fleets: dict[ClusterKey, Fleet] = {}
        self.kubelet = KubeletApi(self._fleets, clock)
        """What API servers of clusters ask: `ports.Kubelet` for all nodes."""
        self._playing: dict[ClusterKey, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    # ------------------------------------------------------------------ the port

    async def create_machine(self, request: MachineRequest) -> Machine:
        """See `MachineProvider` (M1)."""
        await self._load()
        key = (request.cluster, request.name)
        while (other := self._under_way.get(key)) is not None:
            await other.wait()
        entry = self._books.entry(*key)
        if entry is None:
            ended = self._under_way[key] = asyncio.Event()
            try:
                entry = await self._create(request)
            finally:
                del self._under_way[key]
                ended.set()
        return entry.at(self._clock.now().world)

    async def list_machines(
        self, cluster: ClusterKey, pool: str | None = None
    ) -> Sequence[Machine]:
        """See `MachineProvider` (M2)."""
        await self._load()
        world = self._clock.now().world
        entries = self._books.machines(cluster).of_pool(pool)
        return [entries[name].at(world) for name in sorted(entries)]

    async def delete_machine(self, cluster: ClusterKey, name: str, *, uid: str) -> None:
        """See `MachineProvider` (M3)."""
        try:
            entry = await self._guarded(cluster, name, uid)
        except NotFound:
            return
        if self._phase(entry) is MachinePhase.DELETING:
            return
        drawn = self._draw(stages.DELETE, entry, uid, None, entry.course.bootstrap)
        await self._redirect(entry, replace(entry.course, segments=drawn.segments))

    async def reimage_machine(
        self, cluster: ClusterKey, name: str, *, uid: str, generation: int, bootstrap: Bootstrap
    ) -> Machine:
        """See `MachineProvider` (M4)."""
        entry = await self._guarded(cluster, name, uid)
        self._refuse_deleting(entry)
        fresh = self._identity.uid()
        drawn = self._draw(stages.REIMAGE, entry, fresh, MachinePhase.RUNNING, bootstrap)
        course = MachineCourse(
            uid=fresh,
            generation=generation,
            bootstrap=bootstrap,
            segments=drawn.segments,
            failure=_failure(drawn),
        )
        entry = await self._redirect(entry, course)
        return entry.at(self._clock.now().world)

    async def stop_machine(self, cluster: ClusterKey, name: str, *, uid: str) -> None:
        """See `MachineProvider` (M5)."""
        entry = await self._guarded(cluster, name, uid)
        self._refuse_deleting(entry)
        if not entry.course.charged:
            return
        drawn = self._draw(stages.STOP, entry, uid, MachinePhase.STOPPED, entry.course.bootstrap)
        course = replace(entry.course, segments=drawn.segments, charged=False, failure=None)
        await self._redirect(entry, course, event="deallocated")

    async def start_machine(self, cluster: ClusterKey, name: str, *, uid: str) -> None:
        """See `MachineProvider` (M5)."""
        entry = await self._guarded(cluster, name, uid)
        request = entry.record.spec.request
        desk = await self._books.take_desk(request.region, self._clock.now())
        entry = await self._guarded(cluster, name, uid)
        if not self._books.has_desk(request.region, desk):
            raise Transient(f"the ledger of {request.region} is in demand")
        self._refuse_deleting(entry)
        if entry.course.charged:
            return
        scarcity = self._books.scarcity(request.region)
        scarce.check_restrictions(scarcity, request)
        used = self._books.used(request.region)
        scarce.check_quota(scarcity, used, request.region, entry.size, spot=request.spot)
        drawn = self._draw(stages.START, entry, uid, MachinePhase.RUNNING, entry.course.bootstrap)
        course = replace(
            entry.course, segments=drawn.segments, charged=True, failure=_failure(drawn)
        )
        await self._redirect(entry, course, event="started", guard=desk)

    async def changes(self) -> AsyncIterator[MachineChange]:
        """See `MachineProvider` (M6)."""
        inbox = _Inbox()
        self._inboxes.append(inbox)
        try:
            while True:
                await inbox.filled.wait()
                while inbox.pending:
                    change = next(iter(inbox.pending))
                    del inbox.pending[change]
                    yield change
                inbox.filled.clear()
        finally:
            self._inboxes.remove(inbox)

    async def usage(self, region: str) -> Sequence[Usage]:
        """See `MachineProvider` (M7)."""
        await self._load()
        return scarce.usages(self._books.scarcity(region), self._books.used(region), region)

    async def scarcity(self, region: str) -> Scarcity:
        """See `MachineProvider` (M7)."""
        await self._load()
        return self._books.scarcity(region)

    async def set_scarcity(self, region: str, scarcity: Scarcity) -> None:
        """See `MachineProvider` (M8)."""
        scarce.check_known(scarcity)
        books, now = self._books, self._clock.now()
        for _ in range(_REFUSALS):
            desk = await books.take_desk(region, now)
            try:
                await books.commit(region, [desk, books.scarcity_write(region, scarcity, now)])
            except Precondition:
                continue  # the desk was taken meanwhile
            return
        raise Transient(f"the ledger of {region} is in demand")

    # ------------------------------------------------------------------ what calls do

    async def _create(self, request: MachineRequest) -> Entry:
        """Create a machine, unless another process does: whoever has the desk may."""
        for _ in range(_REFUSALS):
            desk = await self._books.take_desk(request.region, self._clock.now())
            await self._load()
            entry = self._books.entry(request.cluster, request.name)
            if entry is not None:
                return entry
            if not self._books.has_desk(request.region, desk):
                continue
            try:
                return await self._give_out(request, desk)
            except Precondition:
                continue  # the desk was taken, or the name
        raise Transient(f"the ledger of {request.region} is in demand")

    async def _give_out(self, request: MachineRequest, desk: Check) -> Entry:
        size = vm_size(request.vm_size)
        if size is None:
            raise InvalidRequest(
                f"The value {request.vm_size} provided for the VM size is not valid.",
                code="InvalidParameter",
                target="vmSize",
            )
        now, books = self._clock.now(), self._books
        scarcity = books.scarcity(request.region)
        scarce.check_restrictions(scarcity, request)
        writes: list[Write] = [desk]
        failures, code = scarce.strike(scarcity.failures, request)
        if failures != scarcity.failures:
            changed = replace(scarcity, failures=failures)
            writes.append(books.scarcity_write(request.region, changed, now))
        refusal = scarce.refusal(code, request) if code else None
        if refusal is not None:
            await books.commit(request.region, writes)
            raise refusal
        used = books.used(request.region)
        scarce.check_quota(scarcity, used, request.region, size, spot=request.spot)
        spec = MachineSpec(
            request,
            instance_id(request.name),
            books.machines(request.cluster).take_address(request.name),
        )
        books.reserve(spec)
        try:
            return await self._commit_create(spec, writes, code)
        finally:
            books.release(spec)

    async def _commit_create(self, spec: MachineSpec, writes: list[Write], code: str) -> Entry:
        now, request = self._clock.now(), spec.request
        uid = self._identity.uid()
        course = self._first_course(spec, uid, now.world, code)
        record = machine_record_name(request.cluster, request.name)
        bill = self._bill(spec, uid, "created", now.world)
        writes = [
            *writes,
            Create(MACHINE, record, uid, spec, course, now.wall),
            Create(BILLING, billing_record_name(bill, record), uid, bill, None, now.wall),
        ]
        commit = await self._books.commit(request.region, writes)
        stored = commit.records[-2]
        assert stored is not None
        entry = self._books.remember(stored)
        self._follow(entry)
        return entry

    def _first_course(
        self, spec: MachineSpec, uid: str, world: Instant, code: str
    ) -> MachineCourse:
        request = spec.request
        size = vm_size(request.vm_size)
        assert size is not None
        drawn = stages.draw(
            stages.CREATE,
            Subject(size, request.bootstrap),
            at=world,
            end=MachinePhase.RUNNING,
            rng=self._rng(request.name, uid),
            settings=self._settings,
        )
        failure = _failure(drawn)
        if code:
            drawn = _break_off(drawn, scarce.FAILURES[code].step)
            failure = ErrorDetail(code, scarce.failure_message(code, request))
        return MachineCourse(
            uid, request.generation, request.bootstrap, drawn.segments, failure=failure
        )

    def _rng(self, name: str, uid: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}/{uid}")

    def _draw(
        self,
        table: Sequence[Stage],
        entry: Entry,
        uid: str,
        end: MachinePhase | None,
        bootstrap: Bootstrap,
    ) -> Draw:
        return stages.draw(
            table,
            Subject(entry.size, bootstrap),
            at=self._clock.now().world,
            end=end,
            rng=self._rng(f"{entry.name}/{table[0].step}", uid),
            settings=self._settings,
        )

    async def _guarded(self, cluster: ClusterKey, name: str, uid: str) -> Entry:
        await self._load()
        entry = self._books.entry(cluster, name)
        if entry is None:
            raise NotFound(f"The machine '{name}' was not found.", code="ResourceNotFound")
        if entry.course.uid != uid:
            raise Precondition(f"The machine '{name}' is another incarnation than '{uid}'.")
        return entry

    def _phase(self, entry: Entry) -> MachinePhase:
        return entry.course.segment_at(self._clock.now().world).phase

    def _refuse_deleting(self, entry: Entry) -> None:
        if self._phase(entry) is MachinePhase.DELETING:
            raise NotFound(f"The machine '{entry.name}' is being deleted.")

    async def _redirect(
        self,
        entry: Entry,
        course: MachineCourse,
        *,
        event: str = "",
        guard: Check | None = None,
    ) -> Entry:
        """Give the machine another course, unless it moved on since it was looked at."""
        spec, record, now = entry.record.spec, entry.record, self._clock.now()
        writes: list[Write] = [
            Update(MACHINE, record.name, status=course, expect_revision=record.revision)
        ]
        if guard is not None:
            writes.append(guard)
        if event:
            bill = self._bill(spec, course.uid, event, now.world)
            name = billing_record_name(bill, record.name)
            writes.append(Create(BILLING, name, course.uid, bill, None, now.wall))
        try:
            commit = await self._books.commit(spec.request.region, writes)
        except (Precondition, NotFound) as error:
            raise Unknown(f"The machine '{entry.name}' changed meanwhile.") from error
        stored = commit.records[0]
        assert stored is not None
        fresh = self._books.remember(stored)
        self._follow(fresh)
        return fresh

    def _bill(self, spec: MachineSpec, uid: str, event: str, at: Instant) -> BillingEntry:
        request = spec.request
        return BillingEntry(
            request.name, str(request.cluster), request.pool, uid, request.vm_size, event, at
        )

    # ------------------------------------------------------------------ the world

    async def run(self) -> None:
        """Move the world, for ever: phases, Nodes and pods. Goes on from the ledger."""
        while True:
            try:
                await self._load()
                break
            except Transient:
                await self._clock.sleep(_RETRY)
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for entry in list(self._books.entries()):
                    self._follow(entry)
                group.create_task(self._hear())
                await self._agenda.run()
            finally:
                self._group = None
                self._playing.clear()

    async def _hear(self) -> None:
        """Learn of what other processes wrote, for ever."""
        while True:
            try:
                await self._load()
                async for change in self._store.follow(SCOPE_PREFIX):
                    if not self._books.knows(change):
                        await self._load()
            except (Expired, Transient):
                await self._clock.sleep(_RETRY)

    async def _load(self) -> None:
        """Know the ledger; what somebody else, or an unclear commit, brought in is followed like
        the rest.
        """
        for entry in await self._books.load():
            if self._books.entry(entry.cluster, entry.name) is entry:
                self._follow(entry)
            else:
                self._see_gone(entry)

    def _see_gone(self, entry: Entry) -> None:
        """Another process took a machine out of the books."""
        self._announce(entry)
        side = self._node_sides.get(entry.cluster)
        if side is not None:
            side.machine_changed(entry.name)
        elif not self._books.machines(entry.cluster).by_name:
            self._dissolve(entry.cluster)

    def _follow(self, entry: Entry) -> None:
        """A machine has a new course: announce it, and be there when it turns."""
        self._turn(entry.cluster, entry.name)

    def _turn(self, cluster: ClusterKey, name: str) -> None:
        entry = self._books.entry(cluster, name)
        if entry is None:
            return
        world = self._clock.now().world
        self._announce(entry)
        side = self._node_sides.get(cluster)
        if side is not None:
            side.machine_changed(name)
        elif self._group is not None and cluster not in self._playing:
            self._playing[cluster] = self._group.create_task(self._play(cluster))
        following = entry.course.next_after(world)
        if following is not None:
            self._agenda.note(following, partial(self._turn, cluster, name))

    def _announce(self, entry: Entry) -> None:
        change = MachineChange(entry.cluster, entry.record.spec.request.pool)
        for inbox in self._inboxes:
            inbox.put(change)

    async def _play(self, cluster: ClusterKey) -> None:
        """Make the nodes of a cluster whenever nobody else does, for ever."""
        duration = self._settings.lease_duration
        leases = Leases(self._store, self._clock, holder=self._holder, duration=duration)
        look = duration / _LOOKS_PER_LEASE
        key = f"machines/{cluster}"
        try:
            while True:
                if await self._is_held(leases, key):
                    async with asyncio.TaskGroup() as group:
                        side = group.create_task(self._run_side(cluster))
                        while await self._is_held(leases, key) and not self._is_cut_off(cluster):
                            await self._clock.sleep(look)
                        side.cancel()
                    await leases.release(key)
                await self._clock.sleep(look)
        finally:
            await leases.release_all()

    def _is_cut_off(self, cluster: ClusterKey) -> bool:
        side = self._node_sides.get(cluster)
        return side is not None and side.is_cut_off

    @staticmethod
    async def _is_held(leases: Leases, key: str) -> bool:
        """Whether the lease is ours; it is not if the store cannot say."""
        try:
            return await leases.acquire(key)
        except PoolwrightError:
            return False

    async def _run_side(self, cluster: ClusterKey) -> None:
        side = self._node_sides[cluster] = self._new_node_side(cluster, self._around, self._retire)
        try:
            for name in list(self._books.machines(cluster).by_name):
                side.machine_changed(name)
            await side.run()
        finally:
            if self._node_sides.get(cluster) is side:
                del self._node_sides[cluster]

    def _new_fleet(self, cluster: ClusterKey, around: Surroundings, retire: Retire) -> Fleet:
        fleet = self._fleets[cluster] = Fleet(cluster, around, retire)
        return fleet

    async def _retire(self, cluster: ClusterKey, name: str) -> None:
        """The Node of a machine that ceased is gone: take the machine out of the books."""
        known = self._books.entry(cluster, name)
        await self._load()
        entry = self._books.entry(cluster, name)
        if entry is None:
            if known is not None:
                self._announce(known)  # an unclear commit had removed it
            return
        now, record = self._clock.now(), entry.record
        bill = self._bill(record.spec, entry.course.uid, "deleted", now.world)
        bill_name = billing_record_name(bill, record.name)
        try:
            await self._books.commit(
                record.spec.request.region,
                [
                    Delete(MACHINE, record.name, expect_revision=record.revision),
                    Create(BILLING, bill_name, entry.course.uid, bill, None, now.wall),
                ],
            )
        except (Precondition, NotFound):
            await self._load()  # it moved on, or an unclear commit had removed it
            return
        self._books.forget(entry)
        self._announce(entry)
        if not self._books.machines(cluster).by_name:
            self._dissolve(cluster)

    def _dissolve(self, cluster: ClusterKey) -> None:
        self._node_sides.pop(cluster, None)
        self._fleets.pop(cluster, None)
        task = self._playing.pop(cluster, None)
        if task is not None:
            task.cancel()


def _failure(drawn: Draw) -> ErrorDetail | None:
    if not drawn.failed_step:
        return None
    return scarce.bootstrap_failure(drawn.failed_step, drawn.exit_code)


def _break_off(drawn: Draw, step: str) -> Draw:
    """The same course, but it fails at the end of ``step``."""
    kept = list[Segment]()
    for index, segment in enumerate(drawn.segments):
        kept.append(segment)
        if segment.step == step and index + 1 < len(drawn.segments):
            until = drawn.segments[index + 1].begins_at
            kept.append(Segment(until, MachinePhase.FAILED, step))
            break
    return replace(drawn, segments=tuple(kept), failed_step=step)
