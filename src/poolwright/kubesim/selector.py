"""Label and field selectors: reading their text and matching entries.

Source: k8s.io/apimachinery pkg/labels/selector.go (grammar) and pkg/fields/selector.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poolwright.kubesim import status
from poolwright.kubesim.entry import Entry
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.rules import label_value, qualified_name
from poolwright.model.json_value import child, children

_SET = re.compile(r"(\S+?)\s+(in|notin)\s*\(([^()]*)\)")
_COMPARE = re.compile(r"([^=!<>\s]+)\s*(==|=|!=|>|<)\s*(\S*)")
_BARE = re.compile(r"(!?)\s*([^=!<>\s()]+)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label. ``operator`` is in, notin, exists, absent, gt or lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy the condition."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case _:
                return _compare(value, self.operator, self.values[0])


def _compare(value: str | None, operator: str, bound: str) -> bool:
    try:
        left, right = int(value or ""), int(bound)
    except ValueError:
        return False
    return left > right if operator == "gt" else left < right


def _split(text: str) -> list[str]:
    parts: list[str] = []
    depth, start = 0, 0
    for position, character in enumerate(text):
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return [part.strip() for part in parts]


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read a label selector; the empty text selects everything.

    Raises:
        StatusError: 400, not a selector.
    """
    if not text.strip():
        return ()
    found: list[Requirement] = []
    for part in _split(text):
        requirement = _requirement(part)
        if requirement is None:
            raise status.bad_request(
                f"unable to parse requirement: found '{part}', expected: identifier, '!', 'in',"
                " 'notin', '=', '==', '!=', 'gt', 'lt'"
            )
        for problem in qualified_name(requirement.key):
            raise status.bad_request(
                f'unable to parse requirement: key: Invalid value: "{requirement.key}": {problem}'
            )
        for value in requirement.values:
            if requirement.operator in {"gt", "lt"} and not value.lstrip("+-").isdecimal():
                raise status.bad_request(
                    f'unable to parse requirement: values[0]: Invalid value: "{value}": for'
                    " 'Gt', 'Lt' operators, the value must be an integer"
                )
            for problem in label_value(value):
                raise status.bad_request(
                    "unable to parse requirement: values[0]"
                    f'[{requirement.key}]: Invalid value: "{value}": {problem}'
                )
        found.append(requirement)
    return tuple(found)


def _requirement(part: str) -> Requirement | None:
    if matched := _SET.fullmatch(part):
        key, operator, values = matched.groups()
        return Requirement(key, operator, tuple(v.strip() for v in values.split(",")))
    if matched := _COMPARE.fullmatch(part):
        key, sign, value = matched.groups()
        operator = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}[sign]
        return Requirement(key, operator, (value,))
    if matched := _BARE.fullmatch(part):
        negated, key = matched.groups()
        return Requirement(key, "absent" if negated else "exists")
    return None


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}


def from_object(selector: Mapping[str, Any] | None) -> tuple[Requirement, ...] | None:
    """A ``LabelSelector`` object as requirements; None (selects nothing) for a missing one."""
    if selector is None:
        return None
    found = [Requirement(k, "in", (v,)) for k, v in child(selector, "matchLabels").items()]
    for expression in children(selector, "matchExpressions"):
        operator = _OPERATORS.get(expression.get("operator", ""), "in")
        found.append(
            Requirement(expression["key"], operator, tuple(expression.get("values") or ()))
        )
    return tuple(found)


def matches(requirements: Sequence[Requirement] | None, labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy all requirements; None matches nothing."""
    return requirements is not None and all(r.matches(labels) for r in requirements)


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on a field."""

    label: str
    value: str
    negated: bool


def parse_fields(text: str, kind: ObjectKind) -> tuple[FieldTerm, ...]:
    """Read a field selector of a kind.

    Raises:
        StatusError: 400, not a selector, or a field that the kind does not select by.
    """
    if not text.strip():
        return ()
    found: list[FieldTerm] = []
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        for sign in ("!=", "==", "="):
            label, separator, value = part.partition(sign)
            if separator:
                break
        else:
            raise status.bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        known = {"metadata.name", *(["metadata.namespace"] if kind.resource.namespaced else [])}
        if label not in known and label not in kind.fields:
            raise status.bad_request(_unknown_field(kind, label, text))
        found.append(FieldTerm(label, value, sign == "!="))
    return tuple(found)


def _unknown_field(kind: ObjectKind, label: str, text: str) -> str:
    """Kinds with conversions of their own word it otherwise."""
    resource = kind.resource
    if not kind.fields:
        own = '"metadata.name"' + (', "metadata.namespace"' if resource.namespaced else "")
        return f'"{label}" is not a known field selector: only {own}'
    group = f"{resource.group}/" if resource.group else "/"
    return (
        f'Unable to find "{group}{resource.version}, Resource={resource.plural}" that match label'
        f' selector "", field selector "{text}": field label not supported: {label}'
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list or watch asks for: a namespace, labels and fields."""

    namespace: str = ""
    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it selects by namespace at most."""
        return not self.labels and not self.fields

    def selects(self, entry: Entry | None) -> bool:
        """Whether an entry is selected (None never is)."""
        if entry is None or (self.namespace and entry.namespace != self.namespace):
            return False
        if self.labels and not all(r.matches(entry.labels) for r in self.labels):
            return False
        return all((entry.field(t.label) == t.value) != t.negated for t in self.fields)

    def predicate(self) -> Callable[[Entry | None], bool]:
        """``selects`` as a function, for loops."""
        return self.selects
