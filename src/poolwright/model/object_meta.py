"""What to read of an object's metadata when nobody asks who owns its fields."""

from __future__ import annotations

from typing import Any, TypedDict


class UnownedMetadata(TypedDict, total=False):
    """An ObjectMeta but for its managedFields, which are half of a node's JSON.

    Source: apimachinery's meta/v1 ObjectMeta, without selfLink, which is gone.
    """

    name: Any
    generateName: Any
    namespace: Any
    uid: Any
    resourceVersion: Any
    generation: Any
    creationTimestamp: Any
    deletionTimestamp: Any
    deletionGracePeriodSeconds: Any
    labels: Any
    annotations: Any
    ownerReferences: Any
    finalizers: Any
