"""Whose an adopted cluster is: the store's that made one object in it first.

The object is an immutable ConfigMap, written by server-side apply: that makes it where there is
none, agrees with one that says the same, and is refused by the cluster itself where it says
something else. One request, atomic, the same for all servers of a store, and it needs rights on
that one name only; a plain create cannot be limited to a name.

Sources: kubernetes.io "ConfigMaps", immutable; "Authorization", resourceNames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Conflict, NotFound, PoolwrightError, Refused, Transient
from poolwright.model.json_value import child
from poolwright.model.kubernetes import CLUSTER_ANNOTATION, CONFIG_MAPS
from poolwright.ports.kube import Kube, Object, PatchKind

NAME = "poolwright-owner"
NAMESPACE = "kube-system"
_STORE = "store"
_FRESH = timedelta(seconds=3)
"""How long an answer is believed: many calls connect anew at once after an outage."""


async def claim(kube: Kube, store: str, cluster: ClusterKey) -> None:
    """Make the cluster the store's, or see that it is.

    Raises:
        Conflict: it is another store's.
        PoolwrightError: it cannot be reached, or gives no right to that object.
    """
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "annotations": {CLUSTER_ANNOTATION: str(cluster)},
        },
        "immutable": True,
        "data": {_STORE: store},
    }
    try:
        await kube.patch(
            CONFIG_MAPS, NAME, body, kind=PatchKind.APPLY, namespace=NAMESPACE, force=True
        )
    except Refused as error:
        await _look_into(kube, store, error)


async def _look_into(kube: Kube, store: str, refused: Refused) -> None:
    """Why the cluster did not take the object; nothing is wrong if it has it already."""
    try:
        found = await _found(kube)
    except Refused:
        raise refused from None
    if found is None:
        raise Transient(refused.message) from refused
    if _store_of(found) != store:
        raise Conflict(_belongs(found)) from refused


async def release(kube: Kube, store: str) -> None:
    """Give the cluster up, if it is the store's.

    Raises:
        PoolwrightError: it cannot be reached.
    """
    found = await _found(kube)
    if found is not None and _store_of(found) == store:
        uid = child(found, "metadata").get("uid")
        await kube.delete(CONFIG_MAPS, NAME, namespace=NAMESPACE, uid=uid)


async def _found(kube: Kube) -> Object | None:
    try:
        return await kube.get(CONFIG_MAPS, NAME, namespace=NAMESPACE)
    except NotFound:
        return None


def _store_of(found: Object) -> str:
    return child(found, "data").get(_STORE, "")


def _belongs(found: Object) -> str:
    known = child(found, "metadata", "annotations").get(CLUSTER_ANNOTATION, "").split("/")
    name = f" as {known[2]} in {known[1]}" if len(known) == 3 else ""
    return (
        f"the cluster belongs to another store{name}; start on that store, or end its servers"
        f" and give it up: kubectl delete configmap -n {NAMESPACE} {NAME}"
    )


class Claim:
    """One store's claim to one cluster, looked at again whenever it may have changed."""

    def __init__(self, kube: Callable[[], Kube], store: str, cluster: ClusterKey) -> None:
        self._kube = kube
        self._store = store
        self._cluster = cluster
        self._one_asks = asyncio.Lock()
        self._fresh_until = 0.0
        self._failed: tuple[float, str] = (0.0, "")
        self._is_released = False
        self.refusal = ""
        """Why nothing may be sent to the cluster; empty as far as known."""

    async def confirm(self) -> None:
        """See that the cluster is the store's, and make it so if it is nobody's.

        Raises:
            Conflict: it is another store's.
            PoolwrightError: that cannot be said.
        """
        loop = asyncio.get_running_loop()
        came_at = loop.time()
        async with self._one_asks:
            failed_at, why = self._failed
            if why and failed_at >= came_at:
                raise Transient(why)  # who asked before us for it could not be told either
            if loop.time() >= self._fresh_until and not self._is_released:
                await self._ask()
                self._fresh_until = loop.time() + _FRESH.total_seconds()
        if self.refusal:
            raise Conflict(self.refusal)

    async def _ask(self) -> None:
        try:
            await claim(self._kube(), self._store, self._cluster)
        except Conflict as error:
            self.refusal = error.message
        except PoolwrightError as error:
            self._failed = asyncio.get_running_loop().time(), error.message
            raise
        else:
            self.refusal = ""

    async def release(self, kube: Kube) -> None:
        """Give the cluster up; it is not claimed again.

        Raises:
            PoolwrightError: it cannot be reached.
        """
        async with self._one_asks:
            self._is_released, self.refusal = True, "the cluster was given up"
            await release(kube, self._store)
