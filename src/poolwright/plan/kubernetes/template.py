"""From a workload's pod template to pods: hash, labels, owner, selector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from poolwright.model.instant import Instant
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import Resource
from poolwright.model.pod import NodeRequirement

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes makes names from: no vowels, no look-alikes (apimachinery pkg/util/rand)."""

TEMPLATE_HASH = "pod-template-hash"


def safe_hash(value: Any, length: int) -> str:
    """A short name-safe digest of a JSON value. Ours: Kubernetes hashes its own Go structures."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(digits)


def owner_reference(resource: Resource, wire: Json) -> dict[str, Any]:
    """The reference with which a controller marks what it made."""
    meta = wire["metadata"]
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_from(
    resource: Resource, wire: Json, template: Json, *, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A pod of a workload's template, named by the server from the workload's name."""
    meta = wire["metadata"]
    given = child(template, "metadata")
    metadata: dict[str, Any] = {
        "generateName": f"{meta['name']}-",
        "namespace": meta["namespace"],
        "labels": {**(given.get("labels") or {}), **(labels or {})},
        "ownerReferences": [owner_reference(resource, wire)],
    }
    for name in ("annotations", "finalizers"):
        if given.get(name):
            metadata[name] = given[name]
    return {"metadata": metadata, "spec": dict(child(template, "spec"))}


def matches(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether labels match a LabelSelector; an empty one matches all, None matches nothing."""
    if selector is None:
        return False
    if any(labels.get(k) != v for k, v in child(selector, "matchLabels").items()):
        return False
    return all(
        NodeRequirement.from_object(e).matches(labels, "")
        for e in children(selector, "matchExpressions")
    )


def rounded(value: int | str | None, total: int, *, up: bool) -> int:
    """An int or a percentage of ``total``. Source: apimachinery pkg/util/intstr."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    if value.endswith("%"):
        share = int(value[:-1]) * total
        return -(-share // 100) if up else share // 100
    return int(value)


def seconds_after(instant: Instant, seconds: float) -> Instant:
    """``instant`` and some seconds of world time."""
    return instant.after(timedelta(seconds=seconds))
