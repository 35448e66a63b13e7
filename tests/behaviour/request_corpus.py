"""Good and bad requests by rule: every leaf of valid objects broken in several ways, names and
labels off the rules, odd queries, bodies and media types. All are dry runs: they change nothing.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from behaviour.kind_corpus import FAULTS, SECRETS, SERVICES
from behaviour.manifests import IMAGE
from behaviour.pod_corpus import POD_FAULTS

NAMESPACE = "corpus"
_LONG = "a" * 254
_SOON = {"timeoutSeconds": "1"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``name`` is its own and stable."""

    name: str
    method: str
    path: str
    body: bytes | None = None
    media: str = "application/json"
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind with a valid object of it."""

    plural: str
    version: str
    kind: str
    spec: dict[str, Any]
    namespaced: bool = True

    @property
    def path(self) -> str:
        root = f"/apis/{self.version}" if "/" in self.version else f"/api/{self.version}"
        return f"{root}/namespaces/{NAMESPACE}/{self.plural}" if self.namespaced else (
            f"{root}/{self.plural}"
        )  # fmt: skip

    def body(self) -> dict[str, Any]:
        head = {"apiVersion": self.version, "kind": self.kind, "metadata": {"name": "thing"}}
        return copy.deepcopy({**head, **self.spec})


_CONTAINER = {
    "name": "c",
    "image": IMAGE,
    "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
    "env": [{"name": "A", "value": "1"}],
    "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "nvidia.com/gpu": "1"}},
    "imagePullPolicy": "Always",
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    "livenessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5},
}
_POD = {
    "containers": [_CONTAINER],
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 3,
    "volumes": [{"name": "data", "emptyDir": {}}],
    "tolerations": [
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute",
         "tolerationSeconds": 3}
    ],
    "nodeSelector": {"a": "b"},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
         "labelSelector": {"matchLabels": {"app": "x"}}}
    ],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]}
                ]
            }
        },
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "zone"}
            ]
        },
    },
}  # fmt: skip
_SMALL = {"containers": [{"name": "c", "image": IMAGE}]}
_LABELS = {"matchLabels": {"app": "x"}}
_TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": _SMALL}
_ONCE = {"metadata": {}, "spec": {**_SMALL, "restartPolicy": "Never"}}
_RBAC = "rbac.authorization.k8s.io"

SUBJECTS = (
    Subject("configmaps", "v1", "ConfigMap", {"data": {"a": "1"}, "binaryData": {"b": "YQ=="}}),
    Subject("secrets", "v1", "Secret", {"type": "Opaque", "data": {"a": "YQ=="}}),
    Subject("pods", "v1", "Pod", {"spec": _POD}),
    Subject("services", "v1", "Service", {"spec": {
        "type": "ClusterIP", "selector": {"a": "b"}, "sessionAffinity": "None",
        "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]}}),
    Subject("serviceaccounts", "v1", "ServiceAccount", {"automountServiceAccountToken": True}),
    Subject("resourcequotas", "v1", "ResourceQuota", {"spec": {
        "hard": {"pods": "3", "requests.nvidia.com/gpu": "4"}}}),
    Subject("limitranges", "v1", "LimitRange", {"spec": {"limits": [
        {"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "1"}}]}}),
    Subject("namespaces", "v1", "Namespace", {}, False),
    Subject("nodes", "v1", "Node", {"spec": {
        "podCIDR": "10.244.0.0/24", "providerID": "azure:///x", "unschedulable": False,
        "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]}}, False),
    Subject("replicationcontrollers", "v1", "ReplicationController", {"spec": {
        "replicas": 1, "selector": {"app": "x"}, "template": _TEMPLATE}}),
    Subject("deployments", "apps/v1", "Deployment", {"spec": {
        "replicas": 1, "selector": _LABELS, "template": _TEMPLATE, "minReadySeconds": 1,
        "revisionHistoryLimit": 2, "progressDeadlineSeconds": 60, "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}}}}),
    Subject("replicasets", "apps/v1", "ReplicaSet", {"spec": {
        "replicas": 1, "selector": _LABELS, "template": _TEMPLATE}}),
    Subject("daemonsets", "apps/v1", "DaemonSet", {"spec": {
        "selector": _LABELS, "template": _TEMPLATE,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}}}),
    Subject("statefulsets", "apps/v1", "StatefulSet", {"spec": {
        "replicas": 1, "selector": _LABELS, "template": _TEMPLATE, "serviceName": "x",
        "podManagementPolicy": "OrderedReady", "updateStrategy": {
            "type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}}),
    Subject("jobs", "batch/v1", "Job", {"spec": {
        "completions": 2, "parallelism": 1, "backoffLimit": 2, "template": _ONCE,
        "completionMode": "Indexed", "ttlSecondsAfterFinished": 5,
        "activeDeadlineSeconds": 9}}),
    Subject("cronjobs", "batch/v1", "CronJob", {"spec": {
        "schedule": "* * * * *", "concurrencyPolicy": "Forbid", "suspend": True,
        "jobTemplate": {"spec": {"template": _ONCE}}}}),
    Subject("poddisruptionbudgets", "policy/v1", "PodDisruptionBudget", {"spec": {
        "minAvailable": "50%", "selector": _LABELS,
        "unhealthyPodEvictionPolicy": "AlwaysAllow"}}),
    Subject("leases", "coordination.k8s.io/v1", "Lease", {"spec": {
        "holderIdentity": "x", "leaseDurationSeconds": 40,
        "renewTime": "2026-01-01T00:00:00.000000Z"}}),
    Subject("priorityclasses", "scheduling.k8s.io/v1", "PriorityClass", {
        "value": 10, "globalDefault": False, "preemptionPolicy": "Never"}, False),
    Subject("runtimeclasses", "node.k8s.io/v1", "RuntimeClass", {
        "handler": "runc", "overhead": {"podFixed": {"cpu": "1"}}}, False),
    Subject("roles", f"{_RBAC}/v1", "Role", {"rules": [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
    Subject("clusterroles", f"{_RBAC}/v1", "ClusterRole", {"rules": [
        {"nonResourceURLs": ["/healthz"], "verbs": ["get"]}]}, False),
    Subject("rolebindings", f"{_RBAC}/v1", "RoleBinding", {
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "apiGroup": _RBAC, "name": "ann"}]}),
    Subject("networkpolicies", "networking.k8s.io/v1", "NetworkPolicy", {"spec": {
        "podSelector": {}, "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}]}}),
    Subject("horizontalpodautoscalers", "autoscaling/v2", "HorizontalPodAutoscaler", {"spec": {
        "minReplicas": 1, "maxReplicas": 3,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}}),
    Subject("resourceclaims", "resource.k8s.io/v1", "ResourceClaim", {"spec": {"devices": {
        "requests": [{"name": "gpu", "exactly": {
            "deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1,
        }}]}}}),
    Subject("deviceclasses", "resource.k8s.io/v1", "DeviceClass", {"spec": {
        "selectors": [{"cel": {"expression": "device.driver == 'x'"}}]}}, False),
)  # fmt: skip


def requests() -> list[Request]:
    """All of them; names are unique."""
    found = [request for subject in SUBJECTS for request in _of(subject)]
    found += _rules()
    found += _changes()
    found += _queries()
    found += pod_rules()
    assert len({request.name for request in found}) == len(found)
    return found


def _rules() -> Iterator[Request]:
    """Specs that are well formed and break a rule of their kind."""
    for plural, version, kind, base, faults in FAULTS:
        namespaced = plural not in {"ingressclasses", "persistentvolumes"}
        for position, fault in enumerate(faults):
            subject = Subject(plural, version, kind, {"spec": {**base, **fault}}, namespaced)
            yield _created(subject, position)
    for position, members in enumerate(SECRETS):
        yield _created(Subject("secrets", "v1", "Secret", members), position)


def services() -> Iterator[dict[str, Any]]:
    """The services that are to be there."""
    for name, (spec, _) in SERVICES.items():
        own = {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}
        yield {**Subject("services", "v1", "Service", {"spec": own}).body(),
               "metadata": {"name": name}}  # fmt: skip


def _changes() -> Iterator[Request]:
    for name, (_, changes) in SERVICES.items():
        for position, change in enumerate(changes):
            yield Request(
                f"service {name}: change {position}",
                "PATCH",
                f"/api/v1/namespaces/{NAMESPACE}/services/{name}",
                json.dumps({"spec": change}).encode(),
                "application/merge-patch+json",
                {"dryRun": "All"},
            )


def _created(subject: Subject, position: int) -> Request:
    body = json.dumps(subject.body()).encode()
    name = f"{subject.plural}: rule {position}"
    return Request(name, "POST", subject.path, body, query={"dryRun": "All"})


def _of(subject: Subject) -> Iterator[Request]:
    def create(name: str, body: Any, **query: str) -> Request:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Request(
            f"{subject.plural}: {name}", "POST", subject.path, raw, query={"dryRun": "All", **query}
        )

    yield create("as it should be", subject.body())
    for path, value in _leaves(subject.spec, ()):
        label = ".".join(str(part) for part in path)
        for fault, wrong in _faults(value):
            body = subject.body()
            _put(body, path, wrong)
            yield create(f"{label} {fault}", body)
    for fault, members in _METADATA:
        body = subject.body()
        body["metadata"].update(copy.deepcopy(members))
        yield create(f"metadata {fault}", body)
    for name, members in (
        ("no kind", {"kind": None}),
        ("another kind", {"kind": "Widget"}),
        ("another version", {"apiVersion": "v9"}),
        ("no metadata", {"metadata": None}),
        ("unknown member", {"colour": "red"}),
    ):
        yield create(name, {**subject.body(), **members})
    for validation in ("Strict", "Warn"):
        body = {**subject.body(), "colour": "red"}
        body["metadata"]["shade"] = "dark"
        yield create(f"unknown members {validation}", body, fieldValidation=validation)
    text = json.dumps(subject.body())
    yield create("a member twice", (text[:-1] + ', "kind": "Other"}').encode(),
                 fieldValidation="Strict")  # fmt: skip


def pod_rules() -> Iterator[Request]:
    """Each fault of a pod spec, in a pod and in a template; and mounts of claim templates."""
    claims = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    of_set = {"serviceName": "x", "volumeClaimTemplates": [
        {"metadata": {"name": "v"}, "spec": claims}]}  # fmt: skip
    for name in ("v", "w"):
        mounted = {**_SMALL["containers"][0], "volumeMounts": [{"name": name, "mountPath": "/v"}]}
        yield _create(
            "claim template", f"mounted as {name}", _SET, {"containers": [mounted]}, of_set
        )
    for name, fault in POD_FAULTS.items():
        container = {"name": "a", "image": "b", **fault.get("container", {})}
        spec = {"containers": [container], **fault.get("spec", {})}
        yield _create("pod rule", name, _ONE, spec)
        yield _create("template rule", name, _MANY, spec)


_ONE = Subject("pods", "v1", "Pod", {})
_MANY = Subject("deployments", "apps/v1", "Deployment", {})
_SET = Subject("statefulsets", "apps/v1", "StatefulSet", {})


def _create(group: str, name: str, subject: Subject, spec: Any, more: Any = None) -> Request:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": spec}
    held = {"selector": _LABELS, "template": template, **(more or {})}
    body = {**subject.body(), "spec": spec if subject is _ONE else held}
    raw = json.dumps(body).encode()
    return Request(f"{group}: {name}", "POST", subject.path, raw, query={"dryRun": "All"})


def _leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every member, the inner ones included."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))


def _put(body: Any, path: tuple[Any, ...], value: Any) -> None:
    for part in path[:-1]:
        body = body[part]
    if value is _GONE:
        del body[path[-1]]
    else:
        body[path[-1]] = value


_GONE = object()


def _faults(value: Any) -> Iterator[tuple[str, Any]]:
    """Ways in which a value can be wrong."""
    yield "gone", _GONE
    match value:
        case bool():
            yield "text", "yes"
        case int():
            yield from (("negative", -1), ("text", "five"), ("huge", 2**40), ("zero", 0))
        case str():
            yield from (("number", 7), ("empty", ""), ("odd", "Not_Right!"), ("long", _LONG))
        case dict():
            yield from (("a list", []), ("empty", {}), ("text", "x"))
        case list():
            yield from (("an object", {}), ("empty", []), ("twice", [*value, *value]))


_METADATA: tuple[tuple[str, dict[str, Any]], ...] = (
    ("name empty", {"name": ""}),
    ("name upper", {"name": "Thing"}),
    ("name with underscore", {"name": "a_b"}),
    ("name with dots", {"name": "a.b"}),
    ("name with slash", {"name": "a/b"}),
    ("name long", {"name": _LONG}),
    ("name 64 long", {"name": "a" * 64}),
    ("name a number", {"name": 5}),
    ("generated", {"name": None, "generateName": "made-"}),
    ("generated wrongly", {"name": None, "generateName": "Made_"}),
    ("namespace another", {"namespace": "other"}),
    ("label key bad", {"labels": {"a b": "c"}}),
    ("label key long", {"labels": {"a" * 64: "c"}}),
    ("label prefix bad", {"labels": {"UP_/x": "c"}}),
    ("label value bad", {"labels": {"a": "b c"}}),
    ("label value long", {"labels": {"a": "b" * 64}}),
    ("label value a number", {"labels": {"a": 1}}),
    ("labels a list", {"labels": []}),
    ("annotation key bad", {"annotations": {"a b": "c"}}),
    ("annotations large", {"annotations": {"a": "x" * 270_000}}),
    ("finalizer bad", {"finalizers": ["nothing"]}),
    ("finalizer good", {"finalizers": ["example.com/x"]}),
    ("owner without uid", {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": ""}]}),
    ("owners two controllers", {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": name, "controller": True}
        for name in ("x", "y")]}),
    ("resource version given", {"resourceVersion": "5"}),
    ("creation time text", {"creationTimestamp": "yesterday"}),
)  # fmt: skip


def _queries() -> Iterator[Request]:
    """What is not about an object: lists, patches, deletions, bodies, media types."""
    maps = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    lists = (
        {"limit": "-1"}, {"limit": "x"}, {"limit": "1"}, {"continue": "nonsense"},
        {"resourceVersion": "x"}, {"resourceVersion": "999999999999"}, {"resourceVersion": "-1"},
        {"resourceVersionMatch": "Exact"}, {"resourceVersionMatch": "Sometimes"},
        {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
        {"labelSelector": "a in (b"}, {"labelSelector": "a=b,c!=d"}, {"labelSelector": "!"},
        {"labelSelector": "a b"}, {"labelSelector": "a in ()"}, {"labelSelector": "a>x"},
        {"fieldSelector": "metadata.name"}, {"fieldSelector": "metadata.name=a,b"},
        {"fieldSelector": "data.a=1"}, {"fieldSelector": "metadata.namespace!=x"},
        {"watch": "maybe", **_SOON}, {"timeoutSeconds": "x"}, {"sendInitialEvents": "true"},
        {"allowWatchBookmarks": "maybe"}, {"watch": "true", **_SOON, "resourceVersion": "x"},
        {"watch": "true", **_SOON, "fieldSelector": "data.a=1"}, {"pretty": "true"},
        {"nonsense": "1"},
    )  # fmt: skip
    for query in lists:
        yield Request(f"list {query}", "GET", maps, query=query)
    bodies = {
        "nothing": b"", "brace": b"{", "list": b"[]", "null": b"null", "text": b'"x"',
        "number": b"5", "not utf-8": b'{"kind": "\xff"}', "yaml": b"kind: ConfigMap",
        "trailing": b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}} x',
        "deep": b"[" * 20_000,
    }  # fmt: skip
    for name, raw in bodies.items():
        yield Request(f"create with {name}", "POST", maps, raw, query={"dryRun": "All"})
        yield Request(f"replace with {name}", "PUT", f"{maps}/one", raw, query={"dryRun": "All"})
    good = json.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}).encode()
    for media in ("text/plain", "application/xml", "application/yaml", "", "application/json;x=y",
                  "application/vnd.kubernetes.protobuf", "application/cbor"):  # fmt: skip
        yield Request(f"create as {media!r}", "POST", maps, good, media, {"dryRun": "All"})
    for accept in ("text/html", "application/yaml", "application/json;as=Nothing;v=v1;g=x", "*/*"):
        yield Request(f"get as {accept}", "GET", f"{maps}/one", headers={"Accept": accept})
    for query in ({"dryRun": "Some"}, {"fieldValidation": "X"}, {"fieldManager": "a" * 129},
                  {"fieldManager": "b\x01"}):  # fmt: skip
        yield Request(f"create {query}", "POST", maps, good, query={"dryRun": "All", **query})
    yield from _patches(f"{maps}/one")
    for name, raw in {
        "policy": b'{"propagationPolicy":"Never"}', "both": b'{"propagationPolicy":"Orphan",'
        b'"orphanDependents":true}', "uid": b'{"preconditions":{"uid":"x"}}',
        "version": b'{"preconditions":{"resourceVersion":"1"}}', "negative":
        b'{"gracePeriodSeconds":-1}', "text": b'{"gracePeriodSeconds":"x"}', "brace": b"{",
    }.items():  # fmt: skip
        yield Request(f"delete {name}", "DELETE", f"{maps}/one", raw, query={"dryRun": "All"})
    for method, path in (
        ("GET", "/api/v1/widgets"), ("GET", "/apis/x/v1/y"), ("GET", f"{maps}/none"),
        ("DELETE", f"{maps}/none"), ("POST", f"{maps}/one"), ("PUT", maps), ("PATCH", maps),
        ("GET", f"{maps}/one/status"), ("GET", f"{maps}/one/two/three"), ("OPTIONS", maps),
        ("GET", "/api/v2"), ("GET", "/nothing"), ("POST", "/version"), ("GET", "/api/v1/nodes/x/y"),
        ("PUT", f"{maps}/none"), ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/none/log"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/nodes"), ("TRACE", maps),
        ("POST", "/api/v1/namespaces/nowhere/configmaps"),
    ):  # fmt: skip
        body = good if method in {"POST", "PUT", "PATCH"} else None
        yield Request(f"{method} {path}", method, path, body, query={"dryRun": "All"})


def _patches(path: str) -> Iterator[Request]:
    operations = (
        [{"op": "add", "path": "/data/x", "value": "1"}], [{"op": "remove", "path": "/data/none"}],
        [{"op": "move", "from": "/data/none", "path": "/data/x"}], [{"op": "jump", "path": "/x"}],
        [{"op": "add", "path": "data", "value": 1}], [{"path": "/x"}], {}, [], [5],
        [{"op": "test", "path": "/data/a", "value": "wrong"}],
        [{"op": "replace", "path": "/data/a", "value": 5}],
        [{"op": "replace", "path": "/metadata/name", "value": "b"}],
        [{"op": "add", "path": "/metadata/labels", "value": {"a b": "c"}}],
    )  # fmt: skip
    for index, body in enumerate(operations):
        yield Request(
            f"json patch {index}", "PATCH", path, json.dumps(body).encode(),
            "application/json-patch+json", {"dryRun": "All"},
        )  # fmt: skip
    merges = (
        {"data": {"a": 1}}, {"data": None}, {"data": []}, {"metadata": {"name": "b"}}, [], "x", 5,
        {"metadata": {"uid": "x"}}, {"metadata": {"resourceVersion": "1"}}, {"kind": "Secret"},
        {"metadata": {"labels": {"a b": "c"}}}, {"colour": "red"}, {"apiVersion": "v9"},
        {"data": {"$patch": "replace"}}, {"$patch": "delete"}, {"metadata": {"finalizers": ["x"]}},
    )  # fmt: skip
    for kind in ("merge-patch", "strategic-merge-patch"):
        for index, body in enumerate(merges):
            yield Request(
                f"{kind} {index}", "PATCH", path, json.dumps(body).encode(),
                f"application/{kind}+json", {"dryRun": "All", "fieldValidation": "Strict"},
            )  # fmt: skip
    applies = (
        {}, {"kind": "ConfigMap"}, {"kind": "ConfigMap", "apiVersion": "v1"},
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "one"}, "data": {"a": 1}},
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "two"}},
        {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "one"}},
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "one", "managedFields": [
            {"manager": "x"}]}},
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "one"}, "colour": "red"},
    )  # fmt: skip
    for index, body in enumerate(applies):
        for query in ({"fieldManager": "x"}, {}, {"fieldManager": "x", "force": "maybe"}):
            yield Request(
                f"apply {index} {query}", "PATCH", path, json.dumps(body).encode(),
                "application/apply-patch+yaml", {"dryRun": "All", **query},
            )  # fmt: skip
