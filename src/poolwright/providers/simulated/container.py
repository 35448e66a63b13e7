"""The inside of a simulated container: its variables, and the GPUs that it sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from poolwright.model.instant import Now
from poolwright.model.json_value import child, children
from poolwright.model.quantity import resource_amount
from poolwright.ports.kube import Object
from poolwright.providers.simulated import gpu as gpus
from poolwright.providers.simulated.node_object import NodeState
from poolwright.providers.simulated.nvidia_smi import Sight, nvidia_smi
from poolwright.providers.simulated.pod_run import PLUGIN_NAME, ContainerRun, PodRun
from poolwright.providers.simulated.shell import Container
from poolwright.providers.simulated.variable import SERVICE, Unfilled, Variable, fill

_PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass(frozen=True, slots=True)
class Surface:
    """A pod on its node, looked at from inside. ``others`` are the pods whose load shows: none of
    them in a log, which must read the same whenever it is read.
    """

    pod: PodRun
    node: NodeState
    now: Now
    others: Sequence[PodRun] = ()

    def container(self, variables: Mapping[str, str]) -> Container:
        """The container whose spec sets these variables."""
        name = self.pod.name
        environment = {**_PATH, "HOSTNAME": name, **variables, **SERVICE}
        environment |= variables  # what is set wins, and stands where it stood
        return Container(name, environment, self.now.wall, self._smi)

    def _smi(self, args: Sequence[str]) -> tuple[str, int] | None:
        seen = self._seen()
        return nvidia_smi(self._sight(seen), args, self.now.wall) if seen else None

    def visible(self) -> list[str]:
        """The GPUs, or parts of them, that the pod sees."""
        return [
            unit.uuid
            for gpu in self._seen()
            for unit in (gpu.instances if gpu.instances else (gpu,))
        ]

    def device(self) -> str:
        """The first GPU's product, or nothing."""
        return next((gpu.board.product for gpu in self._seen()), "")

    def _seen(self) -> list[gpus.Gpu]:
        """The pod's own GPUs; all of them in the pods of the node itself."""
        if self.pod.component == PLUGIN_NAME or self.pod.is_quiet:
            return list(gpus.gpus(self.node))
        held = set(self.pod.devices)
        return _narrowed(gpus.gpus(self.node), held) if held else []

    def _sight(self, seen: Sequence[gpus.Gpu]) -> Sight:
        state = self.node
        names = {p.uid: p.name for p in self.others if p.phase == "Running"}
        return Sight(
            gpus=seen,
            by_device=gpus.loads(state, self.others, self.now.world),
            driver=gpus.driver_version(state),
            size=state.size,
            mig_profile=state.machine.bootstrap.mig_profile,
            processes={n: names[u] for n, u in state.devices.items() if u in names},
        )


def _narrowed(found: Sequence[gpus.Gpu], held: set[int]) -> list[gpus.Gpu]:
    """Only what a pod holds, numbered from 0 as a container sees it."""
    seen: list[gpus.Gpu] = []
    for gpu in found:
        instances = tuple(i for i in gpu.instances if i.device in held)
        if gpu.device in held or instances:
            seen.append(replace(gpu, index=len(seen), instances=instances))
    return seen


def variables(pod: Object, run: ContainerRun, node: NodeState) -> dict[str, str]:
    """The variables that the spec of a container sets."""

    def of_pod(variable: Variable) -> str:
        return _field(pod, variable.field) or _resource(pod, variable.resource, node)

    namespace = child(pod, "metadata").get("namespace") or ""
    try:
        return fill(run.spec.variables, namespace, run.held or {}, of_pod)
    except Unfilled:
        return {}


def _field(pod: Object, path: str) -> str:
    """What a field of a pod is (the downward API)."""
    if not path:
        return ""
    if path in _LISTS:
        return ",".join(each["ip"] for each in children(pod, *path.split(".")))
    parent, _, key = path.partition("['") if path.endswith("']") else path.rpartition(".")
    return str(child(pod, *parent.split(".")).get(key.removesuffix("']")) or "")


_LISTS = ("status.podIPs", "status.hostIPs")


def _resource(pod: Object, wanted: tuple[str, str, str], node: NodeState) -> str:
    """What a container requests or may use at most; without a limit, all that the node offers.

    Source: k8s.io/kubernetes pkg/api/v1/resource, ExtractContainerResourceValue.
    """
    container, path, divisor = wanted
    side, _, name = path.partition(".")
    spec = child(pod, "spec")
    wires = (*children(spec, "containers"), *children(spec, "initContainers"))
    texts = [child(c, "resources", side).get(name) for c in wires if c["name"] == container]
    text = texts[0] if texts else None
    amount = 0 if text is None else resource_amount(name, text)
    if not amount and side == "limits":
        amount = node.offer.get(name, 0)
    unit = resource_amount(name, divisor) if divisor not in {"", "0"} else resource_amount(name, 1)
    return str(-(-amount // unit)) if name and unit else ""
