"""Promises that must hold in every world, one a file. A checker is trusted once a planted bug made
it fail (``tests/simulation/test_planted_bugs.py``).
"""

from __future__ import annotations

from poolwright.sim.checkers.budget_kept import BudgetKept
from poolwright.sim.checkers.checker import Checker, Scene
from poolwright.sim.checkers.machine_count import MachineCount
from poolwright.sim.checkers.machine_owner import MachineOwner
from poolwright.sim.checkers.operation_end import OperationEnd
from poolwright.sim.checkers.quiescence import Quiescence
from poolwright.sim.checkers.ready_floor import ReadyFloor
from poolwright.sim.checkers.reimage_once import ReimageOnce
from poolwright.sim.checkers.revisions import Revisions
from poolwright.sim.checkers.state_diagram import StateDiagram
from poolwright.sim.checkers.success_is_real import SuccessIsReal


def all_checkers(scene: Scene) -> tuple[Checker, ...]:
    """One of each, watching a scene."""
    return (
        OperationEnd(scene),
        StateDiagram(scene),
        MachineCount(scene),
        MachineOwner(scene),
        ReadyFloor(scene),
        ReimageOnce(scene),
        BudgetKept(scene),
        SuccessIsReal(scene),
        Revisions(scene),
        Quiescence(scene),
    )


__all__ = ["Checker", "Scene", "all_checkers"]
