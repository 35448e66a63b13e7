"""What the baseline level of the Pod Security Standards has against a pod, check by check.

Source of rules and wording: https://kubernetes.io/docs/concepts/security/pod-security-standards/
and k8s.io/pod-security-admission policy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from poolwright.model.json_value import Json, child, children


class Finding(NamedTuple):
    """What a check has against a pod: in short, and which members of it."""

    reason: str
    detail: str


Look = Callable[[Json], Finding | None]
"""Judges a pod, or a template of pods: what matters are its metadata and its spec."""
_IsBad = Callable[[Json], bool]
"""Judges a securityContext."""


# What the checks have in common


def _containers(pod: Json) -> Iterator[Json]:
    spec = child(pod, "spec")
    for member in ("initContainers", "containers", "ephemeralContainers"):
        yield from children(spec, member)


def security_of(holder: Json) -> Json:
    """The securityContext of a spec or a container."""
    return child(holder, "securityContext")


def _joined(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def naming(thing: str, words: Sequence[str]) -> str:
    """Things by their names, quoted."""
    return f"{_several(thing, words)} {_joined(words)}"


def _several(thing: str, words: Sequence[str]) -> str:
    return thing if len(words) == 1 else f"{thing}s"


def bad_containers(pod: Json, is_bad: _IsBad) -> list[str]:
    """The names of the containers whose securityContext is bad."""
    return [str(c.get("name")) for c in _containers(pod) if is_bad(security_of(c))]


def who_sets(pod: Json, is_bad: _IsBad) -> list[str]:
    """Who sets something bad: the pod as a whole, and its containers in one."""
    found = ["pod"] if is_bad(security_of(child(pod, "spec"))) else []
    containers = bad_containers(pod, is_bad)
    return [*found, naming("container", containers)] if containers else found


def _contexts(pod: Json) -> Iterator[Json]:
    yield security_of(child(pod, "spec"))
    for container in _containers(pod):
        yield security_of(container)


# Baseline


def host_namespaces(pod: Json) -> Finding | None:
    """Namespaces of the node that it shares."""
    spec = child(pod, "spec")
    shared = [f"{m}=true" for m in ("hostNetwork", "hostPID", "hostIPC") if spec.get(m)]
    return Finding("host namespaces", ", ".join(shared)) if shared else None


def privileged(pod: Json) -> Finding | None:
    """Privileged containers."""
    bad = bad_containers(pod, lambda security: security.get("privileged") is True)
    if not bad:
        return None
    return Finding(
        "privileged", f"{naming('container', bad)} must not set securityContext.privileged=true"
    )


def bad_profile(security: Json, member: str) -> bool:
    """Whether it sets a profile other than that of the runtime or one on the node."""
    profile = security.get(member)
    return profile is not None and profile.get("type") not in ("RuntimeDefault", "Localhost")


def _bad_types(pod: Json, member: str) -> list[str]:
    contexts = [context for context in _contexts(pod) if bad_profile(context, member)]
    return sorted({str(context[member].get("type") or "") for context in contexts})


_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"


def app_armor(pod: Json) -> Finding | None:
    """AppArmor profiles other than those of the runtime or on the node."""
    setters = who_sets(pod, lambda security: bad_profile(security, "appArmorProfile"))
    values = _bad_types(pod, "appArmorProfile")
    annotations = sorted(
        _annotation(key, value)
        for key, value in child(pod, "metadata", "annotations").items()
        if key.startswith(_APP_ARMOR)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    if annotations:
        values += annotations
        setters.append(_several("annotation", annotations))
    if not setters:
        return None
    return Finding(
        _several("forbidden AppArmor profile", values),
        f"{' and '.join(setters)} must not set AppArmor profile type to {_joined(values)}",
    )


def _annotation(key: str, value: str) -> str:
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


_DEFAULT_CAPABILITIES = frozenset(
    (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
)


def adding(pod: Json, allowed: frozenset[str]) -> str:
    """Which containers add capabilities beyond the allowed, told in words; empty if none does."""

    def beyond(security: Json) -> list[str]:
        given = child(security, "capabilities").get("add") or ()
        return [str(name) for name in given if name not in allowed]

    bad = bad_containers(pod, lambda security: bool(beyond(security)))
    if not bad:
        return ""
    names = sorted({name for c in _containers(pod) for name in beyond(security_of(c))})
    return (
        f"{naming('container', bad)} must not include {_joined(names)}"
        " in securityContext.capabilities.add"
    )


def capabilities(pod: Json) -> Finding | None:
    """Capabilities beyond the default."""
    detail = adding(pod, _DEFAULT_CAPABILITIES)
    return Finding("non-default capabilities", detail) if detail else None


def host_paths(pod: Json) -> Finding | None:
    """Volumes that are paths of the node."""
    volumes = children(pod, "spec", "volumes")
    bad = [str(volume.get("name")) for volume in volumes if volume.get("hostPath") is not None]
    return Finding("hostPath volumes", naming("volume", bad)) if bad else None


def host_ports(pod: Json) -> Finding | None:
    """Ports of the node."""
    taken = {
        str(c.get("name")): [str(p["hostPort"]) for p in children(c, "ports") if p.get("hostPort")]
        for c in _containers(pod)
    }
    bad = [name for name, ports in taken.items() if ports]
    if not bad:
        return None
    ports = sorted({port for ports in taken.values() for port in ports})
    verb = "uses" if len(bad) == 1 else "use"
    detail = f"{naming('container', bad)} {verb} {_several('hostPort', ports)} {', '.join(ports)}"
    return Finding("hostPort", detail)


_HANDLERS = (
    ("livenessProbe",),
    ("readinessProbe",),
    ("startupProbe",),
    ("lifecycle", "postStart"),
    ("lifecycle", "preStop"),
)


def probe_hosts(pod: Json) -> Finding | None:
    """Hosts that probes and hooks name."""
    named = {
        str(c.get("name")): [
            str(host)
            for path in _HANDLERS
            for way in ("httpGet", "tcpSocket")
            if (host := child(c, *path, way).get("host"))
        ]
        for c in _containers(pod)
    }
    bad = sorted(name for name, hosts in named.items() if hosts)
    if not bad:
        return None
    hosts = sorted({host for hosts in named.values() for host in hosts})
    verb = "uses" if len(bad) == 1 else "use"
    reason = "probe or lifecycle host"
    return Finding(reason, f"{naming('container', bad)} {verb} {naming(reason, hosts)}")


def proc_mount(pod: Json) -> Finding | None:
    """Mounts of /proc other than the default."""

    def is_bad(security: Json) -> bool:
        return security.get("procMount") not in (None, "Default")

    bad = bad_containers(pod, is_bad)
    if not bad:
        return None
    contexts = map(security_of, _containers(pod))
    types = sorted({str(security["procMount"]) for security in contexts if is_bad(security)})
    return Finding(
        "procMount",
        f"{naming('container', bad)} must not set securityContext.procMount to {_joined(types)}",
    )


SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))


def selinux(pod: Json, allowed: frozenset[str]) -> Finding | None:
    """SELinux users, roles, and types other than those of containers."""

    def type_of(security: Json) -> str:
        return str(child(security, "seLinuxOptions").get("type") or "")

    def sets(member: str) -> _IsBad:
        return lambda security: bool(child(security, "seLinuxOptions").get(member))

    def is_bad(security: Json) -> bool:
        return type_of(security) not in allowed or sets("user")(security) or sets("role")(security)

    setters = who_sets(pod, is_bad)
    if not setters:
        return None
    types = sorted({type_of(security) for security in _contexts(pod)} - allowed)
    data = [naming("type", types)] if types else []
    data += [f"{m} may not be set" for m in ("user", "role") if any(map(sets(m), _contexts(pod)))]
    return Finding(
        "seLinuxOptions",
        f"{' and '.join(setters)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}",
    )


_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"


def seccomp_annotations(pod: Json) -> Finding | None:
    """Seccomp profiles as annotations, before they were fields."""
    annotations = child(pod, "metadata", "annotations")
    keys = [_SECCOMP, *(f"container.{_SECCOMP[:-3]}{c.get('name')}" for c in _containers(pod))]
    bad = sorted(
        {
            _annotation(key, annotations[key])
            for key in keys
            if key in annotations
            and annotations[key] not in ("runtime/default", "docker/default")
            and not annotations[key].startswith("localhost/")
        }
    )
    if not bad:
        return None
    return Finding("seccompProfile", f"forbidden {_several('annotation', bad)} {', '.join(bad)}")


def seccomp(pod: Json) -> Finding | None:
    """Seccomp profiles other than those of the runtime or on the node."""
    setters = who_sets(pod, lambda security: bad_profile(security, "seccompProfile"))
    if not setters:
        return None
    types = _joined(_bad_types(pod, "seccompProfile"))
    return Finding(
        "seccompProfile",
        f"{' and '.join(setters)} must not set securityContext.seccompProfile.type to {types}",
    )


SYSCTLS = {
    0: frozenset(
        (
            "kernel.shm_rmid_forced",
            "net.ipv4.ip_local_port_range",
            "net.ipv4.tcp_syncookies",
            "net.ipv4.ping_group_range",
            "net.ipv4.ip_unprivileged_port_start",
        )
    ),
    27: frozenset(("net.ipv4.ip_local_reserved_ports",)),
    29: frozenset(
        (
            "net.ipv4.tcp_keepalive_time",
            "net.ipv4.tcp_fin_timeout",
            "net.ipv4.tcp_keepalive_intvl",
            "net.ipv4.tcp_keepalive_probes",
        )
    ),
    32: frozenset(("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")),
}
"""What each minor version added to the safe ones."""


def sysctls(pod: Json, minor: int) -> Finding | None:
    """Sysctls that were not safe in a version."""
    safe = [names for first, names in SYSCTLS.items() if first <= minor]
    given = [str(s.get("name")) for s in children(pod, "spec", "securityContext", "sysctls")]
    bad = [name for name in given if not any(name in names for names in safe)]
    return Finding("forbidden sysctls", ", ".join(bad)) if bad else None


def host_process(pod: Json) -> Finding | None:
    """Windows containers in the host's own network and processes."""
    setters = who_sets(
        pod, lambda security: child(security, "windowsOptions").get("hostProcess") is True
    )
    if not setters:
        return None
    return Finding(
        "hostProcess",
        f"{' and '.join(setters)} must not set securityContext.windowsOptions.hostProcess=true",
    )
