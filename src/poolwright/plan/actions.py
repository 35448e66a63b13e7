"""What a plan may ask for: one planned effect each, with the reason for it.

Creation is made idempotent by a name; destruction is guarded by the uid it was planned for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from poolwright.model.machine import Bootstrap, MachineRequest
from poolwright.model.taint import Taint


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """A Kubernetes Event about the node, written once the action was carried out."""

    reason: str
    message: str
    type: str = "Normal"


@dataclass(frozen=True, slots=True)
class CreateMachine:
    """Ask for a machine by name."""

    request: MachineRequest
    because: str
    event: NodeEvent | None = None

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.request.name


@dataclass(frozen=True, slots=True)
class DeleteMachine:
    """Delete one incarnation of a machine."""

    name: str
    uid: str
    because: str
    event: NodeEvent | None = None


@dataclass(frozen=True, slots=True)
class ReimageMachine:
    """Give one incarnation of a machine a new disk; its name stays.

    One that is reimaged because it ``lacks_node`` is spared if the API server has its Node after
    all: what was planned on may have been behind.
    """

    name: str
    uid: str
    generation: int
    bootstrap: Bootstrap
    because: str
    event: NodeEvent | None = None
    lacks_node: bool = False


@dataclass(frozen=True, slots=True)
class StopMachine:
    """Deallocate one incarnation of a machine."""

    name: str
    uid: str
    because: str
    event: NodeEvent | None = None


@dataclass(frozen=True, slots=True)
class StartMachine:
    """Start a deallocated machine."""

    name: str
    uid: str
    because: str
    event: NodeEvent | None = None


@dataclass(frozen=True, slots=True)
class PatchNode:
    """Change a node: a label or annotation of None goes away; None leaves taints or cordon alone.

    Taints are a whole list on the wire, so replacing them is guarded by the node's revision too.
    """

    name: str
    uid: str
    because: str
    labels: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    annotations: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    taints: tuple[Taint, ...] | None = None
    unschedulable: bool | None = None
    revision: str | None = None
    event: NodeEvent | None = None


@dataclass(frozen=True, slots=True)
class DeleteNode:
    """Remove the Kubernetes object of a node whose machine is gone."""

    name: str
    uid: str
    because: str
    event: NodeEvent | None = None


@dataclass(frozen=True, slots=True)
class EvictPod:
    """Ask for the eviction of one incarnation of a pod."""

    namespace: str
    name: str
    uid: str
    because: str
    event: NodeEvent | None = None


Action = (
    CreateMachine
    | DeleteMachine
    | ReimageMachine
    | StopMachine
    | StartMachine
    | PatchNode
    | DeleteNode
    | EvictPod
)
