"""Pods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import NONE, age, age_of
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.kinds.pod_default import default_host_ports, default_pod_spec
from poolwright.kubesim.kinds.pod_resource import OF_PODS, aggregate_requests
from poolwright.kubesim.kinds.pod_spec import check_new_pod, check_pod_spec
from poolwright.kubesim.kinds.warning import of_pod
from poolwright.kubesim.status import Cause, forbidden, invalid
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children

_OUTAGES = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
OUTAGE_SECONDS = 300  # admission plugin DefaultTolerationSeconds
_GRACE_SECONDS = 30

_UPDATE_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only"
    " additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set"
    " to 1 if it was previously negative)"
)


def _grace(body: Mapping[str, Any], asked: int | None) -> int:
    spec = child(body, "spec")
    if not spec.get("nodeName") or child(body, "status").get("phase") in {"Succeeded", "Failed"}:
        return 0
    if asked is not None:
        return asked
    given = spec.get("terminationGracePeriodSeconds")
    return _GRACE_SECONDS if given is None else int(given)


def _default(body: Body) -> None:
    spec = body.setdefault("spec", {})
    default_pod_spec(spec)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1  # pkg/apis/core/v1/conversion.go
    spec.setdefault("enableServiceLinks", True)
    default_host_ports(spec)
    for member in ("containers", "initContainers"):
        for container in spec.get(member) or ():
            _request_limits(container["resources"])
    _request_of_pod(spec)


def _request_of_pod(spec: Body) -> None:
    """A pod with limits of its own asks for what its containers do together, or for those."""
    resources: Body = spec.get("resources") or {}
    limits = {n: text for n, text in child(resources, "limits").items() if n.startswith(OF_PODS)}
    if not limits:
        return
    together = aggregate_requests(spec)
    wanted = {name: together.get(name, text) for name, text in limits.items()}
    resources["requests"] = {**wanted, **child(resources, "requests")}


def _request_limits(resources: Body) -> None:
    """Ask for what is allowed at most, where nothing is asked for; a template does not."""
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _tolerates(toleration: Json, key: str) -> bool:
    return toleration.get("key") in {None, "", key} and toleration.get("effect") in {
        None,
        "",
        "NoExecute",
    }


def quality_of_service(spec: Json) -> str:
    """The pod's quality of service.

    Source: k8s.io/kubernetes pkg/apis/core/v1/helper/qos.
    """
    any_given, guaranteed = False, True
    for container in [*children(spec, "containers"), *children(spec, "initContainers")]:
        limits = child(container, "resources", "limits")
        requests = child(container, "resources", "requests")
        for name in ("cpu", "memory"):
            any_given = any_given or name in limits or name in requests
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    if not any_given:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    spec = body["spec"]
    _tolerate_outages(spec)  # on updates too: DefaultTolerationSeconds is asked for both
    if old is not None:
        return
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"] = "default"
    body["status"] = {"phase": "Pending", "qosClass": quality_of_service(spec)}


def _tolerate_outages(spec: Body) -> None:
    tolerations: list[Json] = list(spec.get("tolerations") or ())
    for key in _OUTAGES:
        if not any(_tolerates(toleration, key) for toleration in tolerations):
            tolerations.append(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": OUTAGE_SECONDS,
                }
            )
    spec["tolerations"] = tolerations


_CHANGEABLE = (
    "activeDeadlineSeconds", "schedulingGates", "terminationGracePeriodSeconds", "tolerations",
)  # fmt: skip


def _frozen(spec: Mapping[str, Any], *, gated: bool) -> dict[str, Any]:
    """A spec without what an update may change; while a pod waits, its nodes may be narrowed."""
    kept = dict(spec)
    for member in (*_CHANGEABLE, *(("nodeSelector",) if gated else ())):
        kept.pop(member, None)
    for member in ("containers", "initContainers"):
        kept[member] = [
            {n: v for n, v in container.items() if n != "image"}
            for container in children(spec, member)
        ]
    return kept


def _loosened(spec: Json, before: Json) -> Iterator[Cause]:
    """What only goes in one direction: gates are lifted, a gated pod's selector grows.

    Source: validateOnlyDeletedSchedulingGates and validateNodeSelectorMutation in
    k8s.io/kubernetes pkg/apis/core/validation/validation.go.
    """
    gates = {gate.get("name") for gate in children(before, "schedulingGates")}
    for position, gate in enumerate(children(spec, "schedulingGates")):
        if gate.get("name") not in gates:
            why = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            yield forbidden(f"spec.schedulingGates[{position}].name", why)
    chosen = child(spec, "nodeSelector")
    if gates and any(
        chosen.get(key) != value for key, value in child(before, "nodeSelector").items()
    ):
        why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield invalid("spec.nodeSelector", dict(chosen), why)


def _validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    spec = child(new, "spec")
    if old is None:
        return list(check_new_pod(spec))
    before = child(old, "spec")
    if spec == before:
        return ()
    causes = list(check_pod_spec(spec, "spec"))
    kept = list(before.get("tolerations") or ())
    tolerations = list(spec.get("tolerations") or ())
    causes.extend(_loosened(spec, before))
    gated = bool(before.get("schedulingGates"))
    if _frozen(spec, gated=gated) != _frozen(before, gated=gated):
        causes.append(forbidden("spec", _UPDATE_TEXT))
    elif any(toleration not in tolerations for toleration in kept):
        causes.append(
            forbidden(
                "spec.tolerations",
                "existing toleration can not be modified except its tolerationSeconds",
            )
        )
    return causes


def _text(*path: str) -> Callable[[Mapping[str, Any]], str]:
    def read(body: Mapping[str, Any]) -> str:
        return str(child(body, *path[:-1]).get(path[-1]) or "")

    return read


# The table. Source: printPod in pkg/printers/internalversion/printers.go.


class _Summary:
    """What the columns READY, STATUS and RESTARTS are counted from."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        state = child(body, "status")
        self.reason = str(state.get("reason") or state.get("phase") or "")
        self.restarts = 0
        self.last_restart = ""
        self.ready = 0
        self.looked_at = 0
        self.sidecars = {
            container.get("name")
            for container in children(body, "spec", "initContainers")
            if container.get("restartPolicy") == "Always"
        }
        if any(
            c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated"
            for c in children(body, "status", "conditions")
        ):
            self.reason = "SchedulingGated"
        if not self._initializing() or self._condition("Initialized"):
            self.restarts, self.last_restart = 0, ""
            for container in children(body, "status", "initContainerStatuses")[: self.looked_at]:
                if container.get("name") in self.sidecars:
                    self._count(container)
            self._containers()
        self._deletion()

    def _condition(self, kind: str) -> bool:
        return any(
            c.get("type") == kind and c.get("status") == "True"
            for c in children(self.body, "status", "conditions")
        )

    def _count(self, container: Json) -> None:
        self.restarts += int(container.get("restartCount") or 0)
        finished = str(child(container, "lastState", "terminated").get("finishedAt") or "")
        self.last_restart = max(self.last_restart, finished)

    def _initializing(self) -> bool:
        total = len(children(self.body, "spec", "initContainers"))
        for position, container in enumerate(
            children(self.body, "status", "initContainerStatuses")
        ):
            self._count(container)
            self.looked_at = position + 1
            state = child(container, "state")
            ended, waiting = child(state, "terminated"), child(state, "waiting")
            if "terminated" in state and not ended.get("exitCode"):
                continue
            if container.get("name") in self.sidecars and container.get("started"):
                self.ready += bool(container.get("ready"))
                continue
            if "terminated" in state:
                self.reason = f"Init:{_ended(ended)}"
            elif waiting.get("reason") not in {None, "", "PodInitializing"}:
                self.reason = f"Init:{waiting['reason']}"
            else:
                self.reason = f"Init:{position}/{total}"
            return True
        return False

    def _containers(self) -> None:
        has_running, error = False, ""
        for container in reversed(children(self.body, "status", "containerStatuses")):
            self._count(container)
            state = child(container, "state")
            ended, waiting = child(state, "terminated"), child(state, "waiting")
            if waiting.get("reason"):
                self.reason = str(waiting["reason"])
            elif "terminated" in state:
                self.reason = _ended(ended)
                if ended.get("exitCode"):
                    error = self.reason
            elif container.get("ready") and "running" in state:
                has_running = True
                self.ready += 1
        if self.reason == "Completed":
            if has_running and self._condition("Ready"):
                self.reason = "Running"
            elif error:
                self.reason = error
            elif has_running:
                self.reason = "NotReady"

    def _deletion(self) -> None:
        if "deletionTimestamp" not in self.body["metadata"]:
            return
        state = child(self.body, "status")
        if state.get("reason") == "NodeLost":
            self.reason = "Unknown"
        elif state.get("phase") not in {"Succeeded", "Failed"}:
            self.reason = "Terminating"


def _ended(terminated: Json) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _gates(body: Mapping[str, Any]) -> str:
    gates = children(body, "spec", "readinessGates")
    if not gates:
        return NONE
    met = {
        c.get("type") for c in children(body, "status", "conditions") if c.get("status") == "True"
    }
    return f"{sum(gate.get('conditionType') in met for gate in gates)}/{len(gates)}"


def _row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    summary = _Summary(body)
    spec, state = child(body, "spec"), child(body, "status")
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts += f" ({age(summary.last_restart, now)} ago)"
    ips = children(body, "status", "podIPs")
    return (
        f"{summary.ready}/{len(children(body, 'spec', 'containers')) + len(summary.sidecars)}",
        summary.reason,
        restarts,
        age_of(body, now),
        (ips[0].get("ip") if ips else state.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        state.get("nominatedNodeName") or NONE,
        _gates(body),
    )


POD = ObjectKind(
    names.PODS,
    "pod",
    ("po",),
    ("all",),
    ("attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"),
    columns=(
        Column(
            "Ready",
            description="The aggregate readiness state of this pod for accepting traffic.",
        ),
        Column("Status", description="The aggregate status of the containers in this pod."),
        Column(
            "Restarts",
            description="The number of times the containers in this pod have been restarted and"
            " when the last container in this pod has restarted.",
        ),
        Column("Age"),
        Column("IP", priority=1),
        Column("Node", priority=1),
        Column("Nominated Node", priority=1),
        Column("Readiness Gates", priority=1),
    ),
    row=_row,
    default=_default,
    prepare=_prepare,
    validate=_validate,
    fields={
        "spec.nodeName": _text("spec", "nodeName"),
        "spec.restartPolicy": _text("spec", "restartPolicy"),
        "spec.schedulerName": _text("spec", "schedulerName"),
        "spec.serviceAccountName": _text("spec", "serviceAccountName"),
        "spec.hostNetwork": lambda body: str(bool(child(body, "spec").get("hostNetwork"))).lower(),
        "status.phase": _text("status", "phase"),
        "status.podIP": _text("status", "podIP"),
        "status.nominatedNodeName": _text("status", "nominatedNodeName"),
    },
    indexed=("spec.nodeName",),
    grace=_grace,
    warn=of_pod,
    has_generation=True,
    looks=2,
)
