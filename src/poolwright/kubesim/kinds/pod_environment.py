"""Rules of what a container finds in its environment: values, and references to other objects.

Source: ValidateEnv, ValidateEnvFrom and their selectors in k8s.io/kubernetes v1.36
pkg/apis/core/validation/validation.go; ConvertDownwardAPIFieldLabel in pkg/apis/core/pods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from poolwright.kubesim.rules import dns_label, dns_subdomain, qualified_name
from poolwright.kubesim.status import Cause, invalid, not_supported, required
from poolwright.model.json_value import Json, children
from poolwright.model.quantity import parse_quantity

_ENVIRONMENT_NAME = (
    "a valid environment variable name must consist only of printable ASCII characters other than"
    " '='"
)
_CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',"
    "  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_TWICE = "may not have more than one field specified at a time"
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu",
    "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_VARIABLE_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
FILE_FIELDS = (
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"
)  # fmt: skip
_FIELDS = frozenset(
    (*_VARIABLE_FIELDS, *FILE_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase",
     "spec.host")
)  # fmt: skip
_SUBSCRIPTED = re.compile(r"(.*?)\['(.*)'\]", re.DOTALL)
_SIZES = (1, *(1000**n for n in range(1, 7)), *(1024**n for n in range(1, 7)))
_SIZES_TEXT = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"


def _name_problems(text: str) -> Sequence[str]:
    is_plain = all(" " <= sign <= "~" and sign != "=" for sign in text)
    return () if is_plain else (_ENVIRONMENT_NAME,)


def key_problems(text: str) -> Iterator[str]:
    """What is wrong with a key of a ConfigMap or Secret (IsConfigMapKey)."""
    if len(text) > 253:
        yield "must be no more than 253 characters"
    if not re.fullmatch(r"[-._a-zA-Z0-9]+", text):
        yield _CONFIG_KEY
    if text in {".", ".."}:
        yield f"must not be '{text}'"
    elif text.startswith(".."):
        yield "must not start with '..'"


def check_field(reference: Json, path: str, allowed: Sequence[str]) -> Iterator[Cause]:
    """Broken rules of a reference to a field of the pod itself."""
    version = str(reference.get("apiVersion") or "v1")
    field = str(reference.get("fieldPath") or "")
    here = f"{path}.fieldPath"
    if not field:
        yield required(here)
        return
    subscripted = _SUBSCRIPTED.fullmatch(field)
    problem = ""
    if version != "v1":
        problem = f"unsupported pod version: {version}"
    elif subscripted and subscripted[1] not in {"metadata.annotations", "metadata.labels"}:
        problem = f"field label does not support subscript: {field}"
    elif not subscripted and field not in _FIELDS:
        problem = f"field label not supported: {field}"
    if problem:
        yield invalid(here, field, f"error converting fieldPath: {problem}")
    elif subscripted:
        key = subscripted[2]
        key = key.lower() if subscripted[1] == "metadata.annotations" else key
        for wrong in qualified_name(key):
            yield invalid(path, key, wrong)
    elif field not in allowed and field != "spec.host":
        yield not_supported(here, field, allowed)


def check_resource(reference: Json, path: str, *, in_volume: bool = False) -> Iterator[Cause]:
    """Broken rules of a reference to an amount of a container."""
    resource = str(reference.get("resource") or "")
    is_huge = resource.startswith(("requests.hugepages-", "limits.hugepages-"))
    if in_volume and not reference.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in _RESOURCES and not is_huge:
        yield not_supported(f"{path}.resource", resource, _RESOURCES)
    divisor = parse_quantity(reference.get("divisor") or 0)
    if not divisor:
        return
    kind = resource.partition(".")[2]
    if kind == "cpu":
        if divisor not in (1, parse_quantity("1m")):
            why = "only divisor's values 1m and 1 are supported with the cpu resource"
            yield invalid(f"{path}.divisor", resource, why)
    elif divisor not in _SIZES and (is_huge or kind in _SIZED):
        named = "hugepages" if is_huge else _SIZED[kind]
        why = f"only divisor's values {_SIZES_TEXT} are supported with the {named} resource"
        yield invalid(f"{path}.divisor", resource, why)


_SIZED = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}


def _check_key(reference: Json, path: str) -> Iterator[Cause]:
    name, key = str(reference.get("name") or ""), str(reference.get("key") or "")
    for problem in dns_subdomain(name):
        yield invalid(f"{path}.name", name, problem)
    if not key:
        yield required(f"{path}.key")
    else:
        for problem in key_problems(key):
            yield invalid(f"{path}.key", key, problem)


def _check_file(reference: Json, path: str) -> Iterator[Cause]:
    key, volume = str(reference.get("key") or ""), str(reference.get("volumeName") or "")
    place = str(reference.get("path") or "")
    if not key:
        yield required(f"{path}.key")
    for problem in _name_problems(key):
        yield invalid(f"{path}.key", key, problem)
    if not volume:
        yield required(f"{path}.volumeName")
    else:
        for problem in dns_label(volume):
            yield invalid(f"{path}.volumeName", volume, problem)
    if not place:
        yield required(f"{path}.path")
    elif ".." in place.split("/"):
        yield invalid(f"{path}.path", place, "must not contain '..'")


_SOURCES: Mapping[str, Callable[[Json, str], Iterator[Cause]]] = {
    "fieldRef": lambda reference, path: check_field(reference, path, _VARIABLE_FIELDS),
    "resourceFieldRef": check_resource,
    "configMapKeyRef": _check_key,
    "secretKeyRef": _check_key,
    "fileKeyRef": _check_file,
}
_ONE_OF = (
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or"
    " `fileKeyRef`"
)


def check_variables(container: Json, path: str) -> Iterator[Cause]:
    """Broken rules of ``env``."""
    for position, variable in enumerate(children(container, "env")):
        here = f"{path}.env[{position}]"
        name, source = str(variable.get("name") or ""), variable.get("valueFrom")
        if not name:
            yield required(f"{here}.name")
        for problem in _name_problems(name):
            yield invalid(f"{here}.name", name, problem)
        if source is None:
            continue
        here = f"{here}.valueFrom"
        given = [member for member in _SOURCES if source.get(member) is not None]
        for member in given:
            yield from _SOURCES[member](source[member], f"{here}.{member}")
        if not given:
            yield invalid(here, "", _ONE_OF)
        elif variable.get("value"):
            yield invalid(here, "", "may not be specified when `value` is not empty")
        elif len(given) > 1:
            yield invalid(here, "", _TWICE)


def check_sources(container: Json, path: str) -> Iterator[Cause]:
    """Broken rules of ``envFrom``."""
    for position, source in enumerate(children(container, "envFrom")):
        here = f"{path}.envFrom[{position}]"
        for problem in _name_problems(str(source.get("prefix") or "")):
            yield invalid(f"{here}.prefix", source["prefix"], problem)
        given = [m for m in ("configMapRef", "secretRef") if source.get(m) is not None]
        for member in given:
            name = str(source[member].get("name") or "")
            if not name:
                yield required(f"{here}.{member}.name")
            else:
                for problem in dns_subdomain(name.removesuffix("-")):
                    yield invalid(f"{here}.{member}.name", name, problem)
        if not given:
            why = "must specify one of: `configMapRef` or `secretRef`"
            yield invalid(f"{path}.envFrom", "", why)
        elif len(given) > 1:
            yield invalid(f"{path}.envFrom", "", _TWICE)
