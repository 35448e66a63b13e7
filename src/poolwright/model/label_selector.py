"""Kubernetes' LabelSelector, parsed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poolwright.model.json_value import child, children


def holds(operator: str, value: str | None, values: Sequence[str]) -> bool:
    """Whether a label's value (None: not there) satisfies an operator of Kubernetes.

    Source: k8s.io/apimachinery pkg/labels, Requirement.Matches.
    """
    match operator:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            try:
                left, right = int(value or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return left > right if operator == "Gt" else left < right
        case _:
            return False


@dataclass(frozen=True, slots=True)
class LabelRule:
    """One condition on a label."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy it."""
        return holds(self.operator, labels.get(self.key), self.values)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Labels that must be equal, and rules that must hold; an empty one matches everything."""

    labels: tuple[tuple[str, str], ...] = ()
    rules: tuple[LabelRule, ...] = ()

    @classmethod
    def from_object(cls, wire: Mapping[str, Any]) -> LabelSelector:
        """Read Kubernetes' JSON form."""
        return cls(
            tuple(sorted(child(wire, "matchLabels").items())),
            tuple(
                LabelRule(e["key"], e["operator"], tuple(e.get("values") or ()))
                for e in children(wire, "matchExpressions")
            ),
        )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        for key, value in self.labels:
            if labels.get(key) != value:
                return False
        return not self.rules or all(rule.matches(labels) for rule in self.rules)
