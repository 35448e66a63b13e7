"""Rules of what a pod and its containers may do on their machine.

Source: ValidateSecurityContext, validatePodSpecSecurityContext, validateHostUsers, validateLinux
and validateWindows in k8s.io/kubernetes v1.36 pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.kubesim.kinds.pod_volume import downwards
from poolwright.kubesim.status import Cause, duplicate, forbidden, invalid, not_supported, required
from poolwright.model.json_value import Json, child, children

_ID_RANGE = "must be between 0 and 2147483647, inclusive"
_ID_MAX = 2**31 - 1
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_PROC_MOUNTS = ("Default", "Unmasked")
_ENUMERATIONS = {
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("MountOption", "Recursive"),
}
_NOT_ON_WINDOWS = "cannot be set for a windows pod"
_NOT_ON_LINUX = "windows options cannot be set for a linux pod"
_SYSTEMS = ("linux", "windows")
_CONTAINER_MEMBERS = (
    "capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup",
    "runAsNonRoot", "readOnlyRootFilesystem", "allowPrivilegeEscalation", "procMount",
    "seccompProfile", "appArmorProfile",
)  # fmt: skip
_INNER = {
    "capabilities": ("add", "drop"),
    "seLinuxOptions": ("user", "role", "type", "level"),
    "seccompProfile": ("type", "localhostProfile"),
    "appArmorProfile": ("type", "localhostProfile"),
}


def _of_go(member: str) -> str:
    return "SELinuxOptions" if member == "seLinuxOptions" else member[0].upper() + member[1:]


def _shown(context: Json) -> dict[str, Any]:
    """A security context as the real server prints its own form of it."""
    shown: dict[str, Any] = {}
    for member in _CONTAINER_MEMBERS:
        value = context.get(member)
        if value is not None and member in _INNER:
            empty = "" if member == "seLinuxOptions" else None
            value = {_of_go(inner): value.get(inner, empty) for inner in _INNER[member]}
        shown[_of_go(member)] = value
    return shown


def _check_ids(context: Json, path: str, *members: str) -> Iterator[Cause]:
    for member in members:
        value = context.get(member)
        if value is not None and not 0 <= value <= _ID_MAX:
            yield invalid(f"{path}.{member}", value, _ID_RANGE)


def _check_seccomp(context: Json, path: str) -> Iterator[Cause]:
    profile, here = context.get("seccompProfile"), f"{path}.seccompProfile"
    if profile is None:
        return
    kind, place = profile.get("type") or "", profile.get("localhostProfile")
    if not kind:
        yield required(f"{here}.type", "type is required when seccompProfile is set")
    elif kind not in _PROFILES:
        yield not_supported(f"{here}.type", kind, _PROFILES)
    where = f"{here}.localhostProfile"
    if kind != "Localhost":
        if place is not None:
            shown = {"Type": kind, "LocalhostProfile": place}
            yield invalid(where, shown, "can only be set when seccomp type is Localhost")
    elif place is None:
        yield required(where, "must be set when seccomp type is Localhost")
    else:
        yield from downwards(place, where)


def _check_app_armor(context: Json, path: str) -> Iterator[Cause]:
    profile, here = context.get("appArmorProfile"), f"{path}.appArmorProfile"
    if profile is None:
        return
    kind, place = profile.get("type") or "", profile.get("localhostProfile")
    where = f"{here}.localhostProfile"
    if not kind:
        yield required(f"{here}.type", "type is required when appArmorProfile is set")
    elif kind not in _PROFILES:
        yield not_supported(f"{here}.type", kind, _PROFILES)
    elif kind != "Localhost":
        if place is not None:
            yield invalid(where, place, "can only be set when AppArmor type is Localhost")
    elif place is not None and place != place.strip():
        yield invalid(where, place, "must not be padded with whitespace")
    elif not place:
        yield required(where, "must be set when AppArmor type is Localhost")


def check_container_security(container: Json, path: str, *, host_users: bool) -> Iterator[Cause]:
    """Broken rules of a container's ``securityContext``."""
    context = container.get("securityContext")
    if not context:
        return
    here = f"{path}.securityContext"
    yield from _check_ids(context, here, "runAsUser", "runAsGroup")
    mount = context.get("procMount")
    if mount is not None and mount not in _PROC_MOUNTS:
        yield not_supported(f"{here}.procMount", mount, _PROC_MOUNTS)
    if mount == "Unmasked" and host_users:
        yield invalid(f"{here}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    yield from _check_seccomp(context, here)
    if context.get("allowPrivilegeEscalation") is False:
        why = "cannot set `allowPrivilegeEscalation` to false and "
        if context.get("privileged"):
            yield invalid(here, _shown(context), f"{why}`privileged` to true")
        for capability in child(context, "capabilities").get("add") or ():
            if capability == "CAP_SYS_ADMIN":
                text = f"{why}`capabilities.Add` CAP_SYS_ADMIN"
                yield invalid(here, _shown(context), text)
    yield from _check_app_armor(context, here)


def check_pod_security(spec: Json, path: str) -> Iterator[Cause]:
    """Broken rules of a pod's ``securityContext``."""
    context, here = child(spec, "securityContext"), f"{path}.securityContext"
    yield from _check_ids(context, here, "fsGroup", "runAsUser", "runAsGroup")
    for position, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group <= _ID_MAX:
            yield invalid(f"{here}.supplementalGroups[{position}]", group, _ID_RANGE)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid(f"{here}.shareProcessNamespace", True, why)
    yield from _check_sysctls(context, f"{here}.sysctls")
    for member in ("fsGroupChangePolicy",):
        yield from _check_enumeration(context, here, member)
    yield from _check_seccomp(context, here)
    yield from _check_app_armor(context, here)
    for member in ("supplementalGroupsPolicy", "seLinuxChangePolicy"):
        yield from _check_enumeration(context, here, member)


def _check_enumeration(context: Json, path: str, member: str) -> Iterator[Cause]:
    value = context.get(member)
    if value is not None and value not in _ENUMERATIONS[member]:
        yield not_supported(f"{path}.{member}", value, _ENUMERATIONS[member])


_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
_SYSCTL_TEXT = (
    "must have at most 253 characters and match regex"
    " ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)


def _check_sysctls(context: Json, path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for position, sysctl in enumerate(children(context, "sysctls")):
        here, name = f"{path}[{position}].name", str(sysctl.get("name") or "")
        if not name:
            yield required(here)
        elif len(name) > 253 or not _SYSCTL.fullmatch(name):
            yield invalid(here, name, _SYSCTL_TEXT)
        elif name in seen:
            yield duplicate(here, name)
        seen.add(name)


def check_host_users(spec: Json, path: str) -> Iterator[Cause]:
    """What a pod with users of its own may not share with its machine."""
    if spec.get("hostUsers") is not False:
        return
    shared = (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
    for member, shown in shared:
        if spec.get(member):
            yield forbidden(f"{path}.{shown}", "when `hostUsers` is false")
    for container, here in _containers(spec, path):
        if container.get("volumeDevices"):
            yield forbidden(f"{here}.volumeDevices", "when `hostUsers` is false")


def _containers(spec: Json, path: str) -> Iterator[tuple[Json, str]]:
    for member in ("initContainers", "containers", "ephemeralContainers"):
        for position, container in enumerate(children(spec, member)):
            yield container, f"{path}.{member}[{position}]"


_WINDOWS_POD = (
    "securityContext.appArmorProfile", "securityContext.seLinuxOptions", "hostUsers", "hostPID",
    "hostIPC", "securityContext.seccompProfile", "securityContext.fsGroup",
    "securityContext.fsGroupChangePolicy", "securityContext.sysctls", "shareProcessNamespace",
    "securityContext.runAsUser", "securityContext.runAsGroup",
    "securityContext.supplementalGroups", "securityContext.supplementalGroupsPolicy",
    "securityContext.seLinuxChangePolicy",
)  # fmt: skip
_WINDOWS_CONTAINER = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities",
    "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser",
    "runAsGroup",
)  # fmt: skip
_FLAGS = ("hostPID", "hostIPC", "securityContext.sysctls")
"""What counts as left out when it is false or empty."""


def check_system(spec: Json, path: str) -> Iterator[Cause]:
    """What does not go with the operating system that a pod names."""
    if spec.get("os") is None:
        return
    system = str(child(spec, "os").get("name") or "")
    if not system:
        yield required(f"{path}.os.name")
    elif system not in _SYSTEMS:
        yield not_supported(f"{path}.os", system, _SYSTEMS)
    elif system == "linux":
        for holder, here in ((spec, path), *_containers(spec, path)):
            if child(holder, "securityContext").get("windowsOptions") is not None:
                yield forbidden(f"{here}.securityContext.windowsOptions", _NOT_ON_LINUX)
    else:
        if spec.get("resources") is not None:
            yield forbidden(f"{path}.resources", "may not be set for a windows pod")
        for place in _WINDOWS_POD:
            if _is_set(spec, place):
                yield forbidden(f"{path}.{place}", _NOT_ON_WINDOWS)
        for container, here in _containers(spec, path):
            for member in _WINDOWS_CONTAINER:
                if child(container, "securityContext").get(member) is not None:
                    yield forbidden(f"{here}.securityContext.{member}", _NOT_ON_WINDOWS)


def _is_set(spec: Mapping[str, Any], place: str) -> bool:
    *parents, member = place.split(".")
    value = child(spec, *parents).get(member)
    return bool(value) if place in _FLAGS else value is not None
