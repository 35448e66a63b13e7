"""Pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child


def _grace(body: Mapping[str, Any], asked: int | None) -> int:
    spec = child(body, "spec")
    if not spec.get("nodeName") or child(body, "status").get("phase") in {"Succeeded", "Failed"}:
        return 0
    if asked is not None:
        return asked
    given = spec.get("terminationGracePeriodSeconds")
    return 30 if given is None else int(given)


def _text(*path: str):  # noqa: ANN202
    def read(body: Mapping[str, Any]) -> str:
        return str(child(body, *path[:-1]).get(path[-1]) or "")

    return read


POD = ObjectKind(
    names.PODS,
    "pod",
    ("po",),
    ("all",),
    ("attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"),
    fields={
        "spec.nodeName": _text("spec", "nodeName"),
        "status.phase": _text("status", "phase"),
        "spec.restartPolicy": _text("spec", "restartPolicy"),
        "spec.schedulerName": _text("spec", "schedulerName"),
        "spec.serviceAccountName": _text("spec", "serviceAccountName"),
    },
    indexed=("spec.nodeName",),
    grace=_grace,
    has_generation=True,
)
