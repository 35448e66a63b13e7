"""One pod on one node as its kubelet sees it, and the status that follows from that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from poolwright.model.instant import Instant
from poolwright.model.json_value import Json, child, children
from poolwright.model.pod import pod_requests
from poolwright.providers.simulated.container_spec import ContainerSpec
from poolwright.providers.simulated.images import image
from poolwright.providers.simulated.mount import Keys, Volume, read_volumes
from poolwright.providers.simulated.variable import Held

OURS = "poolwright.dev/"
PLUGIN_NAME = "nvidia-device-plugin"
EXPORTER_NAME = "nvidia-dcgm-exporter"
_PLUGIN_IMAGE = "k8s-device-plugin"


@dataclass(slots=True)
class ContainerRun:
    """A container: waiting for a reason, running, or terminated. Times are wall time as text;
    ``world_started`` is world time, None while it does not run.
    """

    spec: ContainerSpec
    state: str = "waiting"
    reason: str = "ContainerCreating"
    message: str = ""
    started: str = ""
    finished: str = ""
    exit_code: int = 0
    restarts: int = 0
    ready: bool = False
    world_started: Instant | None = None
    last: dict[str, Any] | None = None
    has_image: bool = False
    setbacks: int = 0
    """How often it ended in a row; it starts anew with another image, or after a long run."""
    files: dict[str, str] | None = None
    """What commands that were run in it left there, by path."""
    held: Held | None = None
    """What its variables come from besides the pod, as it was when it started; None if unread."""

    def wire_state(self, uid: str) -> dict[str, Any]:
        """The state as Kubernetes prints it; ``uid`` is the pod's."""
        match self.state:
            case "running":
                return {"running": {"startedAt": self.started}}
            case "terminated":
                return {
                    "terminated": {
                        "exitCode": self.exit_code,
                        "reason": self.reason,
                        **({"message": self.message} if self.message else {}),
                        "startedAt": self.started or None,
                        "finishedAt": self.finished or None,
                        **({"containerID": self._container_id(uid)} if self.started else {}),
                    }
                }
            case _:
                message = {"message": self.message} if self.message else {}
                return {"waiting": {"reason": self.reason, **message}}

    def lose(self) -> None:
        """Its pod has ended, and it has not: it is as when it ran last, or nobody knows how."""
        ended = child(self.last or {}, "terminated")
        self.state, self.ready = "terminated", False
        self.reason, self.message = ended.get("reason") or _UNKNOWN[0], ended.get("message") or ""
        self.exit_code = int(ended.get("exitCode", _UNKNOWN_CODE))
        self.started, self.finished = ended.get("startedAt") or "", ended.get("finishedAt") or ""
        if not ended:
            self.message = _UNKNOWN[1]

    def _container_id(self, salt: str) -> str:
        text = f"{salt}/{self.spec.name}/{self.restarts}/{self.started}"
        return f"containerd://{hashlib.sha256(text.encode()).hexdigest()}"

    def wire(self, uid: str) -> dict[str, Any]:
        """The container status as Kubernetes prints it."""
        known = image(self.spec.image)
        has_run = bool(self.started) or self.last is not None
        return {
            "name": self.spec.name,
            "state": self.wire_state(uid),
            "lastState": self.last or {},
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": known.reference if self.has_image else self.spec.image,
            "imageID": known.image_id if self.has_image else "",
            "started": self.state == "running",
            **({"containerID": self._container_id(uid)} if has_run else {}),
        }


Step = Iterator[float]


@dataclass(slots=True)
class PodRun:
    """A pod's life on its node. ``steps`` are the things that go on in it; each waits for world
    seconds that it says itself.
    """

    namespace: str
    name: str
    uid: str
    node: str
    owner_kind: str
    restart_policy: str
    containers: list[ContainerRun]
    inits: list[ContainerRun]
    requests: Mapping[str, int]
    annotations: dict[str, str]
    named: Mapping[str, str]
    """The labels and annotations that its containers' variables are set to, by path."""
    grace_seconds: float
    qos: str
    host_network: bool
    volumes: tuple[Volume, ...] = ()
    """Those that need a config map or a secret."""
    keys: Keys | None = None
    """What those hold; None while it is not known."""
    is_unmounted: bool = False
    """Whether one of them could not be mounted."""
    component: str = ""
    generation: int = 0
    generation_seen: int = 0
    """That of the object, which is newer while the pod ends."""
    deadline: float | None = None
    """World seconds that it may be active."""
    begun_at: Instant | None = None
    gates: tuple[str, ...] = ()
    """Conditions of others that it needs to be ready."""
    foreign: Mapping[str, str] = field(default_factory=dict[str, str])
    """What those are, by type."""
    os: str = ""
    ports: tuple[tuple[str, str, int], ...] = ()
    """Ports of the node that it wants: protocol, address, port."""
    ip: str = ""
    address: int = 0
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    started: str = ""
    scheduled: str = ""
    is_begun: bool = False
    is_initialized: bool = False
    holds: bool = False
    devices: tuple[int, ...] = ()
    """The GPUs that it holds, or held while it ran, by advertised number."""
    is_deleting: bool = False
    deletion: str = ""
    """When its object says that it is deleted, wall time."""
    is_doomed: bool = False
    is_held: bool = False
    """Whether finalizers keep the object when the pod has ended."""
    wants_checkpoint: bool = False
    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    marks: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    events: list[tuple[str, str, str, str]] = field(default_factory=list[tuple[str, str, str, str]])
    written: bytes = b""
    """The status that was told last, as JSON, which is much smaller; empty before the first."""

    @property
    def is_quiet(self) -> bool:
        """Whether only results are written, not every stage: pods that every node has."""
        return self.owner_kind == "DaemonSet" or self.namespace == "kube-system"

    @property
    def is_ready(self) -> bool:
        """Whether all containers are ready."""
        return (
            self.phase == "Running"
            and self.is_initialized
            and all(c.ready for c in self.containers)
        )

    @property
    def is_finished(self) -> bool:
        """Whether the pod has ended for good."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def is_worth_writing(self) -> bool:
        """Whether the API server should hear of this stage."""
        if not self.is_quiet or self.is_finished or self.is_ready or self.is_unmounted:
            return True
        return bool(self.written) or any(c.reason in _TROUBLE for c in self.containers)

    @classmethod
    def from_object(cls, wire: Json) -> PodRun:
        """Read a bound pod; what its status says already is taken over."""
        meta, spec, status = child(wire, "metadata"), child(wire, "spec"), child(wire, "status")
        owners = [o for o in children(meta, "ownerReferences") if o.get("controller")]
        scheduled = [c for c in children(status, "conditions") if c.get("type") == "PodScheduled"]
        grace = spec.get("terminationGracePeriodSeconds")
        containers, inits = _runs(spec, "containers"), _runs(spec, "initContainers")
        pod = cls(
            namespace=meta.get("namespace", ""),
            name=meta["name"],
            uid=meta["uid"],
            node=spec["nodeName"],
            owner_kind=owners[0]["kind"] if owners else "",
            restart_policy=spec.get("restartPolicy") or "Always",
            containers=containers,
            inits=inits,
            requests=pod_requests(spec),
            annotations=_ours(meta),
            named=_named(meta, (*containers, *inits)),
            grace_seconds=30.0 if grace is None else float(grace),
            qos=status.get("qosClass") or qos_class(spec),
            host_network=bool(spec.get("hostNetwork")),
            volumes=read_volumes(spec),
            component=_component(meta, spec),
            generation=int(meta.get("generation") or 0),
            deadline=_deadline(spec),
            gates=tuple(g["conditionType"] for g in children(spec, "readinessGates")),
            os=child(spec, "os").get("name") or "",
            ports=_host_ports(spec),
            scheduled=scheduled[0].get("lastTransitionTime") or "" if scheduled else "",
        )
        pod.foreign = pod.gate_conditions(wire)
        pod.take_over(status)
        return pod

    def take_over(self, status: Json) -> None:
        """Go on from what an earlier process wrote."""
        self.started = status.get("startTime") or ""
        if status.get("phase") not in {"Running", "Succeeded", "Failed"}:
            return
        self.phase, self.is_begun, self.is_initialized = status["phase"], True, True
        self.ip = status.get("podIP") or ""
        for condition in children(status, "conditions"):
            self.marks[condition.get("type") or ""] = (
                condition.get("status") or "",
                condition.get("lastTransitionTime") or "",
            )
        for runs, key in ((self.containers, "containerStatuses"), (self.inits, _INITS)):
            known = {s.get("name"): s for s in children(status, key)}
            for run in runs:
                _take_over(run, known.get(run.spec.name, {}))

    def gate_conditions(self, wire: Json) -> Mapping[str, str]:
        """What others say of the pod that it needs to be ready."""
        if not self.gates:
            return {}
        found = children(wire, "status", "conditions")
        said = {c.get("type") or "": c.get("status") or "" for c in found}
        return {gate: said[gate] for gate in self.gates if gate in said}

    def respecify(self, spec: Json) -> list[ContainerRun]:
        """Take over what an update changed; the containers that run and have to start anew."""
        self.deadline = _deadline(spec)
        changed: list[ContainerRun] = []
        for runs, key in ((self.containers, "containers"), (self.inits, "initContainers")):
            wires = {c["name"]: c for c in children(spec, key)}
            for run in runs:
                new = ContainerSpec.from_object(wires.get(run.spec.name) or {"name": run.spec.name})
                if new.image != run.spec.image:
                    run.spec, run.setbacks = new, 0
                    waits = run.reason == "CrashLoopBackOff"
                    if (run.state == "running" or waits) and run in self.containers:
                        changed.append(run)
        return changed

    def status(self, host_ip: str, now: str, *, tells_generation: bool = False) -> dict[str, Any]:
        """The status as Kubernetes prints it."""
        wire: dict[str, Any] = {
            "phase": self.phase,
            "conditions": self._conditions(now),
            "qosClass": self.qos,
        }
        if tells_generation and self.generation:
            wire["observedGeneration"] = self.generation
            for condition in wire["conditions"]:
                condition["observedGeneration"] = self.generation
        if self.reason:
            wire["reason"] = self.reason
        if self.message:
            wire["message"] = self.message
        if self.started:
            wire |= {"startTime": self.started, "hostIP": host_ip, "hostIPs": [{"ip": host_ip}]}
        if not self.is_begun:
            return wire
        if self.ip:
            wire |= {"podIP": self.ip, "podIPs": [{"ip": self.ip}]}
        if self.inits:
            wire[_INITS] = [c.wire(self.uid) for c in self.inits]
        wire["containerStatuses"] = [c.wire(self.uid) for c in self.containers]
        return wire

    def wire(self, host_ip: str, now: str) -> dict[str, Any]:
        """The pod as its kubelet knows it, without most of its spec."""
        deletion = {"deletionTimestamp": self.deletion} if self.deletion else {}
        names = {"name": self.name, "namespace": self.namespace, "uid": self.uid}
        spec: dict[str, Any] = {"nodeName": self.node, "restartPolicy": self.restart_policy}
        for key, runs in (("initContainers", self.inits), ("containers", self.containers)):
            if runs:
                spec[key] = [{"name": r.spec.name, "image": r.spec.image} for r in runs]
        return {"metadata": names | deletion, "spec": spec, "status": self.status(host_ip, now)}

    def lose_rest(self) -> None:
        """Say of every container that it has ended, now that the pod has: of those which are to
        start when others have been initialized only if that was so.

        Source: k8s.io/kubernetes pkg/kubelet/status, TerminatePod.
        """
        self.generation = max(self.generation, self.generation_seen)
        begun = [n for n, run in enumerate(self.inits) if run.state != "waiting" or run.last]
        lost = self.inits[: max(begun, default=0) + 1]
        if self.is_initialized or not self.inits:
            lost += self.containers
        for run in lost:
            if run.state != "terminated":
                run.lose()

    def _conditions(self, now: str) -> list[dict[str, Any]]:
        unready = [c.spec.name for c in self.containers if not c.ready]
        why: dict[str, str] = {}
        if self.phase == "Succeeded":
            why = {"reason": "PodCompleted"}
        elif self.phase == "Failed":
            why = {"reason": "PodFailed"}
        elif unready:
            why = {
                "reason": "ContainersNotReady",
                "message": f"containers with unready status: [{' '.join(unready)}]",
            }
        is_ready, unmet = self.is_ready, self._unmet_gates() if self.gates else {}
        is_initialized = self.is_initialized or (self.is_begun and not self.inits)
        rows: list[tuple[str, bool, dict[str, str]]] = [
            ("PodReadyToStartContainers", bool(self.ip) and not self.is_finished, {}),
            ("Initialized", is_initialized, self._initialization()),
            ("Ready", is_ready and not unmet, unmet if is_ready else why),
            ("ContainersReady", is_ready, {} if is_ready else why),
        ]
        found = [self._condition(name, value, now, more) for name, value, more in rows]
        since = self.scheduled or self.started or now
        return [*found, _wire_condition("PodScheduled", "True", since)]

    def _initialization(self) -> dict[str, str]:
        """Why the pod is not initialized, or that it has ended well."""
        if self.phase == "Succeeded":
            return {"reason": "PodCompleted"}
        left = [run.spec.name for run in self.inits if not run.ready]
        if self.is_initialized or not left:
            return {}
        message = f"containers with incomplete status: [{' '.join(left)}]"
        return {"reason": "ContainersNotInitialized", "message": message}

    def _unmet_gates(self) -> dict[str, str]:
        """Why a pod whose containers are ready is not; nothing if it is."""
        said = self.foreign
        words = [
            f'the status of pod readiness gate "{gate}" is not "True", but {said[gate]}'
            if gate in said
            else f'corresponding condition of pod readiness gate "{gate}" does not exist.'
            for gate in self.gates
            if said.get(gate) != "True"
        ]
        if not words:
            return {}
        return {"reason": "ReadinessGatesNotReady", "message": ", ".join(words)}

    def _condition(
        self, name: str, value: bool, now: str, more: Mapping[str, str]
    ) -> dict[str, Any]:
        text = str(value)
        mark = self.marks.get(name)
        if mark is None or mark[0] != text:
            mark = self.marks[name] = (text, now)
        return {**_wire_condition(name, *mark), **more}


_INITS = "initContainerStatuses"
_UNKNOWN = (
    "ContainerStatusUnknown",
    "The container could not be located when the pod was terminated",
)
_UNKNOWN_CODE = 137
_TROUBLE = {
    "ErrImagePull",
    "ImagePullBackOff",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
}


def _wire_condition(name: str, status: str, since: str) -> dict[str, Any]:
    return {
        "type": name,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": since,
    }


_specs: dict[ContainerSpec, ContainerSpec] = {}
"""Container specs seen before: the pods of one workload share theirs."""
_SPECS_MAX = 10_000


def _runs(spec: Json, key: str) -> list[ContainerRun]:
    if len(_specs) > _SPECS_MAX:
        _specs.clear()
    found = (ContainerSpec.from_object(c) for c in children(spec, key))
    waiting = "PodInitializing" if spec.get("initContainers") else "ContainerCreating"
    return [ContainerRun(_specs.setdefault(s, s), reason=waiting) for s in found]


def _deadline(spec: Json) -> float | None:
    seconds = spec.get("activeDeadlineSeconds")
    return None if seconds is None else float(seconds)


def _host_ports(spec: Json) -> tuple[tuple[str, str, int], ...]:
    return tuple(
        (port.get("protocol") or "TCP", port.get("hostIP") or "", port["hostPort"])
        for container in children(spec, "containers")
        for port in children(container, "ports")
        if port.get("hostPort")
    )


def _ours(meta: Json) -> dict[str, str]:
    return {k: v for k, v in child(meta, "annotations").items() if k.startswith(OURS)}


def _named(meta: Json, runs: Iterable[ContainerRun]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in (v.field for run in runs for v in run.spec.variables):
        if path.endswith("']"):
            where, _, key = path.removesuffix("']").partition("['")
            values = child(meta, where.removeprefix("metadata."))
            found[path] = str(values.get(key) or "")
    return found


def _component(meta: Json, spec: Json) -> str:
    """Which part of a node's GPU software the pod is: plugin, exporter or neither."""
    name = child(meta, "labels").get("app.kubernetes.io/name")
    if name in {PLUGIN_NAME, EXPORTER_NAME}:
        return name
    is_plugin = any(_PLUGIN_IMAGE in (c.get("image") or "") for c in children(spec, "containers"))
    owned = any(o.get("kind") == "DaemonSet" for o in children(meta, "ownerReferences"))
    return PLUGIN_NAME if is_plugin and owned else ""


def _take_over(run: ContainerRun, status: Json) -> None:
    state = child(status, "state")
    run.restarts = run.setbacks = int(status.get("restartCount") or 0)
    run.ready = bool(status.get("ready"))
    run.has_image = bool(status.get("imageID"))
    run.last = dict(child(status, "lastState")) or None
    if "running" in state:
        run.state, run.started = "running", child(state, "running").get("startedAt") or ""
    elif "terminated" in state:
        ended = child(state, "terminated")
        run.state, run.reason = "terminated", ended.get("reason") or ""
        run.exit_code = int(ended.get("exitCode") or 0)
        run.started, run.finished = ended.get("startedAt") or "", ended.get("finishedAt") or ""
    elif "waiting" in state:
        run.reason = child(state, "waiting").get("reason") or run.reason


def qos_class(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort.

    Source: kubernetes.io/docs/concepts/workloads/pods/pod-qos.
    """
    containers: Sequence[Json] = (*children(spec, "containers"), *children(spec, "initContainers"))
    is_any, is_all = False, True
    for container in containers:
        limits = child(container, "resources", "limits")
        requests = {**limits, **child(container, "resources", "requests")}
        counted = [name for name in ("cpu", "memory") if name in requests]
        is_any = is_any or bool(counted)
        is_all = is_all and all(
            name in limits and limits[name] == requests[name] for name in ("cpu", "memory")
        )
    if not is_any:
        return "BestEffort"
    return "Guaranteed" if is_all else "Burstable"
