"""The types of Kubernetes' objects in CEL: from their schemas, and those of a policy's variables.

Source: k8s.io/apiserver pkg/cel/common/schemas.go (what of a schema an expression sees),
pkg/cel/escaping.go (how its names are written), pkg/admission/plugin/cel/compile.go (variables).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from poolwright.kubesim.cel_type import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
    object_of,
)
from poolwright.kubesim.schema import reference_of, schemas

Schema = Mapping[str, Any]

_RESERVED = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for",
        "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void",
        "while",
    }
)  # fmt: skip
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED = re.compile(r"__|[-./]")
_NAME = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*")
_TEXTS = {"byte": BYTES, "duration": DURATION, "date": TIMESTAMP, "date-time": TIMESTAMP}
_SCALARS = {"boolean": BOOL, "number": DOUBLE, "integer": INT}
OF_EVERY_ROOT = {
    "kind": {"type": "string"},
    "apiVersion": {"type": "string"},
    "metadata": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
    },
}


def escaped(name: str) -> str:
    """A member's name as an identifier; empty if it cannot be one."""
    if name in _RESERVED:
        return f"__{name}__"
    if not _NAME.fullmatch(name):
        return ""
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], name)


@cache
def type_of_kind(schema_name: str, kind: str) -> Type | None:
    """The type of the objects of a published schema."""
    return type_of(schemas()[schema_name], kind)


def type_of(schema: Schema, name: str, *, is_root: bool = False) -> Type | None:
    """The type of what a schema describes; None if expressions do not see it."""
    reference = reference_of(schema)
    if reference:
        schema = schemas()[reference]
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return DYN
    if is_root:
        schema = {**schema, "type": "object"}
        schema["properties"] = {**(schema.get("properties") or {}), **OF_EVERY_ROOT}
    kind = schema.get("type")
    if kind == "array":
        item = schema.get("items")
        found = _inner(item, f"{name}.@idx") if item else None
        return list_of(found) if found else None
    if kind == "object":
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            found = _inner(cast("Schema", more), f"{name}.@elem")
            return map_of(STRING, found) if found else None
        return Type(name, member=_members(schema, name))
    if kind == "string":
        return _TEXTS.get(schema.get("format", ""), STRING)
    return _SCALARS.get(kind or "")


def _inner(schema: Schema, name: str) -> Type | None:
    return type_of(schema, name, is_root=bool(schema.get("x-kubernetes-embedded-resource")))


def _members(schema: Schema, name: str) -> Callable[[str], Type | None]:
    """The fields of an object, typed when they are first asked for: schemas refer in circles."""

    @cache
    def found() -> Mapping[str, Schema]:
        return {escaped(member): inner for member, inner in properties_of(schema).items()}

    @cache
    def member(wanted: str) -> Type | None:
        inner = found().get(wanted)
        if inner is None and wanted in _RESERVED:
            inner = found().get(f"__{wanted}__")
        return None if inner is None else _inner(inner, f"{name}.{wanted}")

    return member


def properties_of(schema: Schema) -> Mapping[str, Schema]:
    """The schemas of the members of an object."""
    return schema.get("properties") or {}


# The variables of a policy

_TEXTS_BY_NAME = map_of(STRING, STRING)
_GROUP_VERSION = {"group": STRING, "version": STRING}
_KIND = object_of("kubernetes.GroupVersionKind", {**_GROUP_VERSION, "kind": STRING})
_RESOURCE = object_of("kubernetes.GroupVersionResource", {**_GROUP_VERSION, "resource": STRING})
_USER = object_of(
    "kubernetes.UserInfo",
    {
        "username": STRING, "uid": STRING, "groups": list_of(STRING),
        "extra": map_of(STRING, list_of(STRING)),
    },
)  # fmt: skip
_REQUEST = object_of(
    "kubernetes.AdmissionRequest",
    {
        "kind": _KIND, "resource": _RESOURCE, "subResource": STRING, "requestKind": _KIND,
        "requestResource": _RESOURCE, "requestSubResource": STRING, "name": STRING,
        "namespace": STRING, "operation": STRING, "userInfo": _USER, "dryRun": BOOL,
        "options": DYN,
    },
)  # fmt: skip
_NAMESPACE = object_of(
    "kubernetes.Namespace",
    {
        "metadata": object_of(
            "kubernetes.NamespaceMetadata",
            {
                "name": STRING, "generateName": STRING, "namespace": STRING, "UID": STRING,
                "labels": _TEXTS_BY_NAME, "annotations": _TEXTS_BY_NAME, "generation": INT,
                "creationTimestamp": TIMESTAMP, "deletionTimestamp": TIMESTAMP,
                "deletionGracePeriodSeconds": INT, "resourceVersion": STRING,
                "finalizers": list_of(STRING),
            },
        ),
        "spec": object_of("kubernetes.NamespaceSpec", {"finalizers": list_of(STRING)}),
        "status": object_of(
            "kubernetes.NamespaceStatus",
            {
                "phase": STRING,
                "conditions": list_of(
                    object_of(
                        "kubernetes.NamespaceCondition",
                        {
                            "status": STRING, "type": STRING, "lastTransitionTime": TIMESTAMP,
                            "message": STRING, "reason": STRING,
                        },
                    )
                ),
            },
        ),
    },
)  # fmt: skip
AUTHORIZER = {"authorizer": Type("kubernetes.authorization.Authorizer")}
REQUEST_AUTHORIZER = {"authorizer.requestResource": Type("kubernetes.authorization.ResourceCheck")}


def policy_variables(
    *, object_: Type = DYN, params: Type | None = None, has_authorizer: bool = True
) -> dict[str, Type]:
    """What an expression of an admission policy may speak of."""
    return {
        "object": object_,
        "oldObject": object_,
        "namespaceObject": _NAMESPACE,
        "request": _REQUEST,
        **({"params": params} if params else {}),
        **(AUTHORIZER if has_authorizer else {}),
    }


_KEPT = frozenset({"bool", "bytes", "double", "duration", "int", "null", "string", "timestamp"})


def composed(found: Mapping[str, Type]) -> dict[str, Type]:
    """The variable that holds what a policy's own variables are."""
    return {"variables": object_of("kubernetes.variables", found)}


def kept_of(found: Type) -> Type:
    """What is known of a variable where it is used: lists and maps of simple types, no objects."""
    if found.name in _KEPT or found.name == "uint":
        return found
    if found.name in {"list", "map"} and found.parameters:
        return Type(found.name, tuple(kept_of(part) for part in found.parameters))
    return DYN
