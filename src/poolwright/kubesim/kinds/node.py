"""Nodes and the leases that they renew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_network
from typing import Any

from poolwright.kubesim.kinds.cell import NONE, UNKNOWN, age_of
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.rules import label_value, qualified_name
from poolwright.kubesim.status import Cause, duplicate, forbidden, invalid, not_supported, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ROLE_PREFIX = "node-role.kubernetes.io/"
_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def _is_ready(body: Mapping[str, Any]) -> bool:
    return any(
        c.get("type") == "Ready" and c.get("status") == "True"
        for c in children(body, "status", "conditions")
    )


def _default(body: Body) -> None:
    body.setdefault("spec", {})
    state = body.get("status")
    if isinstance(state, dict) and "allocatable" not in state and "capacity" in state:
        state["allocatable"] = dict(child(body, "status", "capacity"))


def _prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    """A node that is born not ready is born tainted (admission plugin NodeTaint)."""
    if old is None and not _is_ready(body):
        taints = body["spec"].setdefault("taints", [])
        if not any(
            t.get("key") == _NOT_READY["key"] and t.get("effect") == _NOT_READY["effect"]
            for t in taints
        ):
            taints.append(dict(_NOT_READY))
    spec = body["spec"]
    if not spec.get("unschedulable"):
        spec.pop("unschedulable", None)
    if not spec.get("taints"):
        spec.pop("taints", None)


def _taint_in_go(taint: Mapping[str, Any]) -> Mapping[str, Any]:
    """A taint as Go prints its own type."""
    members = {name.capitalize(): taint.get(name) or "" for name in ("key", "value", "effect")}
    return {**members, "TimeAdded": taint.get("timeAdded")}


def _ranges(body: Mapping[str, Any]) -> Iterator[Cause]:
    """Broken rules of the ranges of pod addresses."""
    spec = child(body, "spec")
    single = spec.get("podCIDR")
    found: Sequence[Any] = spec.get("podCIDRs") or ([single] if single else ())
    for position, text in enumerate(found):
        try:
            ip_network(text, strict=False)
        except ValueError:
            why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            yield invalid(f"spec.podCIDRs[{position}]", text, why)


def _taints(body: Mapping[str, Any]) -> Iterator[Cause]:
    seen: set[tuple[str, str]] = set()
    for position, taint in enumerate(children(body, "spec", "taints")):
        path = f"metadata.taints[{position}]"
        key, effect = str(taint.get("key") or ""), str(taint.get("effect") or "")
        for problem in qualified_name(key):
            yield invalid(f"{path}.key", key, problem)
        for problem in label_value(str(taint.get("value") or "")):
            yield invalid(f"{path}.value", taint.get("value"), problem)
        if not effect:
            yield required(f"{path}.effect")
        elif effect not in EFFECTS:
            yield not_supported(f"{path}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            yield Cause(
                "FieldValueDuplicate",
                path,
                duplicate(path, _taint_in_go(taint)).message
                + ": taints must be unique by key and effect pair",
            )
        seen.add((key, effect))


def _validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    causes = list(_taints(new))
    if old is None:
        causes.extend(_ranges(new))
    if old is not None:
        before, after = child(old, "spec"), child(new, "spec")
        for member in ("providerID", "podCIDR"):
            if before.get(member) and after.get(member) != before[member]:
                causes.append(
                    forbidden(
                        f"spec.{member}",
                        f'node updates may not change {member} except from "" to valid',
                    )
                )
    return causes


def _address(body: Mapping[str, Any], kind: str) -> str:
    for address in children(body, "status", "addresses"):
        if address.get("type") == kind:
            return str(address.get("address", ""))
    return NONE


def _row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    conditions = [c for c in children(body, "status", "conditions") if c.get("type") == "Ready"]
    if conditions:
        words = ["Ready" if conditions[-1].get("status") == "True" else "NotReady"]
    else:
        words = ["Unknown"]
    if child(body, "spec").get("unschedulable"):
        words.append("SchedulingDisabled")
    roles: set[str] = set()
    for label, value in child(body, "metadata", "labels").items():
        if label.startswith(_ROLE_PREFIX) and len(label) > len(_ROLE_PREFIX):
            roles.add(label.removeprefix(_ROLE_PREFIX))
        elif label == "kubernetes.io/role" and value:
            roles.add(str(value))
    info = child(body, "status", "nodeInfo")
    return (
        ",".join(words),
        ",".join(sorted(roles)) or NONE,
        age_of(body, now),
        info.get("kubeletVersion", ""),
        _address(body, "InternalIP"),
        _address(body, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    )


NODE = ObjectKind(
    names.NODES,
    "node",
    ("no",),
    subresources=("proxy", "status"),
    columns=(
        Column("Status", description="The status of the node"),
        Column("Roles", description="The roles of the node"),
        Column("Age"),
        Column("Version", description="Kubelet Version reported by the node."),
        Column("Internal-IP", priority=1),
        Column("External-IP", priority=1),
        Column("OS-Image", priority=1),
        Column("Kernel-Version", priority=1),
        Column("Container-Runtime", priority=1),
    ),
    row=_row,
    default=_default,
    prepare=_prepare,
    validate=_validate,
    fields={
        "spec.unschedulable": lambda body: str(
            bool(child(body, "spec").get("unschedulable"))
        ).lower()
    },
    looks=2,
)


def _lease_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    return (child(body, "spec").get("holderIdentity", ""), age_of(body, now))


def _lease_validate(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Sequence[Cause]:
    seconds = child(new, "spec").get("leaseDurationSeconds")
    if isinstance(seconds, int) and seconds <= 0:
        return [invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")]
    return ()


LEASE = ObjectKind(
    names.LEASES,
    "lease",
    columns=(Column("Holder"), Column("Age")),
    row=_lease_row,
    validate=_lease_validate,
    free_finalizers=True,
    created_by_put=True,
)
