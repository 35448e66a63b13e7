"""Writing outcomes: guarded writes of a resource together with its operation.

Source: docs/contracts/records.md, R3, R4, R9, R12.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from poolwright.model.agent_pool import OPERATION, OperationState, OperationStatus
from poolwright.model.record import Stored
from poolwright.plan.plan import OperationEnd
from poolwright.ports.store import Delete, Store, Update, Write


async def progress(
    store: Store, scope: str, name: str | None, message: str, percent: int
) -> list[Write]:
    """The write that shows a running operation's progress; none if it shows already."""
    if name is None:
        return []
    found = await store.get(scope, OPERATION, name)
    if found is None or found.status.state.is_terminal:
        return []
    status = replace(found.status, message=message, percent_complete=percent)
    if status == found.status:
        return []
    return [Update(OPERATION, name, status=status, expect_revision=found.revision)]


async def ends(
    store: Store,
    scope: str,
    end: OperationEnd,
    wall: datetime,
    *,
    operation: str | None,
    abort_operation: str | None,
) -> list[Write]:
    """The writes that end a resource's operations: the running one as ``end`` says, an abort as
    succeeded. An operation that is gone or has ended already is left alone.
    """
    writes: list[Write] = []
    for name, how in ((operation, end), (abort_operation, OperationEnd(OperationState.SUCCEEDED))):
        if name is None:
            continue
        found = await store.get(scope, OPERATION, name)
        if found is None or found.status.state.is_terminal:
            continue
        status: OperationStatus = replace(
            found.status,
            state=how.state,
            ended_at=wall,
            error=how.error,
            error_details=how.details,
            message="",
            percent_complete=100
            if how.state is OperationState.SUCCEEDED
            else found.status.percent_complete,
        )
        writes.append(Update(OPERATION, name, status=status, expect_revision=found.revision))
    return writes


def resource_writes(
    found: Stored[Any, Any], *, spec: Any, status: Any, is_gone: bool
) -> list[Write]:
    """The guarded write of the resource itself; none if nothing changed."""
    if is_gone:
        return [
            Delete(
                found.kind,
                found.name,
                expect_uid=found.uid,
                expect_revision=found.revision,
                expect_generation=found.generation,
            )
        ]
    new_spec = spec if spec != found.spec else None
    new_status = status if status != found.status else None
    if new_spec is None and new_status is None:
        return []
    return [
        Update(
            found.kind,
            found.name,
            spec=new_spec,
            status=new_status,
            expect_uid=found.uid,
            expect_revision=found.revision,
            expect_generation=found.generation,
        )
    ]
