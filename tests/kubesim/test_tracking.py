"""Ownership moved on trees is what it is by the definition, on sets of paths."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping
from typing import Any

from poolwright.kubesim.managed_fields import ITEM, Managers, differing
from poolwright.kubesim.schema import shape_of
from poolwright.kubesim.tracking import track_update
from poolwright.model.kubernetes import NODES, PODS


def by_sets(
    new: dict[str, Any],
    old: Mapping[str, Any] | None,
    kind: Any,
    manager: str,
    time: str,
    subresource: str,
) -> None:
    """The definition: what changed is the writer's, what went is nobody's."""
    before, after = differing(old or {}, new, kind)
    changed = {path for path, value in after.items() if before.get(path, by_sets) != value}
    removed = set(before) - set(after)
    if not changed and not removed:
        return
    managers = Managers(new)
    managers.take_away(removed)
    mine = managers.find(manager, "Update", subresource)
    taken = {path for path in changed if after[path] is not ITEM and path in before}
    managers.take_away(taken, except_for=mine)
    owned = managers.sets[mine] if mine >= 0 else frozenset[Any]()
    if changed:
        managers.set(
            manager,
            "Update",
            subresource,
            paths=owned | changed,
            api_version=str(new.get("apiVersion", "v1")),
            time="" if changed <= owned else time,
        )
    managers.write(new)


def some_object(rng: random.Random) -> dict[str, Any]:
    def some(names: str, value: Any) -> dict[str, Any]:
        return {name: value() for name in names if rng.random() < 0.6}

    def word() -> str:
        return rng.choice(["x", "y"])

    metadata: dict[str, Any] = {"name": "n"}
    for name in ("labels", "annotations"):
        if rng.random() < 0.7:
            metadata[name] = some("abc", word)
    if rng.random() < 0.5:
        metadata["finalizers"] = sorted(some("pq", word))
    conditions = [
        {"type": kind, **some("s", word), "status": word()} for kind in "ABC" if rng.random() < 0.6
    ]
    status: dict[str, Any] = {}
    if rng.random() < 0.9:
        status["conditions"] = conditions
    if rng.random() < 0.6:
        status["podIPs"] = [{"ip": ip} for ip in ("1", "2") if rng.random() < 0.5]
    if rng.random() < 0.6:
        status["allocatable"] = some("cg", word)
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "K", "metadata": metadata}
    body["spec"] = {**some("uv", word), "nodeSelector": some("no", word)}
    if rng.random() < 0.9:
        body["status"] = status
    return body


def test_trees_own_what_sets_of_paths_own() -> None:
    rng = random.Random(7)
    for _ in range(400):
        kind = shape_of(rng.choice([NODES, PODS]))
        old: dict[str, Any] | None = None
        for step in range(6):
            new = some_object(rng)
            if old is not None and "managedFields" in old["metadata"]:
                new["metadata"]["managedFields"] = copy.deepcopy(old["metadata"]["managedFields"])
            as_sets = copy.deepcopy(new)
            manager, part = rng.choice(["a", "b"]), rng.choice(["", "status"])
            before = json.dumps(old)
            track_update(new, old, kind, manager, str(step), part)
            by_sets(as_sets, old, kind, manager, str(step), part)
            assert new == as_sets
            assert json.dumps(old) == before
            if old is None:
                assert json.dumps(new) == json.dumps(as_sets)  # in order as well
            old = new
