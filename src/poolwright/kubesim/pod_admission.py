"""What the cluster adds to a new pod, or refuses it for: limits, priority, runtime class, account.

Source of rules and wording: k8s.io/kubernetes plugin/pkg/admission/{limitranger,priority,
runtimeclass,serviceaccount}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from hashlib import sha256
from typing import Any

from poolwright.kubesim.kinds.kind import Body
from poolwright.kubesim.kinds.pod import POD
from poolwright.kubesim.kinds.scheduling import SYSTEM_PRIORITIES
from poolwright.kubesim.objects import Objects
from poolwright.kubesim.quota import forbidden, total
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children
from poolwright.model.quantity import parse_quantity, quantity_text


def complete(registry: Objects, pod: Body) -> None:
    """Fill in a new pod what the cluster's objects say.

    Raises:
        StatusError: 403, what it names is not there, or contradicts it.
    """
    namespace = pod["metadata"]["namespace"]
    _account(registry, pod, namespace)
    for entry in registry.list(names.LIMIT_RANGES, namespace):
        _limit_defaults(pod, entry.object())
    _runtime_class(registry, pod)
    _priority(registry, pod)


def check(registry: Objects, pod: Json) -> None:
    """Raise Forbidden if a new pod is outside the limits of its namespace."""
    problems = [
        problem
        for entry in registry.list(names.LIMIT_RANGES, pod["metadata"]["namespace"])
        for limit in children(entry.object(), "spec", "limits")
        for problem in _beyond(pod, limit)
    ]
    if problems:
        text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        raise forbidden(POD, pod, text)


def _account(registry: Objects, pod: Body, namespace: str) -> None:
    name = str(pod["spec"].get("serviceAccountName") or "default")
    found = registry.entry(names.SERVICE_ACCOUNTS, name, namespace)
    if name != "default" and found is None:
        raise forbidden(
            POD,
            pod,
            f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not'
            " found",
        )

    wanted = pod["spec"].get("automountServiceAccountToken")
    if wanted is None:
        wanted = found is None or _NO_TOKEN not in found.data
    if wanted:
        _mount_token(pod)


_NO_TOKEN = b'"automountServiceAccountToken":false'
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SOURCES = (
    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {
        "downwardAPI": {
            "items": [
                {
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }
            ]
        }
    },
)
_SIGNS = "bcdfghjklmnpqrstvwxz2456789"  # k8s.io/apimachinery pkg/util/rand


def _mount_token(pod: Body) -> None:
    """Give every container the account's token, where it mounts nothing there itself. The volume's
    name is drawn from the pod's uid: it need be unique within the pod only.
    """
    spec = pod["spec"]
    without = [
        container
        for member in ("initContainers", "containers")
        for container in spec.get(member) or ()
        if all(m.get("mountPath") != _TOKEN_PATH for m in container.get("volumeMounts") or ())
    ]
    if not without:
        return
    drawn = sha256(pod["metadata"]["uid"].encode()).digest()
    name = "kube-api-access-" + "".join(_SIGNS[byte % len(_SIGNS)] for byte in drawn[:5])
    for container in without:
        mount = {"name": name, "readOnly": True, "mountPath": _TOKEN_PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    volume = {"name": name, "projected": {"sources": list(_TOKEN_SOURCES), "defaultMode": 420}}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]


# Limit ranges

_MEMBERS = (("default", "limits"), ("defaultRequest", "requests"))


def _limit_defaults(pod: Body, limits: Json) -> None:
    told: list[str] = []
    for limit in children(limits, "spec", "limits"):
        if limit.get("type") != "Container":
            continue
        for kind in ("containers", "initContainers"):
            word = "container" if kind == "containers" else "init container"
            for container in pod["spec"].get(kind) or ():
                told.extend(_container_defaults(container, limit, word))
    if told:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations["kubernetes.io/limit-ranger"] = "LimitRanger plugin set: " + "; ".join(told)


def _container_defaults(container: Body, limit: Json, word: str) -> Iterator[str]:
    given = container.setdefault("resources", {})
    for source, member in reversed(_MEMBERS):
        amounts = given.setdefault(member, {})
        added = sorted(name for name in child(limit, source) if name not in amounts)
        for name in added:
            amounts[name] = child(limit, source)[name]
        if not amounts:
            del given[member]
        if added:
            what = "limit" if member == "limits" else "request"
            yield f"{', '.join(added)} {what} for {word} {container.get('name', '')}"


def _beyond(pod: Json, limit: Json) -> Iterator[str]:
    kind = str(limit.get("type"))
    if kind == "Pod":
        yield from _constraints(kind, limit, total(pod, "requests"), total(pod, "limits"))
    elif kind == "Container":
        for member in ("containers", "initContainers"):
            for container in children(pod, "spec", member):
                requests, limits = (
                    {n: parse_quantity(t) for n, t in child(container, "resources", m).items()}
                    for m in ("requests", "limits")
                )
                yield from _constraints(kind, limit, requests, limits)


def _constraints(
    kind: str, limit: Json, requests: Mapping[str, Fraction], limits: Mapping[str, Fraction]
) -> Iterator[str]:
    pairs: tuple[tuple[str, Any, Any], ...] = (
        ("min", requests, limits), ("max", limits, requests)
    )  # fmt: skip
    for member, first, second in pairs:
        words = (
            ("minimum", "request", "limit") if member == "min" else ("maximum", "limit", "request")
        )
        for name, text in sorted(child(limit, member).items()):
            bound = parse_quantity(text)
            start = f"{words[0]} {name} usage per {kind} is {text}"
            if name not in first:
                yield f"{start}.  No {words[1]} is specified"
                continue
            for word, amounts in ((words[1], first), (words[2], second)):
                amount = amounts.get(name)
                if amount is not None and (amount < bound if member == "min" else amount > bound):
                    yield f"{start}, but {word} is {_shown(amount)}"
                    break
    for name, text in sorted(child(limit, "maxLimitRequestRatio").items()):
        start = f"{name} max limit to request ratio per {kind} is {text}"
        if not requests.get(name):
            yield f"{start}, but no request is specified or request is 0"
        elif not limits.get(name):
            yield f"{start}, but no limit is specified or limit is 0"
        elif limits[name] / requests[name] > parse_quantity(text):
            yield f"{start}, but provided ratio is {float(limits[name] / requests[name]):f}"


def _shown(amount: Fraction) -> str:
    return quantity_text(amount, binary=amount >= 1024 and amount.numerator % 1024 == 0)


# Runtime class


def _runtime_class(registry: Objects, pod: Body) -> None:
    spec = pod["spec"]
    name = spec.get("runtimeClassName")
    found = registry.get(names.RUNTIME_CLASSES, name) if name else None
    if name and found is None:
        raise forbidden(POD, pod, f'pod rejected: RuntimeClass "{name}" not found')
    overhead = dict(child(found, "overhead", "podFixed")) if found else {}
    given = spec.get("overhead")
    if given and given != overhead:
        raise forbidden(
            POD,
            pod,
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            if found
            else "pod rejected: Pod Overhead set without corresponding RuntimeClass defined"
            " Overhead",
        )
    if overhead:
        spec["overhead"] = overhead
    for key, value in child(found or {}, "scheduling", "nodeSelector").items():
        chosen = spec.setdefault("nodeSelector", {}).setdefault(key, value)
        if chosen != value:
            raise forbidden(
                POD,
                pod,
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value};"
                f" pod.spec.nodeSelector[{key}] = {chosen}",
            )
    for toleration in children(found or {}, "scheduling", "tolerations"):
        kept = spec.setdefault("tolerations", [])
        if toleration not in kept:
            kept.append(dict(toleration))


# Priority


def _priority(registry: Objects, pod: Body) -> None:
    spec = pod["spec"]
    name = str(spec.get("priorityClassName") or "")
    found = registry.get(names.PRIORITY_CLASSES, name) if name else _default_class(registry)
    if name and found is None and name not in SYSTEM_PRIORITIES:
        raise forbidden(POD, pod, f"no PriorityClass with name {name} was found")
    if found is not None and not name:
        spec["priorityClassName"] = found["metadata"]["name"]
    value = int(found.get("value") or 0) if found else SYSTEM_PRIORITIES.get(name, 0)
    given = spec.get("priority")
    if given is not None and given != value:
        raise forbidden(
            POD,
            pod,
            f"the integer value of priority ({given}) must not be provided in pod spec; priority"
            f" admission controller computed {value} from the given PriorityClass name",
        )
    spec["priority"] = value
    policy = str((found or {}).get("preemptionPolicy") or "PreemptLowerPriority")
    asked = spec.get("preemptionPolicy")
    if asked is not None and asked != policy:
        raise forbidden(
            POD,
            pod,
            f"the string value of PreemptionPolicy ({asked}) must not be provided in pod spec;"
            f" priority admission controller computed {policy} from the given PriorityClass name",
        )
    spec["preemptionPolicy"] = policy


def _default_class(registry: Objects) -> dict[str, Any] | None:
    """The class of pods that name none: the lowest of those marked as default."""
    best: dict[str, Any] | None = None
    for entry in registry.list(names.PRIORITY_CLASSES):
        if b'"globalDefault":true' in entry.data:
            body = entry.object()
            if best is None or int(body.get("value") or 0) < int(best.get("value") or 0):
                best = body
    return best
