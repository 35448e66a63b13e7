"""One pass over a running pool: bring its machines to the count and the software that its spec
asks for, without ever having more than count plus surge, or fewer ready than allowed.

The pass is total: whatever machines, nodes and memories it finds, it has a way to the goal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from poolwright.model.agent_pool import DrainMemory
from poolwright.model.instant import Instant
from poolwright.model.machine import Bootstrap, MachinePhase, MachineRequest
from poolwright.plan.actions import (
    Action,
    CreateMachine,
    DeleteMachine,
    NodeEvent,
    ReimageMachine,
    StartMachine,
    StopMachine,
)
from poolwright.plan.bootstrap import bootstrap, in_zone, of_size, zone_of
from poolwright.plan.drain import Allowance, Drain, plan_drain
from poolwright.plan.machine_name import machine_name, vmss_number
from poolwright.plan.repair import Missing, find_loss
from poolwright.plan.upgrade import roll_rule
from poolwright.plan.upkeep import plan_strays, plan_upkeep
from poolwright.plan.world import Member, PoolWorld, later

FAILED_RETRY = timedelta(minutes=5)
"""How long a failed machine stays when no operation waits for it, before it is replaced."""

DRAIN_POLL = timedelta(seconds=15)
"""How soon a blocked drain looks again; budgets change without a change of our nodes."""


class Rollout:
    """Collects what one pass does. Read the results when `run` has returned."""

    def __init__(self, world: PoolWorld, now: Instant, *, started_at: Instant | None) -> None:
        self.world = world
        self.now = now
        self.spec = world.pool.spec
        self.status = world.pool.status
        self.rule = roll_rule(self.spec, self.status)
        self.want = bootstrap(world.cluster, self.spec)
        self.actions: list[Action] = []
        self.is_cut = False
        """More is to be done than one pass may do."""
        self.drains: dict[str, DrainMemory] = {}
        self.cordons: dict[str, NodeEvent] = {}
        self.quarantine: list[str] = []
        self.undrainable: list[tuple[str, Drain]] = []
        self.missing: tuple[Missing, ...] = ()
        self.held: list[tuple[str, Drain]] = []
        """Drains that a disruption budget holds up."""
        self.pending: list[int] = []
        self.next_index = self.status.next_machine_index
        self.number = self.status.vmss_number or vmss_number(world.key.cluster)
        self.wakes: list[Instant] = []
        self.members: Sequence[Member] = ()
        self.going: list[Member] = []
        self.quarantined: list[Member] = []
        self.alive: list[Member] = []
        self.failures: list[Member] = []
        self.outdated: list[Member] = []
        self.available = 0
        self.floor = 0
        self._leavers: list[Member] = []
        self._sizes_to_make: list[str] = []
        self._started_at = started_at
        self._is_running = not self.status.provisioning_state.is_terminal
        self._allowance = Allowance(world.budgets)

    # -- what there is -------------------------------------------------------------------------

    def run(self, members: Sequence[Member]) -> None:
        """Plan the pass."""
        self.members = members
        doomed = frozenset(self.spec.doomed_machines)
        parked: list[Member] = []
        alive: list[Member] = []
        for member in members:
            if member.machine.phase is MachinePhase.DELETING:
                self.going.append(member)
            elif member.name in doomed:
                self._delete(member, "deleteMachines took it out")
            elif member.is_quarantined:
                self.quarantined.append(member)
            elif member.machine.phase is MachinePhase.STOPPED:
                parked.append(member)
            else:
                alive.append(member)
        self.alive = alive = self._without_old_failures(alive)
        self.failures = [m for m in alive if m.is_failed]
        self.outdated = [m for m in alive if m.is_outdated and not m.is_failed]
        surge = self.rule.surge if self.outdated else 0
        away = self.rule.unavailable if self.outdated else 0
        self.floor = max(0, self.spec.count - away)
        self.available = sum(m.is_ready and m.memory is None for m in alive)
        if self.spec.sizes:
            self._shrink_to_sizes(surge)
        else:
            self._shrink(len(alive) - self.spec.count - surge)
        self._roll()
        self._repair()
        if self.spec.sizes:
            self._grow_to_sizes(parked, surge)
        else:
            self._grow(parked, self.spec.count + min(surge, len(self.outdated)))
        self._upkeep()

    def _without_old_failures(self, alive: list[Member]) -> list[Member]:
        """Replace machines that failed before this operation, or long ago without one."""
        kept: list[Member] = []
        for member in alive:
            if member.is_failed and self._is_old_failure(member):
                self._delete(member, f"it failed at {member.unmet.step if member.unmet else ''}")
                continue
            kept.append(member)
        return kept

    def _is_old_failure(self, member: Member) -> bool:
        since = member.machine.phase_since
        if self._is_running:
            return self._started_at is not None and since < self._started_at
        retry_at = since.after(FAILED_RETRY)
        if retry_at > self.now:
            self.wakes.append(retry_at)
        return retry_at <= self.now

    # -- fewer ---------------------------------------------------------------------------------

    def _order_of_leaving(self, member: Member) -> tuple[bool, bool, bool, int]:
        chosen = member.name in self.status.leaving
        return (member.memory is None, not chosen, not self._is_lost(member), -member.index)

    def _is_lost(self, member: Member) -> bool:
        """Failed, without its Node, or not ready for so long that nobody should wait for it."""
        if member.is_failed or member.name in self.status.missing_since:
            return not member.is_ready
        return not member.is_ready and member.late_at <= self.now

    def _shrink(self, surplus: int, among: Sequence[Member] | None = None) -> None:
        """Choose who goes: those already draining, the autoscaler's choice, the lost, the newest.

        A ready machine goes only while more than the floor are ready. Once one had to be passed
        over for that, only lost ones go before it: a booting one will be needed in its place.
        """
        if surplus <= 0:
            return
        passed_over = False
        for member in sorted(self.alive if among is None else among, key=self._order_of_leaving):
            if len(self._leavers) >= surplus:
                break
            if member.memory is None and member.is_ready:
                if self.available <= self.floor:
                    passed_over = True
                    continue
                self.available -= 1
            elif passed_over and not self._is_lost(member) and member.memory is None:
                continue
            self._leavers.append(member)
        gone = {m.name for m in self._leavers}
        for member in self._leavers:
            self._leave(member)
        self.alive = [m for m in self.alive if m.name not in gone]
        self.outdated = [m for m in self.outdated if m.name not in gone]
        self.failures = [m for m in self.failures if m.name not in gone]

    def _wanted_sizes(self, surge: int) -> dict[str, int]:
        """How many machines of each size there shall be, by name in lower case. Surge machines
        are of the size that is upgraded first.
        """
        wanted = {entry.size.lower(): entry.count for entry in self.spec.sizes}
        if self.outdated and surge:
            first = min(self.outdated, key=lambda m: m.index).machine.vm_size.lower()
            left = sum(m.machine.vm_size.lower() == first for m in self.outdated)
            wanted[first] = wanted.get(first, 0) + min(surge, left)
        return wanted

    def _shrink_to_sizes(self, surge: int) -> None:
        """Machines beyond the count of their size go, once those that replace them are ready."""
        wanted = self._wanted_sizes(surge)
        surplus: list[Member] = []
        for member in sorted(self.alive, key=self._order_of_leaving, reverse=True):
            size = member.machine.vm_size.lower()
            wanted[size] = wanted.get(size, 0) - 1
            if wanted[size] < 0:
                surplus.append(member)
        self._shrink(len(surplus), surplus)

    def _leave(self, member: Member) -> None:
        because = f"the pool shall have {self.spec.count} nodes"
        state = self._drain(member, because)
        if state is None or state.is_done or self._is_expired(member):
            self._remove(member, because)
            return
        self._continue_drain(member, state)

    def _remove(self, member: Member, because: str) -> None:
        event = NodeEvent("RemovingNode", f"Removing node {member.name} from the agent pool")
        if self.spec.scale_down_mode == "Deallocate" and not member.is_failed:
            self._add(StopMachine(member.name, member.machine.uid, because, event))
        else:
            self._add(DeleteMachine(member.name, member.machine.uid, because, event))
        memory = member.memory
        if memory is not None:
            self.drains[member.name] = memory

    # -- draining ------------------------------------------------------------------------------

    def _drain(self, member: Member, because: str) -> Drain | None:
        """How far the drain is; None when there is nothing to drain."""
        node = member.node
        if node is None or node.deleting or member.machine.phase is not MachinePhase.RUNNING:
            return None
        self._cordon(member)
        return plan_drain(node, member.pods, self._allowance, because=because)

    def _cordon(self, member: Member) -> None:
        self.cordons[member.name] = NodeEvent("Drain", f"Draining node: {member.name}")

    def _memory(self, member: Member) -> DrainMemory:
        """Kept until the drain is over. Without an operation nothing can fail by its deadline."""
        return member.memory or DrainMemory(uid=member.machine.uid, started_at=self.now)

    def _deadline(self, member: Member) -> Instant:
        started_at = self._memory(member).started_at or self.now
        ended_at = self.world.cluster_status.outage_ended_at
        return later(started_at, ended_at).after(self.rule.drain_timeout)

    def _is_expired(self, member: Member) -> bool:
        return self._deadline(member) <= self.now

    def _continue_drain(self, member: Member, drain: Drain) -> None:
        self.drains[member.name] = self._memory(member)
        if drain.blocked_by:
            self.held.append((member.name, drain))
        for eviction in drain.evictions:
            self._add(eviction)
        self.wakes.append(self.now.after(DRAIN_POLL))
        if not self._is_expired(member):
            self.wakes.append(self._deadline(member))

    # -- new software --------------------------------------------------------------------------

    def _roll(self) -> None:
        """Drain and reimage outdated machines, oldest first, as far as the floor allows."""
        for member in sorted(self.outdated, key=lambda m: (m.memory is None, m.index)):
            if member.memory is None:
                if self._fresh_failures() or self.is_blocked:
                    continue
                if member.is_ready:
                    if self.available <= self.floor:
                        continue
                    self.available -= 1
            self._roll_one(member)

    @property
    def is_blocked(self) -> bool:
        """Whether more nodes of this upgrade are quarantined than its settings allow."""
        blocked = len(self.quarantined) + len(self.quarantine)
        return bool(self.outdated) and blocked > self.rule.blocked_max

    def _roll_one(self, member: Member) -> None:
        because = (
            f"it runs {member.machine.bootstrap.kubernetes_version} on "
            f"{member.machine.bootstrap.node_image_version}"
        )
        memory = self._memory(member)
        if memory.soak_until is None:
            drain = self._drain(member, because)
            if drain is not None and not drain.is_done:
                if not self._is_expired(member) or not self._is_running:
                    self._continue_drain(member, drain)
                elif self.rule.quarantines:
                    self.quarantine.append(member.name)
                else:
                    self.undrainable.append((member.name, drain))
                    self.drains[member.name] = memory
                return
            if drain is not None and self.rule.soak:
                memory = replace(memory, soak_until=self.now.after(self.rule.soak))
        self.drains[member.name] = memory
        self._cordon(member)
        if memory.soak_until is not None and memory.soak_until > self.now:
            self.wakes.append(memory.soak_until)
            return
        self._reimage(member, because, NodeEvent("Upgrade", f"Reimaging node: {member.name}"))

    def _repair(self) -> None:
        """Reimage machines whose Node was deleted: they register again."""
        loss = find_loss(
            self.alive,
            self.status,
            self.now,
            started_at=self._started_at,
            outage_ended_at=self.world.cluster_status.outage_ended_at,
        )
        self.missing = loss.missing
        self.wakes += loss.wakes
        for lost in loss.missing:
            if lost.repair_at is not None and lost.repair_at <= self.now:
                self._reimage(
                    lost.member,
                    "its Node was deleted",
                    NodeEvent(
                        "NodeReimageStart",
                        "Node auto-repair is initiating a reimage action because the Node of "
                        f"{lost.member.name} was deleted",
                    ),
                    lacks_node=True,
                )

    def _reimage(
        self, member: Member, because: str, event: NodeEvent, *, lacks_node: bool = False
    ) -> None:
        machine = member.machine
        self._add(
            ReimageMachine(
                name=member.name,
                uid=machine.uid,
                generation=self.world.pool.generation,
                bootstrap=self._bootstrap(machine.vm_size, machine.zone),
                because=because,
                event=event,
                lacks_node=lacks_node,
            )
        )

    # -- more ----------------------------------------------------------------------------------

    def _fresh_failures(self) -> list[Member]:
        return self.failures if self._is_running else []

    def _grow(self, parked: list[Member], target: int) -> None:
        """Start stopped machines, then ask for new ones; delete stopped ones nobody needs."""
        leaving = len(self._leavers) + len(self.going)
        room = max(0, target - len(self.alive) - leaving)
        if self._fresh_failures():
            room = 0
        usable = [m for m in parked if not m.is_outdated]
        for member in usable[:room]:
            self._add(
                StartMachine(member.name, member.machine.uid, f"the pool shall have {target} nodes")
            )
        keeps = self.spec.scale_down_mode == "Deallocate"
        for member in parked:
            if member.is_outdated or (member in usable[room:] and not keeps):
                self._delete(member, "a stopped machine that is not needed")
        self._create(room - len(usable[:room]))

    def _grow_to_sizes(self, parked: list[Member], surge: int) -> None:
        """As `_grow`, size by size."""
        missing = self._wanted_sizes(surge)
        for member in (*self.alive, *self.going):
            size = member.machine.vm_size.lower()
            missing[size] = missing.get(size, 0) - 1
        for member in parked:
            size = member.machine.vm_size.lower()
            if not member.is_outdated and missing.get(size, 0) > 0:
                missing[size] -= 1
                because = "the pool shall have more nodes of this size"
                self._add(StartMachine(member.name, member.machine.uid, because))
            elif member.is_outdated or self.spec.scale_down_mode != "Deallocate":
                self._delete(member, "a stopped machine that is not needed")
        if self._fresh_failures():
            return
        names = {entry.size.lower(): entry.size for entry in self.spec.sizes}
        self._sizes_to_make = [
            names.get(size, size) for size, count in missing.items() for _ in range(max(0, count))
        ]
        self._create(len(self._sizes_to_make))

    def _next_size(self) -> str:
        """The size of the machine that is asked for next."""
        return self._sizes_to_make.pop(0) if self._sizes_to_make else self.spec.vm_size

    def _bootstrap(self, vm_size: str, zone: str) -> Bootstrap:
        """What a machine of this size starts with."""
        want = self.want
        if self.spec.sizes and vm_size != self.spec.vm_size:
            want = bootstrap(self.world.cluster, of_size(self.spec, vm_size))
        return in_zone(want, self.world.cluster.location, zone)

    def _create(self, wanted: int) -> None:
        seen = {m.index for m in self.members}
        self.next_index = max(self.next_index, max(seen, default=-1) + 1)
        known = [index for index in self.status.pending_machines if index not in seen][:wanted]
        for index in known:
            self.pending.append(index)
            self._add(self._creation(index))
        for _ in range(wanted - len(known)):
            if len(self.actions) >= self.world.actions_max:
                self.is_cut = True
                break
            self.pending.append(self.next_index)
            self._add(self._creation(self.next_index))
            self.next_index += 1

    def _creation(self, index: int) -> CreateMachine:
        spec, cluster = self.spec, self.world.cluster
        zone = zone_of(spec, index)
        vm_size = self._next_size()
        name = machine_name(
            spec.name, self.number, index, os_type=spec.os_type, is_single=bool(spec.sizes)
        )
        is_surge = bool(self.outdated) and len(self.alive) + len(self.pending) > spec.count
        event = (
            NodeEvent("Surge", f"Created a surge node [{name} {spec.name}] for the agent pool")
            if is_surge
            else None
        )
        return CreateMachine(
            MachineRequest(
                cluster=self.world.key.cluster,
                pool=self.world.key.pool,
                name=name,
                region=cluster.location,
                vm_size=vm_size,
                generation=self.world.pool.generation,
                bootstrap=self._bootstrap(vm_size, zone),
                zone=zone,
                spot=spec.scale_set_priority == "Spot",
                tags={
                    "aks-managed-poolName": spec.name,
                    "aks-managed-createOperationID": self.status.operation_id or "",
                    **spec.tags,
                },
            ),
            because=(
                "a surge node for the upgrade"
                if is_surge
                else f"the pool shall have {spec.count} nodes"
            ),
            event=event,
        )

    # -- the rest ------------------------------------------------------------------------------

    def _delete(self, member: Member, because: str) -> None:
        self._add(DeleteMachine(member.name, member.machine.uid, because))
        self.going.append(member)

    def _upkeep(self) -> None:
        kept = (m for m in self.members if m.machine.phase is not MachinePhase.DELETING)
        patches: Iterable[Action] = plan_upkeep(
            kept,
            self.spec,
            cordons=self.cordons,
            quarantine=frozenset(self.quarantine),
            recall=self.world.recall,
        )
        for patch in (*patches, *plan_strays(self.world)):
            self._add(patch)

    def _add(self, action: Action) -> None:
        if len(self.actions) < self.world.actions_max:
            self.actions.append(action)
        else:
            self.is_cut = True
