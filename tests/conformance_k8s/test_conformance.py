"""The quick specs of Kubernetes' own suite that the embedded Kubernetes passes, it still passes.

`make conformance-k8s` runs the whole list, which takes minutes of waiting.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from absent import live_binaries
from conformance_k8s import suite
from embedded_stack import EmbeddedStack
from live_stack import live_tools

HERE = Path(__file__).parent
QUICK = 3.5
"""Seconds that a spec may take on the real Kubernetes to count as quick."""


@pytest.mark.slow
@pytest.mark.live
def test_quick_specs_pass(tmp_path):
    tools = live_binaries("e2e.test", "kubectl")
    last = json.loads((HERE / "results.json").read_text())["specs"]
    chosen = [
        spec
        for spec in suite.specs()
        if spec.seconds <= QUICK and not spec.is_alone and last[spec.name]["result"] == "passed"
    ]
    stack = EmbeddedStack(tmp_path / "stack", version=live_tools.kubernetes_version())
    stack.start()
    try:
        outcomes = suite.run(
            tools["e2e.test"],
            tools["kubectl"],
            stack.kubeconfig,
            chosen,
            tmp_path / "reports",
            processes=3,
            seconds=600,
        )
    finally:
        stack.stop()
    bad = [f"{item.name}: {item.message}" for item in outcomes if item.result != "passed"]
    assert not bad, "\n".join(bad)


def test_every_spec_has_a_result_and_every_exception_is_one():
    names = [spec.name for spec in suite.specs()]
    last = json.loads((HERE / "results.json").read_text())["specs"]
    assert set(last) == set(names)
    reasons = json.loads((HERE / "exceptions.json").read_text())
    assert set(reasons) <= set(names)
    failing = {name for name in names if last[name]["result"] != "passed"}
    assert failing <= set(reasons), "a spec that does not pass needs its reason"


def test_every_spec_outside_the_list_that_failed_has_its_reason():
    listed = {spec.name for spec in suite.specs()}
    names = [spec.name for spec in suite.outside()]
    last = json.loads((HERE / "outside_results.json").read_text())["specs"]
    reasons = suite.outside_reasons()
    assert listed.isdisjoint(names)
    assert set(last) <= set(names)
    results = {name: last.get(name, {}).get("result") for name in names}
    failed = [name for name in names if results[name] == "failed"]
    unexplained = [name for name in failed if not any(each.names(name) for each in reasons)]
    assert not unexplained, "a spec that fails needs its reason"
    others = [name for name in names if results[name] != "passed"]
    idle = [each.why for each in reasons if not any(each.names(name) for name in others)]
    assert not idle, "a reason that no spec needs"
