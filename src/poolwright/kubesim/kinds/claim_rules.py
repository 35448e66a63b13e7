"""Rules of a persistent volume claim's spec, wherever it stands.

Source: k8s.io/kubernetes v1.36 pkg/apis/core/validation (ValidatePersistentVolumeClaimSpec).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from poolwright.kubesim.kinds.pod_placement import check_label_selector
from poolwright.kubesim.rules import dns_subdomain
from poolwright.kubesim.status import Cause, forbidden, invalid, not_supported, required
from poolwright.model.json_value import Json, child, children
from poolwright.model.quantity import parse_quantity

_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
_ALONE = "ReadWriteOncePod"


def check_claim(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    """Broken rules of a claim."""
    yield from check_claim_spec(child(new, "spec"), "spec")


def check_claim_templates(
    new: Mapping[str, Any], _old: Mapping[str, Any] | None
) -> Iterator[Cause]:
    """Broken rules of the claims that a stateful set makes."""
    for position, template in enumerate(children(new, "spec", "volumeClaimTemplates")):
        path = f"spec.volumeClaimTemplates[{position}].spec"
        yield from check_claim_spec(child(template, "spec"), path)


def check_claim_spec(spec: Json, path: str) -> Iterator[Cause]:
    """Broken rules of a claim's spec."""
    modes: Sequence[Any] = spec.get("accessModes") or ()
    if not modes:
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    yield from check_label_selector(child(spec, "selector"), f"{path}.selector")
    yield from check_modes(spec, path)
    size, where = child(spec, "resources", "requests").get("storage"), f"{path}.resources[storage]"
    if size is None:
        yield required(where)
    elif parse_quantity(size) <= 0:
        yield invalid(where, str(size), "must be greater than zero")
    elif parse_quantity(size).denominator != 1:
        yield invalid(where, str(size), "must be an integer")
    for member in ("storageClassName", "volumeAttributesClassName"):
        name = str(spec.get(member) or "")
        for problem in dns_subdomain(name) if name else ():
            yield invalid(f"{path}.{member}", name, problem)
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", mode, VOLUME_MODES)


def check_modes(spec: Json, path: str) -> Iterator[Cause]:
    """Broken rules of how a volume is mounted."""
    modes: Sequence[Any] = spec.get("accessModes") or ()
    for mode in modes:
        if mode not in _ACCESS_MODES:
            yield not_supported(f"{path}.accessModes", mode, _ACCESS_MODES)
    if _ALONE in modes and any(mode in _ACCESS_MODES and mode != _ALONE for mode in modes):
        why = "may not use ReadWriteOncePod with other access modes"
        yield forbidden(f"{path}.accessModes", why)
