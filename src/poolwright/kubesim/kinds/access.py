"""Who may do what: roles and their bindings.

Source of defaults, rules and columns: k8s.io/kubernetes pkg/apis/rbac and
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import age_of
from poolwright.kubesim.kinds.declare import Rule, all_of, defaults, needed, one_of
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.rules import dns_subdomain
from poolwright.kubesim.status import Cause, invalid, not_supported, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children
from poolwright.model.kubernetes import Resource

GROUP = "rbac.authorization.k8s.io"
_AGE = Column("Age")


# Roles


def _check_rules(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    namespaced = bool(new["metadata"].get("namespace"))
    for position, rule in enumerate(children(new, "rules")):
        path = f"rules[{position}]"
        if not rule.get("verbs"):
            yield required(f"{path}.verbs", "verbs must contain at least one value")
        paths = rule.get("nonResourceURLs")
        if paths:
            where = f"{path}.nonResourceURLs"
            if namespaced:
                yield invalid(where, paths, "namespaced rules cannot apply to non-resource URLs")
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                yield invalid(
                    where,
                    paths,
                    "rules cannot apply to both regular resources and non-resource URLs",
                )
            continue
        if not rule.get("apiGroups"):
            yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{path}.resources", "resource rules must supply at least one resource")


def _null_rules(body: Body) -> None:
    body.setdefault("rules", [])


def _role(resource: Resource) -> ObjectKind:
    return ObjectKind(
        resource,
        resource.kind.lower(),
        default=_null_rules,
        validate=all_of(_check_rules),
        name_rule="path",
        created_by_put=True,
        looks=2,
    )


ROLE = _role(names.ROLES)
CLUSTER_ROLE = _role(names.CLUSTER_ROLES)


# Bindings


def _subject_groups(body: Body) -> None:
    for subject in body.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in {"User", "Group"}:
            subject["apiGroup"] = GROUP


def _check_subjects(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    for position, subject in enumerate(children(new, "subjects")):
        path = f"subjects[{position}]"
        name, group = str(subject.get("name") or ""), str(subject.get("apiGroup") or "")
        if not name:
            yield required(f"{path}.name")
        match subject.get("kind"):
            case "ServiceAccount":
                for problem in dns_subdomain(name) if name else ():
                    yield invalid(f"{path}.name", name, problem)
                if group:
                    yield not_supported(f"{path}.apiGroup", group, ("",))
                if not new["metadata"].get("namespace") and not subject.get("namespace"):
                    yield required(f"{path}.namespace")
            case "User" | "Group":
                if group != GROUP:
                    yield not_supported(f"{path}.apiGroup", group, (GROUP,))
            case kind:
                yield not_supported(f"{path}.kind", kind or "", ("ServiceAccount", "User", "Group"))


def _role_kind(roles: Sequence[str]) -> Rule:
    def check(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
        kind = str(child(new, "roleRef").get("kind") or "")
        if kind not in roles:
            yield not_supported("roleRef.kind", kind, roles)

    return check


def _same_role(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    if old is not None and old.get("roleRef") != new.get("roleRef"):
        yield invalid("roleRef", new.get("roleRef"), "cannot change roleRef")


def _binding_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    role = child(body, "roleRef")
    subjects = children(body, "subjects")

    def of(kind: str) -> str:
        return ", ".join(str(s.get("name", "")) for s in subjects if s.get("kind") == kind)

    accounts = (s for s in subjects if s.get("kind") == "ServiceAccount")
    return (
        f"{role.get('kind', '')}/{role.get('name', '')}",
        age_of(body, now),
        of("User"),
        of("Group"),
        ", ".join(f"{s.get('namespace', '')}/{s.get('name', '')}" for s in accounts),
    )


def _binding(resource: Resource, roles: Sequence[str]) -> ObjectKind:
    return ObjectKind(
        resource,
        resource.kind.lower(),
        columns=(
            Column("Role"),
            _AGE,
            Column("Users", priority=1),
            Column("Groups", priority=1),
            Column("ServiceAccounts", priority=1),
        ),
        row=_binding_row,
        default=defaults({"roleRef.apiGroup": GROUP}, _subject_groups),
        validate=all_of(
            one_of("roleRef.apiGroup", (GROUP,)),
            _role_kind(roles),
            needed("roleRef.name"),
            _check_subjects,
            _same_role,
        ),
        name_rule="path",
        created_by_put=True,
        looks=2,
    )


ROLE_BINDING = _binding(names.ROLE_BINDINGS, ("Role", "ClusterRole"))
CLUSTER_ROLE_BINDING = _binding(names.CLUSTER_ROLE_BINDINGS, ("ClusterRole",))
