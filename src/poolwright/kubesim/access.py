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

MASTERS = "system:masters"
ALL_RULES: tuple[Json, ...] = (
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
        yield from ALL_RULES
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
                rules = rules_of_role(registry, child(binding, "roleRef"), home)
                yield binding, subject, rules or ()


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


def rules_of_role(registry: Objects, reference: Json, namespace: str) -> Sequence[Json] | None:
    """The rules of the role that a binding of a namespace names; None if there is none."""
    name = str(reference.get("name") or "")
    if reference.get("kind") == "ClusterRole":
        role = registry.get(names.CLUSTER_ROLES, name)
    else:
        role = registry.get(names.ROLES, name, namespace)
    return None if role is None else children(role, "rules")


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
