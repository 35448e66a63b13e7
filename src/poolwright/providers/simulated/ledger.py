"""The cloud's own books: machines, what they are billed for, and what a region refuses.

Kept in the scopes ``cloud/<region>``. A machine's phase is a function of its course and the
world's time, so that a machine that goes its way costs no writes.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import timedelta
from types import NoneType
from typing import Any

from poolwright.model.errors import ErrorDetail
from poolwright.model.instant import Instant
from poolwright.model.machine import Bootstrap, Machine, MachinePhase, MachineRequest
from poolwright.model.record import Kind, Stored
from poolwright.model.scarcity import Scarcity
from poolwright.providers.simulated.stages import GONE, Segment

SCOPE_PREFIX = "cloud/"


def region_scope(region: str) -> str:
    """The scope of a region's books."""
    return f"{SCOPE_PREFIX}{region.lower()}"


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """What was asked for, and what the cloud gave it for good."""

    request: MachineRequest
    instance_id: str
    address_index: int
    """Which address of its cluster's subnet it has; not used twice at a time."""


@dataclass(frozen=True, slots=True)
class MachineCourse:
    """Where the machine is going. ``uid`` is the incarnation; ``bootstrap`` and ``generation``
    are those of its last image; ``charged`` says whether its vCPUs count against the quota.
    """

    uid: str
    generation: int
    bootstrap: Bootstrap
    segments: tuple[Segment, ...]
    charged: bool = True
    failure: ErrorDetail | None = None

    def segment_at(self, world: Instant) -> Segment:
        """The segment that the machine is in."""
        return self.segments[max(0, self._index(world))]

    def next_after(self, world: Instant) -> Instant | None:
        """When the next segment begins, or None at the end of the course."""
        index = self._index(world) + 1
        return self.segments[index].begins_at if index < len(self.segments) else None

    def _index(self, world: Instant) -> int:
        return bisect_right(self.segments, world, key=lambda s: s.begins_at) - 1

    def is_gone(self, world: Instant) -> bool:
        """Whether the machine has ceased."""
        return self.segment_at(world).step == GONE

    def is_alive(self, world: Instant) -> bool:
        """Whether its kubelet runs: running, and not on the way to being stopped."""
        segment = self.segment_at(world)
        return segment.phase is MachinePhase.RUNNING and not segment.step


MACHINE: Kind[MachineSpec, MachineCourse] = Kind("Machine", MachineSpec, MachineCourse)
"""Named ``<cluster key>/<machine name>``."""


@dataclass(frozen=True, slots=True)
class BillingEntry:
    """One line of the bill, never changed: a machine began or ceased to cost.

    ``event`` is ``created``, ``deleted``, ``deallocated`` or ``started``.
    """

    machine: str
    cluster: str
    pool: str
    uid: str
    vm_size: str
    event: str
    at: Instant


BILLING: Kind[BillingEntry, None] = Kind("BillingEntry", BillingEntry, NoneType)
"""Named ``<world microseconds, 18 digits>/<machine record>/<event>``, so in order of time."""


SCARCITY: Kind[Scarcity, None] = Kind("Scarcity", Scarcity, NoneType)
"""One record a region, named ``scarcity``."""

SCARCITY_NAME = "scarcity"


@dataclass(frozen=True, slots=True)
class Desk:
    """Who gives out the region's quota and its machines' addresses: one process at a time.

    ``clerk`` names it. Taking the desk is a write; whoever gives something out checks, in the
    same transaction, that the desk was not taken since. So of two processes that know not of each
    other's latest writes one is refused, whatever they believe.
    """

    clerk: str


DESK: Kind[Desk, None] = Kind("Desk", Desk, NoneType)
"""One record a region, named ``desk``."""

DESK_NAME = "desk"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a kubelet must remember of a pod over a restart of the process: since when its
    containers run, how often they began, and since when it is active if it may not be for ever.
    Only kept for pods that end by themselves.
    """

    started_at: Instant
    restarts: int = 0
    begun_at: Instant | None = None


CHECKPOINT: Kind[Checkpoint, None] = Kind("PodCheckpoint", Checkpoint, NoneType)
"""Named ``<cluster key>/<pod uid>``."""


def machine_record_name(cluster: object, name: str) -> str:
    """The name of a machine's record."""
    return f"{cluster}/{name}"


def billing_record_name(entry: BillingEntry, record: str) -> str:
    """The name of a billing entry."""
    return f"{entry.at.micros:018d}/{record}/{entry.event}"


_SUBNET = (10 << 24) + (224 << 16)  # 10.224.0.0/12, the subnet that AKS makes by default
_FIRST_HOST = 4  # Azure keeps the first four addresses of a subnet for itself


def private_ip(address_index: int) -> str:
    """The machine's address in its subnet."""
    value = _SUBNET + _FIRST_HOST + address_index
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def observe(record: Stored[MachineSpec, MachineCourse], world: Instant) -> Machine:
    """The machine as it is at this moment."""
    request, course = record.spec.request, record.status
    segment = course.segment_at(world)
    return Machine(
        cluster=request.cluster,
        pool=request.pool,
        name=request.name,
        uid=course.uid,
        region=request.region,
        vm_size=request.vm_size,
        phase=segment.phase,
        phase_since=_phase_since(course, segment),
        created_at=record.created_at,
        generation=course.generation,
        bootstrap=course.bootstrap,
        instance_id=record.spec.instance_id,
        zone=request.zone,
        spot=request.spot,
        private_ip=private_ip(record.spec.address_index),
        step=segment.step,
        failure=course.failure if segment.phase is MachinePhase.FAILED else None,
        tags=request.tags,
    )


def _phase_since(course: MachineCourse, here: Segment) -> Instant:
    since = here.begins_at
    for segment in reversed(course.segments[: course.segments.index(here)]):
        if segment.phase is not here.phase:
            break
        since = segment.begins_at
    return since


def billed_time(entries: list[BillingEntry], until: Instant) -> timedelta:
    """How long one machine cost, by its entries in order."""
    total, began = timedelta(), None
    for entry in entries:
        if entry.event in {"created", "started"}:
            began = entry.at
        elif began is not None:
            total, began = total + entry.at.since(began), None
    return total + (until.since(began) if began is not None else timedelta())


KINDS: tuple[Kind[Any, Any], ...] = (MACHINE, BILLING, SCARCITY, CHECKPOINT, DESK)
"""Every kind that the cloud keeps, for whoever opens the store."""
