"""What pods claim and still lack: volumes and devices. Such a pod is tried on no node.

Source: k8s.io/kubernetes v1.36 pkg/scheduler/framework/plugins, volumebinding and dynamicresources.
Devices are not allocated here: only a claim that somebody else allocated holds nobody back.
"""

from __future__ import annotations

from collections.abc import Iterable

from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import PERSISTENT_VOLUME_CLAIMS, RESOURCE_CLAIMS, Resource
from poolwright.model.pod import Pod

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
WAITS = "WaitForFirstConsumer"

_ClaimKey = tuple[Resource, str]


def volume_flaw(claim: Json, storage_class: Json) -> str:
    """Why pods with a volume claim have to wait; empty if they need not."""
    meta = claim["metadata"]
    if "deletionTimestamp" in meta:
        return f'persistentvolumeclaim "{meta["name"]}" is being deleted'
    if child(claim, "status").get("phase") == "Lost":
        volume = child(claim, "spec").get("volumeName") or ""
        words = "bound to non-existent persistentvolume"
        return f'persistentvolumeclaim "{meta["name"]}" {words} "{volume}"'
    if is_bound(claim) or storage_class.get("volumeBindingMode") == WAITS:
        return ""
    return UNBOUND


def is_bound(claim: Json) -> bool:
    """Whether a volume claim has its volume."""
    return child(claim, "status").get("phase") == "Bound"


def device_flaw(claim: Json) -> str:
    """Why pods with a device claim have to wait."""
    return "" if child(claim, "status").get("allocation") else "cannot allocate all claims"


class PodClaims:
    """The flaws of claims, and who waits for their mending."""

    def __init__(self, *, is_told_of_devices: bool) -> None:
        self._speaks = is_told_of_devices
        self._flaws: dict[_ClaimKey, str] = {}
        self._waiting: dict[_ClaimKey, dict[str, Pod]] = {}

    def set_claim(self, resource: Resource, key: str, flaw: str | None) -> list[Pod]:
        """A claim came, changed or is gone (None): the pods that may be tried again."""
        at = (resource, key)
        before = self._flaws.get(at)
        if flaw is None:
            self._flaws.pop(at, None)
        else:
            self._flaws[at] = flaw
        return list(self._waiting.get(at, {}).values()) if flaw != before else []

    def why(self, pod: Pod, nodes: int) -> str | None:
        """What FailedScheduling says of its claims: None if they hold it back no more, empty where
        the scheduler says nothing.
        """
        flaws = [
            (name, self._flaws.get((PERSISTENT_VOLUME_CLAIMS, f"{pod.namespace}/{name}")))
            for name in pod.volume_claims
        ]
        missing = next((name for name, flaw in flaws if flaw is None), None)
        if missing is not None:
            return self._before_nodes(f'persistentvolumeclaim "{missing}" not found', nodes)
        bad = sorted((flaw for _, flaw in flaws if flaw), key=lambda flaw: flaw == UNBOUND)
        if bad:
            return self._before_nodes(bad[0], nodes)
        devices = [
            self._flaws.get((RESOURCE_CLAIMS, f"{pod.namespace}/{name}"))
            for name in pod.device_claims
        ]
        if any(flaw is None for flaw in devices):
            return ""
        flaw = next((flaw for flaw in devices if flaw), None)
        return (
            f"0/{nodes} nodes are available: {nodes} {flaw}.{self._after(nodes)}" if flaw else None
        )

    def _before_nodes(self, words: str, nodes: int) -> str:
        # Since 1.34 the part for devices, which was not asked before, has the last word.
        last = " not found" if self._speaks else _helpless(nodes)
        return f"0/{nodes} nodes are available: {words}.{last}"

    def _after(self, nodes: int) -> str:
        return f" still not schedulable,{_helpless(nodes)}" if self._speaks else _helpless(nodes)

    def wait(self, pod: Pod) -> None:
        """Keep a pod until one of its claims changes."""
        for at in _claims_of(pod):
            self._waiting.setdefault(at, {})[pod.key] = pod

    def leave(self, pod: Pod) -> None:
        """It waits no more."""
        for at in _claims_of(pod):
            waiting = self._waiting.get(at)
            if waiting is not None:
                waiting.pop(pod.key, None)
                if not waiting:
                    del self._waiting[at]


def _claims_of(pod: Pod) -> Iterable[_ClaimKey]:
    for name in pod.volume_claims:
        yield PERSISTENT_VOLUME_CLAIMS, f"{pod.namespace}/{name}"
    for name in pod.device_claims:
        yield RESOURCE_CLAIMS, f"{pod.namespace}/{name}"


def _helpless(nodes: int) -> str:
    said = f"0/{nodes} nodes are available: {nodes} Preemption is not helpful for scheduling."
    return f" preemption: {said}"
