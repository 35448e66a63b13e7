"""What the restricted level of the Pod Security Standards has against a pod, check by check.

Source of rules and wording: https://kubernetes.io/docs/concepts/security/pod-security-standards/
and k8s.io/pod-security-admission policy.
"""

from __future__ import annotations

from poolwright.kubesim.pod_security_baseline import (
    Finding,
    adding,
    bad_containers,
    naming,
    seccomp,
    security_of,
    who_sets,
)
from poolwright.model.json_value import Json, child, children


def escalation(pod: Json) -> Finding | None:
    """Containers that may gain privileges."""
    bad = bad_containers(pod, lambda s: s.get("allowPrivilegeEscalation") is not False)
    if not bad:
        return None
    return Finding(
        "allowPrivilegeEscalation != false",
        f"{naming('container', bad)} must set securityContext.allowPrivilegeEscalation=false",
    )


def few_capabilities(pod: Json) -> Finding | None:
    """Capabilities kept or added."""
    keeping = bad_containers(
        pod, lambda security: "ALL" not in (child(security, "capabilities").get("drop") or ())
    )
    details: list[str] = []
    if keeping:
        containers = naming("container", keeping)
        details.append(f'{containers} must set securityContext.capabilities.drop=["ALL"]')
    added = adding(pod, frozenset(("NET_BIND_SERVICE",)))
    if added:
        details.append(added)
    return Finding("unrestricted capabilities", "; ".join(details)) if details else None


_VOLUMES = frozenset(
    (
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
        *("persistentVolumeClaim", "projected", "secret"),
    )
)


def volume_types(pod: Json) -> Finding | None:
    """Volumes that are not of the cluster or the pod."""
    bad: list[str] = []
    types: list[str] = []
    for volume in children(pod, "spec", "volumes"):
        sources = [m for m, value in volume.items() if m != "name" and value is not None]
        if _VOLUMES.isdisjoint(sources):
            bad.append(str(volume.get("name")))
            types.append(sources[0] if sources else "unknown")
    if not bad:
        return None
    types = sorted(set(types))
    verb = "uses" if len(bad) == 1 else "use"
    detail = f"{naming('volume', bad)} {verb} {naming('restricted volume type', types)}"
    return Finding("restricted volume types", detail)


def not_root(pod: Json) -> Finding | None:
    """Containers that may run as root."""
    reason = "runAsNonRoot != true"
    setters = who_sets(pod, lambda security: security.get("runAsNonRoot") is False)
    if setters:
        words = " and ".join(setters)
        return Finding(reason, f"{words} must not set securityContext.runAsNonRoot=false")
    if security_of(child(pod, "spec")).get("runAsNonRoot"):
        return None
    bad = bad_containers(pod, lambda security: security.get("runAsNonRoot") is None)
    if not bad:
        return None
    containers = naming("container", bad)
    return Finding(reason, f"pod or {containers} must set securityContext.runAsNonRoot=true")


def user(pod: Json) -> Finding | None:
    """Containers that run as root."""
    setters = who_sets(pod, lambda security: security.get("runAsUser") == 0)
    if not setters:
        return None
    return Finding("runAsUser=0", f"{' and '.join(setters)} must not set runAsUser=0")


def seccomp_set(pod: Json) -> Finding | None:
    """Containers without a seccomp profile, or with another than is allowed."""
    found = seccomp(pod)
    if found is not None or security_of(child(pod, "spec")).get("seccompProfile") is not None:
        return found
    bad = bad_containers(pod, lambda security: security.get("seccompProfile") is None)
    if not bad:
        return None
    return Finding(
        "seccompProfile",
        f"pod or {naming('container', bad)} must set securityContext.seccompProfile.type to"
        ' "RuntimeDefault" or "Localhost"',
    )
