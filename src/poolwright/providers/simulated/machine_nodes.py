"""Which Nodes a cluster's machines call for, whoever plays their kubelets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import NotFound, PoolwrightError, Precondition, Transient, Unknown
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import NODES
from poolwright.model.machine import MachinePhase
from poolwright.ports.kube import Kube
from poolwright.providers.simulated.books import Entry
from poolwright.providers.simulated.node_object import NodeState, system_uuid
from poolwright.providers.simulated.node_side import Retire
from poolwright.providers.simulated.surroundings import Surroundings

RETRY = timedelta(milliseconds=200)
"""How soon a list that failed is asked for again."""

ATTEMPTS_CUT_OFF = 10
"""How often in a row a call may fail before the cluster counts as out of reach."""
_DEAD = {MachinePhase.RUNNING, MachinePhase.STOPPED, MachinePhase.CREATING}


class MachineNodes(ABC):
    """Decides from a machine's course what becomes of its Node; how, its heirs know."""

    selector = ""
    """Labels of the Nodes that may be ours."""
    retried: tuple[type[PoolwrightError], ...] = (Transient, NotFound)
    """What a cluster may answer until it is there."""

    def __init__(self, cluster: ClusterKey, around: Surroundings, retire: Retire) -> None:
        self._cluster = cluster
        self._clusters = around.clusters
        self._books = around.books
        self._refresh = around.refresh
        self._clock = around.clock
        self._settings = around.settings
        self._retire = retire
        self.nodes: dict[str, NodeState] = {}
        self.is_cut_off = False

    @property
    def _kube(self) -> Kube:
        return self._clusters.kube(self._cluster)

    @abstractmethod
    def machine_changed(self, name: str) -> None:
        """The machine has a new course or began a new segment of it."""

    @abstractmethod
    def _is_ours(self, node: Json) -> bool: ...

    @abstractmethod
    def _is_alive(self, node: Json) -> bool:
        """Whether the Node was last written as that of a living machine."""

    @abstractmethod
    async def _write_living(self, state: NodeState) -> None:
        """Register the Node, or report for it."""

    @abstractmethod
    async def _write_dead(self, state: NodeState) -> None:
        """Report what a Node without its kubelet looks like."""

    @abstractmethod
    async def _remove(self, name: str) -> None:
        """Delete the Node; a missing one is fine."""

    async def _adopt(self) -> None:
        """Recognise the nodes that an earlier run registered."""
        for wire in await self._listed():
            if self._is_ours(wire):
                self._adopt_node(wire)

    async def _listed(self) -> Sequence[Json]:
        attempt = 0
        while True:
            try:
                found = await self._kube.list(NODES, label_selector=self.selector)
            except self.retried:
                attempt += 1
                self.is_cut_off = attempt >= ATTEMPTS_CUT_OFF
                await self._clock.sleep(RETRY)
            else:
                self.is_cut_off = False
                return found.items

    def _adopt_node(self, wire: Json) -> None:
        name = child(wire, "metadata")["name"]
        entry = self._books.entry(self._cluster, name)
        self.machine_changed(name)
        if entry is None or system_uuid(wire) != entry.course.uid:
            return
        state = self.nodes[name] = self._new_state(entry)
        state.recognise(wire, is_alive=self._is_alive(wire))

    def _new_state(self, entry: Entry) -> NodeState:
        machine = entry.at(self._clock.now().world)
        return NodeState(machine, entry.size, entry.record.spec.address_index)

    async def _write_node(self, name: str, attempt: int) -> None:
        """Bring a Node in line with its machine; ``attempt`` counts from 1."""
        if attempt > 1:  # perhaps we were refused because our books are old
            await self._refresh()
        entry, state = self._books.entry(self._cluster, name), self.nodes.get(name)
        if entry is None:
            await self._remove(name)
            return
        world, course = self._clock.now().world, entry.course
        if course.is_gone(world):
            await self._remove_or_give_up(name, attempt)
            await self._retire(self._cluster, name)
            return
        if state is not None and state.machine.uid != course.uid:
            await self._remove(name)
            state = None
        if course.is_alive(world):
            if state is None:
                state = self.nodes[name] = self._new_state(entry)
            await self._write_living(state)
        elif state is not None and course.segment_at(world).phase in _DEAD:
            state.is_alive = state.has_plugin = state.has_exporter = False
            await self._write_dead(state)

    async def _remove_or_give_up(self, name: str, attempt: int) -> None:
        """A machine that is gone does not wait for ever for a cluster that is away."""
        try:
            await self._remove(name)
        except (Transient, Unknown):
            if attempt < self._settings.unreachable_attempts:
                raise
        except (NotFound, Precondition):
            return
