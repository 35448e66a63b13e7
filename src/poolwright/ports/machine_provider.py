"""Who makes machines: a simulated cloud, KWOK, Cluster API.

Contract: ``docs/contracts/machine_provider.md`` (rules M1…).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.machine import Bootstrap, Machine, MachineRequest
from poolwright.model.scarcity import Scarcity, Usage


@dataclass(frozen=True, slots=True)
class MachineChange:
    """A machine of this pool changed, came or went."""

    cluster: ClusterKey
    pool: str


class MachineProvider(Protocol):
    """Every call may raise `Transient`; every call that changes something may raise `Unknown`."""

    async def create_machine(self, request: MachineRequest) -> Machine:
        """Ask for a machine; the answer is not yet running (M1). A name that exists in the
        cluster is returned as it is, whatever the rest of the request says.

        Raises:
            QuotaExceeded, NoCapacity, InvalidRequest (size not available): nothing was made.
        """
        ...

    async def list_machines(
        self, cluster: ClusterKey, pool: str | None = None
    ) -> Sequence[Machine]:
        """All machines of a cluster or pool that are not gone, by name (M2)."""
        ...

    async def delete_machine(self, cluster: ClusterKey, name: str, *, uid: str) -> None:
        """Begin to delete; a missing machine is fine (M3). The Node goes with it.

        Raises:
            Precondition: the machine has another uid.
        """
        ...

    async def reimage_machine(
        self, cluster: ClusterKey, name: str, *, uid: str, generation: int, bootstrap: Bootstrap
    ) -> Machine:
        """Give the machine a new disk from an image: same name, new uid, no data (M4).

        Raises:
            NotFound: no such machine. Precondition: the machine has another uid.
        """
        ...

    async def stop_machine(self, cluster: ClusterKey, name: str, *, uid: str) -> None:
        """Deallocate; its Node becomes not ready (M5). Stopping twice is fine.

        Raises:
            NotFound; Precondition: the machine has another uid.
        """
        ...

    async def start_machine(self, cluster: ClusterKey, name: str, *, uid: str) -> None:
        """Start a stopped machine; quota and capacity count again (M5).

        Raises:
            NotFound; Precondition: the machine has another uid; QuotaExceeded; NoCapacity.
        """
        ...

    def changes(self) -> AsyncIterator[MachineChange]:
        """Changes of machines from now on, coalesced per pool (M6)."""
        ...

    async def usage(self, region: str) -> Sequence[Usage]:
        """vCPU usage and limits of a region by family, regional total first (M7)."""
        ...

    async def scarcity(self, region: str) -> Scarcity:
        """What the region refuses now: restrictions are shown by SKU lists (M7).

        Raises:
            Unsupported: the provider cannot tell.
        """
        ...

    async def set_scarcity(self, region: str, scarcity: Scarcity) -> None:
        """Replace what the region refuses (M8). Existing machines stay.

        Raises:
            Unsupported: the provider is real.
        """
        ...
