"""Rules for names, labels and annotations that every kind shares.

Source: k8s.io/apimachinery pkg/util/validation and pkg/api/validation/objectmeta.go (wording).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from poolwright.kubesim.status import Cause, forbidden, invalid, required

_LABEL_FORMAT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035_FORMAT = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_FORMAT = rf"{_LABEL_FORMAT}(\.{_LABEL_FORMAT})*"
_NAME_FORMAT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_FORMAT = f"({_NAME_FORMAT})?"
_LABEL = re.compile(_LABEL_FORMAT)
_LABEL_1035 = re.compile(_LABEL_1035_FORMAT)
_SUBDOMAIN = re.compile(_SUBDOMAIN_FORMAT)
_NAME = re.compile(_NAME_FORMAT)
_VALUE = re.compile(_VALUE_FORMAT)

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and"
    " must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used"
    f" for validation is '{_LABEL_FORMAT}')"
)
LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
    " alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123',"
    f" regex used for validation is '{_LABEL_1035_FORMAT}')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
    " '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used"
    f" for validation is '{_SUBDOMAIN_FORMAT}')"
)
NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end"
    " with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for"
    f" validation is '{_NAME_FORMAT}')"
)
QUALIFIED_TEXT = (
    "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used"
    f" for validation is '{_NAME_FORMAT}') with an optional DNS subdomain prefix and '/' (e.g."
    " 'example.com/MyName')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.',"
    " and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or"
    f" '12345', regex used for validation is '{_VALUE_FORMAT}')"
)
ANNOTATIONS_MAX_BYTES = 256 * 1024


_kept = lru_cache(maxsize=8192)  # a cluster uses the same few names and values over and over


def _too_long(limit: int, unit: str = "characters") -> str:
    return f"must be no more than {limit} {unit}"


@_kept
def dns_label(text: str) -> Sequence[str]:
    """What is wrong with an RFC 1123 label."""
    wrong = [_too_long(63)] if len(text) > 63 else []
    if _LABEL.fullmatch(text):
        return wrong
    return [*wrong, "must not contain dots" if _SUBDOMAIN.fullmatch(text) else LABEL_TEXT]


@_kept
def dns_label_1035(text: str) -> Sequence[str]:
    """What is wrong with an RFC 1035 label (service names)."""
    wrong = [_too_long(63)] if len(text) > 63 else []
    return wrong if _LABEL_1035.fullmatch(text) else [*wrong, LABEL_1035_TEXT]


@_kept
def dns_subdomain(text: str) -> Sequence[str]:
    """What is wrong with an RFC 1123 subdomain."""
    wrong = [_too_long(253)] if len(text) > 253 else []
    return wrong if _SUBDOMAIN.fullmatch(text) else [*wrong, SUBDOMAIN_TEXT]


@_kept
def qualified_name(text: str) -> Sequence[str]:
    """What is wrong with a label key, taint key or resource name."""
    wrong: list[str] = []
    prefix, separator, name = text.rpartition("/")
    if "/" in prefix:
        return [QUALIFIED_TEXT]
    if separator:
        if not prefix:
            wrong.append("prefix part must be non-empty")
        else:
            wrong.extend(f"prefix part {problem}" for problem in dns_subdomain(prefix))
    if not name:
        wrong.append("name part must be non-empty")
    elif len(name) > 63:
        wrong.append(f"name part {_too_long(63, 'bytes')}")
    if not _NAME.fullmatch(name):
        wrong.append(NAME_PART_TEXT)
    return wrong


@_kept
def label_value(text: str) -> Sequence[str]:
    """What is wrong with a label's value."""
    wrong = [_too_long(63, "bytes")] if len(text) > 63 else []
    return wrong if _VALUE.fullmatch(text) else [*wrong, VALUE_TEXT]


@_kept
def long_name(text: str) -> Sequence[str]:
    """What is wrong with a subdomain, as the declared rules say it (validate.LongName)."""
    wrong = [_too_long(253, "bytes")] if len(text) > 253 else []
    return wrong if _SUBDOMAIN.fullmatch(text) else [*wrong, SUBDOMAIN_TEXT]


def path_segment(text: str) -> Sequence[str]:
    """What is wrong with a name that may hold anything but the syntax of paths (roles)."""
    if text in {".", ".."}:
        return [f"may not be '{text}'"]
    return [f"may not contain '{sign}'" for sign in ("/", "%") if sign in text]


NAME_RULES = {
    "path": path_segment,
    "label": dns_label,
    "long": long_name,
    "label1035": dns_label_1035,
    "subdomain": dns_subdomain,
}


def check_labels(labels: Any, path: str) -> Iterator[Cause]:
    """Broken rules of a map of labels."""
    if not isinstance(labels, Mapping):
        return
    for key, value in cast("Mapping[str, Any]", labels).items():
        for problem in qualified_name(key):
            yield invalid(path, key, problem)
        for problem in label_value(str(value)):
            yield invalid(path, value, problem)


_FINALIZERS = ("foregroundDeletion", "kubernetes", "orphan")


def check_metadata(
    new: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    *,
    name_rule: str,
    namespaced: bool,
) -> Iterator[Cause]:
    """Broken rules of ``metadata`` that every kind has."""
    metadata = new["metadata"]
    name = metadata.get("name") or ""
    old_metadata: Mapping[str, Any] = old["metadata"] if old else {}
    base = metadata.get("generateName")
    if old is None and base and name_rule != "long":  # declared rules look at whole names only
        for problem in NAME_RULES[name_rule](f"{str(base).rstrip('-')}{'a' * base.endswith('-')}"):
            yield invalid("metadata.generateName", base, problem)
    if old is None:
        if not name:
            yield required("metadata.name", "name or generateName is required")
        else:
            for problem in NAME_RULES[name_rule](name):
                yield invalid("metadata.name", name, problem)
        if namespaced:
            namespace = metadata.get("namespace") or ""
            for problem in dns_label(namespace):
                yield invalid("metadata.namespace", namespace, problem)
    if metadata.get("labels") != old_metadata.get("labels"):
        yield from check_labels(metadata.get("labels"), "metadata.labels")
    annotations = metadata.get("annotations")
    if annotations and annotations != old_metadata.get("annotations"):
        yield from _check_annotations(annotations)
    owners = metadata.get("ownerReferences")
    if owners and owners != old_metadata.get("ownerReferences"):
        yield from _check_owners(owners)
    if old_metadata.get("deletionTimestamp"):
        added = sorted(
            set(metadata.get("finalizers") or ()) - set(old_metadata.get("finalizers") or ())
        )
        if added:
            yield forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, found new"
                f" finalizers []string{{{', '.join(repr(f) for f in added)}}}".replace("'", '"'),
            )


def check_finalizer_names(metadata: Mapping[str, Any]) -> Iterator[Cause]:
    """Broken rules of the names of finalizers."""
    for finalizer in metadata.get("finalizers") or ():
        for problem in qualified_name(finalizer):
            yield invalid("metadata.finalizers", finalizer, problem)


def check_finalizers(metadata: Mapping[str, Any]) -> Iterator[Cause]:
    """Finalizers that are neither Kubernetes' own nor name a domain, where a kind wants that.

    Source: ValidateFinalizerName in k8s.io/kubernetes pkg/apis/core/validation.
    """
    for position, finalizer in enumerate(metadata.get("finalizers") or ()):
        if "/" not in finalizer and finalizer not in _FINALIZERS:
            yield invalid(
                f"metadata.finalizers[{position}]",
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            )


def _check_annotations(annotations: Mapping[str, Any]) -> Iterator[Cause]:
    size = 0
    for key, value in annotations.items():
        for problem in qualified_name(key.lower()):
            yield invalid("metadata.annotations", key, problem)
        size += len(key.encode()) + len(str(value).encode())
    if size > ANNOTATIONS_MAX_BYTES:
        yield Cause(
            "FieldValueTooLong",
            "metadata.annotations",
            f"Too long: may not be more than {ANNOTATIONS_MAX_BYTES} bytes",
        )


def _check_owners(owners: list[Mapping[str, Any]]) -> Iterator[Cause]:
    controllers: list[str] = []
    for owner in owners:
        for member in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(member):
                what = "version " if member == "apiVersion" else ""
                yield invalid(f"metadata.ownerReferences.{member}", "", f"{what}must not be empty")
        if owner.get("controller"):
            controllers.append(f"{owner.get('kind')}/{owner.get('name')}")
    if len(controllers) > 1:
        yield invalid(
            "metadata.ownerReferences",
            list(owners),
            'Only one reference can have Controller set to true. Found "true" in references for'
            f" {controllers[0]} and {controllers[1]}",
        )
