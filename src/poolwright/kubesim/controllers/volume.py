"""Runs the planners of volumes and of what pods claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from poolwright.kubesim.controllers.workload import WorkloadController
from poolwright.kubesim.entry import ObjectChange
from poolwright.model.instant import Instant
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_CLAIMS,
    STORAGE_CLASSES,
    Resource,
)
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import Plan
from poolwright.plan.kubernetes.claim_making import plan_claims_of_pod
from poolwright.plan.kubernetes.pod_claims import is_bound
from poolwright.plan.kubernetes.volume import plan_claim, plan_volume
from poolwright.reconcile.loop import Loop

_NONE: Mapping[str, Pod] = {}


class ClaimController(WorkloadController):
    """Claims get volumes once somebody needs them."""

    name = "volume_claim"
    resource = PERSISTENT_VOLUME_CLAIMS

    def _follow(self, loop: Loop[str]) -> None:
        self._users: dict[str, dict[str, Pod]] = {}
        """By key of a claim, the unfinished pods that name it."""

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            if old is not None and old.volume_claims:
                for key in _claims(old):
                    users = self._users.get(key, {})
                    users.pop(old.key, None)
                    if not users:
                        self._users.pop(key, None)
            if new is not None and new.volume_claims:
                self._note(new)
            if old is None or new is None or _use(old) != _use(new):
                for pod in (old, new):
                    for key in _claims(pod) if pod is not None else ():
                        loop.wake(key)

        def on_volume(change: ObjectChange) -> None:
            reference = child(change.seen(), "spec", "claimRef")
            if reference:
                loop.wake(f"{reference.get('namespace')}/{reference.get('name')}")
            elif change.type == "ADDED":
                wake_unbound()

        def wake_unbound() -> None:
            for entry in self._registry.list(PERSISTENT_VOLUME_CLAIMS):
                if not is_bound(entry.object()):
                    loop.wake(entry.key)

        for pod in self._state.pods.values():
            if pod.volume_claims:
                self._note(pod)
        self._state.on_pod(on_pod)
        self._registry.subscribe(on_volume, (PERSISTENT_VOLUMES,))
        self._registry.subscribe(lambda _: wake_unbound(), (STORAGE_CLASSES,))

    def _note(self, pod: Pod) -> None:
        if not pod.is_finished:
            for key in _claims(pod):
                self._users.setdefault(key, {})[pod.key] = pod

    def _plan(self, wire: Json) -> Plan:
        meta, spec = wire["metadata"], child(wire, "spec")
        users = self._users.get(f"{meta['namespace']}/{meta['name']}", _NONE)
        node = next((users[key].node_name for key in sorted(users) if users[key].node_name), "")
        name = spec.get("storageClassName")
        found = self._registry.get(STORAGE_CLASSES, name) if name else None
        return plan_claim(wire, found, self._volumes(wire), node, in_use=bool(users))

    def _volumes(self, claim: Json) -> list[Json]:
        """The claim's own volume, or all that are nobody's."""
        if is_bound(claim) or "deletionTimestamp" in claim["metadata"]:
            return []
        own = self._registry.get(PERSISTENT_VOLUMES, f"pvc-{claim['metadata']['uid']}")
        if own is not None:
            return [own]
        uid = claim["metadata"]["uid"]
        entries = self._registry.list(PERSISTENT_VOLUMES)
        wires = (entry.object() for entry in entries)
        return [w for w in wires if child(w, "spec", "claimRef").get("uid") in (None, "", uid)]


def _claims(pod: Pod) -> Iterable[str]:
    return (f"{pod.namespace}/{name}" for name in pod.volume_claims)


def _use(pod: Pod) -> tuple[object, ...]:
    return pod.uid, pod.node_name, pod.is_finished


class VolumeController(WorkloadController):
    """Volumes stand with their claims, and go with them if they were made for them."""

    name = "volume"
    resource = PERSISTENT_VOLUMES

    def _follow(self, loop: Loop[str]) -> None:
        def on_claim(change: ObjectChange) -> None:
            volume = child(change.seen(), "spec").get("volumeName")
            if volume:
                loop.wake(volume)

        self._registry.subscribe(on_claim, (PERSISTENT_VOLUME_CLAIMS,))

    def _plan(self, wire: Json) -> Plan:
        kept = child(wire, "spec", "claimRef")
        name, namespace = str(kept.get("name") or ""), str(kept.get("namespace") or "")
        claim = self._registry.get(PERSISTENT_VOLUME_CLAIMS, name, namespace) if name else None
        return plan_volume(wire, claim)


class PodClaimController(WorkloadController):
    """Makes the claims that pods bring templates of."""

    name = "pod_claims"
    resource = PODS

    def start(self, loop: Loop[str]) -> None:
        """Look at pods with claims only."""

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            del old
            if new is not None and (new.volume_claims or new.device_claims):
                loop.wake(new.key)

        def on_claim(change: ObjectChange) -> None:
            if change.type != "MODIFIED":
                for owner in child(change.seen(), "metadata").get("ownerReferences") or ():
                    if owner.get("kind") == PODS.kind:
                        loop.wake(f"{change.new.namespace}/{owner['name']}")

        def on_template(change: ObjectChange) -> None:
            for pod in self._state.pods.values():
                if pod.device_claims and pod.namespace == change.new.namespace:
                    loop.wake(pod.key)

        self._state.on_pod(on_pod)
        self._registry.subscribe(on_claim, (PERSISTENT_VOLUME_CLAIMS, RESOURCE_CLAIMS))
        self._registry.subscribe(on_template, (RESOURCE_CLAIM_TEMPLATES,))
        for pod in self._state.pods.values():
            on_pod(None, pod)

    async def reconcile(self, key: str) -> Instant | None:
        """Make what is missing, if the pod needs it."""
        pod = self._state.pods.get(key)
        if pod is None or pod.is_finished or pod.deleting:
            return None
        return await super().reconcile(key)

    def _plan(self, wire: Json) -> Plan:
        namespace, uid = wire["metadata"]["namespace"], wire["metadata"]["uid"]

        def there(resource: Resource, name: str) -> Json | None:
            return self._registry.get(resource, name, namespace)

        owned = self._registry.owned_by(RESOURCE_CLAIMS, uid)
        return plan_claims_of_pod(wire, there, [entry.object() for entry in owned])
