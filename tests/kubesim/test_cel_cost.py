"""What rules of custom resources may cost, beside what an API server reckons.

``cel_costs.json`` is what the real one says (``tools/cel_costs``).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from poolwright.kubesim import cel
from poolwright.kubesim.cel_data import seen
from poolwright.kubesim.cel_extent import extent_of
from poolwright.kubesim.cel_schema import type_of
from poolwright.kubesim.kinds.custom import CUSTOM_RESOURCE_DEFINITION

from .test_custom_resources import definition

CASES = json.loads(Path(__file__).with_name("cel_costs.json").read_text())


UNKNOWN = "self.items.sortBy(i, i.key)[0].key == 'a'"
"""A macro that the runtime lacks."""
ERRORS = ("self.inner.?y.optMap(", "quantity(self.short + 'x')")
"""What goes on costing a little after an error, or in a name for a value."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["rules"][0]["rule"])
def test_steps_cost_what_they_cost_in_an_api_server(case):
    value = seen(case["value"], case["schema"], is_root=case.get("root", False))
    found, real = {}, {}
    for rule in case["rules"] if value is not None else ():
        text = rule["rule"]
        if rule["says"].startswith("compilation") or text == UNKNOWN:
            continue
        budget = cel.Budget()
        try:
            says = str(cel.evaluate_by_steps(text, {"self": value}, budget)).lower()
        except cel.CelError as error:
            says = str(error)
        found[text], real[text] = [says], [rule["says"]]
        if not text.startswith(ERRORS):
            found[text].append(cel.BUDGET - budget.left)
            real[text].append(rule["steps"])
    assert found == real


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["rules"][0]["rule"])
def test_the_runtime_says_the_same(case):
    value = seen(case["value"], case["schema"], is_root=case.get("root", False))
    for rule in case["rules"] if value is not None else ():
        if not rule["says"].startswith("compilation") and rule["rule"] != UNKNOWN:
            try:
                says = str(cel.evaluate(rule["rule"], {"self": value})).lower()
            except cel.CelError as error:
                says = str(error)
            assert (rule["rule"], says) == (rule["rule"], rule["says"])


def test_all_rules_together_may_cost_only_so_much():
    budget = cel.Budget(left=150_000)
    rule, values = "self.all(x, self.all(y, y == x))", {"self": [20] * 110}
    assert cel.evaluate(rule, values, budget=budget) is True
    assert cel.evaluate(rule, values, budget=budget) is True
    with pytest.raises(cel.OutOfBudget):
        cel.evaluate(rule, values, budget=budget)


def schema(**spec):
    inner = {"type": "object", "properties": spec}
    return {"openAPIV3Schema": {"type": "object", "properties": {"spec": inner}}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["rules"][0]["rule"])
def test_the_estimate_is_that_of_an_api_server(case):
    of_self = type_of(case["schema"], "selfType", is_root=case.get("root", False))
    extent = extent_of(case["schema"], is_root=case.get("root", False))
    assert extent.repeated_most == case["repeated"]
    found, real = {}, {}
    for rule in case["rules"]:
        text = rule["rule"]
        if text == UNKNOWN:
            continue
        real[text] = rule["says"] if rule["says"].startswith("compilation") else rule["estimate"]
        try:
            found[text] = cel.check_rule(text, {"self": of_self}, extent).most_cost
        except cel.CelError as error:
            found[text] = f"compilation failed: {error}"
    assert found == real


def test_a_definition_whose_rules_are_too_dear_by_now_may_still_be_changed():
    """As one from before the limit: it is held to it again when its schema changes."""
    rule = {"rule": "self.all(s, s == 'x')"}
    tags = {"type": "array", "items": {"type": "string"}, "x-kubernetes-validations": [rule]}
    dear = schema(lists={"type": "array", "items": tags, "maxItems": 2})
    kind = CUSTOM_RESOURCE_DEFINITION

    def problems(new, old):
        return [cause.message for cause in kind.validate(new, old)]

    made = definition(schema=dear)
    kind.default(made)
    (said,) = problems(made, None)
    assert said.startswith("Forbidden: estimated rule cost exceeds budget by factor of 1.048575x")
    assert problems(made, made) == []
    other = definition(schema=schema())
    kind.default(other)
    assert problems(made, other) == [said]
