"""Stateful sets, replication controllers, pod templates and controller revisions.

Source of defaults, rules and columns: k8s.io/kubernetes pkg/apis/{apps,core} and
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import NONE, age_of, labels_text, names_and_images, number
from poolwright.kubesim.kinds.claim_rules import check_claim_templates
from poolwright.kubesim.kinds.declare import (
    all_of,
    at_least,
    defaults,
    needed,
    only_changes,
    starts_with_status,
    unchanged,
)
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.kinds.pod_spec import check_pod_spec
from poolwright.kubesim.kinds.warning import of_workload
from poolwright.kubesim.kinds.workload import (
    check_selector,
    check_template,
    default_template,
    default_template_of,
    template_columns,
)
from poolwright.kubesim.rules import check_labels, dns_label
from poolwright.kubesim.status import Cause, invalid, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children

_AGE = Column("Age")


# StatefulSet

_STATEFUL_FREE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFUL_TEXT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template',"
    " 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and"
    " 'minReadySeconds' are forbidden"
)
_RETENTION = "spec.persistentVolumeClaimRetentionPolicy"


def _stateful_strategy(body: Body) -> None:
    strategy = body["spec"].setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and isinstance(strategy.get("rollingUpdate"), dict):
        strategy["rollingUpdate"].setdefault("partition", 0)


def _check_management(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    policy = child(new, "spec").get("podManagementPolicy")
    if policy not in {"OrderedReady", "Parallel"}:
        yield invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")


def _check_update_strategy(
    new: Mapping[str, Any], _old: Mapping[str, Any] | None
) -> Iterator[Cause]:
    path = "spec.updateStrategy"
    strategy = child(new, "spec", "updateStrategy")
    rolling: Any = strategy.get("rollingUpdate")
    shown = None if rolling is None else {
        "Partition": rolling.get("partition") or 0,
        "MaxUnavailable": rolling.get("maxUnavailable"),
    }  # fmt: skip
    match strategy.get("type"):
        case "RollingUpdate":
            pass
        case "OnDelete":
            if rolling is not None:
                why = "only allowed for updateStrategy 'RollingUpdate'"
                yield invalid(f"{path}.rollingUpdate", shown, why)
        case kind:
            why = "must be 'RollingUpdate' or 'OnDelete'"
            yield invalid(path, {"Type": kind, "RollingUpdate": shown}, why)


def _check_stateful(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    service = str(child(new, "spec").get("serviceName") or "")
    for problem in dns_label(service) if service and old is None else ():
        yield invalid("spec.serviceName", service, problem)
    yield from check_selector(new, old, frozen=False)
    yield from check_template(_with_claims(new))
    labels = child(new, "spec", "template", "metadata").get("labels")
    yield from check_labels(labels, "spec.template.labels")  # once more, as the real one does


def _with_claims(new: Mapping[str, Any]) -> Mapping[str, Any]:
    """A set whose template is that of its pods, which get their own names and volumes."""
    templates = children(new, "spec", "volumeClaimTemplates")
    claims = [child(template, "metadata").get("name") for template in templates]
    pod = dict(child(new, "spec", "template", "spec"))
    pod.pop("hostname", None)
    pod.pop("subdomain", None)
    kept = [volume for volume in children(pod, "volumes") if volume.get("name") not in claims]
    made = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    pod["volumes"] = [*made, *kept]
    template = {**child(new, "spec", "template"), "spec": pod}
    return {**new, "spec": {**child(new, "spec"), "template": template}}


STATEFUL_SET = ObjectKind(
    names.STATEFUL_SETS,
    "statefulset",
    ("sts",),
    ("all",),
    ("scale", "status"),
    columns=(
        Column("Ready", description="Number of the pod with ready state"),
        _AGE,
        *template_columns(selector=False),
    ),
    row=lambda body, now: (
        f"{number(body, 'status', 'readyReplicas')}/{number(body, 'spec', 'replicas')}",
        age_of(body, now),
        *names_and_images(body),
    ),
    default=defaults(
        {
            "spec.podManagementPolicy": "OrderedReady",
            f"{_RETENTION}.whenDeleted": "Retain",
            f"{_RETENTION}.whenScaled": "Retain",
            "spec.replicas": 1,
            "spec.revisionHistoryLimit": 10,
            "spec.volumeClaimTemplates[].kind": "PersistentVolumeClaim",
            "spec.volumeClaimTemplates[].apiVersion": "v1",
            "spec.volumeClaimTemplates[].spec.volumeMode": "Filesystem",
            "spec.volumeClaimTemplates[].status.phase": "Pending",
        },
        _stateful_strategy,
        default_template,
    ),
    prepare=starts_with_status({"replicas": 0, "availableReplicas": 0}),
    validate=all_of(
        _check_management,
        _check_update_strategy,
        at_least(
            0, "spec.replicas", "spec.minReadySeconds", "spec.revisionHistoryLimit",
            "spec.updateStrategy.rollingUpdate.partition", "spec.ordinals.start",
        ),
        _check_stateful,
        check_claim_templates,
        only_changes("spec", _STATEFUL_FREE, _STATEFUL_TEXT),
    ),
    name_rule="label",
    has_generation=True,
)  # fmt: skip


# ReplicationController


def _controller_selector(body: Body) -> None:
    labels = body["spec"].get("template", {}).get("metadata", {}).get("labels")
    if not labels:
        return
    if not body["spec"].get("selector"):
        body["spec"]["selector"] = dict(labels)
    if not body["metadata"].get("labels"):
        body["metadata"]["labels"] = dict(labels)


def _controller_template(body: Body) -> None:
    if body["spec"].get("template") is not None:
        default_template(body)


def _check_controller(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    selector = child(new, "spec", "selector")
    if not selector:
        yield required("spec.selector")
    if child(new, "spec").get("template") is None:
        yield required("spec.template")
        return
    labels: Any = child(new, "spec", "template", "metadata").get("labels")
    given = child(new, "spec", "template", "metadata", "labels")
    if any(given.get(key) != value for key, value in selector.items()):
        yield invalid(
            "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
        )
    yield from check_template(new)


def _controller_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    return (
        number(body, "spec", "replicas"),
        number(body, "status", "replicas"),
        number(body, "status", "readyReplicas"),
        age_of(body, now),
        *names_and_images(body),
        labels_text(child(body, "spec", "selector")),
    )


REPLICATION_CONTROLLER = ObjectKind(
    names.REPLICATION_CONTROLLERS,
    "replicationcontroller",
    ("rc",),
    ("all",),
    ("scale", "status"),
    columns=(
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        _AGE,
        *template_columns(),
    ),
    row=_controller_row,
    default=defaults({"spec.replicas": 1}, _controller_selector, _controller_template),
    prepare=starts_with_status({"replicas": 0}),
    validate=all_of(at_least(0, "spec.replicas", "spec.minReadySeconds"), _check_controller),
    fields={"status.replicas": lambda body: str(number(body, "status", "replicas"))},
    warn=of_workload,
    name_rule="long",
    has_generation=True,
)


# PodTemplate


def _check_pod_template(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    yield from check_pod_spec(child(new, "template", "spec"), "template.spec")


def _pod_template_row(body: Mapping[str, Any], _now: datetime) -> Sequence[Any]:
    found = children(body, "template", "spec", "containers")
    return (
        ",".join(str(container.get("name", "")) for container in found),
        ",".join(str(container.get("image", "")) for container in found),
        labels_text(child(body, "template", "metadata", "labels")),
    )


POD_TEMPLATE = ObjectKind(
    names.POD_TEMPLATES,
    "podtemplate",
    columns=(
        Column("Containers", description="Names of each container in the template."),
        Column("Images", description="Images referenced by each container in the template."),
        Column("Pod Labels", description="The labels for the pod template."),
    ),
    row=_pod_template_row,
    default=default_template_of,
    validate=all_of(_check_pod_template),
    has_generation=True,
)


# ControllerRevision


def _revision_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    controller = NONE
    for owner in children(body, "metadata", "ownerReferences"):
        if owner.get("controller"):
            group = str(owner.get("apiVersion", "")).rpartition("/")[0]
            kind = str(owner.get("kind", "")).lower()
            controller = (
                f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
            )
    return (controller, body.get("revision", 0), age_of(body, now))


CONTROLLER_REVISION = ObjectKind(
    names.CONTROLLER_REVISIONS,
    "controllerrevision",
    columns=(Column("Controller"), Column("Revision", "integer"), _AGE),
    row=_revision_row,
    default=defaults({"revision": 0}),
    validate=all_of(needed("data"), unchanged("data"), at_least(0, "revision")),
)
