"""Our own endpoint: what the simulated cloud of a region refuses, and which creates fail.

``GET`` and ``PUT /subscriptions/{s}/providers/Poolwright.Cloud/locations/{l}/scarcity`` (any
api-version). PUT replaces everything; ``DELETE`` goes back to plenty. The document::

    {
      "id": "…", "name": "eastus", "type": "Poolwright.Cloud/locations/scarcity",
      "properties": {
        "defaultQuota": 100000,             vCPUs of every family that is not named
        "quotas": {                         vCPUs by "region/family"; "*" is any region,
          "eastus/standardNCADSA100v4Family": 48,          "cores" the regional total
          "*/cores": 1000
        },
        "restrictions": [                   sizes that are not offered
          {"vmSize": "Standard_NC24ads_A100_v4",
           "region": "eastus",              "" or absent: every region
           "zones": ["1"],                  [] or absent: the whole region
           "reason": "NotAvailableForSubscription"}        or "QuotaId"
        ],
        "failures": [                       creates that fail
          {"name": "no-a100",               to find it again; the position if absent
           "code": "AllocationFailed",      Azure's error code
           "vmSize": "", "region": "", "pool": "",         what matches; "" is any
           "times": 1,                      how many fail; null: without end
           "every": 1,                      each n-th match fails
           "seen": 0}                       matches so far (what a GET shows; 0 starts anew)
        ]
      }
    }

Machines that exist stay. Every member is optional; an unknown one, a wrong type or an impossible
value is 400 ``InvalidParameter`` with its path as the target, and changes nothing. A provider of
real machines answers 400 ``NotSupported``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from poolwright.arm.context import ArmContext
from poolwright.arm.region import normal_region
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse
from poolwright.arm.routing import Route
from poolwright.arm.tracked import check_region
from poolwright.model import catalog
from poolwright.model.errors import InvalidRequest
from poolwright.model.scarcity import InjectedFailure, Restriction, Scarcity

_TYPE = "Poolwright.Cloud/locations/scarcity"
_REASONS = ("NotAvailableForSubscription", "QuotaId")
_TOP = frozenset({"defaultQuota", "quotas", "restrictions", "failures"})
_ROWS_MAX = 1000
_COUNT_MAX = 1_000_000_000
_TEXT_MAX = 256
_RESTRICTION = frozenset({"vmSize", "region", "zones", "reason"})
_FAILURE = frozenset({"name", "code", "vmSize", "region", "pool", "times", "every", "seen"})


def _refused(target: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"The value of '{target}' is invalid: {problem}.", target=target)


def _object(value: Any, target: str, known: frozenset[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refused(target, "expected an object")
    found = cast("dict[str, Any]", value)
    for name in found:
        if known is not None and name not in known:
            raise _refused(f"{target}.{name}", f"unknown; known are {', '.join(sorted(known))}")
    return found


def _rows(value: Any, target: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _refused(target, "expected a list")
    rows = cast("list[Any]", value)
    if len(rows) > _ROWS_MAX:
        raise _refused(target, f"more than {_ROWS_MAX} entries")
    return rows


def _text(row: Mapping[str, Any], name: str, target: str, default: str = "") -> str:
    value = row.get(name, default)
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise _refused(f"{target}.{name}", f"expected a string of up to {_TEXT_MAX} characters")
    return value


def _whole(value: Any, target: str, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _COUNT_MAX:
        raise _refused(target, f"expected a whole number from {least} to {_COUNT_MAX}")
    return value


def _check_size(vm_size: str, target: str) -> str:
    """A size that exists, or none: a misspelt one would never match, and nobody would know."""
    if vm_size and catalog.vm_size(vm_size) is None:
        raise _refused(f"{target}.vmSize", f"there is no size '{vm_size}'")
    return vm_size


def _read_restriction(value: Any, target: str) -> Restriction:
    row = _object(value, target, _RESTRICTION)
    vm_size = _text(row, "vmSize", target)
    if not vm_size:
        raise _refused(f"{target}.vmSize", "required")
    _check_size(vm_size, target)
    reason = _text(row, "reason", target, _REASONS[0])
    if reason not in _REASONS:
        raise _refused(f"{target}.reason", f"expected one of {', '.join(_REASONS)}")
    zones = _rows(row.get("zones"), f"{target}.zones")
    if not all(isinstance(zone, str) and zone for zone in zones):
        raise _refused(f"{target}.zones", "expected a list of strings")
    return Restriction(
        vm_size=vm_size,
        region=normal_region(_text(row, "region", target)),
        zones=tuple(zones),
        reason=reason,
    )


def _read_failure(value: Any, target: str, index: int) -> InjectedFailure:
    row = _object(value, target, _FAILURE)
    code = _text(row, "code", target)
    if not code:
        raise _refused(f"{target}.code", "required")
    times = row.get("times", 1)
    return InjectedFailure(
        name=_text(row, "name", target) or str(index),
        code=code,
        vm_size=_check_size(_text(row, "vmSize", target), target),
        region=normal_region(_text(row, "region", target)),
        pool=_text(row, "pool", target),
        times=None if times is None else _whole(times, f"{target}.times", 1),
        every=_whole(row.get("every", 1), f"{target}.every", 1),
        seen=_whole(row.get("seen", 0), f"{target}.seen", 0),
    )


def read_scarcity(body: Mapping[str, Any]) -> Scarcity:
    """The document of a PUT.

    Raises:
        InvalidRequest: with the path of what is wrong as its target.
    """
    properties = _object(body.get("properties", {}), "properties", _TOP)
    quotas: dict[str, int] = {}
    for name, limit in _object(properties.get("quotas") or {}, "properties.quotas").items():
        region, slash, family = name.partition("/")
        target = f"properties.quotas.{name}"
        if not slash or not region or not family:
            raise _refused(target, "expected a name like 'region/family' or '*/family'")
        if family.lower() not in catalog.families():
            raise _refused(target, f"no size is of the family '{family}'")
        quotas[f"{normal_region(region)}/{family.lower()}"] = _whole(limit, target, 0)
    failures = tuple(
        _read_failure(row, f"properties.failures[{index}]", index)
        for index, row in enumerate(_rows(properties.get("failures"), "properties.failures"))
    )
    names = [failure.name for failure in failures]
    if len(set(names)) < len(names):
        raise _refused("properties.failures", "two entries have the same name")
    return Scarcity(
        quotas=quotas,
        default_quota=_whole(
            properties.get("defaultQuota", Scarcity().default_quota), "properties.defaultQuota", 0
        ),
        restrictions=tuple(
            _read_restriction(row, f"properties.restrictions[{index}]")
            for index, row in enumerate(
                _rows(properties.get("restrictions"), "properties.restrictions")
            )
        ),
        failures=failures,
    )


def _wire(request: ArmRequest, region: str, scarcity: Scarcity) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{request.subscription}/providers/Poolwright.Cloud/locations"
        f"/{region}/scarcity",
        "name": region,
        "type": _TYPE,
        "properties": {
            "defaultQuota": scarcity.default_quota,
            "quotas": dict(scarcity.quotas),
            "restrictions": [
                {
                    "vmSize": row.vm_size,
                    "region": row.region,
                    "zones": list(row.zones),
                    "reason": row.reason,
                }
                for row in scarcity.restrictions
            ],
            "failures": [
                {
                    "name": row.name,
                    "code": row.code,
                    "vmSize": row.vm_size,
                    "region": row.region,
                    "pool": row.pool,
                    "times": row.times,
                    "every": row.every,
                    "seen": row.seen,
                }
                for row in scarcity.failures
            ],
        },
    }


async def get_scarcity(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET the document."""
    region = check_region(context, request.names["location"], _TYPE)
    scarcity = await context.machine_provider.scarcity(region)
    return ArmResponse(200, _wire(request, region, scarcity))


async def put_scarcity(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PUT: replace it whole."""
    region = check_region(context, request.names["location"], _TYPE)
    scarcity = read_scarcity(request.json_object())
    await context.machine_provider.set_scarcity(region, scarcity)
    return ArmResponse(200, _wire(request, region, scarcity))


async def delete_scarcity(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """DELETE: back to plenty."""
    region = check_region(context, request.names["location"], _TYPE)
    await context.machine_provider.set_scarcity(region, Scarcity())
    return ArmResponse(200)


_SCARCITY = "/subscriptions/{subscription}/providers/Poolwright.Cloud/locations/{location}/scarcity"

ROUTES: tuple[Route, ...] = (
    Route("GET", _SCARCITY, get_scarcity),
    Route("PUT", _SCARCITY, put_scarcity),
    Route("DELETE", _SCARCITY, delete_scarcity),
)
