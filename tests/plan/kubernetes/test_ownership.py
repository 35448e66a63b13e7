"""Adoption and release, as in Kubernetes' controller_ref_manager_test.go."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

import pytest

from poolwright.model.kubernetes import REPLICA_SETS, REPLICATION_CONTROLLERS
from poolwright.model.pod import Owner, Pod
from poolwright.plan.kubernetes.action import SetController
from poolwright.plan.kubernetes.ownership import claim

WEB = {"app": "web"}


def workload(selector, *, leaving=False):
    meta = {"name": "w", "namespace": "default", "uid": "me"}
    if leaving:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": meta, "spec": {"selector": selector}}


def pod(labels, owner="", *, deleting=False):
    owners = (Owner("ReplicaSet", "w", owner, controller=True),) if owner else ()
    return Pod("default", "p", "u-p", "1", labels=labels, owners=owners, deleting=deleting)


@pytest.mark.parametrize(
    ("labels", "owner", "deleting", "leaving", "mine", "done"),
    [
        (WEB, "me", False, False, True, None),
        (WEB, "other", False, False, False, None),
        (WEB, "", False, False, True, "adopt"),
        (WEB, "", True, False, False, None),
        (WEB, "", False, True, False, None),
        ({}, "", False, False, False, None),
        ({}, "me", False, False, False, "release"),
        ({}, "me", False, True, True, None),
    ],
)
def test_claims(labels, owner, deleting, leaving, mine, done):
    wire = workload({"matchLabels": WEB}, leaving=leaving)
    found, actions = claim(REPLICA_SETS, wire, [pod(labels, owner, deleting=deleting)])
    assert len(found) == mine
    assert all(isinstance(a, SetController) and a.owner_uid == "me" for a in actions)
    kinds = ["release" if a.reference is None else "adopt" for a in actions]
    assert kinds == ([done] if done else [])


def test_a_replication_controller_selects_by_plain_labels_and_an_empty_selector_nothing():
    assert claim(REPLICATION_CONTROLLERS, workload(WEB), [pod(WEB)])[0]
    assert not claim(REPLICA_SETS, workload({}), [pod(WEB)])[0]
