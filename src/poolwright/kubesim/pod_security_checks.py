"""The checks of the Pod Security Standards, each with the versions in which it changed.

Source of rules and wording: https://kubernetes.io/docs/concepts/security/pod-security-standards/
and k8s.io/pod-security-admission policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from poolwright.kubesim import pod_security_baseline as baseline
from poolwright.kubesim import pod_security_restricted as restricted
from poolwright.kubesim.pod_security_baseline import Look
from poolwright.model.json_value import Json, child

BASELINE = "baseline"
RESTRICTED = "restricted"


@dataclass(frozen=True, slots=True)
class _Check:
    """``since``: how it looks from which minor version on; ``instead_of`` another at its level."""

    name: str
    level: str
    since: tuple[tuple[int, Look], ...]
    instead_of: str = ""

    def at(self, minor: int) -> Look | None:
        """How it looks in a version, if it is made there."""
        known = [look for first, look in self.since if first <= minor]
        return known[-1] if known else None


@cache
def checks_of(level: str, minor: int) -> tuple[Look, ...]:
    """The checks of a level in Kubernetes 1.``minor``, in the order in which they are told."""
    if level == BASELINE:
        chosen = [c for c in _CHECKS if c.level == BASELINE]
    else:
        replaced = [c.instead_of for c in _CHECKS if c.instead_of and c.at(minor) is not None]
        chosen = [c for c in _CHECKS if c.name not in replaced]
    chosen.sort(key=lambda c: (c.level, c.name))
    looks = (c.at(minor) for c in chosen)
    return tuple(look for look in looks if look is not None)


def _on_windows(pod: Json) -> bool:
    return child(pod, "spec", "os").get("name") == "windows"


def _in_user_namespace(pod: Json) -> bool:
    return child(pod, "spec").get("hostUsers") is False


def _unless(is_exempt: Callable[[Json], bool], look: Look) -> Look:
    return lambda pod: None if is_exempt(pod) else look(pod)


def _spared(look: Look, first: int, since: int, exempt: Callable[[Json], bool]) -> tuple[
    tuple[int, Look], ...
]:  # fmt: skip
    """A check that spares some pods from a later version on."""
    return (first, look), (since, _unless(exempt, look))


_ENGINE = baseline.SELINUX_TYPES | {"container_engine_t"}
_CHECKS = (
    _Check("appArmorProfile", BASELINE, ((0, baseline.app_armor),)),
    _Check("capabilities_baseline", BASELINE, ((0, baseline.capabilities),)),
    _Check("hostNamespaces", BASELINE, ((0, baseline.host_namespaces),)),
    _Check("hostPathVolumes", BASELINE, ((0, baseline.host_paths),)),
    _Check("hostPorts", BASELINE, ((0, baseline.host_ports),)),
    _Check("hostProbesAndHostLifecycle", BASELINE, ((34, baseline.probe_hosts),)),
    _Check("privileged", BASELINE, ((0, baseline.privileged),)),
    _Check("procMount", BASELINE, _spared(baseline.proc_mount, 0, 35, _in_user_namespace)),
    _Check(
        "seLinuxOptions",
        BASELINE,
        (
            (0, partial(baseline.selinux, allowed=baseline.SELINUX_TYPES)),
            (31, partial(baseline.selinux, allowed=_ENGINE)),
        ),
    ),
    _Check(
        "seccompProfile_baseline",
        BASELINE,
        ((0, baseline.seccomp_annotations), (19, baseline.seccomp)),
    ),
    _Check(
        "sysctls",
        BASELINE,
        tuple((m, partial(baseline.sysctls, minor=m)) for m in baseline.SYSCTLS),
    ),
    _Check("windowsHostProcess", BASELINE, ((0, baseline.host_process),)),
    _Check(
        "allowPrivilegeEscalation", RESTRICTED, _spared(restricted.escalation, 8, 25, _on_windows)
    ),
    _Check(
        "capabilities_restricted",
        RESTRICTED,
        _spared(restricted.few_capabilities, 22, 25, _on_windows),
        instead_of="capabilities_baseline",
    ),
    _Check(
        "procMount_restricted", RESTRICTED, ((35, baseline.proc_mount),), instead_of="procMount"
    ),
    _Check(
        "restrictedVolumes",
        RESTRICTED,
        ((0, restricted.volume_types),),
        instead_of="hostPathVolumes",
    ),
    _Check("runAsNonRoot", RESTRICTED, _spared(restricted.not_root, 0, 35, _in_user_namespace)),
    _Check("runAsUser", RESTRICTED, _spared(restricted.user, 23, 35, _in_user_namespace)),
    _Check(
        "seccompProfile_restricted",
        RESTRICTED,
        _spared(restricted.seccomp_set, 19, 25, _on_windows),
        instead_of="seccompProfile_baseline",
    ),
)
