"""Who may do what: roles, bindings, and the reviews that ask about them.

Source of rules and wording: k8s.io/kubernetes plugin/pkg/auth/authorizer/rbac and
k8s.io/apiserver pkg/endpoints/handlers/responsewriters (Forbidden).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from poolwright.kubesim import status
from poolwright.kubesim.objects import Objects
from poolwright.kubesim.user import Attempt, User
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children
from poolwright.model.label_selector import LabelSelector

MASTERS = "system:masters"
_ALL_RULES: tuple[Json, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


def is_allowed(registry: Objects, user: User, attempt: Attempt) -> bool:
    """Whether some rule grants it."""
    return permission(registry, user, attempt) is not None


def permission(registry: Objects, user: User, attempt: Attempt) -> str | None:
    """Why somebody may do something (empty: as an administrator); None: they may not."""
    if MASTERS in user.groups:
        return ""
    for binding, subject, rules in _bound_rules(registry, user, attempt.namespace):
        if any(_grants(rule, attempt) for rule in rules):
            return f"RBAC: allowed by {_described(binding, subject)}"
    return None


def rules_of(registry: Objects, user: User, namespace: str) -> Iterator[Json]:
    """Every rule that a user has in a namespace."""
    if MASTERS in user.groups:
        yield from _ALL_RULES
        return
    for _, _, rules in _bound_rules(registry, user, namespace):
        yield from rules


def _bound_rules(
    registry: Objects, user: User, namespace: str
) -> Iterator[tuple[Json, Json, Sequence[Json]]]:
    """The bindings of a user with what they are bound by, and the rules that they give."""
    homes = [(names.CLUSTER_ROLE_BINDINGS, "")]
    if namespace:
        homes.append((names.ROLE_BINDINGS, namespace))
    for resource, home in homes:
        for entry in registry.list(resource, home):
            binding = entry.object()
            subject = _subject(binding, user, home)
            if subject is not None:
                yield binding, subject, _role_rules(registry, binding, home)


def _described(binding: Json, subject: Json) -> str:
    """Source: k8s.io/kubernetes pkg/registry/rbac/validation/rule.go."""
    metadata, role = binding["metadata"], child(binding, "roleRef")
    home = metadata.get("namespace")
    kind, name = ("RoleBinding", f"{metadata['name']}/{home}") if home else (
        "ClusterRoleBinding", metadata["name"]
    )  # fmt: skip
    who = subject.get("name")
    if subject.get("kind") == "ServiceAccount":
        who = f"{who}/{subject.get('namespace') or home or ''}"
    return (
        f'{kind} "{name}" of {role.get("kind")} "{role.get("name")}" to'
        f' {subject.get("kind")} "{who}"'
    )


def _subject(binding: Json, user: User, namespace: str) -> Json | None:
    """By which of its subjects a binding is about a user."""
    for subject in children(binding, "subjects"):
        name = subject.get("name")
        match subject.get("kind"):
            case "User":
                found = name == user.name
            case "Group":
                found = name in user.groups
            case "ServiceAccount":
                home = subject.get("namespace") or namespace
                found = user.name == f"system:serviceaccount:{home}:{name}"
            case _:
                found = False
        if found:
            return subject
    return None


def _role_rules(registry: Objects, binding: Json, namespace: str) -> Sequence[Json]:
    reference = child(binding, "roleRef")
    name = str(reference.get("name") or "")
    if reference.get("kind") == "ClusterRole":
        role = registry.get(names.CLUSTER_ROLES, name)
    else:
        role = registry.get(names.ROLES, name, namespace)
    if role is None:
        return ()
    selectors = children(role, "aggregationRule", "clusterRoleSelectors")
    if not selectors:
        return children(role, "rules")
    return [*children(role, "rules"), *_aggregated(registry, selectors)]


def _aggregated(registry: Objects, selectors: Sequence[Json]) -> Iterator[Json]:
    wanted = [LabelSelector.from_object(selector) for selector in selectors]
    for entry in registry.list(names.CLUSTER_ROLES):
        if any(selector.matches(entry.labels) for selector in wanted):
            yield from children(entry.object(), "rules")


def _has(words: Any, wanted: str) -> bool:
    return wanted in (words or ()) or "*" in (words or ())


def _grants(rule: Json, attempt: Attempt) -> bool:
    if not _has(rule.get("verbs"), attempt.verb):
        return False
    if attempt.path:
        return any(
            attempt.path == word or (word.endswith("*") and attempt.path.startswith(word[:-1]))
            for word in rule.get("nonResourceURLs") or ()
        )
    named: Sequence[Any] = rule.get("resourceNames") or ()
    return (
        _has(rule.get("apiGroups"), attempt.group)
        and (
            _has(rule.get("resources"), attempt.full_resource)
            or f"*/{attempt.subresource}" in (rule.get("resources") or ())
        )
        and (not named or attempt.name in named)
    )


def refused(user: User, attempt: Attempt) -> status.StatusError:
    """403 in Kubernetes' words."""
    if attempt.path:
        return status.StatusError(
            403,
            "Forbidden",
            f'forbidden: User "{user.name}" cannot {attempt.verb} path "{attempt.path}"',
            details={},
        )
    qualified = f"{attempt.resource}.{attempt.group}" if attempt.group else attempt.resource
    what = f'{qualified} "{attempt.name}"' if attempt.name else qualified
    where = (
        f'in the namespace "{attempt.namespace}"' if attempt.namespace else "at the cluster scope"
    )
    details = {"kind": attempt.resource}
    if attempt.name:
        details["name"] = attempt.name
    if attempt.group:
        details["group"] = attempt.group
    return status.StatusError(
        403,
        "Forbidden",
        f'{what} is forbidden: User "{user.name}" cannot {attempt.verb} resource'
        f' "{attempt.full_resource}" in API group "{attempt.group}" {where}',
        details=details,
    )


# What a cluster is born with

_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_VIEWED: dict[str, list[str]] = {
    "": [
        "configmaps", "endpoints", "events", "limitranges", "namespaces", "pods", "pods/log",
        "pods/status", "podtemplates", "replicationcontrollers", "replicationcontrollers/scale",
        "resourcequotas", "resourcequotas/status", "serviceaccounts", "services",
        "services/status",
    ],
    "apps": [
        "controllerrevisions", "daemonsets", "daemonsets/status", "deployments",
        "deployments/scale", "deployments/status", "replicasets", "replicasets/scale",
        "replicasets/status", "statefulsets", "statefulsets/scale", "statefulsets/status",
    ],
    "autoscaling": ["horizontalpodautoscalers", "horizontalpodautoscalers/status"],
    "batch": ["cronjobs", "cronjobs/status", "jobs", "jobs/status"],
    "discovery.k8s.io": ["endpointslices"],
    "networking.k8s.io": ["networkpolicies"],
    "policy": ["poddisruptionbudgets", "poddisruptionbudgets/status"],
    "resource.k8s.io": ["resourceclaims", "resourceclaims/status", "resourceclaimtemplates"],
}  # fmt: skip
_EDITED: dict[str, list[str]] = {
    "": [
        "configmaps", "endpoints", "events", "pods", "pods/attach", "pods/eviction", "pods/exec",
        "pods/portforward", "pods/proxy", "replicationcontrollers", "replicationcontrollers/scale",
        "secrets", "serviceaccounts", "serviceaccounts/token", "services", "services/proxy",
    ],
    **{
        group: [name for name in resources if not name.endswith("/status")]
        for group, resources in _VIEWED.items()
        if group not in {"", "discovery.k8s.io"}
    },
}  # fmt: skip
_PATHS = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*",
          "/readyz", "/version", "/version/"]  # fmt: skip


def _rules(resources: dict[str, list[str]], verbs: list[str]) -> list[Json]:
    return [
        {"apiGroups": [group], "resources": names_, "verbs": verbs}
        for group, names_ in resources.items()
    ]


_VIEW = _rules(_VIEWED, _READ)
_EDIT = [
    *_VIEW,
    *_rules(_EDITED, _WRITE),
    {"apiGroups": [""], "resources": ["secrets"], "verbs": _READ},
]
_ROLES = {"rbac.authorization.k8s.io": ["rolebindings", "roles"]}
CLUSTER_ROLES: dict[str, list[Json]] = {
    "cluster-admin": list(_ALL_RULES),
    "admin": [*_EDIT, *_rules(_ROLES, [*_READ, *_WRITE])],
    "edit": _EDIT,
    "view": _VIEW,
    "system:basic-user": [
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            "verbs": ["create"],
        },
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["selfsubjectreviews"],
            "verbs": ["create"],
        },
    ],
    "system:discovery": [{"nonResourceURLs": _PATHS, "verbs": ["get"]}],
    "system:public-info-viewer": [
        {
            "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"],
            "verbs": ["get"],
        }
    ],
}
CLUSTER_ROLE_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": (MASTERS,),
    "system:basic-user": ("system:authenticated",),
    "system:discovery": ("system:authenticated",),
    "system:public-info-viewer": ("system:authenticated", "system:unauthenticated"),
}
