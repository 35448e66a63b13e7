"""The outcome of planning: actions, the status to record before them, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass

from poolwright.model.agent_pool import (
    AgentPoolSpec,
    AgentPoolStatus,
    OperationState,
    ProvisioningState,
)
from poolwright.model.errors import ErrorDetail
from poolwright.model.instant import Instant
from poolwright.plan.actions import Action

CANCELED = ErrorDetail("Canceled", "Operation is being canceled by user")
"""Source: error texts of AKS."""


@dataclass(frozen=True, slots=True)
class OperationEnd:
    """How the running operation ends; the resource's state in the plan's status is terminal too."""

    state: OperationState
    error: ErrorDetail | None = None
    details: tuple[ErrorDetail, ...] = ()

    @property
    def provisioning_state(self) -> ProvisioningState:
        """The same word for the resource."""
        return ProvisioningState(self.state.value)


SUCCEEDED = OperationEnd(OperationState.SUCCEEDED)


def failed(code: str, message: str, details: tuple[ErrorDetail, ...] = ()) -> OperationEnd:
    """A failed end."""
    return OperationEnd(OperationState.FAILED, ErrorDetail(code, message), details)


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What to do with one agent pool. ``status`` is recorded before the actions are performed.

    ``spec`` is set where control itself changes it; ``end`` ends the running operation in the same
    write; ``is_gone`` removes the record. ``percent`` is the operation's progress.
    """

    status: AgentPoolStatus
    actions: tuple[Action, ...] = ()
    spec: AgentPoolSpec | None = None
    end: OperationEnd | None = None
    is_gone: bool = False
    wake_at: Instant | None = None
    operation_message: str = ""
    percent: int = 0
