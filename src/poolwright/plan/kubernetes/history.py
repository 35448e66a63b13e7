"""The revisions of a DaemonSet's or StatefulSet's template, kept as ControllerRevisions.

Source: k8s.io/kubernetes v1.36 pkg/controller/history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import CONTROLLER_REVISIONS, Resource
from poolwright.plan.kubernetes.action import (
    Action,
    CreateObject,
    DeleteObject,
    PatchObject,
    Target,
)
from poolwright.plan.kubernetes.template import owner_reference, safe_hash

REVISION_LABEL = "controller-revision-hash"
_KEEP = 10  # revisionHistoryLimit


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a template. ``name`` is the ControllerRevision's."""

    name: str
    hash: str
    number: int
    template: Json


def template_hash(wire: Json) -> str:
    """What tells a workload's present template from others."""
    count = child(wire, "status").get("collisionCount") or 0
    return safe_hash([child(wire, "spec", "template"), count], 10)


def _data(wire: Json) -> dict[str, Any]:
    """The patch that goes back to a template, as Go writes it: clients compare its bytes."""
    template: dict[str, Any] = {**child(wire, "spec", "template"), "$patch": "replace"}
    template.setdefault("metadata", {})
    template["spec"] = spec = dict(child(template, "spec"))
    for name in ("containers", "initContainers", "ephemeralContainers"):
        if spec.get(name):
            spec[name] = [{"resources": {}, **container} for container in spec[name]]
    return _sorted({"spec": {"template": template}})


def _sorted(value: Any) -> Any:
    """With the members of every object by name, as Go writes maps."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {name: _sorted(members[name]) for name in sorted(members)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in cast("Sequence[Any]", value)]
    return value


def revision_of(wire: Json) -> Revision:
    """One ControllerRevision."""
    template = dict(child(wire, "data", "spec", "template"))
    template.pop("$patch", None)
    labels = child(wire, "metadata", "labels")
    hash_ = labels.get(REVISION_LABEL) or labels.get("controller.kubernetes.io/hash") or ""
    return Revision(wire["metadata"]["name"], str(hash_), int(wire.get("revision") or 0), template)


def current_hash(wire: Json, revisions: Sequence[Json]) -> str:
    """What the pods of the present template are marked with: as the revision that has it says,
    whoever made that, and when.
    """
    found = _revision_with(_data(wire), revisions)
    return template_hash(wire) if found is None else revision_of(found).hash


def _revision_with(data: Json, revisions: Sequence[Json]) -> Json | None:
    """The newest revision that keeps this template."""
    same = [r for r in revisions if r.get("data") == data]
    return max(
        same, key=lambda r: (int(r.get("revision") or 0), r["metadata"]["name"]), default=None
    )


def plan_history(
    resource: Resource, wire: Json, revisions: Sequence[Json], hash_label: str
) -> tuple[Revision, list[Action]]:
    """The revision of the present template, and what records it as the newest."""
    meta, data = wire["metadata"], _data(wire)
    newest = max((int(r.get("revision") or 0) for r in revisions), default=0)
    found = _revision_with(data, revisions)
    if found is not None:
        revision = revision_of(found)
        if revision.number == newest:
            return revision, []
        target = Target.of(CONTROLLER_REVISIONS, found)
        raised = Revision(revision.name, revision.hash, newest + 1, revision.template)
        patch = PatchObject(target, {"revision": raised.number}, "the template went back to it")
        return raised, [patch]
    hash_ = template_hash(wire)
    made = Revision(f"{meta['name']}-{hash_}", hash_, newest + 1, child(wire, "spec", "template"))
    body: dict[str, Any] = {
        "metadata": {
            "name": made.name,
            "namespace": meta["namespace"],
            "labels": {**child(made.template, "metadata", "labels"), hash_label: hash_},
            "ownerReferences": [owner_reference(resource, wire)],
        },
        "data": data,
        "revision": made.number,
    }
    annotations = child(meta, "annotations")
    kept = {k: v for k, v in annotations.items() if not k.startswith("kubectl.kubernetes.io/last")}
    if kept:
        body["metadata"]["annotations"] = kept
    return made, [CreateObject(CONTROLLER_REVISIONS, body, "no revision has this template")]


def plan_truncation(wire: Json, revisions: Sequence[Json], used: Iterable[str]) -> list[Action]:
    """Forget the oldest revisions that no pod uses, beyond the limit."""
    limit = child(wire, "spec").get("revisionHistoryLimit")
    keep = _KEEP if limit is None else int(limit)
    live = frozenset(used)
    idle = [r for r in revisions if r["metadata"]["name"] not in live]
    idle.sort(key=lambda r: (int(r.get("revision") or 0), r["metadata"]["name"]))
    because = f"more than {keep} old revisions are kept"
    surplus = idle[: max(0, len(idle) - keep)]
    return [DeleteObject(Target.of(CONTROLLER_REVISIONS, r), because) for r in surplus]
