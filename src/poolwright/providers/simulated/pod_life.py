"""What happens to a pod on a node, step by step, in world time.

Each life is a generator that yields how many world seconds it waits; what it changes in between
is in the `PodRun`. Reasons and messages are the kubelet's, Kubernetes 1.35.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from poolwright.model.instant import wall_text
from poolwright.ports.clock import Clock
from poolwright.providers.simulated.container import Surface
from poolwright.providers.simulated.images import Image, image
from poolwright.providers.simulated.node_object import NodeState
from poolwright.providers.simulated.pod_run import ContainerRun, PodRun, Step
from poolwright.providers.simulated.settings import SimulatedCloudSettings
from poolwright.providers.simulated.workload import TERMINATION_SECONDS, Behaviour, behaviour

_BACK_OFF_FIRST = 10.0  # Source: kubelet, initial and maximal back-off of restarts and pulls
_BACK_OFF_MAX = 300.0
_SANDBOX_SECONDS = 0.6  # assumed: network and sandbox
_START_SECONDS = 0.3  # assumed: create and start a container
_INIT_SECONDS = 1.0  # assumed: an init container that says nothing about itself
_KILLED = 137  # by SIGKILL, when the grace is over
_TERMINATION_SECONDS = 1.2  # assumed: a process that ends when asked to


@dataclass(frozen=True, slots=True)
class PodLife:
    """Makes the steps of one pod. ``begin`` starts a further step of it under a name."""

    pod: PodRun
    node: NodeState
    clock: Clock
    rng: random.Random
    settings: SimulatedCloudSettings
    begin: Callable[[PodRun, str, Step], None]

    def whole(self) -> Iterator[float]:
        """From being bound to all containers started."""
        pod = self.pod
        pod.is_begun, pod.started = True, self._now()
        refusal = self._admit()
        if refusal:
            self._reject(*refusal)
            return
        yield self._about(_SANDBOX_SECONDS)
        self._address()
        for run in pod.inits:
            yield from self._initialise(run)
            if pod.is_finished:
                return
        pod.is_initialized = True
        for run in pod.containers:
            run.reason = "ContainerCreating"
        for run in pod.containers:
            yield from self._pull(run)
            yield self._about(_START_SECONDS)
            self.begin(pod, run.spec.name, self.container(run))

    def resumed(self) -> None:
        """Go on with what ran before this process began."""
        for run in self.pod.containers:
            if run.state == "running":
                self.begin(self.pod, run.spec.name, self.container(run, is_running=True))
            elif run.state == "waiting":
                self.begin(self.pod, run.spec.name, self._again(run))

    def _again(self, run: ContainerRun) -> Iterator[float]:
        yield from self._pull(run)
        yield from self.container(run)

    def container(self, run: ContainerRun, *, is_running: bool = False) -> Iterator[float]:
        """A container from its start to its end, and from there on if it is restarted."""
        while True:
            doing = self.behaviour(run)
            if not is_running:
                self._start(run, doing)
            if run.spec.readiness_seconds and not run.ready:
                yield run.spec.readiness_seconds
            run.ready = not doing.start_error
            if doing.run_seconds is None:
                return
            yield self._left(run, doing.run_seconds)
            self._finish(run, doing.exit_code, doing.start_error)
            if not self._restarts(run):
                return
            yield from self._back_off(run)
            is_running = False

    def _left(self, run: ContainerRun, seconds: float) -> float:
        assert run.world_started is not None
        passed = self.clock.now().world.since(run.world_started).total_seconds()
        return max(0.0, seconds - passed)

    def behaviour(self, run: ContainerRun) -> Behaviour:
        """What the container does."""
        surface = Surface(self.pod, self.node, self.clock.now())
        return behaviour(
            run.spec.image,
            (*run.spec.command, *run.spec.args),
            self.pod.annotations,
            surface.container(dict(run.spec.environment)),
            ends=self.pod.restart_policy != "Always",
            default_seconds=self.settings.default_run_seconds,
        )

    def termination(self) -> Iterator[float]:
        """From being asked to end to having ended."""
        pod = self.pod
        for run in (*pod.inits, *pod.containers):
            if run.state == "running":
                self._tell("Normal", "Killing", f"Stopping container {run.spec.name}", run)
        asked = pod.annotations.get(TERMINATION_SECONDS, "")
        wanted = float(asked) if asked.replace(".", "", 1).isdigit() else _TERMINATION_SECONDS
        yield min(pod.grace_seconds, wanted)
        exit_code = _KILLED if wanted > pod.grace_seconds else 0
        for run in (*pod.inits, *pod.containers):
            if run.state == "running":
                self._finish(run, exit_code)
        pod.is_doomed = True

    # ------------------------------------------------------------------ admission

    def _admit(self) -> tuple[str, str] | None:
        """Whether the node takes the pod; else reason and message."""
        pod, node = self.pod, self.node
        gpus = node.gpu_offer
        for name in sorted(pod.requests):
            wanted, used = pod.requests[name], node.used.get(name, 0)
            if name in gpus and wanted and not node.has_plugin:
                return "UnexpectedAdmissionError", (
                    "Pod was rejected: Allocate failed due to no healthy devices present; "
                    f"cannot allocate unhealthy devices {name}, which is unexpected"
                )
            if "/" in name and name not in gpus and name not in node.offer:
                continue  # somebody else's resource (kubelet, removeMissingExtendedResources)
            offer = gpus[name] if name in gpus else node.offer.get(name, 0)
            if used + wanted > offer and wanted:
                return f"OutOf{name}", (
                    f"Pod was rejected: Node didn't have enough resource: {name}, "
                    f"requested: {wanted}, used: {used}, capacity: {offer}"
                )
        hold(pod, node)
        return None

    def _reject(self, reason: str, message: str) -> None:
        pod = self.pod
        pod.phase, pod.reason, pod.message, pod.is_begun = "Failed", reason, message, False
        short = message.removeprefix("Pod was rejected: ")
        self._tell("Warning", reason, short, None)

    def _address(self) -> None:
        pod, node = self.pod, self.node
        if pod.host_network:
            pod.ip = node.machine.private_ip
        elif not pod.ip:
            pod.address = _free_address(node)
            pod.ip = f"{node.pod_network}.{pod.address}"

    # ------------------------------------------------------------------ images

    def _pull(self, run: ContainerRun) -> Iterator[float]:
        known = image(run.spec.image)
        name = run.spec.image
        is_here = known.is_on_node_image or known.reference in self.node.images
        if is_here and not run.spec.always_pull:
            run.has_image = True
            self._tell("Normal", "Pulled", self._present_text(name), run)
            return
        delay = _BACK_OFF_FIRST
        while known.is_missing:
            yield from self._fail_pull(run, known, delay)
            delay = min(delay * 2, _BACK_OFF_MAX)
        self._tell("Normal", "Pulling", f'Pulling image "{name}"', run)
        seconds = 0.2 if is_here else self._about(known.pull_seconds)
        yield seconds
        self.node.images.add(known.reference)
        run.has_image = True
        text = f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.3f}".rstrip("0") + "s"
        self._tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{name}" in {text} ({text} including waiting). '
            f"Image size: {known.size_bytes} bytes.",
            run,
        )

    def _fail_pull(self, run: ContainerRun, known: Image, delay: float) -> Iterator[float]:
        name = run.spec.image
        why = (
            f'failed to pull and unpack image "{known.reference}": failed to resolve reference '
            f'"{known.reference}": {known.reference}: not found'
        )
        self._tell("Normal", "Pulling", f'Pulling image "{name}"', run)
        yield self._about(0.8)
        error = f"rpc error: code = NotFound desc = {why}"
        self._tell("Warning", "Failed", f'Failed to pull image "{name}": {error}', run)
        self._tell("Warning", "Failed", "Error: ErrImagePull", run)
        run.reason, run.message = "ErrImagePull", error
        yield delay / 2
        self._tell("Normal", "BackOff", f'Back-off pulling image "{name}"', run)
        self._tell("Warning", "Failed", "Error: ImagePullBackOff", run)
        run.reason = "ImagePullBackOff"
        run.message = f'Back-off pulling image "{name}": ErrImagePull: {error}'
        yield delay / 2

    # ------------------------------------------------------------------ containers

    def _initialise(self, run: ContainerRun) -> Iterator[float]:
        yield from self._pull(run)
        yield self._about(_START_SECONDS)
        if run.spec.is_sidecar:
            self._start(run, Behaviour())
            run.ready = True
            return
        while True:
            doing = self.behaviour(run)
            seconds = _INIT_SECONDS if doing.run_seconds is None else doing.run_seconds
            self._start(run, Behaviour(seconds, doing.exit_code))
            yield seconds
            self._finish(run, doing.exit_code, doing.start_error)
            run.ready = doing.exit_code == 0
            if run.ready:
                self.pod.phase = "Pending"
                return
            if self.pod.restart_policy == "Never":
                self.pod.phase = "Failed"
                return
            yield from self._back_off(run)

    def _start(self, run: ContainerRun, doing: Behaviour) -> None:
        now = self.clock.now()
        run.state, run.reason, run.message = "running", "", ""
        run.started, run.finished, run.world_started = wall_text(now.wall), "", now.world
        if self.pod.is_initialized:
            self.pod.phase = "Running"
        if doing.run_seconds is not None:
            self.pod.wants_checkpoint = True
        created, started = self._start_texts(run.spec.name)
        self._tell("Normal", "Created", created, run)
        self._tell("Normal", "Started", started, run)

    def _finish(self, run: ContainerRun, exit_code: int, start_error: str = "") -> None:
        run.state, run.exit_code, run.ready = "terminated", exit_code, False
        run.reason = "Completed" if exit_code == 0 else "Error"
        if start_error:
            run.reason, run.message = "StartError", start_error
            self._tell("Warning", "Failed", f"Error: {start_error}", run)
        run.finished, run.world_started = self._now(), None
        self._settle()

    def _settle(self) -> None:
        """The pod ends when all its containers have, and none is restarted."""
        pod = self.pod
        if not pod.is_initialized or any(c.state != "terminated" for c in pod.containers):
            return
        if any(self._restarts(c) for c in pod.containers) and not pod.is_deleting:
            return
        failed = any(c.exit_code for c in pod.containers)
        pod.phase = "Failed" if failed else "Succeeded"
        for run in pod.inits:
            if run.spec.is_sidecar and run.state == "running":
                run.state, run.reason, run.finished = "terminated", "Completed", self._now()

    def _restarts(self, run: ContainerRun) -> bool:
        policy = self.pod.restart_policy
        return policy == "Always" or (policy == "OnFailure" and run.exit_code != 0)

    def _back_off(self, run: ContainerRun) -> Iterator[float]:
        """The first restart is at once; then 10 s, doubled up to five minutes."""
        ended = run.wire_state()
        delay = 0.5
        if run.restarts:
            delay = min(_BACK_OFF_FIRST * 2 ** (run.restarts - 1), _BACK_OFF_MAX)
        run.last, run.restarts = ended, run.restarts + 1
        if delay >= _BACK_OFF_FIRST:
            where = f"{self.pod.name}_{self.pod.namespace}({self.pod.uid})"
            what = f"restarting failed container={run.spec.name} pod={where}"
            run.state, run.reason = "waiting", "CrashLoopBackOff"
            run.message = f"back-off {_duration(delay)} {what}"
            text = f"Back-off restarting failed container {run.spec.name} in pod {where}"
            self._tell("Warning", "BackOff", text, run)
        yield delay

    # ------------------------------------------------------------------ words

    def _is_new_wording(self) -> bool:
        minor = self.node.machine.bootstrap.kubernetes_version.removeprefix("v").split(".")[1]
        return int(minor) >= 35

    def _present_text(self, name: str) -> str:
        tail = " and can be accessed by the pod" if self._is_new_wording() else ""
        return f'Container image "{name}" already present on machine{tail}'

    def _start_texts(self, name: str) -> tuple[str, str]:
        if self._is_new_wording():
            return "Container created", "Container started"
        return f"Created container: {name}", f"Started container {name}"

    def _tell(self, kind: str, reason: str, message: str, run: ContainerRun | None) -> None:
        if self.settings.pod_events and not self.pod.is_quiet:
            key = "initContainers" if run in self.pod.inits else "containers"
            path = f"spec.{key}{{{run.spec.name}}}" if run is not None else ""
            self.pod.events.append((kind, reason, message, path))

    def _now(self) -> str:
        return wall_text(self.clock.now().wall)

    def _about(self, seconds: float) -> float:
        spread = self.rng.uniform(0.85, 1.15) if self.settings.jitter else 1.0
        return round(seconds * spread * self.settings.delay_factor, 3)


def _duration(seconds: float) -> str:
    """As Go prints it: ``40s``, ``2m40s``, ``5m0s``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _free_address(node: NodeState) -> int:
    for address in range(2, 255):
        if address not in node.addresses:
            node.addresses.add(address)
            return address
    return 254


def hold(pod: PodRun, node: NodeState) -> None:
    """The pod takes what it requests, GPUs by the lowest free number."""
    if pod.holds:
        return
    pod.holds = True
    gpus = node.gpu_offer
    held: list[int] = []
    for name, amount in pod.requests.items():
        node.used[name] = node.used.get(name, 0) + amount
        if name in gpus and amount:
            free = (n for n in range(gpus[name]) if n not in node.devices)
            for number in list(itertools.islice(free, amount)):
                node.devices[number] = pod.uid
                held.append(number)
    pod.devices = tuple(held)


def let_go(pod: PodRun, node: NodeState) -> None:
    """The pod gives back what it held, but keeps its address until it is deleted."""
    if not pod.holds:
        return
    pod.holds = False
    for name, amount in pod.requests.items():
        node.used[name] = node.used.get(name, 0) - amount
    for number in [n for n, uid in node.devices.items() if uid == pod.uid]:
        del node.devices[number]
