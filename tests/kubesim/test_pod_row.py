"""What `kubectl get pods` says of pods with sidecars, as printPod of Kubernetes 1.36 counts it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from poolwright.kubesim.kinds.pod import POD

NOW = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
UP = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
WAITS = {"waiting": {"reason": "PodInitializing"}}
CRASHED = {"waiting": {"reason": "CrashLoopBackOff"}}
ENDED = {"terminated": {"exitCode": 0, "reason": "Completed"}}
FAILED = {"terminated": {"exitCode": 1, "reason": "Error"}}
BEFORE = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:09:00Z"}}}
SIDECAR, PLAIN = {"name": "s", "restartPolicy": "Always"}, {"name": "i"}


def told(name, state, *, ready=False, started=None, restarts=0, **more):
    found = {"name": name, "state": state, "ready": ready, "restartCount": restarts, **more}
    return found if started is None else {**found, "started": started}


def up(name, **more):
    return told(name, UP, ready=True, started=True, **more)


ROWS = {
    "running": ("Running", [SIDECAR], [up("s")], up("c"), ("2/2", "Running", "0")),
    "sidecar starts": (
        "Pending", [SIDECAR], [told("s", WAITS, started=False)], told("c", WAITS),
        ("0/2", "Init:0/1", "0"),
    ),
    "sidecar up, not ready": (
        "Running", [SIDECAR], [told("s", UP, started=True)], up("c"), ("1/2", "Running", "0"),
    ),
    "second init runs": (
        "Pending", [SIDECAR, PLAIN], [up("s", restarts=2, **BEFORE), told("i", UP)],
        told("c", WAITS), ("1/2", "Init:1/2", "2 (60s ago)"),
    ),
    "sidecar crashes at first": (
        "Pending", [SIDECAR], [told("s", CRASHED, started=False, restarts=3, **BEFORE)],
        told("c", WAITS), ("0/2", "Init:CrashLoopBackOff", "3 (60s ago)"),
    ),
    "sidecar crashes later": (
        "Running", [SIDECAR], [told("s", CRASHED, started=False, restarts=3, **BEFORE)], up("c"),
        ("1/2", "Init:CrashLoopBackOff", "3 (60s ago)"),
    ),
    "plain restarts are forgotten": (
        "Running", [PLAIN, SIDECAR], [told("i", ENDED, restarts=4, **BEFORE), up("s", restarts=1)],
        up("c", restarts=1), ("2/2", "Running", "2"),
    ),
    "completed": (
        "Succeeded", [SIDECAR], [told("s", ENDED, started=False)], told("c", ENDED),
        ("0/2", "Completed", "0"),
    ),
    "sidecar failed at the end": (
        "Succeeded", [SIDECAR], [told("s", FAILED, started=False)], told("c", ENDED),
        ("0/2", "Completed", "0"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    phase, inits, init_states, state, expected = ROWS[name]
    conditions = [] if phase == "Pending" else [{"type": "Initialized", "status": "True"}]
    if state["ready"]:
        conditions.append({"type": "Ready", "status": "True"})
    body = {
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"initContainers": inits, "containers": [{"name": "c"}]},
        "status": {
            "phase": phase,
            "conditions": conditions,
            "initContainerStatuses": init_states,
            "containerStatuses": [state],
        },
    }
    assert POD.row is not None
    assert tuple(POD.row(body, NOW)[:3]) == expected
