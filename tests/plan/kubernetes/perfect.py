"""A perfect executor: applies workload plans to objects in memory, and runs every pod at once."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from itertools import count

from poolwright.model.instant import Instant, Now
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import (
    CreateObject,
    DeleteObject,
    PatchObject,
    RecordEvent,
    SetCondition,
    merged,
)


class Cluster:
    def __init__(self):
        self.objects = {}
        self.numbers = count(1)
        self.micros = 0
        self.events = []

    @property
    def now(self):
        wall = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.micros)
        return Now(Instant(self.micros), wall)

    def add(self, kind, body):
        number = next(self.numbers)
        made = copy.deepcopy(dict(body))
        meta = made["metadata"]
        meta.setdefault("namespace", "default")
        meta["name"] = meta.get("name") or f"{meta['generateName']}{number}"
        meta.update(uid=f"uid-{number}", resourceVersion="1", generation=1)
        meta["creationTimestamp"] = f"{number:06d}"
        self.objects[kind, meta["name"]] = made
        return made

    def of(self, kind):
        return [o for (k, _), o in sorted(self.objects.items()) if k == kind]

    def pods(self):
        return [Pod.from_object(o) for o in self.of("Pod")]

    def apply(self, plan):
        for action in plan.actions:
            match action:
                case CreateObject():
                    key = (action.resource.kind, action.body["metadata"].get("name"))
                    if key not in self.objects:
                        self.add(action.resource.kind, action.body)
                case DeleteObject():
                    self.objects.pop((action.target.resource.kind, action.target.name), None)
                case PatchObject():
                    key = (action.target.resource.kind, action.target.name)
                    if key in self.objects:
                        old = self.objects[key]
                        new = merged(old, action.patch)
                        if new.get("spec") != old.get("spec"):
                            new["metadata"]["generation"] += 1
                        self.objects[key] = new
                case RecordEvent():
                    self.events.append((action.reason, action.message))
                case SetCondition():
                    pass

    def run_pods(self, *, phase="Running"):
        for pod in self.of("Pod"):
            ready = [{"type": "Ready", "status": str(phase == "Running")}]
            pod["status"] = {"phase": phase, "conditions": ready}
