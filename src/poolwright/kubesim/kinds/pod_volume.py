"""Rules of a pod's volumes and of where its containers mount them.

Source: ValidateVolumes, ValidateVolumeMounts and ValidateVolumeDevices in k8s.io/kubernetes v1.36
pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from poolwright.kubesim.kinds.pod_environment import FILE_FIELDS, check_field, check_resource
from poolwright.kubesim.rules import dns_label, dns_subdomain
from poolwright.kubesim.status import Cause, duplicate, forbidden, invalid, not_supported, required
from poolwright.model.json_value import Json, child, children
from poolwright.model.quantity import parse_quantity

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATHS = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate",
    "Socket",
)  # fmt: skip
_PULLS = ("Always", "IfNotPresent", "Never")
_TOKEN_SECONDS = (600, 2**32)


def _check_mode(holder: Json, path: str, member: str = "defaultMode") -> Iterator[Cause]:
    mode = holder.get(member)
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid(f"{path}.{member}", mode, _MODE)


def no_steps_back(text: str, path: str) -> Iterator[Cause]:
    """A path must not go up."""
    if ".." in text.split("/"):
        yield invalid(path, text, "must not contain '..'")


def downwards(text: str, path: str) -> Iterator[Cause]:
    """A path must be relative, and must not go up."""
    if text.startswith("/"):
        yield invalid(path, text, "must be a relative path")
    yield from no_steps_back(text, path)


def _inside(text: str, path: str) -> Iterator[Cause]:
    yield from downwards(text, path)
    if text.startswith("..") and not text.startswith("../"):
        yield invalid(path, text, "must not start with '..'")


def _check_items(source: Json, path: str) -> Iterator[Cause]:
    for position, item in enumerate(children(source, "items")):
        here, place = f"{path}.items[{position}]", str(item.get("path") or "")
        if not item.get("key"):
            yield required(f"{here}.key")
        if not place:
            yield required(f"{here}.path")
        yield from _inside(place, f"{here}.path")
        yield from _check_mode(item, here, "mode")


def _check_file(item: Json, path: str) -> Iterator[Cause]:
    place = str(item.get("path") or "")
    if not place:
        yield required(f"{path}.path")
    yield from _inside(place, f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        yield from check_field(field, f"{path}.fieldRef", FILE_FIELDS)
        if resource is not None:
            why = "fieldRef and resourceFieldRef can not be specified simultaneously"
            yield invalid(path, "resource", why)
    elif resource is not None:
        yield from check_resource(resource, f"{path}.resourceFieldRef", in_volume=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from _check_mode(item, path, "mode")


def _check_named(member: str) -> Callable[[Json, str], Iterator[Cause]]:
    def check(source: Json, path: str) -> Iterator[Cause]:
        if not source.get(member):
            yield required(f"{path}.{member}")
        yield from _check_mode(source, path)
        yield from _check_items(source, path)

    return check


def _needs(*members: str) -> Callable[[Json, str], Iterator[Cause]]:
    def check(source: Json, path: str) -> Iterator[Cause]:
        for member in members:
            if not source.get(member):
                yield required(f"{path}.{member}")

    return check


def _check_empty(source: Json, path: str) -> Iterator[Cause]:
    limit = source.get("sizeLimit")
    if limit is not None and parse_quantity(limit) < 0:
        why = "SizeLimit field must be a valid resource quantity"
        yield forbidden(f"{path}.sizeLimit", why)


def _check_host(source: Json, path: str) -> Iterator[Cause]:
    place, kind = str(source.get("path") or ""), source.get("type") or ""
    if not place:
        yield required(f"{path}.path")
        return
    yield from no_steps_back(place, f"{path}.path")
    if kind not in _HOST_PATHS:
        yield not_supported(f"{path}.type", kind, _HOST_PATHS)


def _check_fields(source: Json, path: str) -> Iterator[Cause]:
    yield from _check_mode(source, path)
    for item in children(source, "items"):
        yield from _check_file(item, path)


def _check_token(source: Json, path: str) -> Iterator[Cause]:
    seconds, holder = source.get("expirationSeconds"), path.partition(".sources[")[0]
    if seconds is not None and seconds < _TOKEN_SECONDS[0]:
        why = "may not specify a duration less than 10 minutes"
        yield invalid(f"{path}.expirationSeconds", seconds, why)
    if seconds is not None and seconds > _TOKEN_SECONDS[1]:
        why = "may not specify a duration larger than 2^32 seconds"
        yield invalid(f"{path}.expirationSeconds", seconds, why)
    if not source.get("path"):
        yield required(f"{holder}.path")
    else:
        yield from _inside(str(source["path"]), f"{holder}.path")


def _check_projected(source: Json, path: str) -> Iterator[Cause]:
    yield from _check_mode(source, path)
    taken: set[str] = set()
    for position, part in enumerate(children(source, "sources")):
        here = f"{path}.sources[{position}]"
        for member in ("secret", "configMap", "downwardAPI"):
            if part.get(member) is None:
                continue
            inner = part[member]
            if member == "downwardAPI":
                for item in children(inner, "items"):
                    yield from _check_file(item, f"{here}.{member}")
            else:
                yield from _check_named("name")({**inner, "defaultMode": None}, f"{here}.{member}")
            for item in children(inner, "items"):
                place = str(item.get("path") or "")
                if place and place in taken:
                    shown = place if member == "downwardAPI" else inner.get("name") or ""
                    yield invalid(path, shown, "conflicting duplicate paths")
                taken.add(place)
        if part.get("serviceAccountToken") is not None:
            yield from _check_token(part["serviceAccountToken"], f"{here}.serviceAccountToken")
        if sum(value is not None for value in part.values()) > 1:
            yield forbidden(here, "may not specify more than 1 volume type per source")


def _check_network_files(source: Json, path: str) -> Iterator[Cause]:
    yield from _needs("server", "path")(source, path)
    place = str(source.get("path") or "")
    if not place.startswith("/"):
        yield invalid(f"{path}.path", place, "must be an absolute path")


def _check_disk(source: Json, path: str) -> Iterator[Cause]:
    yield from _needs("diskName", "diskURI")(source, path)
    address = str(source.get("diskURI") or "")
    for member, allowed in _DISK.items():
        value = source.get(member)
        if value is not None and value not in allowed:
            yield not_supported(f"{path}.{member}", value, allowed)
    is_managed = source.get("kind") == "Managed"
    start, form = ("/subscriptions/", _MANAGED) if is_managed else ("https://", _BLOB)
    if source.get("kind") is not None and not address.startswith(start):
        yield not_supported(f"{path}.diskURI", address, (form,))


_DISK = {
    "cachingMode": ("None", "ReadOnly", "ReadWrite"),
    "kind": ("Dedicated", "Managed", "Shared"),
}
_MANAGED = (
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/"
    "{disk-id}"
)
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def _check_driver(source: Json, path: str) -> Iterator[Cause]:
    driver = str(source.get("driver") or "")
    if not driver:
        yield required(f"{path}.driver")
    else:
        for problem in dns_subdomain(driver.lower()):
            yield invalid(f"{path}.driver", driver, problem)


def _check_ephemeral(source: Json, path: str) -> Iterator[Cause]:
    here = f"{path}.volumeClaimTemplate"
    if source.get("volumeClaimTemplate") is None:
        yield required(here)
        return
    spec = child(source, "volumeClaimTemplate", "spec")
    if not spec.get("accessModes"):
        yield required(f"{here}.spec.accessModes", "at least 1 access mode is required")
    if child(spec, "resources", "requests").get("storage") is None:
        yield required(f"{here}.spec.resources[storage]")


def _check_image(source: Json, path: str) -> Iterator[Cause]:
    policy = source.get("pullPolicy")
    if not policy:
        yield required(f"{path}.pullPolicy")
    elif policy not in _PULLS:
        yield not_supported(f"{path}.pullPolicy", policy, _PULLS)


_TARGET_STARTS = ("iqn", "eui", "naa")
_TARGET = re.compile(
    r"iqn\.\d{4}-\d{2}\.([a-zA-Z0-9][-.a-zA-Z0-9]*)(:[-.:a-zA-Z0-9]+)"
    r"|eui\.[a-fA-F0-9]{16}|naa\.[a-fA-F0-9]{32}"
)


def _check_target(source: Json, path: str) -> Iterator[Cause]:
    name, unit = str(source.get("iqn") or ""), source.get("lun") or 0
    yield from _needs("targetPortal", "iqn")(source, path)
    if name and not name.startswith(_TARGET_STARTS):
        why = "must be valid format starting with iqn, eui, or naa"
        yield invalid(f"{path}.iqn", name, why)
    elif name and not _TARGET.fullmatch(name):
        yield invalid(f"{path}.iqn", name, "must be valid format")
    if not 0 <= unit <= 255:
        yield invalid(f"{path}.lun", unit, "must be between 0 and 255, inclusive")
    asks = any(source.get(m) for m in ("chapAuthDiscovery", "chapAuthSession"))
    if asks and source.get("secretRef") is None:
        yield required(f"{path}.secretRef")


def _nothing(_source: Json, _path: str) -> Iterator[Cause]:
    return iter(())


SOURCES: Mapping[str, Callable[[Json, str], Iterator[Cause]]] = {
    "emptyDir": _check_empty,
    "hostPath": _check_host,
    "gitRepo": _needs("repository"),
    "gcePersistentDisk": _needs("pdName"),
    "awsElasticBlockStore": _needs("volumeID"),
    "secret": _check_named("secretName"),
    "nfs": _check_network_files,
    "iscsi": _check_target,
    "glusterfs": _needs("endpoints", "path"),
    "flocker": _nothing,
    "persistentVolumeClaim": _needs("claimName"),
    "rbd": _needs("monitors", "image"),
    "cinder": _needs("volumeID"),
    "cephfs": _needs("monitors"),
    "quobyte": _needs("registry", "volume"),
    "downwardAPI": _check_fields,
    "fc": _nothing,
    "flexVolume": _needs("driver"),
    "configMap": _check_named("name"),
    "azureFile": _needs("secretName", "shareName"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _check_disk,
    "storageos": _needs("volumeName"),
    "projected": _check_projected,
    "scaleIO": _needs("gateway", "system", "volumeName"),
    "csi": _check_driver,
    "ephemeral": _check_ephemeral,
    "image": _check_image,
}  # in the order in which they are looked at


def _check_volume(volume: Json, path: str, taken: Mapping[str, Any]) -> Iterator[Cause]:
    given = [kind for kind in SOURCES if volume.get(kind) is not None]
    for position, kind in enumerate(given):
        if position:
            yield forbidden(f"{path}.{kind}", "may not specify more than 1 volume type")
        else:
            yield from SOURCES[kind](volume[kind], f"{path}.{kind}")
    if not given:
        yield required(path, "must specify a volume type")
    name = str(volume.get("name") or "")
    if not name:
        yield required(f"{path}.name")
    else:
        for problem in dns_label(name):
            yield invalid(f"{path}.name", name, problem)
    if name in taken:
        yield duplicate(f"{path}.name", name)


def check_volumes(spec: Json, path: str, good: dict[str, Json]) -> Iterator[Cause]:
    """Broken rules of volumes; those without end up in ``good``, by name."""
    for position, volume in enumerate(children(spec, "volumes")):
        wrong = list(_check_volume(volume, f"{path}.volumes[{position}]", good))
        if wrong:
            yield from wrong
        else:
            good[str(volume["name"])] = volume


_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIONS = ("Disabled", "Enabled", "IfPossible")


def check_mounts(container: Json, path: str, volumes: Mapping[str, Json]) -> Iterator[Cause]:
    """Broken rules of ``volumeMounts``."""
    devices = {
        str(d.get("name")): d.get("devicePath") for d in children(container, "volumeDevices")
    }
    taken: set[str] = set()
    for position, mount in enumerate(children(container, "volumeMounts")):
        here = f"{path}.volumeMounts[{position}]"
        name, place = str(mount.get("name") or ""), str(mount.get("mountPath") or "")
        if not name:
            yield required(f"{here}.name")
        if name not in volumes:
            yield Cause("FieldValueNotFound", f"{here}.name", f'Not found: "{name}"')
        if not place:
            yield required(f"{here}.mountPath")
        if place in taken:
            yield invalid(f"{here}.mountPath", place, "must be unique")
        taken.add(place)
        if devices and name in devices:
            yield invalid(f"{here}.name", name, "must not already exist in volumeDevices")
        if devices and place in devices.values():
            why = "must not already exist as a path in volumeDevices"
            yield invalid(f"{here}.mountPath", place, why)
        yield from _check_mount(mount, container, f"{path}.volumeMounts", here)


def _check_mount(mount: Json, container: Json, path: str, here: str) -> Iterator[Cause]:
    inner, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    yield from downwards(inner, f"{path}.subPath")
    if expression and inner:
        why = "subPathExpr and subPath are mutually exclusive"
        yield invalid(f"{here}.subPathExpr", expression, why)
    yield from downwards(expression, f"{path}.subPathExpr")
    propagation, recursion = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    if propagation is not None and propagation not in _PROPAGATIONS:
        yield not_supported(f"{path}.mountPropagation", propagation, _PROPAGATIONS)
    if propagation == "Bidirectional" and not child(container, "securityContext").get("privileged"):
        why = "Bidirectional mount propagation is available only to privileged containers"
        yield forbidden(f"{path}.mountPropagation", why)
    if recursion in {"Enabled", "IfPossible"}:
        where = f"{path}.recursiveReadOnly"
        if not mount.get("readOnly"):
            yield forbidden(where, "may only be specified when readOnly is true")
        if propagation not in {None, "None"}:
            why = "may only be specified when mountPropagation is None or not specified"
            yield forbidden(where, why)
    elif recursion not in {None, "Disabled"}:
        yield not_supported(f"{path}.recursiveReadOnly", recursion, _RECURSIONS)


_NO_BLOCK = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"


def check_devices(container: Json, path: str, volumes: Mapping[str, Json]) -> Iterator[Cause]:
    """Broken rules of ``volumeDevices``."""
    found = children(container, "volumeDevices")
    if not found:
        return
    mounts = {str(m.get("name")): m.get("mountPath") for m in children(container, "volumeMounts")}
    names: set[str] = set()
    places: set[str] = set()
    for position, device in enumerate(found):
        here = f"{path}.volumeDevices[{position}]"
        name, place = str(device.get("name") or ""), str(device.get("devicePath") or "")
        volume = volumes.get(name)
        if not name:
            yield required(f"{here}.name")
        if name in names:
            yield invalid(f"{here}.name", name, "must be unique")
        if volume is None:
            yield Cause("FieldValueNotFound", f"{here}.name", f'Not found: "{name}"')
        elif not any(volume.get(k) is not None for k in ("persistentVolumeClaim", "ephemeral")):
            yield invalid(f"{here}.name", name, _NO_BLOCK)
        if not place:
            yield required(f"{here}.devicePath")
        if place in places:
            yield invalid(f"{here}.devicePath", place, "must be unique")
        if ".." in place.split("/"):
            yield invalid(f"{here}.devicePath", place, "can not contain backsteps ('..')")
        if name in mounts:
            yield invalid(f"{here}.name", name, "must not already exist in volumeMounts")
        if place in mounts.values():
            why = "must not already exist as a path in volumeMounts"
            yield invalid(f"{here}.devicePath", place, why)
        names.add(name)
        places.add(place)
