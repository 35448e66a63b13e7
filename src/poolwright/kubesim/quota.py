"""Resource quotas: what a namespace uses, counted as it changes, and what it may not use.

Source of counting, scopes and wording: k8s.io/kubernetes pkg/quota/v1/evaluator/core and
k8s.io/apiserver pkg/admission/plugin/resourcequota.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from poolwright.kubesim import status
from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.kinds.pod import quality_of_service
from poolwright.kubesim.kinds.quota import RESOURCE_QUOTA
from poolwright.kubesim.objects import Objects
from poolwright.kubesim.status import StatusError
from poolwright.model.errors import Transient, Unknown
from poolwright.model.json_value import Json, child, children
from poolwright.model.quantity import parse_quantity, quantity_text

Usage = dict[str, Fraction]

_ONE = Fraction(1)
_COUNTED = frozenset(
    ("configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets",
     "services")
)  # fmt: skip
_DEVICES_MOST = 32  # k8s.io/api resource/v1, AllocationResultsMaxSize
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_EXPLICIT = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


# What one object uses


def total(pod: Json, member: str) -> Usage:
    """The requests or limits of a whole pod: containers together, init containers one by one, or
    what the pod has as a whole.

    Source: k8s.io/component-helpers resource (PodRequests, PodLimits).
    """
    found: Usage = {}
    alone: Usage = {}
    for container in children(pod, "spec", "containers"):
        for name, text in child(container, "resources", member).items():
            found[name] = found.get(name, Fraction()) + parse_quantity(text)
    kept: Usage = {}
    for container in children(pod, "spec", "initContainers"):
        stays = container.get("restartPolicy") == "Always"
        for name, text in child(container, "resources", member).items():
            amount = parse_quantity(text)
            if stays:
                found[name] = found.get(name, Fraction()) + amount
                kept[name] = kept.get(name, Fraction()) + amount
            alone[name] = max(alone.get(name, Fraction()), amount + kept.get(name, Fraction()))
    for name, amount in alone.items():
        found[name] = max(found.get(name, Fraction()), amount)
    for name, text in child(pod, "spec", "resources", member).items():
        found[name] = parse_quantity(text)
    for name, text in child(pod, "spec", "overhead").items():
        if member == "requests" or name in found:
            found[name] = found.get(name, Fraction()) + parse_quantity(text)
    return found


def _pod_usage(pod: Json) -> Usage:
    if child(pod, "status").get("phase") in {"Succeeded", "Failed"}:
        return {}
    used: Usage = {"pods": _ONE}
    for name, amount in total(pod, "requests").items():
        used[f"requests.{name}"] = amount
        if name in _COMPUTE or name.startswith("hugepages-"):
            used[name] = amount
    for name, amount in total(pod, "limits").items():
        if name in _COMPUTE:
            used[f"limits.{name}"] = amount
    return used


def _service_usage(service: Json) -> Usage:
    kind = child(service, "spec").get("type")
    ports = children(service, "spec", "ports")
    node_ports = Fraction()
    if kind == "NodePort" or (
        kind == "LoadBalancer"
        and child(service, "spec").get("allocateLoadBalancerNodePorts") is not False
    ):
        node_ports = Fraction(len(ports))
    return {
        "services.nodeports": node_ports,
        "services.loadbalancers": Fraction(kind == "LoadBalancer"),
    }


def _claim_usage(claim: Json) -> Usage:
    """A volume claim, of its storage class as well."""
    spec = child(claim, "spec")
    size = parse_quantity(child(spec, "resources", "requests").get("storage") or "0")
    used = {"requests.storage": size}
    of_class = str(spec.get("storageClassName") or "")
    if of_class:
        stem = f"{of_class}.storageclass.storage.k8s.io"
        used |= {f"{stem}/persistentvolumeclaims": _ONE, f"{stem}/requests.storage": size}
    return used


def _device_usage(claim: Json) -> Usage:
    """The devices of a resource claim, by class; of alternatives, the most."""
    used: Usage = {}
    for request in children(claim, "spec", "devices", "requests"):
        exact = child(request, "exactly")
        most: Usage = {}
        for each in (exact,) if exact else children(request, "firstAvailable"):
            count = _DEVICES_MOST if each.get("allocationMode") == "All" else each.get("count", 1)
            name = f"{each.get('deviceClassName', '')}.deviceclass.resource.k8s.io/devices"
            most[name] = max(most.get(name, Fraction()), Fraction(int(count or 1)))
        for name, amount in most.items():
            used[name] = used.get(name, Fraction()) + amount
    return used


def usage_of(kind: ObjectKind, body: Json) -> Usage:
    """Everything that an object counts towards."""
    resource = kind.resource
    name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    used: Usage = {f"count/{name}": _ONE}
    if not resource.group and resource.plural in _COUNTED:
        used[resource.plural] = _ONE
    more = _MORE_USAGE.get((resource.group, resource.plural))
    if more is not None:
        used.update(more(body))
    return used


_MORE_USAGE: Mapping[tuple[str, str], Callable[[Json], Usage]] = {
    ("", "pods"): _pod_usage,
    ("", "services"): _service_usage,
    ("", "persistentvolumeclaims"): _claim_usage,
    ("resource.k8s.io", "resourceclaims"): _device_usage,
}
_CHECKED_ON_UPDATE = frozenset(("Service", "PersistentVolumeClaim"))
"""Kinds of which an update may use more."""


# Scopes


def _in_scope(pod: Json, scope: str, operator: str, values: Iterable[Any]) -> bool:
    spec = child(pod, "spec")
    match scope:
        case "Terminating" | "NotTerminating":
            return (spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
        case "BestEffort" | "NotBestEffort":
            return (quality_of_service(spec) == "BestEffort") == (scope == "BestEffort")
        case "PriorityClass":
            name = str(spec.get("priorityClassName") or "")
            match operator:
                case "In":
                    return name in values
                case "NotIn":
                    return name not in values
                case "DoesNotExist":
                    return not name
                case _:
                    return bool(name)
        case "CrossNamespacePodAffinity":
            return _looks_into_namespaces(child(spec, "affinity"))
        case _:
            return False


def _looks_into_namespaces(affinity: Json) -> bool:
    for member in ("podAffinity", "podAntiAffinity"):
        required = children(affinity, member, "requiredDuringSchedulingIgnoredDuringExecution")
        preferred = children(affinity, member, "preferredDuringSchedulingIgnoredDuringExecution")
        terms = (*required, *(child(each, "podAffinityTerm") for each in preferred))
        if any(t.get("namespaces") or t.get("namespaceSelector") is not None for t in terms):
            return True
    return False


class _Quota:
    """One quota: its bounds and what is used of them, with what is about to be."""

    def __init__(self, entry: Entry) -> None:
        body = entry.object()
        self.name = entry.name
        self.namespace = entry.namespace
        self.spec = child(body, "spec")
        hard = child(body, "spec", "hard")
        self.texts: Mapping[str, str] = {name: str(text) for name, text in hard.items()}
        self.hard: Usage = {name: parse_quantity(text) for name, text in hard.items()}
        self.used: Usage = dict.fromkeys(self.hard, Fraction())
        self.promised: Usage = dict.fromkeys(self.hard, Fraction())
        self._scopes = [(str(s), "Exists", ()) for s in self.spec.get("scopes") or ()] + [
            (str(t.get("scopeName")), str(t.get("operator")), tuple(t.get("values") or ()))
            for t in children(body, "spec", "scopeSelector", "matchExpressions")
        ]

    def keep_promises(self, before: _Quota) -> None:
        """What is on its way is promised here as it was by an earlier state of the quota."""
        self.promised = before.promised
        for name in self.hard:
            self.promised.setdefault(name, Fraction())

    def covers(self, kind: ObjectKind, body: Json) -> bool:
        """Whether an object is within the scopes."""
        if not self._scopes:
            return True
        return kind.resource.kind == "Pod" and all(_in_scope(body, *s) for s in self._scopes)

    def counts(self, kind: ObjectKind, body: Json) -> Usage:
        """What of an object's usage is bounded here."""
        if not self.covers(kind, body):
            return {}
        used = usage_of(kind, body)
        return {name: amount for name, amount in used.items() if name in self.hard}

    def add(self, usage: Usage, sign: int) -> bool:
        """Count usage in or out; whether anything moved."""
        moved = False
        for name, amount in usage.items():
            if amount:
                self.used[name] += sign * amount
                moved = True
        return moved

    def shown(self) -> dict[str, dict[str, str]]:
        """The status."""
        used = {
            name: quantity_text(amount, binary=self.texts[name].endswith("i"))
            for name, amount in self.used.items()
        }
        return {"hard": dict(self.texts), "used": used}


class Promise:
    """Room in quotas for an object that is on its way to the store."""

    def __init__(self) -> None:
        self._parts: list[tuple[_Quota, Usage]] = []

    def add(self, quota: _Quota, usage: Usage) -> None:
        """Keep room in one more quota."""
        for name, amount in usage.items():
            quota.promised[name] += amount
        self._parts.append((quota, usage))

    def end(self) -> None:
        """Give the room back: the object is counted now, or will not be."""
        for quota, usage in self._parts:
            for name, amount in usage.items():
                quota.promised[name] -= amount
        self._parts.clear()


_ALL = ("", "")
"""The key that says that all quotas are to be counted anew."""


class QuotaLedger:
    """What the quotas of one cluster count. Without quotas it costs one look-up per change.

    It has to be exact: what a bug kept it from counting, it counts anew before it promises more.
    """

    def __init__(self, registry: Objects) -> None:
        self._registry = registry
        self._quotas: dict[str, dict[str, _Quota]] = {}
        self._due: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._waiting: set[tuple[str, str]] = set()
        self._is_true = False
        self._end: Callable[[], None] | None = None
        registry.on_reload(self.reload)

    def reload(self) -> None:
        """Nothing of what was counted holds: count anew before the next answer."""
        self._is_true = False
        self._due.put_nowait(_ALL)

    def _lost(self, _: Exception) -> None:
        self._end = None
        self.reload()

    def _count(self) -> None:
        """Count everything anew, if what is counted does not hold."""
        if self._is_true:
            return
        before = {(q.namespace, q.name): q for each in self._quotas.values() for q in each.values()}
        self._quotas.clear()
        for entry in self._registry.list(RESOURCE_QUOTA):
            self._open(entry, before.get((entry.namespace, entry.name)))
        if self._end is None:
            self._end = self._registry.subscribe(self._on_change, lost=self._lost)
        self._is_true = True

    def _open(self, entry: Entry, before: _Quota | None) -> None:
        quota = _Quota(entry)
        if before is not None:
            quota.keep_promises(before)
        self._quotas.setdefault(entry.namespace, {})[entry.name] = quota
        for kind in self._registry.catalog.kinds:
            if kind.resource.namespaced and kind.resource.kind != "Event":
                for found in self._registry.list(kind, entry.namespace):
                    quota.add(quota.counts(kind, found.object()), 1)
        self._wake(quota)

    def _wake(self, quota: _Quota) -> None:
        key = (quota.namespace, quota.name)
        if key not in self._waiting:
            self._waiting.add(key)
            self._due.put_nowait(key)

    def _on_change(self, change: ObjectChange) -> None:
        if not self._is_true:
            return
        namespace = change.new.namespace
        if change.kind is RESOURCE_QUOTA:
            self._on_quota(change)
        quotas = self._quotas.get(namespace)
        if not quotas or change.kind.resource.kind == "Event":
            return
        old = change.old.object() if change.old is not None else None
        new = change.new.object() if change.type != "DELETED" else None
        for quota in quotas.values():
            before = quota.counts(change.kind, old) if old is not None else {}
            after = quota.counts(change.kind, new) if new is not None else {}
            if before != after:
                quota.add(before, -1)
                quota.add(after, 1)
                self._wake(quota)

    def _on_quota(self, change: ObjectChange) -> None:
        entry = change.new
        quotas = self._quotas.get(entry.namespace, {})
        known = quotas.get(entry.name)
        if change.type == "DELETED":
            quotas.pop(entry.name, None)
            if not quotas:
                self._quotas.pop(entry.namespace, None)
        elif known is None or known.spec != child(entry.object(), "spec"):
            self._open(entry, quotas.pop(entry.name, None))
            # what follows counts this change itself
            fresh = self._quotas[entry.namespace][entry.name]
            fresh.add(fresh.counts(change.kind, entry.object()), -1)
            if change.old is not None:
                fresh.add(fresh.counts(change.kind, change.old.object()), 1)
        else:
            self._wake(known)

    def admit(self, kind: ObjectKind, body: Json, old: Json | None = None) -> Promise | None:
        """What a new object, or one that uses more than before, is promised until it is written
        or given up.

        Raises:
            StatusError: 403, a quota would be passed.
        """
        self._count()
        resource = kind.resource
        quotas = self._quotas.get(body["metadata"].get("namespace", ""))
        if not quotas or (old is not None and resource.kind not in _CHECKED_ON_UPDATE):
            return None
        promise = Promise()
        for quota in quotas.values():
            before = quota.counts(kind, old) if old is not None else {}
            after = quota.counts(kind, body)
            more = {name: n - before.get(name, Fraction()) for name, n in after.items()}
            counted = {name: n for name, n in more.items() if n > 0}
            if resource.kind == "Pod" and quota.covers(kind, body):
                self._check_explicit(kind, body, quota)
            taken = {n: quota.used[n] + quota.promised[n] for n in counted}
            beyond = {n for n, a in counted.items() if taken[n] + a > quota.hard[n]}
            if beyond:
                promise.end()
                raise forbidden(
                    kind,
                    body,
                    f"exceeded quota: {quota.name}, requested: {_pairs(counted, beyond, quota)},"
                    f" used: {_pairs(taken, beyond, quota)},"
                    f" limited: {_pairs(quota.hard, beyond, quota)}",
                )
            promise.add(quota, counted)
        return promise

    def _check_explicit(self, kind: ObjectKind, body: Json, quota: _Quota) -> None:
        """A pod under a quota of cpu or memory must say what it needs, each container or as a
        whole: then it need not name everything.
        """
        if child(body, "spec", "resources"):
            return
        missing: dict[str, set[str]] = {}
        members = (*children(body, "spec", "containers"), *children(body, "spec", "initContainers"))
        for container in members:
            for name in _EXPLICIT:
                member, _, plain = name.rpartition(".")
                given = child(container, "resources", member or "requests")
                if name in quota.hard and plain not in given:
                    missing.setdefault(name, set()).add(str(container.get("name")))
        if missing:
            texts = [f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing)]
            raise forbidden(
                kind, body, f"failed quota: {quota.name}: must specify {'; '.join(texts)}"
            )

    async def run(self) -> None:
        """Write what moved into the status of its quota, until cancelled."""
        while True:
            self._count()
            key = await self._due.get()
            self._waiting.discard(key)
            quota = self._quotas.get(key[0], {}).get(key[1])
            if quota is None:
                continue

            def show(body: dict[str, Any], quota: _Quota = quota) -> None:
                body["status"] = quota.shown()

            try:
                await self._registry.update(
                    RESOURCE_QUOTA, quota.name, show, namespace=quota.namespace,
                    subresource="status",
                )  # fmt: skip
            except StatusError as error:
                if error.reason not in {"NotFound", "Conflict"}:
                    raise
            except (Transient, Unknown):
                self._wake(quota)
                raise


def _pairs(amounts: Usage, names: Iterable[str], quota: _Quota) -> str:
    return ",".join(
        f"{n}={quantity_text(amounts[n], binary=quota.texts[n].endswith('i'))}"
        for n in sorted(names)
    )


def forbidden(kind: ObjectKind, body: Json, why: str) -> StatusError:
    """403 of an admission plugin."""
    resource, metadata = kind.resource, body["metadata"]
    name = str(metadata.get("name") or metadata.get("generateName") or "Unknown")
    plural = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    details = {"name": name, **({"group": resource.group} if resource.group else {})}
    return status.StatusError(
        403,
        "Forbidden",
        f'{plural} "{name}" is forbidden: {why}',
        details={**details, "kind": resource.plural},
    )
