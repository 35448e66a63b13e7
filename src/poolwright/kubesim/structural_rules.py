"""The rules in CEL of a structural schema, before an object: which it breaks.

Source: k8s.io/apiextensions-apiserver pkg/apiserver/schema/cel/validation.go (order, budget,
wording) and pkg/apiserver/validation/ratcheting.go (what an update leaves as it was).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from poolwright.kubesim import cel
from poolwright.kubesim.cel_data import seen
from poolwright.kubesim.status import Cause, duplicate, forbidden, invalid, required
from poolwright.kubesim.structural_part import (
    EMBEDDED,
    NEW,
    Schema,
    inner_of,
    is_as_it_was,
    items_of,
    joined,
    old_items,
    old_member,
    properties_of,
)
from poolwright.model.json_value import Json, children

_OLD_SELF = re.compile(rf"(?<![.\w]){cel.OLD}\b")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')


def broken_rules(value: Any, schema: Schema, old: Any) -> Iterator[Cause]:
    """The rules that a whole object breaks; none is looked at after they have cost too much."""
    yield from _Look(cel.Budget()).broken(value, old, schema, "")


class _Look:
    """One look at one object."""

    def __init__(self, budget: cel.Budget) -> None:
        self._budget = budget
        self._is_over = False

    def broken(
        self, value: Any, old: Any, schema: Schema, path: str, *, is_settled: bool = False
    ) -> Iterator[Cause]:
        """Rules from the outside in. One that speaks of oldSelf needs an old value, or says that it
        can do without; any other passes over what is settled: as it was, or part of it.
        """
        if value is None or self._is_over:
            return
        is_settled = is_settled or is_as_it_was(value, old)
        yield from self._of_schema(value, old, schema, path, is_settled=is_settled)
        if isinstance(value, list):
            items = cast("list[Any]", value)
            for position, was in enumerate(old_items(items, old, schema)):
                here, item = f"{path}[{position}]", items[position]
                yield from self.broken(item, was, items_of(schema), here, is_settled=is_settled)
        elif isinstance(value, dict):
            known = properties_of(schema)
            for name, found in cast("dict[str, Any]", value).items():
                inner, was = inner_of(schema, name), old_member(old, name)
                here = joined(path, name) if name in known else f"{path}[{name}]"
                if inner is not None:
                    yield from self.broken(found, was, inner, here, is_settled=is_settled)

    def _of_schema(
        self, value: Any, old: Any, schema: Schema, path: str, *, is_settled: bool
    ) -> Iterator[Cause]:
        rules = children(schema, "x-kubernetes-validations")
        if not rules:
            return
        is_root = not path or bool(schema.get(EMBEDDED))
        values = {"self": seen(value, schema, is_root=is_root)}
        if old is not NEW:
            values[cel.OLD] = seen(old, schema, is_root=is_root)
        for rule in rules:
            looks_back = _speaks_of_old(str(rule.get("rule", "")))
            if looks_back and old is NEW and not rule.get("optionalOldSelf"):
                continue
            for cause, is_of_value in self._of_rule(rule, values, value, schema, path):
                if not (is_of_value and is_settled and not looks_back):
                    yield cause
            if self._is_over:
                return

    def _of_rule(
        self, rule: Json, values: Mapping[str, Any], value: Any, schema: Schema, path: str
    ) -> Iterator[tuple[Cause, bool]]:
        """What a rule says, and whether that is of the value: it may be that it cannot be told."""
        text = str(rule.get("rule", ""))
        if rule.get("optionalOldSelf"):
            text = _with_optional_old(text, is_there=cel.OLD in values)
        kind, where = schema.get("type", ""), path or "<nil>"
        shown = str(rule.get("message") or "").strip() or str(rule.get("rule", "")).strip()
        try:
            if cel.evaluate(text, values, budget=self._budget) is True:
                return
        except cel.OutOfBudget as error:
            self._is_over = True
            yield invalid(where, kind, str(error)), False
            return
        except cel.CelError as error:
            words = "{} evaluating rule: {}"
            if str(error) in _ERRORS:
                words = f"'{{}}': {_ERRORS[str(error)]} for rule: {{}}"
            self._is_over = str(error) == cel.COST_EXCEEDED
            yield invalid(where, kind, words.format(error, shown)), False
            return
        yield self._broken(rule, values, value, kind, path), True

    def _broken(
        self, rule: Json, values: Mapping[str, Any], value: Any, kind: str, path: str
    ) -> Cause:
        told = str(rule.get("message") or "").strip()
        failed = f"failed rule: {str(rule.get('rule', '')).strip()}"
        words = self._message(rule, values) or told or failed
        where = path + str(rule.get("fieldPath") or "") or "<nil>"
        reason = rule.get("reason") or "FieldValueInvalid"
        if reason in _REFUSALS:
            return _REFUSALS[reason](where, words)
        if reason == "FieldValueDuplicate":
            return duplicate(where, value)
        if kind in {"object", "array"}:
            return Cause("FieldValueInvalid", where, f"Invalid value: {words}")
        return invalid(where, value, words)

    def _message(self, rule: Json, values: Mapping[str, Any]) -> str:
        """What a rule's messageExpression says; nothing if it fails."""
        expression = str(rule.get("messageExpression") or "")
        try:
            found = cel.evaluate(expression, values, budget=self._budget) if expression else ""
        except cel.CelError:
            return ""
        return found.strip() if isinstance(found, str) else ""


_ERRORS = {
    "no such overload": "call arguments did not match a supported operator, function or macro"
    " signature",
    cel.COST_EXCEEDED: "no further validation rules will be run due to call cost exceeds limit",
}
_REFUSALS: Mapping[str, Callable[[str, str], Cause]] = {
    "FieldValueForbidden": forbidden,
    "FieldValueRequired": required,
}


def _speaks_of_old(text: str) -> bool:
    return _OLD_SELF.search(_QUOTED.sub("", text)) is not None


def _with_optional_old(text: str, *, is_there: bool) -> str:
    """A rule whose ``oldSelf`` may be absent, in terms of what is there."""
    wanted = f"optional.of({cel.OLD})" if is_there else "optional.none()"
    parts = re.split(f"({_QUOTED.pattern})", text)
    return "".join(p if n % 2 else _OLD_SELF.sub(wanted, p) for n, p in enumerate(parts))
