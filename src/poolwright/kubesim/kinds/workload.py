"""Workloads: deployments, daemon sets, replica sets, jobs, and budgets.

Source of defaults and rules: k8s.io/kubernetes pkg/apis/{apps,batch,policy}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import (
    age_of,
    human_duration,
    instant,
    labels_text,
    names_and_images,
    number,
    selector_text,
)
from poolwright.kubesim.kinds.declare import values
from poolwright.kubesim.kinds.job_update import check_job_update
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.kinds.pod_placement import check_label_selector
from poolwright.kubesim.kinds.pod_spec import check_pod_spec, default_pod_spec
from poolwright.kubesim.kinds.warning import of_workload
from poolwright.kubesim.rules import check_labels, dns_label
from poolwright.kubesim.status import Cause, forbidden, invalid, not_supported, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children

_AGE = Column("Age")


def template_columns(*, selector: bool = True) -> tuple[Column, ...]:
    """The wide columns of what has a pod template."""
    found = (
        Column("Containers", priority=1, description="Names of each container in the template."),
        Column(
            "Images", priority=1, description="Images referenced by each container in the template."
        ),
    )
    return (*found, Column("Selector", priority=1)) if selector else found


_WIDE = template_columns()


def default_template_of(holder: Body) -> None:
    """Fill the pod template of a spec (or of whatever holds one)."""
    template = holder.setdefault("template", {})
    metadata = template.setdefault("metadata", {})
    metadata.setdefault("creationTimestamp", None)
    if metadata["creationTimestamp"] is None:
        del metadata["creationTimestamp"]
    default_pod_spec(template.setdefault("spec", {}))


def default_template(body: Body) -> None:
    """Fill the pod template of a workload."""
    default_template_of(body["spec"])


def _fresh_status(body: Body, old: Mapping[str, Any] | None) -> None:
    if old is None:
        body["status"] = {}


def check_selector(
    new: Mapping[str, Any], old: Mapping[str, Any] | None, *, frozen: bool = True
) -> Iterator[Cause]:
    """Rules of a selector and the template that it must match."""
    selector: Any = child(new, "spec").get("selector")
    labels: Any = child(new, "spec", "template", "metadata").get("labels")
    given = child(new, "spec", "template", "metadata", "labels")
    wanted = child(new, "spec", "selector", "matchLabels")
    problems = list(check_label_selector(child(new, "spec", "selector"), "spec.selector"))
    mismatch = invalid(
        "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
    )
    is_daemon_set = new["kind"] == "DaemonSet"
    if selector is None:
        if not is_daemon_set:
            yield required("spec.selector")
        yield mismatch
    elif not wanted and not children(new, "spec", "selector", "matchExpressions"):
        word = "deployment" if new["kind"] == "ReplicaSet" else str(new["kind"]).lower()
        yield invalid("spec.selector", {}, f"empty selector is invalid for {word}")
    elif problems:
        yield from problems
        if not is_daemon_set:
            why = "" if new["kind"] == "StatefulSet" else "invalid label selector"
            yield invalid("spec.selector", selector, why)
    elif any(given.get(key) != value for key, value in wanted.items()):
        yield mismatch
    if frozen and old is not None and child(old, "spec").get("selector") != selector:
        shown = dict(child(new, "spec", "selector"))
        if wanted:
            shown["matchLabels"] = dict(sorted(wanted.items()))
        yield invalid("spec.selector", shown, "field is immutable")


def check_template(new: Mapping[str, Any], *, always: bool = True) -> Iterator[Cause]:
    """Broken rules of a workload's pod template."""
    spec = child(new, "spec", "template", "spec")
    yield from check_labels(
        child(new, "spec", "template", "metadata").get("labels"), "spec.template.labels"
    )
    yield from check_pod_spec(spec, "spec.template.spec")
    if always and spec.get("restartPolicy") in {"Never", "OnFailure"}:
        yield not_supported("spec.template.spec.restartPolicy", spec["restartPolicy"], ("Always",))


def _not_negative(new: Mapping[str, Any], *members: str) -> Iterator[Cause]:
    for member in members:
        value = child(new, "spec").get(member)
        if isinstance(value, int) and value < 0:
            yield invalid(f"spec.{member}", value, "must be greater than or equal to 0")


def _wide(body: Mapping[str, Any]) -> tuple[str, str, str]:
    return (*names_and_images(body), selector_text(child(body, "spec").get("selector")))


# Deployment


def _deployment_default(body: Body) -> None:
    spec = body.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    default_template_of(spec)


def _workload_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    return [
        *_not_negative(new, "replicas", "minReadySeconds", "revisionHistoryLimit"),
        *check_selector(new, old),
        *check_template(new),
    ]


_PERCENT = re.compile(r"[0-9]+%")
_PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or"
    " '93%', regex used for validation is '[0-9]+%')"
)


def check_amount_or_percent(body: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Broken rules of an int-or-percent."""
    for where, value in values(body, path):
        if isinstance(value, int) and value < 0:
            yield invalid(where, value, "must be greater than or equal to 0")
        elif isinstance(value, str) and not _PERCENT.fullmatch(value):
            yield invalid(where, value, _PERCENT_TEXT)


def _count(amount: Any) -> int:
    """The number in an int-or-percent; 0 if there is none (getIntOrPercentValue)."""
    if isinstance(amount, str):
        return int(amount[:-1]) if _PERCENT.fullmatch(amount) else 0
    return int(amount or 0)


def _strategy_in_go(strategy: Mapping[str, Any]) -> Mapping[str, Any]:
    """A strategy as Go prints its own type."""
    rolling = strategy.get("rollingUpdate")
    shown = None if rolling is None else {
        "MaxUnavailable": rolling.get("maxUnavailable") or 0,
        "MaxSurge": rolling.get("maxSurge") or 0,
    }  # fmt: skip
    return {"Type": strategy.get("type") or "", "RollingUpdate": shown}


def _check_strategy(new: Mapping[str, Any]) -> Iterator[Cause]:
    """Rules of how a deployment replaces its pods (ValidateDeploymentStrategy)."""
    strategy = child(new, "spec", "strategy")
    path = "spec.strategy.rollingUpdate"
    rolling: Any = strategy.get("rollingUpdate")
    match strategy.get("type"):
        case "Recreate":
            if rolling is not None:
                yield forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
        case "RollingUpdate":
            unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
            yield from check_amount_or_percent(new, f"{path}.maxUnavailable")
            yield from check_amount_or_percent(new, f"{path}.maxSurge")
            if not _count(unavailable) and not _count(surge):
                why = "may not be 0 when `maxSurge` is 0"
                yield invalid(f"{path}.maxUnavailable", unavailable, why)
        case _:
            allowed = ("Recreate", "RollingUpdate")
            yield not_supported("spec.strategy", _strategy_in_go(strategy), allowed)


def _deployment_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    causes = [*_workload_validate(new, old), *_check_strategy(new)]
    spec = child(new, "spec")
    deadline = spec.get("progressDeadlineSeconds")
    if isinstance(deadline, int):
        where = "spec.progressDeadlineSeconds"
        if deadline < 0:
            causes.append(invalid(where, deadline, "must be greater than or equal to 0"))
        if deadline <= int(spec.get("minReadySeconds") or 0):
            causes.append(invalid(where, deadline, "must be greater than minReadySeconds"))
    return causes


def _daemon_set_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    return [*_workload_validate(new, old), *_check_daemon_set_strategy(new)]


def _check_daemon_set_strategy(new: Mapping[str, Any]) -> Iterator[Cause]:
    """Rules of how a daemon set replaces its pods (ValidateDaemonSetUpdateStrategy)."""
    strategy = child(new, "spec", "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return
    if strategy.get("type") != "RollingUpdate":
        allowed = ("RollingUpdate", "OnDelete")
        yield not_supported("spec.updateStrategy", _strategy_in_go(strategy), allowed)
        return
    path = "spec.updateStrategy.rollingUpdate"
    for member in ("maxUnavailable", "maxSurge"):
        yield from check_amount_or_percent(new, f"{path}.{member}")
    rolling = child(strategy, "rollingUpdate")
    unavailable, surge = _count(rolling.get("maxUnavailable")), _count(rolling.get("maxSurge"))
    if unavailable and surge:
        why = "may not be set when maxUnavailable is non-zero"
        yield invalid(f"{path}.maxSurge", rolling.get("maxSurge"), why)
    elif not unavailable and not surge:
        yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _deployment_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    return (
        f"{number(body, 'status', 'readyReplicas')}/{number(body, 'spec', 'replicas')}",
        str(number(body, "status", "updatedReplicas")),
        str(number(body, "status", "availableReplicas")),
        age_of(body, now),
        *_wide(body),
    )


DEPLOYMENT = ObjectKind(
    names.DEPLOYMENTS,
    "deployment",
    ("deploy",),
    ("all",),
    ("scale", "status"),
    columns=(
        Column("Ready", description="Number of the pod with ready state"),
        Column("Up-to-date"),
        Column("Available"),
        _AGE,
        *_WIDE,
    ),
    row=_deployment_row,
    default=_deployment_default,
    prepare=_fresh_status,
    validate=_deployment_validate,
    warn=of_workload,
    has_generation=True,
)


# ReplicaSet


def _replica_set_default(body: Body) -> None:
    spec = body.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    default_template_of(spec)


def _replica_set_prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    if old is None:
        body["status"] = {"replicas": 0}


def _replica_set_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    return (
        number(body, "spec", "replicas"),
        number(body, "status", "replicas"),
        number(body, "status", "readyReplicas"),
        age_of(body, now),
        *_wide(body),
    )


REPLICA_SET = ObjectKind(
    names.REPLICA_SETS,
    "replicaset",
    ("rs",),
    ("all",),
    ("scale", "status"),
    columns=(
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        _AGE,
        *_WIDE,
    ),
    row=_replica_set_row,
    default=_replica_set_default,
    prepare=_replica_set_prepare,
    validate=_workload_validate,
    warn=of_workload,
    has_generation=True,
)


# DaemonSet

_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def _daemon_set_default(body: Body) -> None:
    spec = body.setdefault("spec", {})
    strategy = spec.setdefault("updateStrategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    default_template_of(spec)


def _daemon_set_prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    annotations = body["metadata"].setdefault("annotations", {})
    if old is None:
        annotations[_TEMPLATE_GENERATION] = "1"
        body["status"] = {
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        }
        return
    before = int(child(old, "metadata", "annotations").get(_TEMPLATE_GENERATION) or 1)
    changed = child(old, "spec").get("template") != child(body, "spec").get("template")
    annotations[_TEMPLATE_GENERATION] = str(before + changed)


def _daemon_set_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    counts = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return (
        *(number(body, "status", name) for name in counts),
        labels_text(child(body, "spec", "template", "spec", "nodeSelector")),
        age_of(body, now),
        *_wide(body),
    )


DAEMON_SET = ObjectKind(
    names.DAEMON_SETS,
    "daemonset",
    ("ds",),
    ("all",),
    ("status",),
    columns=(
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        Column("Up-to-date", "integer"),
        Column("Available", "integer"),
        Column("Node Selector"),
        _AGE,
        *_WIDE,
    ),
    row=_daemon_set_row,
    default=_daemon_set_default,
    prepare=_daemon_set_prepare,
    validate=_daemon_set_validate,
    has_generation=True,
)


# Job

_JOB_LABELS = (
    ("batch.kubernetes.io/controller-uid", "uid"),
    ("batch.kubernetes.io/job-name", "name"),
    ("controller-uid", "uid"),
    ("job-name", "name"),
)


_BACKOFF_LIMIT = 6
_NO_LIMIT = 2**31 - 1


def _job_default(body: Body) -> None:
    spec = body.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    is_by_index = spec.get("backoffLimitPerIndex") is not None
    spec.setdefault("backoffLimit", _NO_LIMIT if is_by_index else _BACKOFF_LIMIT)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    has_policy = spec.get("podFailurePolicy") is not None
    spec.setdefault("podReplacementPolicy", "Failed" if has_policy else "TerminatingOrFailed")
    default_template_of(spec)


def _job_prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    if old is not None:
        return
    body["status"] = {}
    spec, metadata = body["spec"], body["metadata"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for label, member in _JOB_LABELS:
        labels[label] = metadata[member]
    label = _JOB_LABELS[0][0]
    spec["selector"] = {"matchLabels": {label: metadata["uid"]}}


def check_job_restart(body: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """A job's pods cannot be restarted for ever."""
    policy = child(body, *path.split(".")).get("restartPolicy")
    where = f"{path}.restartPolicy"
    if policy == "Always":
        yield required(where, 'valid values: "OnFailure", "Never"')
    elif policy not in {"OnFailure", "Never"}:
        yield not_supported(where, policy, ("OnFailure", "Never"))


def _check_job_name(body: Mapping[str, Any]) -> Iterator[Cause]:
    """The pods of an indexed job are called after it."""
    spec, name = child(body, "spec"), str(body["metadata"].get("name") or "")
    if spec.get("completionMode") != "Indexed" or not spec.get("completions"):
        return
    pod = f"{name}-{int(spec['completions']) - 1}"
    if dns_label(pod):
        why = f"will not able to create pod with invalid DNS label: {pod}"
        yield invalid("metadata.name", name, why)


def _job_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    causes = [
        *_not_negative(
            new,
            "parallelism",
            "completions",
            "backoffLimit",
            "activeDeadlineSeconds",
            "ttlSecondsAfterFinished",
        ),
        *check_selector(new, old),
        *check_template(new, always=False),
    ]
    mode = child(new, "spec").get("completionMode")
    if mode not in {"Indexed", "NonIndexed"}:
        causes.append(not_supported("spec.completionMode", mode, ("NonIndexed", "Indexed")))
    elif mode == "Indexed" and child(new, "spec").get("completions") is None:
        causes.append(required("spec.completions", "when completion mode is Indexed"))
    causes.extend(check_job_restart(new, "spec.template.spec"))
    if old is None:
        causes.extend(_check_job_name(new))
    else:
        causes.extend(check_job_update(new, old))
    return causes


def _job_word(body: Mapping[str, Any]) -> str:
    held = {
        str(c.get("type"))
        for c in children(body, "status", "conditions")
        if c.get("status") == "True"
    }
    for condition, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if condition in held:
            return word
    if "deletionTimestamp" in body["metadata"]:
        return "Terminating"
    for condition, word in (
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if condition in held:
            return word
    return "Running"


def _job_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec, state = child(body, "spec"), child(body, "status")
    succeeded = number(body, "status", "succeeded")
    parallelism = number(body, "spec", "parallelism")
    if spec.get("completions") is not None:
        completions = f"{succeeded}/{spec['completions']}"
    else:
        completions = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    start, end = instant(state.get("startTime")), instant(state.get("completionTime"))
    taken = "" if start is None else human_duration(int(((end or now) - start).total_seconds()))
    return (_job_word(body), completions, taken, age_of(body, now), *_wide(body))


JOB = ObjectKind(
    names.JOBS,
    "job",
    (),
    ("all",),
    ("status",),
    columns=(
        Column("Status", description="Status of the job."),
        Column("Completions"),
        Column("Duration", description="Time required to complete the job."),
        _AGE,
        *_WIDE,
    ),
    row=_job_row,
    default=_job_default,
    prepare=_job_prepare,
    validate=_job_validate,
    fields={
        "status.successful": lambda body: str(number(body, "status", "succeeded")),
    },
    has_generation=True,
    looks=2,
)


# PodDisruptionBudget


def _budget_prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    body.setdefault("spec", {})
    if old is None:
        body["status"] = {
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "disruptionsAllowed": 0,
            "expectedPods": 0,
        }


_EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def _budget_validate(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Sequence[Cause]:
    spec = child(new, "spec")
    causes: list[Cause] = []
    causes.extend(check_label_selector(child(spec, "selector"), "spec.selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _EVICTION_POLICIES:
        where = "spec.unhealthyPodEvictionPolicy"
        causes.append(not_supported(where, policy, _EVICTION_POLICIES))
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        causes.append(
            invalid("spec", dict(spec), "minAvailable and maxUnavailable cannot be both set")
        )
    for member in ("minAvailable", "maxUnavailable"):
        value = spec.get(member)
        if isinstance(value, int) and value < 0:
            causes.append(invalid(f"spec.{member}", value, "must be greater than or equal to 0"))
        elif isinstance(value, str) and not (value.endswith("%") and value[:-1].isdigit()):
            causes.append(
                invalid(
                    f"spec.{member}",
                    value,
                    "a valid percent string must be a numeric string followed by an ending '%'"
                    " (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                )
            )
    return causes


def _budget_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec = child(body, "spec")
    given = (spec.get("minAvailable"), spec.get("maxUnavailable"))
    return (
        *("N/A" if value is None else str(value) for value in given),
        number(body, "status", "disruptionsAllowed"),
        age_of(body, now),
    )


POD_DISRUPTION_BUDGET = ObjectKind(
    names.POD_DISRUPTION_BUDGETS,
    "poddisruptionbudget",
    ("pdb",),
    (),
    ("status",),
    columns=(
        Column("Min Available"),
        Column("Max Unavailable"),
        Column("Allowed Disruptions", "integer"),
        _AGE,
    ),
    row=_budget_row,
    prepare=_budget_prepare,
    validate=_budget_validate,
    name_rule="path",
    free_finalizers=True,
    has_generation=True,
    looks=0,
)
