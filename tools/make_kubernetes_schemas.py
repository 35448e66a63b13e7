"""Write the schemas that the embedded Kubernetes serves, from Kubernetes' published OpenAPI.

    go mod download k8s.io/kubernetes@v1.36.3   (or fetch and unpack the module's zip)
    python tools/make_kubernetes_schemas.py <module folder>

Only what our kinds reach is kept, paths are left out (the server makes them from its kinds).
The published documents leave enumerations out, which a running API server publishes: they are read
from the definitions that Kubernetes is compiled with.
The schemas are Apache-2.0, (c) The Kubernetes Authors; see NOTICE.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "src/poolwright/kubesim/schemas.json"

ROOTS: dict[str, tuple[str, ...]] = {
    "api__v1": (
        "ConfigMap", "Event", "Namespace", "Node", "Pod", "Secret", "ServiceAccount", "Service",
        "Binding", "ReplicationController", "PodTemplate", "ResourceQuota", "LimitRange",
        "Endpoints", "PersistentVolume", "PersistentVolumeClaim",
    ),
    "apis__admissionregistration.k8s.io__v1": (
        "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    ),
    "apis__apiextensions.k8s.io__v1": ("CustomResourceDefinition",),
    "apis__apps__v1": (
        "ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet",
    ),
    "apis__autoscaling__v1": ("HorizontalPodAutoscaler",),
    "apis__autoscaling__v2": ("HorizontalPodAutoscaler",),
    "apis__batch__v1": ("CronJob", "Job"),
    "apis__coordination.k8s.io__v1": ("Lease",),
    "apis__discovery.k8s.io__v1": ("EndpointSlice",),
    "apis__networking.k8s.io__v1": ("Ingress", "IngressClass", "NetworkPolicy"),
    "apis__node.k8s.io__v1": ("RuntimeClass",),
    "apis__policy__v1": ("PodDisruptionBudget", "Eviction"),
    "apis__rbac.authorization.k8s.io__v1": (
        "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
    ),
    "apis__resource.k8s.io__v1": (
        "DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice",
    ),
    "apis__scheduling.k8s.io__v1": ("PriorityClass",),
    "apis__storage.k8s.io__v1": ("StorageClass",),
    "apis__events.k8s.io__v1": ("Event",),
    "apis__authentication.k8s.io__v1": ("TokenRequest", "TokenReview", "SelfSubjectReview"),
    "apis__authorization.k8s.io__v1": (
        "SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview",
        "LocalSubjectAccessReview",
    ),
}  # fmt: skip
PREFIX = "#/components/schemas/"


def references(node: object, found: list[str]) -> list[str]:
    """Names of the schemas that a schema mentions."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                found.append(value.removeprefix(PREFIX))
            else:
                references(value, found)
    elif isinstance(node, list):
        for value in node:
            references(value, found)
    return found


_DEFINITION = re.compile(r"^func schema_k8sio_(\w+?)\(ref", re.M)
_MEMBER = re.compile(r'^\t{5}"(\w+)": \{$', re.M)
_DESCRIPTION = re.compile(r'^\t{7}Description: +("(?:[^"\\]|\\.)*"),$', re.M)
_ENUMERATION = re.compile(r"^\t{7}Enum: +\[\]interface\{\}\{(.*)\},$", re.M)


def enumerations(definitions: str) -> dict[str, dict[str, dict[str, object]]]:
    """By type and member, what the published documents leave out. A type is named as Go's
    generator names its functions: ``api_core_v1_Toleration``.
    """
    found: dict[str, dict[str, dict[str, object]]] = {}
    parts = _DEFINITION.split(definitions)[1:]
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        members = _MEMBER.split(text)[1:]
        for member, inner in zip(members[::2], members[1::2], strict=True):
            values = _ENUMERATION.search(inner)
            told = _DESCRIPTION.search(inner)
            if values and told:
                found.setdefault(name, {})[member] = {
                    "description": json.loads(told[1]),
                    "enum": json.loads(f"[{values[1]}]"),
                }
    return found


def main() -> None:
    """Collect, prune, write."""
    module = Path(sys.argv[1])
    source = module / "api/openapi-spec/v3"
    generated = module / "pkg/generated/openapi/zz_generated.openapi.go"
    missing = enumerations(generated.read_text())
    kept: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for document, kinds in ROOTS.items():
        path = source / f"{document}_openapi.json"
        schemas = json.loads(path.read_text())["components"]["schemas"]
        waiting = [
            name
            for name, schema in schemas.items()
            for gvk in schema.get("x-kubernetes-group-version-kind", ())
            if len(schema["x-kubernetes-group-version-kind"]) < 3
            and gvk["kind"] in {*kinds, *(f"{kind}List" for kind in kinds), "Scale", "Status"}
        ]
        waiting.append("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
        while waiting:
            name = waiting.pop()
            schema = schemas.get(name)
            if name in kept or schema is None:
                continue
            kept[name] = schema
            waiting.extend(references(schema, []))
    for name, schema in kept.items():
        # io.k8s.api.core.v1.Toleration: api_core_v1_Toleration
        group = name.removeprefix("io.k8s.").split(".")
        for member, more in missing.get("_".join(group), {}).items():
            schema["properties"][member].update(more)
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(kept[name], sort_keys=True)}" for name in sorted(kept)
    )
    TARGET.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
