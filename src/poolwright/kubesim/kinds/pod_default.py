"""What is filled in where a pod spec leaves it out.

Source: k8s.io/kubernetes v1.36 pkg/apis/core/v1/defaults.go and zz_generated.defaults.go.
"""

from __future__ import annotations

from typing import Any, cast

from poolwright.kubesim.kinds.kind import Body

_POD = (
    ("restartPolicy", "Always"),
    ("dnsPolicy", "ClusterFirst"),
    ("schedulerName", "default-scheduler"),
)
_PROBE = (
    ("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)
)  # fmt: skip
_VOLUMES: dict[str, dict[str, Any]] = {
    "configMap": {"defaultMode": 420},
    "secret": {"defaultMode": 420},
    "projected": {"defaultMode": 420},
    "downwardAPI": {"defaultMode": 420},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False,
                  "kind": "Shared"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}  # fmt: skip
_TOKEN_SECONDS = 3600
_NOT_ENABLED = ("clusterTrustBundle", "podCertificate")
"""Sources that a server drops whose feature gates are as they come, as the signal to stop."""


def pull_policy(image: str) -> str:
    """When an image is pulled where nobody says."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in {"", "latest"} and "@" not in image else "IfNotPresent"


def _default_handler(handler: Body) -> None:
    request = handler.get("httpGet")
    if request:
        request["path"] = request.get("path") or "/"
        request["scheme"] = request.get("scheme") or "HTTP"
    call = handler.get("grpc")
    if call:
        call.setdefault("service", "")


def _default_references(holder: Body) -> None:
    field = holder.get("fieldRef")
    if field:
        field["apiVersion"] = field.get("apiVersion") or "v1"
    resource = holder.get("resourceFieldRef")
    if resource:
        resource["divisor"] = resource.get("divisor") or "0"


def _default_container(container: Body) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(str(container.get("image") or ""))
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
    for variable in container.get("env") or ():
        if variable.get("valueFrom"):
            _default_references(variable["valueFrom"])
    for member in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(member)
        if probe:
            _default_handler(probe)
            for name, value in _PROBE:
                probe[name] = probe.get(name) or value
    hooks = container.get("lifecycle")
    if hooks and hooks.pop("stopSignal", None) is not None and not hooks:
        del container["lifecycle"]
    if hooks:
        for member in ("postStart", "preStop"):
            _default_handler(hooks.get(member) or {})


def _part(holder: Body, member: str) -> Body:
    """An object within another, to be filled; one of nobody's where there is none."""
    found = holder.get(member)
    return cast("Body", found) if isinstance(found, dict) else {}


def _parts(holder: Body, member: str) -> list[Body]:
    return holder.get(member) or []


def default_source(volume: Body) -> None:
    """Fill what was left out of what a volume is made of."""
    for kind, members in _VOLUMES.items():
        if kind in volume:
            source = _part(volume, kind)
            for name, value in members.items():
                source.setdefault(name, value)


def _default_volume(volume: Body) -> None:
    if not volume.keys() - {"name"}:
        volume["emptyDir"] = {}
        return
    default_source(volume)
    for item in _parts(_part(volume, "downwardAPI"), "items"):
        _default_references(item)
    for part in _parts(_part(volume, "projected"), "sources"):
        for member in _NOT_ENABLED:
            part.pop(member, None)
        for item in _parts(_part(part, "downwardAPI"), "items"):
            _default_references(item)
        _part(part, "serviceAccountToken").setdefault("expirationSeconds", _TOKEN_SECONDS)
    template = _part(_part(volume, "ephemeral"), "volumeClaimTemplate")
    _part(template, "spec").setdefault("volumeMode", "Filesystem")
    if "image" in volume:
        image = _part(volume, "image")
        reference = str(image.get("reference") or "")
        image["pullPolicy"] = image.get("pullPolicy") or (
            pull_policy(reference) if reference else "IfNotPresent"
        )


def default_pod_spec(spec: Body) -> None:
    """Fill what was left out."""
    for name, value in _POD:
        if not spec.get(name):
            spec[name] = value
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for member in ("containers", "initContainers"):
        for container in spec.get(member) or ():
            _default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)


def default_host_ports(spec: Body) -> None:
    """On the network of its machine a pod's ports are the machine's; a template does not say."""
    if not spec.get("hostNetwork"):
        return
    for member in ("containers", "initContainers"):
        for container in spec.get(member) or ():
            for port in container.get("ports") or ():
                port["hostPort"] = port.get("hostPort") or port.get("containerPort")
