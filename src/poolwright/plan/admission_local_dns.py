"""Rules of ``localDNSProfile``: modes, and overrides that are filled in.

Source: recordings of az's scenario tests (facts aks-api §7.12, §7.13).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poolwright.model.errors import InvalidRequest
from poolwright.model.json_value import child

MODES = ("Preferred", "Required", "Disabled")
ZONES = (".", "cluster.local")


def admit_local_dns(profile: Mapping[str, Any], *, is_creation: bool) -> Mapping[str, Any]:
    """The profile as it is kept: canonical mode, overrides of mode Required filled in.

    Raises:
        InvalidRequest: no valid mode, or overrides that miss a zone.
    """
    sent = profile.get("mode")
    mode = next((m for m in MODES if isinstance(sent, str) and m.lower() == sent.lower()), None)
    if mode is None:
        shown = "Unspecified" if not sent else "Invalid"
        raise _refuse(
            "localDNSProfile.mode",
            f"The value of parameter localDNSProfile.mode is invalid. Error details: value {shown} "
            "is not allowed. Only Preferred, Required and Disabled are allowed.",
        )
    admitted: dict[str, Any] = {**profile, "mode": mode}
    admitted["state"] = "Disabled" if mode == "Disabled" else "Enabled"
    if mode != "Required":
        return admitted
    vnet, kube = child(profile, "vnetDNSOverrides"), child(profile, "kubeDNSOverrides")
    if not vnet and not kube:
        admitted["vnetDNSOverrides"] = {zone: _zone(zone, is_vnet=True) for zone in ZONES}
        admitted["kubeDNSOverrides"] = {zone: _zone(zone, is_vnet=False) for zone in ZONES}
        return admitted
    for name, overrides in (("VnetDNSOverrides", vnet), ("KubeDNSOverrides", kube)):
        member = name[0].lower() + name[1:]
        if not overrides:
            if is_creation:
                raise _refuse(
                    f"localDNSProfile.{member}",
                    f"localDNSProfile.{member} is invalid. Error details: {name} must not be nil.",
                )
            continue
        for zone in ZONES:
            if zone not in overrides:
                raise _refuse(
                    f"localDNSProfile.{member}",
                    f"localDNSProfile.{member} is invalid. Error details: zone '\"{zone}\"' is "
                    f"required in {name}.",
                )
    return admitted


def _refuse(target: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, code="InvalidParameter", target=target)


def _zone(zone: str, *, is_vnet: bool) -> dict[str, Any]:
    return {
        "queryLogging": "Error",
        "protocol": "PreferUDP" if zone == "." else "ForceTCP",
        "forwardDestination": "VnetDNS" if is_vnet and zone == "." else "ClusterCoreDNS",
        "forwardPolicy": "Sequential",
        "maxConcurrent": 1000,
        "cacheDurationInSeconds": 3600,
        "serveStaleDurationInSeconds": 3600,
        "serveStale": "Immediate",
    }
