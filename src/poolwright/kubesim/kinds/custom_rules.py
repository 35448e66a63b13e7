"""The rules in CEL that a definition of custom resources declares (x-kubernetes-validations).

Source: k8s.io/apiextensions-apiserver pkg/apis/apiextensions/validation (validation.go,
cel_validation.go: what is refused, budgets) and pkg/apiserver/schema/cel (compilation.go,
validation.go: ValidFieldPath).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from poolwright.kubesim import cel
from poolwright.kubesim.cel_extent import Extent, extent_of
from poolwright.kubesim.cel_schema import type_of
from poolwright.kubesim.cel_span import LIMIT
from poolwright.kubesim.cel_type import BOOL, DYN, STRING, Type, optional_of
from poolwright.kubesim.status import Cause, forbidden, invalid, not_supported, required
from poolwright.model.json_value import Json, child, children

RULE_COST_MAX = 10_000_000
SCHEMA_COST_MAX = 100_000_000
_SHOWN_MAX = 4
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays,"
    " maps, and strings are declared)"
)
_REASONS = (
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
)
_LINE_BREAK = re.compile(r"[\n\r]")
_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\['(?P<key>(?:[^'\\]|\\.)*)'\]")
_ESCAPED = re.compile(r"\\(.)")
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(slots=True)
class Budget:
    """What the rules of one schema may cost, each and together."""

    rule_most: int = RULE_COST_MAX
    spent: int = 0
    dearest: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def spend(self, where: str, cost: int) -> None:
        """Count a rule."""
        self.spent = min(LIMIT, self.spent + cost)
        if cost >= SCHEMA_COST_MAX // 100:
            self.dearest = sorted([*self.dearest, (cost, where)], key=lambda each: -each[0])
            del self.dearest[_SHOWN_MAX:]

    def problems(self, path: str) -> Iterator[Cause]:
        """What is said of a schema whose rules cost too much together."""
        if self.spent <= SCHEMA_COST_MAX:
            return
        for _, where in self.dearest:
            words = "contributed to estimated rule cost total exceeding cost limit for entire"
            yield forbidden(where, f"{words} OpenAPIv3 schema")
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield forbidden(path, _exceeded(what, self.spent, SCHEMA_COST_MAX))


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a schema a rule stands: how often what it is about may be there (None: nothing
    bounds that), and the part of the schema below which nothing knows its old value.
    """

    budget: Budget
    times: int | None = 1
    unknown_since: str = ""

    def inside(self, schema: Json, path: str, member: str) -> Place:
        """For a part of the schema at ``path``: properties, items or additionalProperties."""
        is_known = member != "items" or schema.get("x-kubernetes-list-type") == "map"
        since = self.unknown_since or ("" if is_known else path)
        return replace(self, times=self._times(schema), unknown_since=since)

    def _times(self, schema: Json) -> int | None:
        bound: Any = 1
        if schema.get("type") == "array":
            bound = schema.get("maxItems")
        elif schema.get("type") == "object" and schema.get("additionalProperties") is not None:
            bound = schema.get("maxProperties")
        if self.times is None or bound is None:
            return None
        return min(LIMIT, self.times * max(0, int(bound)))


def form_problems(schema: Json, path: str) -> Iterator[Cause]:
    """What is wrong with the rules of a schema before any is compiled."""
    for position, rule in enumerate(children(schema, "x-kubernetes-validations")):
        here = f"{path}.x-kubernetes-validations[{position}]"
        yield from _texts(rule, here)
        reason = rule.get("reason")
        if reason is not None and reason not in _REASONS:
            yield not_supported(f"{here}.reason", reason, _REASONS)
        yield from _field_path(str(rule.get("fieldPath") or ""), schema, f"{here}.fieldPath")


def _texts(rule: Json, here: str) -> Iterator[Cause]:
    text, message = str(rule.get("rule") or "").strip(), str(rule.get("message") or "")
    if not text:
        yield required(f"{here}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{here}.message", message, "must be non-empty if specified")
    elif _LINE_BREAK.search(message.strip()):
        yield invalid(f"{here}.message", message, "must not contain line breaks")
    elif _LINE_BREAK.search(text) and not message:
        words = "message must be specified if rule contains line breaks"
        yield required(f"{here}.message", words)
    dynamic = str(rule.get("messageExpression") or "")
    if dynamic and not dynamic.strip():
        words = "messageExpression must be non-empty if specified"
        yield required(f"{here}.messageExpression", words)


def _field_path(text: str, schema: Json, where: str) -> Iterator[Cause]:
    if text and not text.strip():
        yield invalid(where, text, "must be non-empty if specified")
    if _LINE_BREAK.search(text):
        yield invalid(where, text, "must not contain line breaks")
    if text and not _leads_somewhere(text, schema):
        yield invalid(where, text, "must be a valid path")


def _leads_somewhere(text: str, schema: Json) -> bool:
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            return False
        key = _ESCAPED.sub(lambda found: _SIMPLE.get(found[1], found[1]), step["key"] or "")
        name, at = step["name"] or key, step.end()
        known, more = child(schema, "properties"), schema.get("additionalProperties")
        if known:
            if name not in known:
                return False
            schema = known[name]
        elif isinstance(more, Mapping) and more:
            schema = cast("Json", more)
        else:
            return False
    return True


def problems(schema: Json, path: str, place: Place, *, is_root: bool) -> Iterator[Cause]:
    """Rules of a schema that cannot be compiled, that speak of what is not there, or that may cost
    too much.
    """
    rules = children(schema, "x-kubernetes-validations")
    if not rules:
        return
    found = type_of(schema, "selfType", is_root=is_root) or DYN
    extent = extent_of(schema, is_root=is_root) or Extent()
    for position, rule in enumerate(rules):
        here = f"{path}.x-kubernetes-validations[{position}]"
        yield from _of_rule(rule, here, place, found, extent)


def _of_rule(rule: Json, here: str, place: Place, found: Type, extent: Extent) -> Iterator[Cause]:
    is_optional = rule.get("optionalOldSelf")
    known = {"self": found, cel.OLD: optional_of(found) if is_optional else found}
    text = str(rule["rule"])
    looks_back = False
    try:
        checked = cel.check_rule(text, known, extent)
    except cel.CelError as error:
        yield invalid(f"{here}.rule", _as_go_has_it(rule), f"compilation failed: {error}")
    else:
        if checked.type != BOOL:
            words = "cel expression must evaluate to a bool"
            yield invalid(f"{here}.rule", _as_go_has_it(rule), words)
        else:
            times = extent.repeated_most if place.times is None else place.times
            looks_back, cost = checked.looks_back, min(LIMIT, checked.most_cost * times)
            yield from _spent(place.budget, "estimated rule cost", f"{here}.rule", cost)
            yield from _message(rule, here, place.budget, known, extent)
    if looks_back and place.unknown_since:
        words = "oldSelf cannot be used on the uncorrelatable portion of the schema within"
        yield invalid(f"{here}.rule", text, f"{words} {place.unknown_since}")
    elif not looks_back and is_optional is not None:
        words = "may not be set if oldSelf is not used in rule"
        yield invalid(f"{here}.optionalOldSelf", is_optional, words)


def _message(
    rule: Json, here: str, budget: Budget, known: Mapping[str, Type], extent: Extent
) -> Iterator[Cause]:
    text, where = str(rule.get("messageExpression") or ""), f"{here}.messageExpression"
    if not text:
        return
    try:
        checked = cel.check_rule(text, known, extent)
    except cel.CelError as error:
        words = f"messageExpression compilation failed: {error}"
        yield invalid(where, _as_go_has_it(rule), words)
        return
    if checked.type != STRING:
        words = "messageExpression must evaluate to a string"
        yield invalid(where, _as_go_has_it(rule), words)
        return
    yield from _spent(budget, "estimated messageExpression cost", where, checked.most_cost)


def _spent(budget: Budget, what: str, where: str, cost: int) -> Iterator[Cause]:
    if cost > budget.rule_most:
        yield forbidden(where, _exceeded(what, cost, RULE_COST_MAX))
    budget.spend(where, cost)


def _exceeded(what: str, cost: int, most: int) -> str:
    factor = cost / most
    shown = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    shown = "more than 100x" if factor > 100 else shown
    return f"{what} exceeds budget by factor of {shown} {_ADVICE}"


_MEMBERS: Sequence[tuple[str, Any]] = (
    ("rule", ""), ("message", ""), ("messageExpression", ""), ("reason", None),
    ("fieldPath", ""), ("optionalOldSelf", None),
)  # fmt: skip


def _as_go_has_it(rule: Json) -> dict[str, Any]:
    """A rule as a message shows it: the members of the server's own type."""
    return {name[0].upper() + name[1:]: rule.get(name, otherwise) for name, otherwise in _MEMBERS}
