"""A check is trusted once a planted bug made it fail."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from books import check_bills, check_machines, check_operations
from lives import Plan
from telling import tell

from poolwright.model.agent_pool import OperationState
from poolwright.model.instant import Instant
from poolwright.model.machine import MachinePhase

CREATION = "create a cluster"
CAUGHT = [
    ("never end operations", "hangs"),
    ("lose commits", "was acknowledged, but"),
    ("double machines", r"nodes ready|nobody's node"),
    ("lose machines", r"nodes ready|nobody's node|not what runs|hangs|NodesNotReady"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("bug", "said"), CAUGHT, ids=[bug for bug, _ in CAUGHT])
def test_a_bug_in_the_server_is_caught(tmp_path, bug, said):
    plan = Plan(1, (CREATION,), points=("kube create nodes",), until=CREATION)
    with pytest.raises(AssertionError, match=said):
        tell(tmp_path, "planted", plan, bug=bug, patience=15)


@pytest.mark.slow
def test_without_a_bug_nothing_is_caught(tmp_path):
    plan = Plan(1, (CREATION,), points=("kube create nodes",), until=CREATION)
    assert tell(tmp_path, "planted", plan, patience=15).kills.total() == 1


def _machine(name, phase):
    return SimpleNamespace(
        name=name,
        spec=SimpleNamespace(request=SimpleNamespace(name=name)),
        status=SimpleNamespace(segment_at=lambda _: SimpleNamespace(phase=phase)),
    )


def test_a_machine_too_many_or_too_few_is_caught():
    running, booting = MachinePhase.RUNNING, MachinePhase.BOOTSTRAPPING
    now = Instant(0)
    check_machines([_machine("a", running)], now, ["a"])
    for machines in ([], [_machine("a", running), _machine("b", running)]):
        with pytest.raises(AssertionError, match="machines"):
            check_machines(machines, now, ["a"])
    with pytest.raises(AssertionError, match="nobody's node"):
        check_machines([_machine("a", running), _machine("b", booting)], now, ["a"])


def _bill(number, event, machine="a"):
    spec = SimpleNamespace(cluster="c", machine=machine, event=event)
    return SimpleNamespace(name=f"{number:04}", spec=spec)


def test_a_wrong_bill_is_caught():
    check_bills([_bill(1, "created"), _bill(2, "deallocated"), _bill(3, "started")], 1)
    with pytest.raises(AssertionError, match="billed twice"):
        check_bills([_bill(1, "created"), _bill(2, "started")], 1)
    with pytest.raises(AssertionError, match="not what runs"):
        check_bills([_bill(1, "created"), _bill(2, "deleted")], 1)


def test_an_operation_that_hangs_is_caught():
    def operation(state, ended_at):
        status = SimpleNamespace(state=state, ended_at=ended_at)
        return SimpleNamespace(name="o", spec=SimpleNamespace(type="Creating"), status=status)

    check_operations([operation(OperationState.CANCELED, 1)])
    with pytest.raises(AssertionError, match="never ended"):
        check_operations([operation(OperationState.IN_PROGRESS, None)])
    with pytest.raises(AssertionError, match="no end"):
        check_operations([operation(OperationState.FAILED, None)])
