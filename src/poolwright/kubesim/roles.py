"""The roles that every cluster is born with, and who is bound to them.

Source: k8s.io/kubernetes v1.36 plugin/pkg/auth/authorizer/rbac/bootstrappolicy (policy.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from poolwright.kubesim.access import ALL_RULES, MASTERS
from poolwright.model.json_value import Json
from poolwright.plan.kubernetes.role_aggregation import aggregated_rules

_READ = "get list watch"
_WRITE = "create delete deletecollection patch update"
_ALL = "create delete deletecollection get list patch update watch"
_CORE = "-"
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
"""Marks what an API server completes at its start; its owner may say ``false``."""
_ANNOTATIONS = {AUTO_UPDATE: "true"}

_GIVEN: dict[str, tuple[tuple[str, str, str], ...]] = {
    # What each of the roles for users adds to the one before: groups, resources, verbs.
    "view": (
        (
            "-",
            "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status "
            "pods replicationcontrollers replicationcontrollers/scale serviceaccounts "
            "services services/status",
            _READ,
        ),
        (
            "-",
            "bindings limitranges namespaces/status pods/log pods/status "
            "replicationcontrollers/status resourcequotas resourcequotas/status",
            _READ,
        ),
        ("-", "namespaces", _READ),
        ("- events.k8s.io", "events", _READ),
        ("discovery.k8s.io", "endpointslices", _READ),
        (
            "apps",
            "controllerrevisions daemonsets daemonsets/status deployments "
            "deployments/scale deployments/status replicasets replicasets/scale "
            "replicasets/status statefulsets statefulsets/scale statefulsets/status",
            _READ,
        ),
        ("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", _READ),
        ("batch", "cronjobs cronjobs/status jobs jobs/status", _READ),
        (
            "extensions",
            "daemonsets daemonsets/status deployments deployments/scale "
            "deployments/status ingresses ingresses/status networkpolicies replicasets "
            "replicasets/scale replicasets/status replicationcontrollers/scale",
            _READ,
        ),
        ("policy", "poddisruptionbudgets poddisruptionbudgets/status", _READ),
        ("networking.k8s.io", "ingresses ingresses/status networkpolicies", _READ),
        (
            "resource.k8s.io",
            "resourceclaims resourceclaims/status resourceclaimtemplates",
            _READ,
        ),
    ),
    "edit": (
        (
            "-",
            "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
            _READ,
        ),
        ("-", "serviceaccounts", "impersonate"),
        ("-", "pods pods/attach pods/exec pods/portforward pods/proxy", _WRITE),
        ("-", "pods/eviction", "create"),
        (
            "-",
            "configmaps persistentvolumeclaims replicationcontrollers "
            "replicationcontrollers/scale secrets serviceaccounts services services/proxy",
            _WRITE,
        ),
        ("-", "serviceaccounts/token", "create"),
        ("- events.k8s.io", "events", _WRITE),
        (
            "apps",
            "daemonsets deployments deployments/rollback deployments/scale replicasets "
            "replicasets/scale statefulsets statefulsets/scale",
            _WRITE,
        ),
        ("autoscaling", "horizontalpodautoscalers", _WRITE),
        ("batch", "cronjobs jobs", _WRITE),
        (
            "extensions",
            "daemonsets deployments deployments/rollback deployments/scale ingresses "
            "networkpolicies replicasets replicasets/scale replicationcontrollers/scale",
            _WRITE,
        ),
        ("policy", "poddisruptionbudgets", _WRITE),
        ("networking.k8s.io", "ingresses networkpolicies", _WRITE),
        ("coordination.k8s.io", "leases", _ALL),
        ("resource.k8s.io", "resourceclaims resourceclaimtemplates", _WRITE),
    ),
    "admin": (
        ("authorization.k8s.io", "localsubjectaccessreviews", "create"),
        ("rbac.authorization.k8s.io", "rolebindings roles", _ALL),
    ),
}
_ABOVE = {"view": "edit", "edit": "admin"}
_PATHS = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*",
          "/readyz", "/version", "/version/"]  # fmt: skip
_PUBLIC_PATHS = ["/healthz", "/livez", "/readyz", "/version", "/version/"]


def _rule(groups: str, resources: str, verbs: str) -> Json:
    return {
        "apiGroups": ["" if group == _CORE else group for group in groups.split()],
        "resources": resources.split(),
        "verbs": verbs.split(),
    }


_PLAIN: dict[str, list[Json]] = {
    "cluster-admin": list(ALL_RULES),
    "system:basic-user": [
        _rule("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create"),
        _rule("authentication.k8s.io", "selfsubjectreviews", "create"),
    ],
    "system:discovery": [{"nonResourceURLs": _PATHS, "verbs": ["get"]}],
    "system:public-info-viewer": [{"nonResourceURLs": _PUBLIC_PATHS, "verbs": ["get"]}],
}
CLUSTER_ROLE_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": (MASTERS,),
    "system:basic-user": ("system:authenticated",),
    "system:discovery": ("system:authenticated",),
    "system:public-info-viewer": ("system:authenticated", "system:unauthenticated"),
}


def metadata(name: str, **labels: str) -> dict[str, Any]:
    """The metadata of an object that comes with the cluster."""
    marks = {**_LABELS, **labels}
    return {"name": name, "labels": marks, "annotations": dict(_ANNOTATIONS)}


def cluster_roles() -> Iterator[dict[str, Any]]:
    """Every cluster role; those that gather others as they are once they have."""
    for name, rules in _PLAIN.items():
        yield {"metadata": metadata(name), "rules": rules}
    parts = [
        {
            "metadata": metadata(f"system:aggregate-to-{level}", **{_AGGREGATE + level: "true"}),
            "rules": [_rule(*rule) for rule in rules],
        }
        for level, rules in _GIVEN.items()
    ]
    yield from parts
    gathered: list[dict[str, Any]] = []
    for level in _GIVEN:
        above = _ABOVE.get(level)
        marks = {_AGGREGATE + above: "true"} if above else {}
        selector = {"matchLabels": {_AGGREGATE + level: "true"}}
        role: dict[str, Any] = {
            "metadata": metadata(level, **marks),
            "aggregationRule": {"clusterRoleSelectors": [selector]},
        }
        gathered.append({**role, "rules": aggregated_rules(role, [*parts, *gathered])})
    yield from gathered
