"""Definitions of custom resources.

Source of defaults, rules and wording: k8s.io/apiextensions-apiserver pkg/apis/apiextensions
(defaults, validation) and pkg/controller (conditions).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from poolwright.kubesim.cel_span import LIMIT
from poolwright.kubesim.kinds.custom_rules import (
    RULE_COST_MAX,
    Budget,
    Place,
    form_problems,
    problems,
)
from poolwright.kubesim.kinds.declare import all_of, needed, one_of, unchanged
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.rules import dns_label_1035, dns_subdomain
from poolwright.kubesim.status import Cause, forbidden, invalid, not_supported, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children

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


def _check_versions(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
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
        if not child(version, "schema", "openAPIV3Schema"):
            yield required(f"{path}.schema.openAPIV3Schema", "schemas are required")
    before = {v.get("name"): v.get("schema") for v in children(old or {}, "spec", "versions")}
    for where, version in _schemas(versions):
        is_known = before.get(version.get("name")) == version.get("schema")
        yield from _check_schema(
            child(version, "schema", "openAPIV3Schema"), where, is_known=is_known
        )


def _schemas(versions: Sequence[Json]) -> Iterator[tuple[str, Json]]:
    """The versions whose schemas are looked at, with where they are: one that all share counts as
    that of the definition itself.
    """
    if versions and all(v.get("schema") == versions[0].get("schema") for v in versions):
        yield "spec.validation.openAPIV3Schema", versions[0]
        return
    for position, version in enumerate(versions):
        yield f"spec.versions[{position}].schema.openAPIV3Schema", version


def _check_schema(schema: Json, where: str, *, is_known: bool) -> Iterator[Cause]:
    if not schema:
        return
    if schema.get("type") != "object":
        yield invalid(f"{where}.type", schema.get("type", ""), "must be object at the root")
    budget = Budget(rule_most=LIMIT if is_known else RULE_COST_MAX)
    found, rules = _structure(schema, where, Place(budget), is_root=True)
    yield from (*found, *rules, *budget.problems(where))


def _structure(
    schema: Json, path: str, place: Place, *, is_root: bool = False
) -> tuple[list[Cause], list[Cause]]:
    """What is wrong with a schema and, apart from that, with its rules.

    Rules are compiled where everything else is right, in them and below them.
    """
    found, rules = [*_form(schema, path)], list[Cause]()
    for name, inner in child(schema, "properties").items():
        inside = place.inside(schema, path, "properties")
        below = _structure(inner, f"{path}.properties[{name}]", inside)
        found += below[0]
        rules += below[1]
    for member in ("items", "additionalProperties"):
        inner = schema.get(member)
        if isinstance(inner, dict) and inner:
            inside = place.inside(schema, path, member)
            below = _structure(cast("Json", inner), f"{path}.{member}", inside)
            found += below[0]
            rules += below[1]
    found += form_problems(schema, path)
    if not found:
        embedded = bool(schema.get("x-kubernetes-embedded-resource"))
        rules += problems(schema, path, place, is_root=is_root or embedded)
    return found, rules


def _form(schema: Json, path: str) -> Iterator[Cause]:
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
        words = "additionalProperties and properties are mutual exclusive"
        yield forbidden(f"{path}.additionalProperties", words)
    if schema.get("uniqueItems"):
        words = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", words)


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
