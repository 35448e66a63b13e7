"""What roles that gather others give: every rule of the roles that their selectors choose.

Source: k8s.io/kubernetes pkg/controller/clusterroleaggregation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from poolwright.model.json_value import Json, child, children
from poolwright.model.label_selector import LabelSelector

MANAGER = "clusterrole-aggregation-controller"
"""Who fills such roles, as their managed fields say."""


def aggregated_rules(role: Json, roles: Iterable[Json]) -> list[Json]:
    """The rules of a role that gathers others, out of all cluster roles."""
    name = role["metadata"]["name"]
    others = sorted(
        (each for each in roles if each["metadata"]["name"] != name),
        key=lambda each: each["metadata"]["name"],
    )
    rules: list[Json] = []
    for wanted in children(role, "aggregationRule", "clusterRoleSelectors"):
        selector = LabelSelector.from_object(wanted)
        for each in others:
            if selector.matches(child(each, "metadata", "labels")):
                rules.extend(rule for rule in children(each, "rules") if rule not in rules)
    return rules


def plan_aggregation(roles: Sequence[Json]) -> list[tuple[str, list[Json]]]:
    """The names of the roles that gather others and do not give what they should, with that.

    One that finds nothing keeps what its maker gave it, as long as it never found anything.
    """
    changes: list[tuple[str, list[Json]]] = []
    for role in roles:
        if children(role, "aggregationRule", "clusterRoleSelectors"):
            rules = aggregated_rules(role, roles)
            if rules != children(role, "rules") and (rules or _was_filled(role)):
                changes.append((role["metadata"]["name"], rules))
    return changes


def _was_filled(role: Json) -> bool:
    return any(
        entry.get("manager") == MANAGER and "f:rules" in child(entry, "fieldsV1")
        for entry in children(role, "metadata", "managedFields")
    )
