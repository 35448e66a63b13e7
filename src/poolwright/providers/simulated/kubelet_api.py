"""What an API server asks of a node: logs, exec, and the endpoints that listen there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import InvalidRequest, Transient
from poolwright.model.instant import Now, wall_text
from poolwright.model.json_value import child
from poolwright.ports.clock import Clock
from poolwright.ports.kube import ExecResult, Object, ProxyAnswer, StandardInput
from poolwright.providers.simulated import gpu as gpus
from poolwright.providers.simulated.component_log import component_lines
from poolwright.providers.simulated.container import Surface, variables
from poolwright.providers.simulated.fleet import Fleet
from poolwright.providers.simulated.node_object import NodeState
from poolwright.providers.simulated.pod_run import ContainerRun, PodRun
from poolwright.providers.simulated.shell import InputWantedError, execute
from poolwright.providers.simulated.workload import Behaviour, LogLine, behaviour, log_lines

EXPORTER_PORT = 19400
"""Where the managed exporter listens. Source: facts gpu-stack §0.5."""
KUBELET_PORT = 10250

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FOLLOW_PAUSE = timedelta(milliseconds=250)


class KubeletApi:
    """`ports.Kubelet` for all nodes of a simulated cloud; ``fleets`` are those that there are."""

    def __init__(self, fleets: Mapping[ClusterKey, Fleet], clock: Clock) -> None:
        self._fleets = fleets
        self._clock = clock

    # ------------------------------------------------------------------ logs

    async def logs(
        self,
        cluster: ClusterKey,
        pod: Object,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        timestamps: bool = False,
        previous: bool = False,
    ) -> AsyncIterator[bytes]:
        """See `Kubelet`."""
        fleet, state = self._node(cluster, _node_name(pod))
        known = _known(fleet, state, pod)
        await fleet.supply(known, _run_of(known, container))
        printed = 0
        while True:
            lines, is_open = self._printed(fleet, state, pod, known, container, previous=previous)
            start = printed
            if not printed and tail_lines is not None:
                start = max(0, len(lines) - tail_lines)
            for stamp, text in lines[start:]:
                yield f"{stamp} {text}\n".encode() if timestamps else f"{text}\n".encode()
            printed = max(printed, len(lines))
            if not follow or previous or not is_open:
                return
            await self._clock.sleep(_FOLLOW_PAUSE)

    def _printed(
        self,
        fleet: Fleet,
        state: NodeState,
        pod: Object,
        known: PodRun,
        name: str,
        *,
        previous: bool,
    ) -> tuple[list[tuple[str, str]], bool]:
        """The lines so far, each with its wall time, and whether more may come."""
        run = _run_of(known, name)
        _require_started(pod, name, run, previous=previous)
        now = self._clock.now()
        ends = child(pod, "spec").get("restartPolicy", "Always") != "Always"
        inside = Surface(known, state, _when_started(run, now))
        doing = behaviour(
            run.spec.image,
            (*run.spec.command, *run.spec.args),
            child(pod, "metadata", "annotations"),
            inside.container(variables(pod, run, state)),
            ends=ends,
            default_seconds=0.0,
        )
        passed = _passed(run, now, doing)
        is_running = run.state == "running" and not previous
        is_open = fleet.kubelets.pod(child(pod, "metadata").get("uid", "")) is not None
        image, offered, began = run.spec.image, tuple(state.gpu_offer), inside.now.wall
        lines = list(component_lines(known.component, image, offered, EXPORTER_PORT, began))
        if not lines:
            until = passed if is_running else 1e9
            lines = list(log_lines(doing, run.spec.args, inside.device(), until))
        return _stamped(run, lines, passed, now.wall), is_open and is_running

    # ------------------------------------------------------------------ exec

    async def execute(
        self,
        cluster: ClusterKey,
        pod: Object,
        container: str,
        command: Sequence[str],
        *,
        standard_input: StandardInput | None = None,
    ) -> ExecResult:
        """See `Kubelet`."""
        fleet, state = self._node(cluster, _node_name(pod))
        known = _known(fleet, state, pod)
        run = _run_of(known, container)
        if run.state != "running":
            raise InvalidRequest(
                f'unable to upgrade connection: container not found ("{container}")',
                code="InternalError",
            )
        on_node = list(fleet.kubelets.pods_on(state.machine.name))
        inside = Surface(known, state, self._clock.now(), on_node)
        await fleet.supply(known, run)
        own = variables(pod, run, state)
        if visible := inside.visible():
            own["NVIDIA_VISIBLE_DEVICES"] = ",".join(visible)
        around = replace(
            inside.container(own),
            standard_input=_still_to_come if standard_input else str,
            files=dict(run.files or {}),
        )
        try:
            result = execute(around, command)
        except InputWantedError:  # nothing is asked for what no command reads
            assert standard_input is not None
            text = (await standard_input()).decode(errors="surrogateescape")
            around = replace(around, standard_input=lambda: text, files=dict(run.files or {}))
            result = execute(around, command)
        run.files = around.files or None
        return result

    # ------------------------------------------------------------------ proxy

    async def proxy(self, cluster: ClusterKey, node: str, port: int, path: str) -> ProxyAnswer:
        """See `Kubelet`."""
        fleet, state = self._node(cluster, node)
        where = "/" + path.partition("?")[0].strip("/")
        if port == EXPORTER_PORT and state.has_exporter:
            return self._exporter(fleet, state, where)
        if port == KUBELET_PORT:
            if where == "/pods":
                return _pods(fleet.kubelets.pods_on(node), state, self._clock.now())
            return _kubelet_endpoint(state, where)
        address = f"{state.machine.private_ip}:{port}"
        raise Transient(f"dial tcp {address}: connect: connection refused")

    def _exporter(self, fleet: Fleet, state: NodeState, path: str) -> ProxyAnswer:
        if path == "/metrics":
            pods = fleet.kubelets.pods_on(state.machine.name)
            text = gpus.exposition(state, pods, self._clock.now().world)
            return ProxyAnswer(200, _METRICS_TYPE, text.encode())
        if path == "/health":
            return ProxyAnswer(200, "text/plain; charset=utf-8", b"OK")
        return ProxyAnswer(404, "text/plain; charset=utf-8", b"404 page not found\n")

    def _node(self, cluster: ClusterKey, name: str) -> tuple[Fleet, NodeState]:
        fleet = self._fleets.get(cluster)
        state = fleet.nodes.get(name) if fleet is not None else None
        if fleet is None or state is None or not state.is_alive:
            address = state.machine.private_ip if state is not None else name
            raise Transient(f"dial tcp {address}:{KUBELET_PORT}: connect: no route to host")
        return fleet, state


def _known(fleet: Fleet, state: NodeState, pod: Object) -> PodRun:
    """The pod as its kubelet knows it; one that has ended, as its status tells."""
    known = fleet.kubelets.pod(child(pod, "metadata").get("uid", "")) or PodRun.from_object(pod)
    if known.is_finished and not known.devices:
        wanted = sum(min(n, known.requests.get(name, 0)) for name, n in state.gpu_offer.items())
        known.devices = tuple(range(wanted))  # of an earlier process; those that are first taken
    return known


def _still_to_come() -> str:
    raise InputWantedError


def _when_started(run: ContainerRun, now: Now) -> Now:
    """The time at which the container's log begins."""
    try:
        return Now(run.world_started or now.world, datetime.fromisoformat(run.started))
    except ValueError:
        return now


def _run_of(known: PodRun, name: str) -> ContainerRun:
    for run in (*known.containers, *known.inits):
        if run.spec.name == name:
            return run
    raise InvalidRequest(f"container {name} is not valid for pod {known.name}", code="BadRequest")


def _node_name(pod: Object) -> str:
    return child(pod, "spec").get("nodeName") or ""


def _require_started(pod: Object, name: str, run: ContainerRun, *, previous: bool) -> None:
    where = child(pod, "metadata").get("name")
    if previous:
        if run.last is None:
            raise InvalidRequest(
                f'previous terminated container "{name}" in pod "{where}" not found',
                code="BadRequest",
            )
        return
    if run.state == "waiting" and run.last is None:
        why = run.reason or "ContainerCreating"
        raise InvalidRequest(
            f'container "{name}" in pod "{where}" is waiting to start: {why}', code="BadRequest"
        )


def _passed(run: ContainerRun, now: Now, doing: Behaviour) -> float:
    if run.world_started is None:
        return doing.run_seconds or 0.0
    return max(0.0, now.world.since(run.world_started).total_seconds())


def _stamped(
    run: ContainerRun, lines: Sequence[LogLine], passed: float, now: datetime
) -> list[tuple[str, str]]:
    """Wall times of lines: between the start and now (or the end), in proportion."""
    try:
        began = datetime.fromisoformat(run.started)
        ended = datetime.fromisoformat(run.finished) if run.finished else now
    except ValueError:
        return [(wall_text(now), line.text) for line in lines]
    span = ended - began
    return [
        (_nanos(began + span * min(1.0, line.offset / passed if passed else 0.0)), line.text)
        for line in lines
    ]


def _nanos(wall: datetime) -> str:
    return wall.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def _pods(pods: Iterable[PodRun], state: NodeState, now: Now) -> ProxyAnswer:
    """The pods of a node as its kubelet knows them: of their specs the little that it keeps."""
    host, wall = state.machine.private_ip, wall_text(now.wall)
    items = [pod.wire(host, wall) for pod in pods]
    answer: dict[str, Any] = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
    return ProxyAnswer(200, "application/json", msgspec.json.encode(answer))


def _kubelet_endpoint(state: NodeState, path: str) -> ProxyAnswer:
    if path == "/healthz":
        return ProxyAnswer(200, "text/plain; charset=utf-8", b"ok")
    if path == "/metrics/resource":
        used = state.used.get("cpu", 0) / 2000
        text = (
            "# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in "
            "bytes\n# TYPE node_memory_working_set_bytes gauge\n"
            f"node_memory_working_set_bytes {state.used.get('memory', 0) // 2}\n"
            "# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the "
            "node in core-seconds\n# TYPE node_cpu_usage_seconds_total counter\n"
            f"node_cpu_usage_seconds_total {used:.3f}\n"
        )
        return ProxyAnswer(200, _METRICS_TYPE, text.encode())
    return ProxyAnswer(404, "text/plain; charset=utf-8", b"404 page not found\n")
