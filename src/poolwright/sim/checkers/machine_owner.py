"""When all is calm, every machine has an owner and every pool its machines: none lost, none double.

Judged by the cloud's ledger, not by our API.
"""

from __future__ import annotations

from poolwright.model.agent_pool import AGENT_POOL, ProvisioningState
from poolwright.model.machine import MachinePhase
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.plan.upkeep import CORDONED
from poolwright.sim.checkers.checker import Checker


class MachineOwner(Checker):
    """Compares the ledger, the pools and the nodes."""

    async def at_calm(self) -> None:
        """Each pool has what it asked for; nothing else exists."""
        scene = self.scene
        pools, _ = await scene.store.list(scene.cluster.arm_scope, AGENT_POOL)
        clusters, _ = await scene.store.list(scene.cluster.arm_scope, MANAGED_CLUSTER)
        machines = await scene.cloud.list_machines(scene.cluster)
        names = {pool.name for pool in pools}
        for machine in machines:
            if machine.pool not in names:
                scene.broken("no orphans", f"{machine.name} of {machine.pool} has no pool")
        for pool in pools:
            own = [machine for machine in machines if machine.pool == pool.name]
            state = pool.status.provisioning_state
            if state is not ProvisioningState.SUCCEEDED:
                scene.broken("converges", f"{pool.name} is {state}: {pool.status.error}")
                continue
            here = sorted(f"{m.name} {m.phase}" for m in own)
            if pool.spec.is_stopped or clusters[0].spec.is_stopped:
                # How many there are, and of which version, is put right at the start.
                if [m.phase for m in own] != [MachinePhase.STOPPED] * len(own):
                    scene.broken("stopped", f"{pool.name}: {here}")
                continue
            if [m.phase for m in own] != [MachinePhase.RUNNING] * pool.spec.count:
                scene.broken("no double machines", f"{pool.name}: {pool.spec.count} but {here}")
            stale = {
                (m.bootstrap.kubernetes_version, m.bootstrap.node_image_version)
                for m in own
                if m.bootstrap.kubernetes_version != pool.spec.kubernetes_version
                or m.bootstrap.node_image_version != pool.spec.node_image_version
            }
            if stale:
                scene.broken("converges", f"{pool.name} has machines of {sorted(stale)}")
            cordoned = [n.name for n in scene.view.nodes(pool.name) if CORDONED in n.annotations]
            if cordoned:
                scene.broken("converges", f"{pool.name} leaves {cordoned} cordoned")
            nodes = [node.name for node in scene.view.nodes(pool.name)]
            if nodes != sorted(m.name for m in own):
                scene.broken("nodes are machines", f"{pool.name}: {nodes} but {here}")
