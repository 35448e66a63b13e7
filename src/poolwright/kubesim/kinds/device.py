"""Devices that drivers offer and pods claim (dynamic resource allocation), as objects.

Source of defaults, rules and columns: k8s.io/kubernetes pkg/apis/resource and
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.kubesim import cel
from poolwright.kubesim.cel_type import DYN
from poolwright.kubesim.kinds.cell import age_of
from poolwright.kubesim.kinds.declare import (
    all_of,
    needed,
    starts_with_status,
    unchanged,
)
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.rules import dns_label, dns_subdomain
from poolwright.kubesim.status import Cause, duplicate, invalid, not_supported, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children

_AGE = Column("Age")
_MODES = ("All", "ExactCount")


def _check_selectors(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    for position, selector in enumerate(children(new, "spec", "selectors")):
        if selector.get("cel") is None:
            yield required(f"spec.selectors[{position}].cel")
            continue
        text = str(child(selector, "cel").get("expression") or "")
        try:
            cel.check(text, {"device": DYN})
        except cel.CelError as error:
            where = f"spec.selectors[{position}].cel.expression"
            yield invalid(where, text, f"compilation failed: {error}")


DEVICE_CLASS = ObjectKind(
    names.DEVICE_CLASSES,
    "deviceclass",
    columns=(_AGE,),
    row=lambda body, now: (age_of(body, now),),
    validate=all_of(_check_selectors),
    name_rule="long",
    has_generation=True,
    looks=2,
)


def _counts(requests: Any) -> None:
    for request in requests or ():
        exact = request.get("exactly")
        for asked in [*([] if exact is None else [exact]), *(request.get("firstAvailable") or ())]:
            asked["allocationMode"] = asked.get("allocationMode") or "ExactCount"
            if asked["allocationMode"] == "ExactCount" and not asked.get("count"):
                asked["count"] = 1


def _claim_default(body: Body) -> None:
    _counts(child(body, "spec", "devices").get("requests"))


def _template_default(body: Body) -> None:
    _counts(child(body, "spec", "spec", "devices").get("requests"))


def _state(body: Mapping[str, Any]) -> str:
    words = ["deleted"] if "deletionTimestamp" in body["metadata"] else []
    status = child(body, "status")
    if not status.get("allocation"):
        return ",".join(words or ["pending"])
    words.append("allocated")
    if status.get("reservedFor"):
        words.append("reserved")
    return ",".join(words)


def _check_exactly(exact: Mapping[str, Any], path: str) -> Iterator[Cause]:
    name, mode = str(exact.get("deviceClassName") or ""), exact.get("allocationMode")
    if not name:
        yield required(f"{path}.deviceClassName")
    for problem in dns_subdomain(name) if name else ():
        yield invalid(f"{path}.deviceClassName", name, problem)
    count: Any = exact.get("count") or 0
    if mode not in _MODES:
        yield not_supported(f"{path}.allocationMode", mode, _MODES)
    elif mode == "ExactCount" and count <= 0:
        yield invalid(f"{path}.count", count, "must be greater than zero")
    elif mode == "All" and count:
        why = "must not be specified when allocationMode is 'All'"
        yield invalid(f"{path}.count", count, why)


def _check_requests(path: str) -> Any:
    members = path.split(".")

    def check(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
        seen: set[str] = set()
        for position, request in enumerate(children(new, *members)):
            here, name = f"{path}[{position}]", str(request.get("name") or "")
            for problem in dns_label(name):
                yield invalid(f"{here}.name", name, problem)
            if name in seen:
                yield duplicate(here, name)
            seen.add(name)
            if request.get("exactly") is not None:
                yield from _check_exactly(child(request, "exactly"), f"{here}.exactly")
            if (request.get("exactly") is None) == (request.get("firstAvailable") is None):
                yield required(
                    here,
                    "exactly one of `exactly` or `firstAvailable` is required",
                )

    return check


RESOURCE_CLAIM = ObjectKind(
    names.RESOURCE_CLAIMS,
    "resourceclaim",
    subresources=("status",),
    columns=(
        Column(
            "State",
            description="A summary of the current state (allocated, pending, reserved, etc.).",
        ),
        _AGE,
    ),
    row=lambda body, now: (_state(body), age_of(body, now)),
    default=_claim_default,
    prepare=starts_with_status({}),
    validate=all_of(
        _check_requests("spec.devices.requests"),
        unchanged("spec"),
    ),
    looks=2,
)

RESOURCE_CLAIM_TEMPLATE = ObjectKind(
    names.RESOURCE_CLAIM_TEMPLATES,
    "resourceclaimtemplate",
    columns=(_AGE,),
    row=lambda body, now: (age_of(body, now),),
    default=_template_default,
    validate=all_of(
        _check_requests("spec.spec.devices.requests"),
        unchanged("spec"),
    ),
    looks=2,
)

RESOURCE_SLICE = ObjectKind(
    names.RESOURCE_SLICES,
    "resourceslice",
    columns=(Column("Node"), Column("Driver"), Column("Pool"), _AGE),
    row=lambda body, now: (
        child(body, "spec").get("nodeName", ""),
        child(body, "spec").get("driver", ""),
        child(body, "spec", "pool").get("name", ""),
        age_of(body, now),
    ),
    validate=all_of(
        needed("spec.driver", "spec.pool.name"),
        unchanged("spec.driver", "spec.pool.name", "spec.nodeName"),
    ),
    fields={
        "spec.nodeName": lambda body: str(child(body, "spec").get("nodeName") or ""),
        "spec.driver": lambda body: str(child(body, "spec").get("driver") or ""),
    },
    has_generation=True,
    looks=2,
)
