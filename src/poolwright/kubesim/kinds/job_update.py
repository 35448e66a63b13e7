"""What an update may change of a Job: queues place and size the pods of one that is suspended.

Source: k8s.io/kubernetes v1.36 pkg/apis/batch/validation (ValidateJobSpecUpdate) and
pkg/registry/batch/job/strategy.go (shouldAllowMutablePodTemplate).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.kubesim.status import Cause, invalid
from poolwright.model.json_value import Json, child, children

_FIXED = (
    "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy",
)  # fmt: skip
_PLACING = ("nodeSelector", "schedulingGates", "tolerations")


def check_job_update(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[Cause]:
    """What was changed and may not be."""
    before, after = child(old, "spec"), child(new, "spec")
    yield from _completions(before, after)
    yield from _template(old, before, after)
    for member in _FIXED:
        if after.get(member) != before.get(member):
            yield invalid(f"spec.{member}", after.get(member), "field is immutable")


def _completions(before: Json, after: Json) -> Iterator[Cause]:
    wanted = after.get("completions")
    if wanted == before.get("completions"):
        return
    if after.get("completionMode") != "Indexed":
        yield invalid("spec.completions", wanted, "field is immutable")
    elif wanted is not None and wanted != after.get("parallelism"):
        why = "can only be modified in tandem with spec.parallelism"
        yield invalid("spec.completions", wanted, why)


def _template(old: Json, before: Json, after: Json) -> Iterator[Cause]:
    if not _is_idle(old):
        if after.get("template") != before.get("template"):
            yield invalid("spec.template", after.get("template"), "field is immutable")
        return
    spec = child(after, "template", "spec")
    if _placed_anew(child(before, "template", "spec"), spec) != spec:
        yield invalid("spec.template.spec", dict(spec), "field is immutable")


def _is_idle(job: Json) -> bool:
    """Suspended, with no pod of it left."""
    status = child(job, "status")
    said = {c.get("type"): c.get("status") for c in children(status, "conditions")}
    is_over = not status.get("startTime") or said.get("Suspended") == "True"
    return bool(child(job, "spec").get("suspend")) and is_over and not status.get("active")


def _placed_anew(old: Json, new: Json) -> dict[str, Any]:
    """The old pod spec with what may be changed as the new one has it."""
    kept = {name: value for name, value in old.items() if name not in _PLACING}
    kept |= {name: new[name] for name in _PLACING if name in new}
    affinity = {k: v for k, v in child(old, "affinity").items() if k != "nodeAffinity"}
    wanted = child(new, "affinity").get("nodeAffinity")
    if wanted is not None:
        affinity["nodeAffinity"] = wanted
    kept.pop("affinity", None)
    if affinity or "affinity" in new:
        kept["affinity"] = affinity
    for member in ("containers", "initContainers"):
        sized = {c.get("name"): c.get("resources") for c in children(new, member)}
        if member in kept:
            kept[member] = [
                {**container, "resources": sized[container.get("name")]}
                if sized.get(container.get("name")) is not None
                else container
                for container in children(old, member)
            ]
    return kept
