"""Rules of a job's specification: its numbers, its indexes, its policies.

Source: k8s.io/kubernetes v1.36 pkg/apis/batch/validation (validateJobSpec and what it calls).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from poolwright.kubesim.kinds.address import check_domain_path
from poolwright.kubesim.rules import qualified_name
from poolwright.kubesim.status import (
    Cause,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from poolwright.model.json_value import Json, child, children

_NUMBERS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_MODES = ("NonIndexed", "Indexed")
_MANAGED_BY_MAX = 63
_INDEXED_MAX = 100_000
_SOFT_COMPLETIONS = 100_000
_HIGH_MAX = 10_000
_RULES_MAX = 20
_EXIT_CODES_MAX = 255
_SUCCEEDED_TEXT_MAX = 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


def _valid_values(words: Sequence[str]) -> str:
    return f"valid values: [{' '.join(f'{chr(34)}{word}{chr(34)}' for word in words)}]"


def check_job_rules(spec: Json, path: str) -> Iterator[Cause]:
    """What is wrong with a job's spec, its template aside."""
    for member in _NUMBERS:
        value = spec.get(member)
        if isinstance(value, int) and value < 0:
            yield invalid(f"{path}.{member}", value, "must be greater than or equal to 0")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    manager = spec.get("managedBy")
    if manager is not None:
        yield from check_domain_path(str(manager), f"{path}.managedBy")
        if len(str(manager)) > _MANAGED_BY_MAX:
            yield too_long(f"{path}.managedBy", _MANAGED_BY_MAX)
    mode = spec.get("completionMode")
    if mode is not None and mode not in _MODES:
        yield not_supported(f"{path}.completionMode", mode, _MODES)
    if mode == "Indexed":
        yield from _check_indexed(spec, path)
    elif mode in {None, "NonIndexed"}:
        for member in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(member) is not None:
                yield invalid(f"{path}.{member}", spec[member], "requires indexed completion mode")
    if spec.get("podFailurePolicy") is not None:
        yield from _check_failure_policy(spec, f"{path}.podFailurePolicy.rules")
    if spec.get("successPolicy") is not None:
        yield from _check_success_policy(spec, f"{path}.successPolicy")
    yield from _check_replacement(spec, f"{path}.podReplacementPolicy")


def _check_indexed(spec: Json, path: str) -> Iterator[Cause]:
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    most_failed = spec.get("maxFailedIndexes")
    if completions is None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    if parallelism is not None and parallelism > _INDEXED_MAX:
        why = f"must be less than or equal to {_INDEXED_MAX} when completion mode is Indexed"
        yield invalid(f"{path}.parallelism", parallelism, why)
    if most_failed is not None:
        where = f"{path}.maxFailedIndexes"
        if completions is not None and most_failed > completions:
            yield invalid(where, most_failed, "must be less than or equal to completions")
        if most_failed > _INDEXED_MAX:
            yield invalid(where, most_failed, f"must be less than or equal to {_INDEXED_MAX}")
    is_high = completions is not None and completions > _SOFT_COMPLETIONS
    if not is_high or spec.get("backoffLimitPerIndex") is None:
        return
    if most_failed is None:
        why = f"must be specified when completions is above {_SOFT_COMPLETIONS}"
        yield required(f"{path}.maxFailedIndexes", why)
    why = (
        f"must be less than or equal to {_HIGH_MAX} when completions are above"
        f" {_SOFT_COMPLETIONS} and used with backoff limit per index"
    )
    for member in ("parallelism", "maxFailedIndexes"):
        value = spec.get(member)
        if value is not None and value > _HIGH_MAX:
            yield invalid(f"{path}.{member}", value, why)


def _check_replacement(spec: Json, path: str) -> Iterator[Cause]:
    policy = spec.get("podReplacementPolicy")
    has_rules = spec.get("podFailurePolicy") is not None
    allowed = ("Failed",) if has_rules else ("Failed", "TerminatingOrFailed")
    if policy is not None and policy not in allowed:
        yield not_supported(path, policy, allowed)


# The failure policy


def _check_failure_policy(spec: Json, path: str) -> Iterator[Cause]:
    rules = children(spec, "podFailurePolicy", "rules")
    if len(rules) > _RULES_MAX:
        yield too_many(path, len(rules), _RULES_MAX)
    pod = child(spec, "template", "spec")
    containers = (*children(pod, "containers"), *children(pod, "initContainers"))
    known = frozenset(str(container.get("name") or "") for container in containers)
    by_index = spec.get("backoffLimitPerIndex") is not None
    for position, rule in enumerate(rules):
        yield from _check_failure_rule(rule, f"{path}[{position}]", known, by_index=by_index)


def _check_failure_rule(
    rule: Json, path: str, known: frozenset[str], *, by_index: bool
) -> Iterator[Cause]:
    action = rule.get("action") or ""
    if not action:
        yield required(f"{path}.action", _valid_values(_ACTIONS))
    elif action == "FailIndex" and not by_index:
        why = "requires the backoffLimitPerIndex to be set"
        yield invalid(f"{path}.action", action, why)
    elif action not in _ACTIONS:
        yield not_supported(f"{path}.action", action, _ACTIONS)
    codes, conditions = rule.get("onExitCodes"), children(rule, "onPodConditions")
    if codes is not None:
        yield from _check_exit_codes(codes, f"{path}.onExitCodes", known)
    yield from _check_conditions(conditions, f"{path}.onPodConditions")
    if (codes is not None) == bool(conditions):
        both = "specifying both OnExitCodes and OnPodConditions is not supported"
        one = "specifying one of OnExitCodes and OnPodConditions is required"
        yield Cause("FieldValueInvalid", path, f"Invalid value: {both if conditions else one}")


def _check_exit_codes(codes: Json, path: str, known: frozenset[str]) -> Iterator[Cause]:
    operator, name = codes.get("operator") or "", codes.get("containerName")
    if not operator:
        yield required(f"{path}.operator", _valid_values(_OPERATORS))
    elif operator not in _OPERATORS:
        yield not_supported(f"{path}.operator", operator, _OPERATORS)
    if name is not None and name not in known:
        why = "must be one of the container or initContainer names in the pod template"
        yield invalid(f"{path}.containerName", name, why)
    values: Sequence[int] = codes.get("values") or ()
    here = f"{path}.values"
    if not values:
        yield invalid(here, codes.get("values"), "at least one value is required")
    elif len(values) > _EXIT_CODES_MAX:
        yield too_many(here, len(values), _EXIT_CODES_MAX)
    seen: set[int] = set()
    for position, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid(f"{here}[{position}]", value, "must not be 0 for the In operator")
        if value in seen:
            yield duplicate(f"{here}[{position}]", value)
        seen.add(value)
    if list(values) != sorted(values):
        yield invalid(here, list(values), "must be ordered")


def _check_conditions(conditions: Sequence[Json], path: str) -> Iterator[Cause]:
    if len(conditions) > _RULES_MAX:
        yield too_many(path, len(conditions), _RULES_MAX)
    for position, pattern in enumerate(conditions):
        here = f"{path}[{position}]"
        type_, status = str(pattern.get("type") or ""), pattern.get("status") or ""
        for problem in qualified_name(type_):
            yield invalid(f"{here}.type", type_, problem)
        if not status:
            yield required(f"{here}.status", _valid_values(_STATUSES))
        elif status not in _STATUSES:
            yield not_supported(f"{here}.status", status, _STATUSES)


# The success policy


def _check_success_policy(spec: Json, path: str) -> Iterator[Cause]:
    rules = children(spec, "successPolicy", "rules")
    if spec.get("completionMode") != "Indexed":
        yield invalid(path, {"Rules": list(map(_in_go, rules))}, "requires indexed completion mode")
        return
    here = f"{path}.rules"
    if not rules:
        why = "at least one rules must be specified when the successPolicy is specified"
        yield required(here, why)
    if len(rules) > _RULES_MAX:
        yield too_many(here, len(rules), _RULES_MAX)
    completions = spec.get("completions")
    if completions is None:
        return
    for position, rule in enumerate(rules):
        yield from _check_success_rule(rule, f"{here}[{position}]", completions)


def _in_go(rule: Json) -> Mapping[str, Any]:
    return {
        "SucceededIndexes": rule.get("succeededIndexes"),
        "SucceededCount": rule.get("succeededCount"),
    }


def _check_success_rule(rule: Json, path: str, completions: int) -> Iterator[Cause]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        why = "at least one of succeededCount or succeededIndexes must be specified"
        yield required(path, why)
    total = 0
    if indexes is not None:
        where = f"{path}.succeededIndexes"
        if len(indexes) > _SUCCEEDED_TEXT_MAX:
            yield too_long(where, _SUCCEEDED_TEXT_MAX)
        total, problem = _count_indexes(indexes, completions)
        if problem:
            yield invalid(where, indexes, f"error parsing succeededIndexes: {problem}")
    if count is None:
        return
    where = f"{path}.succeededCount"
    if count < 0:
        yield invalid(where, count, "must be greater than or equal to 0")
    if count > completions:
        why = f"must be less than or equal to {completions} (the number of specified completions)"
        yield invalid(where, count, why)
    if indexes is not None and count > total:
        why = (
            f"must be less than or equal to {total} (the number of indexes in the specified"
            " succeededIndexes field)"
        )
        yield invalid(where, count, why)


def _count_indexes(text: str, completions: int) -> tuple[int, str]:
    """How many indexes a text like ``0,2-5`` names, and what is wrong with it."""
    total, last = 0, None
    for part in text.split(",") if text else ():
        words = part.split("-")
        if len(words) > 2:
            why = "violates the requirement that an index interval can have at most two parts"
            return 0, f"the fragment {_quoted(part)} {why} separated by '-'"
        bounds: list[int] = []
        for word in words:
            if not _NUMBER.fullmatch(word):
                return 0, f"cannot convert string to integer for index: {_quoted(word)}"
            if int(word) >= completions:
                return 0, f"too large index: {_quoted(word)}"
            bounds.append(int(word))
        if len(bounds) > 1 and bounds[0] >= bounds[1]:
            return 0, f"non-increasing order, previous: {bounds[0]}, current: {bounds[1]}"
        if last is not None and last >= bounds[0]:
            return 0, f"non-increasing order, previous: {last}, current: {bounds[0]}"
        total += bounds[-1] - bounds[0] + 1
        last = bounds[-1]
    return total, ""


def _quoted(text: str) -> str:
    return f'"{text}"'
