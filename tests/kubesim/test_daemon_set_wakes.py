"""Which changes of a pod its DaemonSet looks at."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from poolwright.kubesim.controllers.daemon_set import DaemonNodeController
from poolwright.model.pod import NodeRequirement, Owner, Pod

PINNED = NodeRequirement("metadata.name", "In", ("n1",), on_field=True)
POD = Pod(
    "default",
    "d-x",
    "u1",
    "1",
    owners=(Owner("DaemonSet", "d", "s1", controller=True),),
    node_terms=((PINNED,),),
)


@pytest.fixture
def told():
    """What tells of a pod's change, and the keys that were woken."""
    woken, listeners = [], []
    registry = SimpleNamespace(subscribe=lambda *_: None, list=lambda _: [])
    state = SimpleNamespace(on_node=lambda _: None, on_pod=listeners.append)
    controller = DaemonNodeController(registry, state, None, None)
    controller.start(SimpleNamespace(wake=woken.append), SimpleNamespace(wake=None))
    return listeners[0], woken


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "Running"},
        {"is_ready": True},
        {"deleting": True},
        {"labels": {"a": "b"}},
        {"uid": "u2"},
    ],
)
def test_what_a_set_counts_wakes_it(told, change):
    tell, woken = told
    tell(POD, replace(POD, **change))
    assert ("default/d", "n1") in woken


def test_coming_and_going_wake_a_set(told):
    tell, woken = told
    tell(None, POD)
    tell(POD, None)
    assert woken == [("default/d", "n1")] * 2


def test_being_bound_wakes_nobody(told):
    tell, woken = told
    tell(POD, replace(POD, node_name="n1", revision="2", started="2026-01-01T00:00:00Z"))
    assert woken == []


def test_another_owner_wakes_both(told):
    tell, woken = told
    other = replace(POD, owners=(Owner("DaemonSet", "e", "s2", controller=True),))
    tell(POD, other)
    assert woken == [("default/d", "n1"), ("default/e", "n1")]
