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
from poolwright.providers.simulated.mount import RETRY_FIRST, RETRY_MAX
from poolwright.providers.simulated.node_admission import refusal
from poolwright.providers.simulated.node_object import NodeState
from poolwright.providers.simulated.pod_run import ContainerRun, PodRun, Step
from poolwright.providers.simulated.settings import SimulatedCloudSettings
from poolwright.providers.simulated.shell import Container, course
from poolwright.providers.simulated.variable import Unfilled, Variable, fill
from poolwright.providers.simulated.workload import (
    LONGEST,
    TERMINATION_SECONDS,
    Behaviour,
    behaviour,
    declared_number,
)

_BACK_OFF_FIRST = 10.0  # Source: kubelet, initial and maximal back-off of restarts and pulls
_BACK_OFF_MAX = 300.0
_SANDBOX_SECONDS = 0.6  # assumed: network and sandbox
_START_SECONDS = 0.3  # assumed: create and start a container
_INIT_SECONDS = 1.0  # assumed: an init container that says nothing about itself
_KILLED = 137  # by SIGKILL, when the grace is over
_STOPPED = 143  # by SIGTERM, before its task was done
_TERMINATION_SECONDS = 1.2  # assumed: a process that ends when asked to
_GRACE_LEAST = 2.0  # Source: kubelet, minimumGracePeriodInSeconds
_LONG_RUN = 2 * _BACK_OFF_MAX  # Source: client-go util/flowcontrol, hasExpired
_READ_SECONDS = 0.1  # assumed: to read a config map
_CONFIG_RETRY = 10.0  # Source: kubelet, backOffPeriod


@dataclass(frozen=True, slots=True)
class PodLife:
    """Makes the steps of one pod. ``begin`` starts a further step of it under a name."""

    pod: PodRun
    node: NodeState
    clock: Clock
    rng: random.Random
    settings: SimulatedCloudSettings
    begin: Callable[[PodRun, str, Step], None]
    ask: Callable[[PodRun, str], None]
    """Reads what the variables of the container of that name come from: `ContainerRun.held` is the
    answer; without a name what the pod's volumes are made of: `PodRun.keys`.
    """

    def whole(self) -> Iterator[float]:
        """From being bound to all containers started."""
        pod = self.pod
        pod.is_begun, pod.started = True, pod.started or self._now()
        pod.begun_at = pod.begun_at or self.clock.now().world
        refused = refusal(pod, self.node)
        if refused is not None:
            self._reject(*refused)
            return
        hold(pod, self.node)
        if pod.volumes:
            yield from self._mount()
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
            if run.spec.sources:
                yield from self._supply(run, is_running=is_running)
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

    def renewed(self, run: ContainerRun) -> Iterator[float]:
        """A container whose definition changed: the old one ends, the new one begins."""
        if run.state != "running":
            run.restarts, run.has_image = run.restarts + 1, False
            yield from self._again(run)
            return
        words = f"Container {run.spec.name} definition changed, will be restarted"
        self._tell("Normal", "Killing", words, run)
        seconds, code = self._end(run)
        yield seconds
        run.ready = False  # not before: until it has ended, a probe finds it
        run.state, run.exit_code, run.finished = "terminated", code, self._now()
        run.reason = "Error" if code else "Completed"
        run.last, run.world_started = run.wire_state(self.pod.uid), None
        run.restarts, run.setbacks, run.has_image = run.restarts + 1, 0, False
        yield from self._again(run)

    def _left(self, run: ContainerRun, seconds: float) -> float:
        assert run.world_started is not None
        passed = self.clock.now().world.since(run.world_started).total_seconds()
        return max(0.0, seconds - passed)

    def behaviour(self, run: ContainerRun) -> Behaviour:
        """What the container does."""
        return behaviour(
            run.spec.image,
            (*run.spec.command, *run.spec.args),
            self.pod.annotations,
            self._inside(run),
            ends=self.pod.restart_policy != "Always",
            default_seconds=self.settings.default_run_seconds,
        )

    def _inside(self, run: ContainerRun) -> Container:
        try:
            own = fill(run.spec.variables, self.pod.namespace, run.held or {}, self._of_pod)
        except Unfilled:
            own = {}
        return Surface(self.pod, self.node, self.clock.now()).container(own)

    def _of_pod(self, variable: Variable) -> str:
        """What a field of the pod is, as far as what happens in it may depend on that."""
        pod = self.pod
        known = {
            "metadata.name": pod.name,
            "metadata.namespace": pod.namespace,
            "metadata.uid": pod.uid,
            "spec.nodeName": pod.node,
            "status.podIP": pod.ip,
            "status.hostIP": self.node.machine.private_ip,
        }
        return known.get(variable.field) or pod.named.get(variable.field, "")

    # ------------------------------------------------------------------ the end

    def termination(self) -> Iterator[float]:
        """From being asked to end to having ended: all containers at once, each in its time, but
        sidecars after the others.
        """
        pod = self.pod
        running = [run for run in (*pod.inits, *pod.containers) if run.state == "running"]
        for run in running:
            self._tell("Normal", "Killing", f"Stopping container {run.spec.name}", run)
        ends = [(*self._end(run), run) for run in running]
        latest = max((at for at, _, run in ends if not run.spec.is_sidecar), default=0.0)
        ends = [(max(at, latest * run.spec.is_sidecar), code, run) for at, code, run in ends]
        waited = 0.0
        if not ends:
            yield min(pod.grace_seconds, _TERMINATION_SECONDS)
        for at, code, run in sorted(ends, key=lambda end: end[0]):
            if at > waited and not pod.is_finished:
                yield at - waited
                waited = at
            if run.state == "running":
                self._finish(run, code)
        if not pod.is_finished:
            pod.phase = "Failed"  # it ends before it began
        pod.lose_rest()
        pod.is_doomed = True

    def _end(self, run: ContainerRun) -> tuple[float, int]:
        """After how many world seconds a container that shall end has ended, and its exit code.

        Source: k8s.io/kubernetes pkg/kubelet/kuberuntime, killContainer.
        """
        grace = self.pod.grace_seconds
        hook = min(grace, self._hook_seconds(run)) if run.spec.stop_hook else 0.0
        patience = max(grace - hook, _GRACE_LEAST)
        asked = declared_number(self.pod.annotations.get(TERMINATION_SECONDS))
        wanted = _TERMINATION_SECONDS if asked is None else asked
        code = 0 if self.pod.restart_policy == "Always" else _STOPPED
        doing = self.behaviour(run)
        if asked is None and doing.on_term is not None:  # its script says what it does then
            seconds, code = doing.on_term.seconds, doing.on_term.exit_code
            wanted = LONGEST if seconds is None else seconds
        at = hook + min(patience, wanted)
        if doing.run_seconds is not None:
            left = self._left(run, doing.run_seconds)
            if left <= at:  # it ends by itself before
                return left, doing.exit_code
        if wanted > patience:
            return at, _KILLED
        return at, code

    def _hook_seconds(self, run: ContainerRun) -> float:
        """How long what comes before a container's end takes. A program that nobody knows is
        done at once, as it should be.
        """
        hook = run.spec.stop_hook
        if hook is None or not hook.command:
            return hook.seconds if hook else 0.0
        found = course(self._inside(run), hook.command)
        if found.is_known and found.exit_code:
            self._tell("Warning", "FailedPreStopHook", "PreStopHook failed", run)
        return LONGEST if found.seconds is None else found.seconds

    def expiry(self) -> Iterator[float]:
        """Until the pod has been active for as long as it may."""
        pod = self.pod
        if pod.deadline is None:
            return
        pod.wants_checkpoint = True
        now = self.clock.now().world
        passed = now.since(pod.begun_at or now).total_seconds()
        yield max(0.0, pod.deadline - passed)
        words = "Pod was active on the node longer than the specified deadline"
        for run in (*pod.inits, *pod.containers):
            if run.state == "running":
                self._finish(run, _KILLED)
        pod.phase, pod.reason, pod.message = "Failed", "DeadlineExceeded", words
        self._tell("Normal", "DeadlineExceeded", words, None)

    # ------------------------------------------------------------------ admission

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

    # ------------------------------------------------------------------ volumes

    def _mount(self) -> Iterator[float]:
        """Try to mount the pod's volumes, until all are there."""
        pod, delay = self.pod, RETRY_FIRST
        told: list[str] = []
        while True:
            pod.keys = None
            self.ask(pod, "")
            yield _READ_SECONDS
            while (keys := pod.keys) is None:
                yield _READ_SECONDS
            pod.keys = None
            troubles = [words for volume in pod.volumes if (words := volume.trouble(keys))]
            pod.is_unmounted = bool(troubles)
            if not troubles:
                return
            if self.settings.pod_events:  # of every pod: without it nobody sees what it waits for
                new = (words for words in troubles if words not in told)
                pod.events += [("Warning", "FailedMount", words, "") for words in new]
            told = troubles
            yield delay
            delay = min(delay * 2, RETRY_MAX)

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
            name, known = run.spec.image, image(run.spec.image)  # it may be another by now
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

    def _supply(self, run: ContainerRun, *, is_running: bool) -> Iterator[float]:
        """Read what a container's variables come from, until they have their values."""
        told = ""
        while True:
            run.held = None
            self.ask(self.pod, run.spec.name)
            yield _READ_SECONDS
            while (held := run.held) is None:
                yield _READ_SECONDS
            try:
                fill(run.spec.variables, self.pod.namespace, held, self._of_pod)
            except Unfilled as error:
                if is_running:
                    return
                words = str(error)
            else:
                return
            run.state, run.reason, run.message = "waiting", "CreateContainerConfigError", words
            if words != told:
                self._tell("Warning", "Failed", f"Error: {words}", run)
                told = words
            yield _CONFIG_RETRY

    def _initialise(self, run: ContainerRun) -> Iterator[float]:
        yield from self._pull(run)
        yield self._about(_START_SECONDS)
        if run.spec.is_sidecar:
            self._start(run, Behaviour())
            run.ready = True
            return
        while True:
            if run.spec.sources:
                yield from self._supply(run, is_running=False)
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
        run.files = None
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
        now = self.clock.now()
        began = run.world_started or now.world
        if now.world.since(began).total_seconds() > _LONG_RUN:
            run.setbacks = 0
        run.finished, run.world_started = wall_text(now.wall), None
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
        delay = 0.5
        if run.setbacks:
            delay = min(_BACK_OFF_FIRST * 2 ** (run.setbacks - 1), _BACK_OFF_MAX)
        run.last, run.setbacks = run.wire_state(self.pod.uid), run.setbacks + 1
        if delay >= _BACK_OFF_FIRST:
            where = f"{self.pod.name}_{self.pod.namespace}({self.pod.uid})"
            what = f"restarting failed container={run.spec.name} pod={where}"
            run.state, run.reason = "waiting", "CrashLoopBackOff"
            run.message = f"back-off {_duration(delay)} {what}"
            text = f"Back-off restarting failed container {run.spec.name} in pod {where}"
            self._tell("Warning", "BackOff", text, run)
        yield delay
        run.restarts += 1

    # ------------------------------------------------------------------ words

    def _is_new_wording(self) -> bool:
        return self.node.minor_version >= 35

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
    for port in pod.ports:
        node.ports[port] = pod.uid


def let_go(pod: PodRun, node: NodeState) -> None:
    """The pod gives back what it held, but keeps its address until it is deleted."""
    if not pod.holds:
        return
    pod.holds = False
    for name, amount in pod.requests.items():
        node.used[name] = node.used.get(name, 0) - amount
    for number in [n for n, uid in node.devices.items() if uid == pod.uid]:
        del node.devices[number]
    for port in pod.ports:
        if node.ports.get(port) == pod.uid:
            del node.ports[port]
