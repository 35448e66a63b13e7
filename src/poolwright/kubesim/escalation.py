"""Nobody grants what they may not do themselves, unless they may escalate, or bind the role.

Source of rules and wording: k8s.io/kubernetes pkg/registry/rbac (escalation_check.go, validation,
{role,clusterrole,rolebinding,clusterrolebinding}/policybased) and
k8s.io/component-helpers auth/rbac/validation/policy_comparator.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from poolwright.kubesim import status
from poolwright.kubesim.access import ALL_RULES, MASTERS, is_allowed, rules_of, rules_of_role
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.objects import Objects
from poolwright.kubesim.user import Attempt, User
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children

_GROUP = "rbac.authorization.k8s.io"
_ROLES = (names.ROLES, names.CLUSTER_ROLES)
_BINDINGS = (names.ROLE_BINDINGS, names.CLUSTER_ROLE_BINDINGS)


def check(
    objects: Objects, kind: ObjectKind, new: Json, old: Json | None, info: Mapping[str, Any]
) -> None:
    """Hold a write of a role or a binding against what its writer has.

    Raises:
        StatusError: 403, it gives what the writer does not have; 404, the role to bind is missing.
    """
    resource = kind.resource
    if resource not in _ROLES and resource not in _BINDINGS:
        return
    user = User(str(info.get("username") or ""), tuple(info.get("groups") or ()))
    if MASTERS in user.groups or (old is not None and _is_housekeeping(new, old)):
        return
    if resource in _ROLES:
        why = _role_problem(objects, kind, new, old, user)
    else:
        why = _binding_problem(objects, kind, new, user)
    if why:
        name = str(new["metadata"].get("name") or "")
        raise status.StatusError(
            403,
            "Forbidden",
            f'{resource.plural}.{_GROUP} "{name}" is forbidden: {why}',
            details={"name": name, "group": _GROUP, "kind": resource.plural},
        )


def _is_housekeeping(new: Json, old: Json) -> bool:
    """Whether only that changes by which an object is collected."""

    def rest(body: Json) -> tuple[Json, Json]:
        dropped = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")
        metadata = {k: v for k, v in body["metadata"].items() if k not in dropped}
        return metadata, {k: v for k, v in body.items() if k != "metadata"}

    return rest(new) == rest(old)


def _role_problem(
    objects: Objects, kind: ObjectKind, new: Json, old: Json | None, user: User
) -> str:
    namespace = str(new["metadata"].get("namespace") or "")
    name = str(old["metadata"]["name"]) if old is not None else ""
    asked = Attempt("escalate", _GROUP, kind.resource.plural, "", namespace, name)
    if is_allowed(objects, user, asked):
        return ""
    problem = _missing(objects, user, namespace, children(new, "rules"))
    aggregates = any(child(body, "aggregationRule") for body in (new, old or {}))
    if not problem and aggregates and _missing(objects, user, namespace, ALL_RULES):
        return "must have cluster-admin privileges to use an aggregationRule"
    return problem


def _binding_problem(objects: Objects, kind: ObjectKind, new: Json, user: User) -> str:
    namespace = str(new["metadata"].get("namespace") or "")
    reference = child(new, "roleRef")
    resource = names.CLUSTER_ROLES if reference.get("kind") == "ClusterRole" else names.ROLES
    name = str(reference.get("name") or "")
    group = str(reference.get("apiGroup") or "")
    if is_allowed(objects, user, Attempt("bind", group, resource.plural, "", namespace, name)):
        return ""
    rules = rules_of_role(objects, reference, namespace)
    if rules is None:
        raise status.not_found(_GROUP, kind.resource.plural, name)  # as it says, too
    return _missing(objects, user, namespace, rules)


def _missing(objects: Objects, user: User, namespace: str, wanted: Sequence[Json]) -> str:
    """What of some rules a user does not have, in words; empty if nothing."""
    lacking = uncovered(list(rules_of(objects, user, namespace)), wanted)
    if not lacking:
        return ""
    shown = "\n".join(sorted({_shown(rule) for rule in lacking}))
    return (
        f'user "{user.name}" (groups={_quoted(user.groups)}) is attempting to grant RBAC'
        f" permissions not currently held:\n{shown}"
    )


def uncovered(held: Sequence[Json], wanted: Sequence[Json]) -> list[Json]:
    """What some rules do not give of others, as rules of one resource or path each."""
    lacking = [
        rule
        for part in wanted
        if part not in held
        for rule in _broken_down(part)
        if not any(_covers(owned, rule) for owned in held)
    ]
    return list(_compact(lacking))


def _words(rule: Json, member: str) -> list[str]:
    return list(rule.get(member) or ())


def _broken_down(rule: Json) -> Iterator[Json]:
    """A rule as rules of one group, resource, name and verb each."""
    verbs, named = _words(rule, "verbs"), _words(rule, "resourceNames")
    for group in _words(rule, "apiGroups"):
        for resource in _words(rule, "resources"):
            for verb in verbs:
                one = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                if not named:
                    yield one
                for name in named:
                    yield {**one, "resourceNames": [name]}
    for path in _words(rule, "nonResourceURLs"):
        for verb in verbs:
            yield {"nonResourceURLs": [path], "verbs": [verb]}


def _covers(owned: Json, wanted: Json) -> bool:
    """Whether a rule gives what a broken down one does."""
    if not _has(_words(owned, "verbs"), wanted["verbs"][0]):
        return False
    if "nonResourceURLs" in wanted:
        path = wanted["nonResourceURLs"][0]
        return any(
            path == word or (word.endswith("*") and path.startswith(word.rstrip("*")))
            for word in _words(owned, "nonResourceURLs")
        )
    resource, named = wanted["resources"][0], _words(owned, "resourceNames")
    name = (_words(wanted, "resourceNames") or [""])[0]
    resources = _words(owned, "resources")
    _, slash, subresource = resource.partition("/")
    return (
        _has(_words(owned, "apiGroups"), wanted["apiGroups"][0])
        and (_has(resources, resource) or (bool(slash) and f"*/{subresource}" in resources))
        and (not named or name in named)
    )


def _has(words: Sequence[str], wanted: str) -> bool:
    return "*" in words or wanted in words


def _compact(rules: Sequence[Json]) -> Iterator[Json]:
    """Broken down rules, those of one resource as one with all their verbs."""
    simple: dict[tuple[str, str, str], dict[str, Any]] = {}
    for rule in rules:
        if "nonResourceURLs" in rule:
            yield rule
            continue
        named = rule.get("resourceNames") or [""]
        key = (rule["apiGroups"][0], rule["resources"][0], named[0])
        found = simple.setdefault(key, {**rule, "verbs": []})
        found["verbs"] = [*found["verbs"], *rule["verbs"]]
    yield from simple.values()


_MEMBERS = (
    ("APIGroups", "apiGroups"), ("Resources", "resources"), ("NonResourceURLs", "nonResourceURLs"),
    ("ResourceNames", "resourceNames"), ("Verbs", "verbs"),
)  # fmt: skip


def _shown(rule: Json) -> str:
    """A rule as Kubernetes writes it in one line."""
    parts: list[str] = []
    for label, member in _MEMBERS:
        words = _words(rule, member)
        if words:
            parts.append(f"{label}:{_quoted(words)}")
    return "{" + ", ".join(parts) + "}"


def _quoted(words: Sequence[str]) -> str:
    """As Go prints a list of quoted texts."""
    return "[" + " ".join(f'"{word}"' for word in words) + "]"
