"""Maintenance configurations: kept and shown; their schedules are checked.

They have no effect yet on when upgrades run. Source: facts aks-api §2.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any

from poolwright.arm.api_versions import since
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import ENTITY_NOT_FOUND
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.model.errors import InvalidRequest
from poolwright.model.json_value import Json, child, children
from poolwright.model.managed_cluster import DocumentSpec, DocumentStatus
from poolwright.model.record import Kind, Stored
from poolwright.ports.store import Create, Delete, Update

MAINTENANCE: Kind[DocumentSpec, DocumentStatus] = Kind(
    "MaintenanceConfiguration", DocumentSpec, DocumentStatus
)
_ROOT = (
    "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/"
    "Microsoft.ContainerService/managedClusters/{cluster}/maintenanceConfigurations"
)
_VERSIONS = since("2020-12-01-preview", "2021-07-01")
_NAMES = ("default", "aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEKS = ("First", "Second", "Third", "Fourth", "Last")
_OFFSET = re.compile(r"[-+][0-9]{2}:[0-9]{2}")


def _refuse(path: str, value: object, wanted: str) -> InvalidRequest:
    return InvalidRequest(
        f"The value of parameter {path} is invalid. Error details: value {value} is not allowed: "
        f"{wanted}. Please see https://aka.ms/aks-naming-rules for more details.",
        target=path,
    )


def _number(least: int, most: int) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and least <= v <= most


def _one_of(*words: str) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, str) and v.lower() in {w.lower() for w in words}


def _parses(read: Callable[[str], object]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        try:
            read(value)
        except (TypeError, ValueError):
            return False
        return True

    return check


# schedule type: {member: (check, what is wanted)}; every member is required
_SCHEDULES: Mapping[str, Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "daily": {"intervalDays": (_number(1, 7), "an integer from 1 to 7")},
    "weekly": {
        "intervalWeeks": (_number(1, 4), "an integer from 1 to 4"),
        "dayOfWeek": (_one_of(*_DAYS), "a day of the week"),
    },
    "absoluteMonthly": {
        "intervalMonths": (_number(1, 6), "an integer from 1 to 6"),
        "dayOfMonth": (_number(1, 31), "an integer from 1 to 31"),
    },
    "relativeMonthly": {
        "intervalMonths": (_number(1, 6), "an integer from 1 to 6"),
        "weekIndex": (_one_of(*_WEEKS), "First, Second, Third, Fourth or Last"),
        "dayOfWeek": (_one_of(*_DAYS), "a day of the week"),
    },
}
_WINDOW: Mapping[str, tuple[Callable[[Any], bool], str, bool]] = {
    # member: (check, what is wanted, required)
    "durationHours": (_number(4, 24), "an integer from 4 to 24", True),
    "startTime": (_parses(time.fromisoformat), "HH:MM", True),
    "startDate": (_parses(date.fromisoformat), "YYYY-MM-DD", False),
    "utcOffset": (lambda v: isinstance(v, str) and bool(_OFFSET.fullmatch(v)), "+HH:MM", False),
}


def _check_window(window: Json) -> None:
    path = "properties.maintenanceWindow"
    schedule = child(window, "schedule")
    kinds = [k for k in _SCHEDULES if schedule.get(k) is not None]
    if len(kinds) != 1:
        raise _refuse(f"{path}.schedule", ", ".join(kinds) or None, "exactly one schedule type")
    for member, (check, wanted) in _SCHEDULES[kinds[0]].items():
        value = child(schedule, kinds[0]).get(member)
        if not check(value):
            raise _refuse(f"{path}.schedule.{kinds[0]}.{member}", value, wanted)
    for member, (check, wanted, required) in _WINDOW.items():
        value = window.get(member)
        if (value is not None or required) and not check(value):
            raise _refuse(f"{path}.{member}", value, wanted)
    for span in children(window, "notAllowedDates"):
        _check_span(span, f"{path}.notAllowedDates", date.fromisoformat)


def _check_span(span: Json, path: str, read: Callable[[str], object]) -> None:
    for member in ("start", "end"):
        if not _parses(read)(span.get(member)):
            raise _refuse(f"{path}.{member}", span.get(member), "an ISO 8601 date")


def _check(name: str, properties: Json) -> None:
    if name == "default":
        for slot in children(properties, "timeInWeek"):
            if not _one_of(*_DAYS)(slot.get("day")):
                raise _refuse("properties.timeInWeek.day", slot.get("day"), "a day of the week")
            for hour in slot.get("hourSlots") or ():
                if not _number(0, 23)(hour):
                    raise _refuse("properties.timeInWeek.hourSlots", hour, "0 to 23")
        for span in children(properties, "notAllowedTime"):
            _check_span(span, "properties.notAllowedTime", datetime.fromisoformat)
        return
    window = child(properties, "maintenanceWindow")
    if not window:
        raise _refuse("properties.maintenanceWindow", None, "a maintenance window")
    _check_window(window)


def _wire(request: ArmRequest, record: Stored[DocumentSpec, DocumentStatus]) -> dict[str, Any]:
    names = request.names
    return {
        "id": f"/subscriptions/{names['subscription']}/resourceGroups/{names['resource_group']}"
        f"/providers/Microsoft.ContainerService/managedClusters/{names['cluster']}"
        f"/maintenanceConfigurations/{record.spec.name}",
        "name": record.spec.name,
        "properties": dict(record.spec.body),
    }


def _name(request: ArmRequest) -> str:
    sent = request.names["configuration"]
    known = next((n for n in _NAMES if n.lower() == sent.lower()), None)
    if known is None:
        raise InvalidRequest(
            f"The maintenance configuration name '{sent}' is not allowed. Allowed names are "
            f"{', '.join(_NAMES)}.",
            target="name",
        )
    return known


async def put_maintenance(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PUT: create or replace; answers at once."""
    name = _name(request)
    properties = child(request.json_object(), "properties")
    _check(name, properties)
    scope = request.cluster_key.arm_scope
    spec = DocumentSpec(name, properties)
    old = await context.store.get(scope, MAINTENANCE, name.lower())
    if old is None:
        uid, now = context.identity.uid(), context.clock.now().wall
        write = Create(MAINTENANCE, name.lower(), uid, spec, DocumentStatus(), now)
    else:
        write = Update(MAINTENANCE, name.lower(), spec, expect_revision=old.revision)
    commit = await context.store.transact(scope, [write])
    record = commit.records[0]
    assert record is not None
    return ArmResponse(200, _wire(request, record))


async def get_maintenance(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET one."""
    name = request.names["configuration"].lower()
    record = await context.store.get(request.cluster_key.arm_scope, MAINTENANCE, name)
    if record is None:
        raise ENTITY_NOT_FOUND()
    return ArmResponse(200, _wire(request, record))


async def list_maintenance(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET all of a cluster."""
    records, _ = await context.store.list(request.cluster_key.arm_scope, MAINTENANCE)
    return listing([_wire(request, record) for record in records])


async def delete_maintenance(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """DELETE: 200, or 204 if it was not there."""
    scope, name = request.cluster_key.arm_scope, request.names["configuration"].lower()
    record = await context.store.get(scope, MAINTENANCE, name)
    if record is None:
        return ArmResponse(204)
    await context.store.transact(scope, [Delete(MAINTENANCE, name, expect_uid=record.uid)])
    return ArmResponse(200)


_ONE = f"{_ROOT}/{{configuration}}"
ROUTES: tuple[Route, ...] = (
    Route("GET", _ROOT, list_maintenance, _VERSIONS),
    Route("GET", _ONE, get_maintenance, _VERSIONS),
    Route("PUT", _ONE, put_maintenance, _VERSIONS),
    Route("DELETE", _ONE, delete_maintenance, _VERSIONS),
)
