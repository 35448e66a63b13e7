"""Write the protobuf layout of the kinds that the embedded Kubernetes serves.

    python tools/make_kubernetes_messages.py <module cache>/k8s.io

expects the unpacked Go modules ``api@…``, ``apimachinery@…`` and ``apiextensions-apiserver@…``
there. Field numbers are read from
the struct tags of their ``types.go`` files (Apache-2.0, (c) The Kubernetes Authors; see NOTICE).

A message is a map from field number to ``[name, type]``. An empty name: the message's fields are
the parent's. Types: s string, i integer, b boolean, y bytes, d float, ``[]T``, ``{}T`` (map),
``*T`` (a pointer: its zero value is said), ``!T`` (a value that JSON always says), or the name of
a message.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "src/poolwright/kubesim/messages.json"
PACKAGES = {
    "meta/v1": "apimachinery@*/pkg/apis/meta/v1",
    **{
        name: f"api@*/{name}"
        for name in (
            "core/v1", "apps/v1", "batch/v1", "policy/v1", "coordination/v1", "events/v1",
            "autoscaling/v1", "authentication/v1", "authorization/v1", "admissionregistration/v1",
            "autoscaling/v2", "discovery/v1", "networking/v1", "node/v1", "rbac/v1",
            "resource/v1", "scheduling/v1", "storage/v1",
        )
    },
    "apiextensions/v1": "apiextensions-apiserver@*/pkg/apis/apiextensions/v1",
}  # fmt: skip
ROOTS = (
    "core/v1.PersistentVolume", "core/v1.PersistentVolumeClaim",
    "core/v1.ConfigMap", "core/v1.Event", "core/v1.Namespace", "core/v1.Node", "core/v1.Pod",
    "core/v1.Secret", "core/v1.ServiceAccount", "core/v1.Service", "core/v1.Binding",
    "apps/v1.ControllerRevision", "apps/v1.DaemonSet", "apps/v1.Deployment", "apps/v1.ReplicaSet",
    "batch/v1.Job", "policy/v1.PodDisruptionBudget", "policy/v1.Eviction", "coordination/v1.Lease",
    "events/v1.Event", "autoscaling/v1.Scale", "authentication/v1.TokenRequest",
    "authentication/v1.TokenReview", "authentication/v1.SelfSubjectReview",
    "authorization/v1.SelfSubjectAccessReview", "authorization/v1.SelfSubjectRulesReview",
    "authorization/v1.SubjectAccessReview", "authorization/v1.LocalSubjectAccessReview",
    "meta/v1.DeleteOptions", "core/v1.ReplicationController", "core/v1.PodTemplate",
    "core/v1.ResourceQuota", "core/v1.LimitRange", "core/v1.Endpoints", "apps/v1.StatefulSet",
    "batch/v1.CronJob", "autoscaling/v1.HorizontalPodAutoscaler",
    "autoscaling/v2.HorizontalPodAutoscaler", "discovery/v1.EndpointSlice",
    "networking/v1.Ingress", "networking/v1.IngressClass",
    "networking/v1.NetworkPolicy", "node/v1.RuntimeClass", "scheduling/v1.PriorityClass",
    "storage/v1.StorageClass",
    "rbac/v1.ClusterRole", "rbac/v1.ClusterRoleBinding", "rbac/v1.Role", "rbac/v1.RoleBinding",
    "resource/v1.DeviceClass", "resource/v1.ResourceClaim", "resource/v1.ResourceClaimTemplate",
    "resource/v1.ResourceSlice", "admissionregistration/v1.ValidatingAdmissionPolicy",
    "admissionregistration/v1.ValidatingAdmissionPolicyBinding",
    "apiextensions/v1.CustomResourceDefinition",
)  # fmt: skip
SCALARS = {
    "string": "s", "bool": "b", "int": "i", "int32": "i", "int64": "i", "uint32": "i",
    "uint64": "i", "uint8": "i", "rune": "i", "byte": "i", "float64": "d", "[]byte": "y",
    "resource.Quantity": "Quantity", "intstr.IntOrString": "IntOrString",
    "runtime.RawExtension": "RawExtension", "types.UID": "s", "types.NodeName": "s",
}  # fmt: skip
SPECIAL = {
    "meta/v1.Time": "Time", "meta/v1.MicroTime": "MicroTime", "meta/v1.FieldsV1": "FieldsV1",
    "meta/v1.Duration": "Duration",
    "apiextensions/v1.JSON": "RawExtension",
    "apiextensions/v1.JSONSchemaPropsOrArray": "SchemaOrArray",
    "apiextensions/v1.JSONSchemaPropsOrBool": "SchemaOrBool",
    "apiextensions/v1.JSONSchemaPropsOrStringArray": "SchemaOrStrings",
}  # fmt: skip
FIELD = re.compile(
    r"^\t(?:(?P<name>\w+) +)?(?P<type>[\w.*\[\]]+) +`(?P<tags>[^`]*protobuf:\"[^`]*)`", re.M
)
STRUCT = re.compile(r"^type (\w+) struct ?\{(?:\}|\n(.*?)^\})", re.M | re.S)
ALIAS = re.compile(r"^type (\w+) ([\w.\[\]]+)$|^\t(\w+) +(string)$", re.M)
IMPORT = re.compile(r'^\t(?:(\w+) )?"k8s\.io/(?:api|apimachinery/pkg/apis)/([\w./]+)"', re.M)


def main() -> None:
    """Read, resolve, write."""
    base = Path(sys.argv[1])
    structs: dict[str, str] = {}
    aliases: dict[str, str] = {}
    imports: dict[str, dict[str, str]] = {}
    for package, pattern in PACKAGES.items():
        (folder,) = base.glob(pattern)
        text = "".join(path.read_text() for path in sorted(folder.glob("types*.go")))
        imports[package] = {(m[1] or m[2].rpartition("/")[2]): m[2] for m in IMPORT.finditer(text)}
        for name, body in STRUCT.findall(text):
            structs[f"{package}.{name}"] = body
        for match in ALIAS.finditer(text):
            if match[1]:
                aliases[f"{package}.{match[1]}"] = match[2]

    def resolve(package: str, go: str) -> str:
        if go in SCALARS:
            return SCALARS[go]
        if go.startswith("*"):
            return resolve(package, go[1:])
        if go.startswith("[]"):
            return f"[]{resolve(package, go[2:])}"
        if match := re.fullmatch(r"map\[[\w.]+\](.+)", go):
            return f"{{}}{resolve(package, match[1])}"
        prefix, _, name = go.rpartition(".")
        home = imports[package].get(prefix, prefix) if prefix else package
        full = f"{home}.{name}"
        if full in SPECIAL:
            return SPECIAL[full]
        if full in structs:
            return full
        if full in aliases:
            return resolve(home, aliases[full])
        raise KeyError(f"{package}: {go}")

    messages: dict[str, dict[str, list[str]]] = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name in messages:
            continue
        package = name.rpartition(".")[0]
        fields = messages[name] = {}
        for match in FIELD.finditer(structs[name]):
            json_tag = re.search(r'json:"([^"]*)"', match["tags"])
            number = re.search(r'protobuf:"\w+,(\d+)', match["tags"])
            assert json_tag is not None
            assert number is not None
            label, *flags = json_tag[1].split(",")
            kind = resolve(package, match["type"])
            waiting.extend(
                part for part in [kind.replace("[]", "").replace("{}", "")] if "." in part
            )
            if match["type"].startswith("*"):
                kind = f"*{kind}"
            elif "omitempty" not in flags and label:
                kind = f"!{kind}"
            fields[number[1]] = [label, kind]
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(messages[name], separators=(',', ':'))}"
        for name in sorted(messages)
    )
    TARGET.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
