"""Definitions of custom resources.

Source of defaults, rules and wording: k8s.io/apiextensions-apiserver pkg/apis/apiextensions
(defaults, validation) and pkg/controller (conditions).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.kubesim import cel
from poolwright.kubesim.cel_schema import type_of
from poolwright.kubesim.cel_type import BOOL, DYN, STRING, Type, optional_of
from poolwright.kubesim.kinds.declare import all_of, needed, one_of, unchanged
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.rules import dns_label_1035, dns_subdomain
from poolwright.kubesim.status import Cause, invalid, not_supported, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_VERSION = re.compile(r"v([1-9]\d*)((alpha|beta)([1-9]\d*))?")
_TYPES = ("array", "boolean", "integer", "number", "object", "string")


def _default(body: Body) -> None:
    spec = body.setdefault("spec", {})
    given: Body = spec.setdefault("names", {})
    kind = str(given.get("kind") or "")
    if not given.get("singular") and kind:
        given["singular"] = kind.lower()
    if not given.get("listKind") and kind:
        given["listKind"] = f"{kind}List"
    conversion = spec.setdefault("conversion", {})
    if not conversion.get("strategy"):
        conversion["strategy"] = "None"
    for version in spec.get("versions") or ():
        for column in version.get("additionalPrinterColumns") or ():
            if not column.get("priority"):
                column.pop("priority", None)


def _condition(kind: str, reason: str, message: str, since: str) -> Body:
    return {
        "lastTransitionTime": since,
        "message": message,
        "reason": reason,
        "status": "True",
        "type": kind,
    }


def _prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    """Names are free and the API is there as soon as the definition is."""
    stored = [str(v.get("name")) for v in children(body, "spec", "versions") if v.get("storage")]
    if old is None:
        since = str(body["metadata"]["creationTimestamp"])
        body["status"] = {
            "conditions": [
                _condition("NamesAccepted", "NoConflicts", "no conflicts found", since),
                _condition(
                    "Established",
                    "InitialNamesAccepted",
                    "the initial names have been accepted",
                    since,
                ),
            ],
            "acceptedNames": dict(child(body, "spec", "names")),
            "storedVersions": stored,
        }
        return
    status: Body = dict(child(body, "status"))
    known: list[str] = list(status.get("storedVersions") or ())
    status["acceptedNames"] = dict(child(body, "spec", "names"))
    status["storedVersions"] = [*known, *(name for name in stored if name not in known)]
    body["status"] = status


def leave(body: Body, since: str) -> None:
    """What a deletion adds: the finalizer of the instances, and the condition."""
    finalizers: list[str] = body["metadata"].setdefault("finalizers", [])
    if CLEANUP not in finalizers:
        finalizers.append(CLEANUP)
    status: Body = dict(child(body, "status"))
    kept = [c for c in children(status, "conditions") if c.get("type") != "Terminating"]
    message = (
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    )
    status["conditions"] = [
        *kept,
        _condition("Terminating", "InstanceDeletionPending", message, since),
    ]
    body["status"] = status


def _check_names(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec, given = child(new, "spec"), child(new, "spec", "names")
    group, name = str(spec.get("group") or ""), str(new["metadata"].get("name") or "")
    if name != f"{given.get('plural', '')}.{group}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    for problem in dns_subdomain(group) if group else ():
        yield invalid("spec.group", group, problem)
    if group and "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    for member in ("plural", "singular"):
        text = str(given.get(member) or "")
        for problem in dns_label_1035(text) if text else ():
            yield invalid(f"spec.names.{member}", text, problem)
    for member in ("kind", "listKind"):
        text = str(given.get(member) or "").lower()
        for problem in dns_label_1035(text) if text else ():
            yield invalid(
                f"spec.names.{member}",
                given[member],
                f"may have mixed case, but should otherwise match: {problem}",
            )


def _check_versions(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    versions = children(new, "spec", "versions")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid(
            "spec.versions",
            [dict(v) for v in versions],
            "must have exactly one version marked as storage version",
        )
    for position, version in enumerate(versions):
        path = f"spec.versions[{position}]"
        for problem in dns_label_1035(str(version.get("name") or "")):
            yield invalid(f"{path}.name", version.get("name"), problem)
        schema = child(version, "schema", "openAPIV3Schema")
        where = f"{path}.schema.openAPIV3Schema"
        if not schema:
            yield required(where, "schemas are required")
            continue
        if schema.get("type") != "object":
            yield invalid(f"{where}.type", schema.get("type", ""), "must be object at the root")
        yield from _check_structure(schema, where)


def _check_structure(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """A structural schema says its types, and knows or prunes every member."""
    kind = schema.get("type")
    is_open = schema.get("x-kubernetes-preserve-unknown-fields")
    if kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    if not kind and not is_open and not schema.get("x-kubernetes-int-or-string"):
        yield required(f"{path}.type", "must not be empty for specified object fields")
    if kind == "array" and not schema.get("items"):
        yield required(f"{path}.items", "must be specified")
    if schema.get("properties") and schema.get("additionalProperties"):
        yield Cause(
            "FieldValueForbidden",
            f"{path}.additionalProperties",
            "Forbidden: additionalProperties and properties are mutual exclusive",
        )
    yield from _check_expressions(schema, path)
    if schema.get("uniqueItems"):
        yield Cause(
            "FieldValueForbidden",
            f"{path}.uniqueItems",
            "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes"
            " quadratic",
        )
    for name, inner in child(schema, "properties").items():
        yield from _check_structure(inner, f"{path}.properties[{name}]")
    for member in ("items", "additionalProperties"):
        if isinstance(schema.get(member), dict) and schema[member]:
            yield from _check_structure(schema[member], f"{path}.{member}")


_OF_RULES: tuple[tuple[str, Type, str, str], ...] = (
    ("rule", BOOL, "", "cel expression must evaluate to a bool"),
    (
        "messageExpression",
        STRING,
        "messageExpression ",
        "messageExpression must evaluate to a string",
    ),
)


def _check_expressions(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Rules in CEL that cannot be compiled, or speak of fields that the schema lacks."""
    rules = children(schema, "x-kubernetes-validations")
    if not rules:
        return
    found = type_of(schema, "selfType", is_root=path.endswith("openAPIV3Schema")) or DYN
    for position, rule in enumerate(rules):
        old = optional_of(found) if rule.get("optionalOldSelf") else found
        for member, wanted, which, otherwise in _OF_RULES:
            text = str(rule.get(member) or "")
            where = f"{path}.x-kubernetes-validations[{position}].{member}"
            try:
                if text.strip() and cel.check(text, {"self": found, "oldSelf": old}) != wanted:
                    yield invalid(where, text, otherwise)
            except cel.CelError as error:
                yield invalid(where, text, f"{which}compilation failed: {error}")


CUSTOM_RESOURCE_DEFINITION = ObjectKind(
    names.CUSTOM_RESOURCE_DEFINITIONS,
    "customresourcedefinition",
    ("crd", "crds"),
    ("api-extensions",),
    ("status",),
    columns=(
        Column(
            "Created At",
            "date",
            description="CreationTimestamp is a timestamp representing the server time when this"
            " object was created.",
        ),
    ),
    row=lambda body, _now: (body["metadata"].get("creationTimestamp"),),
    default=_default,
    prepare=_prepare,
    validate=all_of(
        needed("spec.group", "spec.scope", "spec.versions", "spec.names.plural", "spec.names.kind"),
        one_of("spec.scope", ("Cluster", "Namespaced")),
        one_of("spec.conversion.strategy", ("None",)),
        _check_names,
        _check_versions,
        unchanged("spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"),
    ),
    leave=leave,
    has_generation=True,
)


def version_order(name: str) -> tuple[int, int, int, str]:
    """The key by which versions are preferred: v10, v2, v1, v2beta1, v1alpha1, other.

    Source: k8s.io/apimachinery pkg/version (CompareKubeAwareVersionStrings).
    """
    matched = _VERSION.fullmatch(name)
    if matched is None:
        return (3, 0, 0, name)
    stage = {None: 0, "beta": 1, "alpha": 2}[matched[3]]
    return (stage, -int(matched[1]), -int(matched[4] or 0), name)
