"""Limits of a namespace: resource quotas and limit ranges.

Source of defaults, rules and columns: k8s.io/kubernetes pkg/apis/core and
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import age_of
from poolwright.kubesim.kinds.declare import all_of, starts_with_status, unchanged
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.rules import qualified_name
from poolwright.kubesim.status import Cause, duplicate, forbidden, invalid, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children
from poolwright.model.quantity import canonical_quantity, parse_quantity

_AGE = Column("Age")
_STANDARD = frozenset(
    (
        "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
        "requests.storage", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
        "limits.ephemeral-storage", "pods", "resourcequotas", "services",
        "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps",
        "services.nodeports", "services.loadbalancers",
    )
)  # fmt: skip
SCOPES = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
)
_SCOPE_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")


def _huge(name: str) -> frozenset[str]:
    is_huge = name.removeprefix("requests.").startswith("hugepages-")
    return frozenset((name,)) if is_huge else frozenset()


def check_amounts(amounts: Mapping[str, Any], path: str, *, quota: bool) -> Iterator[Cause]:
    """Broken rules of a map of resource names to quantities."""
    for name, text in amounts.items():
        here = f"{path}[{name}]"
        for problem in qualified_name(name):
            yield invalid(here, name, problem)
        if quota and "/" not in name and name not in _STANDARD | _huge(name):
            yield invalid(here, name, "must be a standard resource for quota")
        amount = parse_quantity(text)
        if amount < 0:
            yield invalid(here, str(text), "must be greater than or equal to 0")
        counted = quota and name in _STANDARD and name.partition(".")[0] not in {
            "cpu", "memory", "ephemeral-storage", "requests", "limits",
        }  # fmt: skip
        if amount.denominator != 1 and (counted or "/" in name):
            yield invalid(here, str(text), "must be an integer")


def _check_quota(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    yield from check_amounts(child(new, "spec", "hard"), "spec.hard", quota=True)
    yield from _check_scopes(new)


_COMPUTE = {"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}
_COUNTED_IN = {
    "BestEffort": frozenset(("pods",)),
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
    **dict.fromkeys(
        ("CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass",
         "Terminating"),
        frozenset(("pods", *_COMPUTE)),
    ),
}  # fmt: skip
"""The standard resources that a scope can be applied to."""
_PAIRS = ({"BestEffort", "NotBestEffort"}, {"NotTerminating", "Terminating"})
_EXIST_ONLY = {
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "Terminating",
}  # fmt: skip
_EXIST_TEXT = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating,"
    " ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort,"
    " ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def _is_foreign(scope: Any, hard: Mapping[str, Any]) -> Iterator[str]:
    """The resources that a scope cannot be applied to."""
    usable = _COUNTED_IN.get(scope)
    if usable is not None:
        yield from (name for name in sorted(hard) if name in _STANDARD and name not in usable)


def _check_scopes(new: Mapping[str, Any]) -> Iterator[Cause]:
    hard = child(new, "spec", "hard")
    scopes: list[Any] = list(child(new, "spec").get("scopes") or ())
    for scope in scopes:
        if scope not in SCOPES:
            yield invalid("spec.scopes", scopes, "unsupported scope")
        for _ in _is_foreign(scope, hard):
            yield invalid("spec.scopes", scopes, "unsupported scope applied to resource")
    if any(pair <= set(scopes) for pair in _PAIRS):
        yield invalid("spec.scopes", scopes, "conflicting scopes")
    selector = child(new, "spec", "scopeSelector")
    terms, path = children(selector, "matchExpressions"), "spec.scopeSelector.matchExpressions"
    for term in terms:
        scope = term.get("scopeName") or ""
        if scope not in SCOPES:
            yield invalid(f"{path}.scopeName", scope, "unsupported scope")
        for _ in _is_foreign(scope, hard):
            shown = {"MatchExpressions": [_term_in_go(each) for each in terms]}
            yield invalid(path, shown, "unsupported scope applied to resource")
        yield from _check_term(term, path)
    if any(pair <= {term.get("scopeName") for term in terms} for pair in _PAIRS):
        yield invalid("spec.scopes", scopes or None, "conflicting scopes")


def _term_in_go(term: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "ScopeName": term.get("scopeName") or "",
        "Operator": term.get("operator") or "",
        "Values": term.get("values"),
    }


def _check_term(term: Mapping[str, Any], path: str) -> Iterator[Cause]:
    operator, given = term.get("operator") or "", term.get("values") or ()
    if term.get("scopeName") in _EXIST_ONLY and operator != "Exists":
        yield invalid(f"{path}.operator", operator, _EXIST_TEXT)
    if operator not in _SCOPE_OPERATORS:
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    elif operator in {"In", "NotIn"} and not given:
        why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        yield required(f"{path}.values", why)
    elif operator in {"DoesNotExist", "Exists"} and given:
        why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
        yield invalid(f"{path}.values", list(given), why)


def _quota_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    hard, used = child(body, "status", "hard"), child(body, "status", "used")
    texts: dict[bool, list[str]] = {False: [], True: []}
    for name in sorted(hard):
        texts[name.startswith("limits.")].append(f"{name}: {used.get(name, 0)}/{hard[name]}")
    return (", ".join(texts[False]), ", ".join(texts[True]), age_of(body, now))


RESOURCE_QUOTA = ObjectKind(
    names.RESOURCE_QUOTAS,
    "resourcequota",
    ("quota",),
    subresources=("status",),
    columns=(
        Column(
            "Request",
            description="Request represents a minimum amount of cpu/memory that a container may"
            " consume.",
        ),
        Column(
            "Limit",
            description="Limits control the maximum amount of cpu/memory that a container may use"
            " independent of contention on the node.",
        ),
        _AGE,
    ),
    row=_quota_row,
    prepare=starts_with_status({}),
    validate=all_of(_check_quota, unchanged("spec.scopes")),
)


def _limit_range_default(body: Body) -> None:
    """Source: SetDefaults_LimitRangeItem in pkg/apis/core/v1/defaults.go; the name that one without
    a name gets: PrepareForCreate in pkg/registry/core/limitrange/strategy.go.
    """
    metadata = body["metadata"]
    if not metadata.get("name"):
        metadata["name"] = metadata["uid"]
    for item in body.get("spec", {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        limit = item.setdefault("default", {})
        request = item.setdefault("defaultRequest", {})
        for target, source in ((limit, "max"), (request, "default"), (request, "min")):
            for name, amount in child(item, source).items():
                target.setdefault(name, amount)
        for member in ("default", "defaultRequest"):
            if not item[member]:
                del item[member]


_LIMITS = ("min", "max", "default", "defaultRequest")
_RATIO = "maxLimitRequestRatio"
_RANGES = (
    ("min", "min", "min", "min", "max", "max"),
    ("defaultRequest", "defaultRequest", "min", "min", "defaultRequest", "default request"),
    ("defaultRequest", "defaultRequest", "defaultRequest", "default request", "max", "max"),
    ("defaultRequest", "defaultRequest", "defaultRequest", "default request", "default",
     "default limit"),
    ("default", "min", "min", "min", "default", "default"),
    ("default", "max", "default", "default", "max", "max"),
)  # fmt: skip
"""Where it is told and the value of what is shown; what must not be greater than what, and how both
are called (ValidateLimitRange).
"""


def _check_limits(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    seen: set[str] = set()
    for position, item in enumerate(children(new, "spec", "limits")):
        path = f"spec.limits[{position}]"
        kind = str(item.get("type") or "")
        for problem in qualified_name(kind):
            yield invalid(f"{path}.type", kind, problem)
        if kind in seen:
            yield duplicate(f"{path}.type", kind)
        seen.add(kind)
        members = _LIMITS
        if kind == "Pod":
            members = ("min", "max")
            for member in ("default", "defaultRequest"):
                if child(item, member):
                    why = "may not be specified when `type` is 'Pod'"
                    yield forbidden(f"{path}.{member}", why)
        if kind == "PersistentVolumeClaim" and not any(
            "storage" in child(item, member) for member in ("min", "max")
        ):
            why = "either minimum or maximum storage value is required, but neither was provided"
            yield required(f"{path}.limits", why)
        for member in (*members, _RATIO):
            yield from check_amounts(child(item, member), f"{path}.{member}", quota=False)
        for name in sorted({name for member in members for name in child(item, member)}):
            yield from _check_ranges(item, name, path)
        for name in sorted(child(item, _RATIO)):
            yield from _check_ratio(item, name, path)


def _check_ratio(item: Mapping[str, Any], name: str, path: str) -> Iterator[Cause]:
    """Broken rules of how much greater a limit may be than a request."""
    text = str(child(item, _RATIO)[name])
    shown, ratio = canonical_quantity(text), parse_quantity(text)
    where = f"{path}.{_RATIO}[{name}]"
    if ratio < 1:
        yield invalid(where, shown, f"ratio {shown} is less than 1")
    low, high = (child(item, member).get(name) for member in ("min", "max"))
    if low is None or high is None or not parse_quantity(low):
        return
    most = parse_quantity(high) / parse_quantity(low)
    if ratio > most:
        yield invalid(where, shown, f"ratio {shown} is greater than max/min = {float(most):f}")


def _check_ranges(item: Mapping[str, Any], name: str, path: str) -> Iterator[Cause]:
    """Broken rules of the bounds and defaults of one resource."""
    amounts = {each: child(item, each)[name] for each in _LIMITS if name in child(item, each)}
    for where, shown, low, low_word, high, high_word in _RANGES:
        if not {low, high} <= amounts.keys():
            continue
        if parse_quantity(amounts[low]) > parse_quantity(amounts[high]):
            yield invalid(
                f"{path}.{where}[{name}]",
                str(amounts[shown]),
                f"{low_word} value {amounts[low]} is greater than {high_word} value"
                f" {amounts[high]}",
            )


LIMIT_RANGE = ObjectKind(
    names.LIMIT_RANGES,
    "limitrange",
    ("limits",),
    default=_limit_range_default,
    validate=all_of(_check_limits),
    created_by_put=True,
)
