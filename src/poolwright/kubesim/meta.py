"""What the server itself writes into an object: metadata, generation, deletion, guards.

Source: k8s.io/apiserver pkg/registry/rest (create.go, update.go, delete.go) and
pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from poolwright.kubesim import status, tracking
from poolwright.kubesim.entry import Entry
from poolwright.kubesim.kinds.kind import Body, ObjectKind
from poolwright.kubesim.rules import check_finalizer_names, check_finalizers, check_metadata
from poolwright.kubesim.schema import shape_of
from poolwright.model.instant import wall_text
from poolwright.model.json_value import child
from poolwright.ports.clock import Identity

SUFFIX_LENGTH = 5  # k8s.io/apiserver pkg/storage/names randomLength
GENERATED_MAX = 63 - SUFFIX_LENGTH  # maxGeneratedNameLength, same file

_NOT_SPEC = frozenset(("status", "binding"))
"""Subresources that leave the generation alone."""
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write was asked for. ``manager`` is the field manager; empty: none was named, and
    ``agent`` stands in (empty: the server itself writes). ``applied``: the body carries its
    managedFields. ``user`` is the caller as ``userInfo``; ``warn`` takes what admission has to say.
    ``is_reviewed``: admission policies have judged what was sent, an eviction for instance, and
    are not asked about what comes of it.
    """

    manager: str = ""
    dry_run: bool = False
    applied: bool = False
    agent: str = ""
    user: Mapping[str, Any] = field(default_factory=lambda: _SERVER)
    warn: Callable[[str], None] | None = None
    is_reviewed: bool = False


_SERVER: Mapping[str, Any] = {"username": "system:apiserver", "groups": ["system:masters"]}

DEFAULT_OPTIONS = WriteOptions()
REVIEWED = WriteOptions(is_reviewed=True)
_OWN_MANAGER = "kube-controller-manager"
_FORGOTTEN: list[dict[str, Any]] = [{}]
"""What a client writes so that nobody is said to own anything (managedfields/fieldmanager.go)."""


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What the client demands of the object as it stands; empty demands nothing."""

    uid: str = ""
    revision: str = ""


UNGUARDED = Preconditions()


def copy_of(body: Mapping[str, Any]) -> Body:
    """A deep copy of a JSON object."""
    copied: Body = msgspec.json.decode(msgspec.json.encode(body))
    return copied


def preconditions_of(body: Mapping[str, Any]) -> Preconditions:
    """The guards inside a body that is put."""
    return Preconditions(revision=_sent_revision(body))


def _sent_revision(body: Mapping[str, Any]) -> str:
    """The resourceVersion in a body, if it guards anything: ``0`` stands for whatever there is.

    Source: k8s.io/apiserver pkg/registry/generic/registry/store.go, doUnconditionalUpdate.
    """
    sent = str(child(body, "metadata").get("resourceVersion") or "")
    return "" if sent == "0" else sent


def draw_name(metadata: Body, given: Mapping[str, Any], identity: Identity) -> bool:
    """Generate a name where one was asked for and none was given."""
    base = metadata.get("generateName")
    if not base or child(given, "metadata").get("name"):
        return False
    metadata["name"] = f"{base[:GENERATED_MAX]}{identity.suffix(SUFFIX_LENGTH)}"
    return True


def begin_create(
    kind: ObjectKind,
    given: Mapping[str, Any],
    namespace: str,
    now: datetime,
    identity: Identity,
    *,
    dry_run: bool = False,
) -> Body:
    """The object with its name settled and the server's metadata stamped."""
    body = copy_of(given)
    resource = kind.resource
    body["kind"], body["apiVersion"] = resource.kind, resource.api_version
    metadata = body["metadata"] = dict(child(body, "metadata"))
    if metadata.get("resourceVersion") and not dry_run:  # found where it is stored
        raise status.bad_request("resourceVersion should not be set on objects to be created")
    if resource.namespaced:
        sent = metadata.get("namespace") or namespace
        if namespace and sent != namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the"
                " request"
            )
        metadata["namespace"] = sent
    else:
        metadata.pop("namespace", None)
    draw_name(metadata, given, identity)
    for name in (*_SERVER_OWNED, "selfLink", "resourceVersion", "generation"):
        metadata.pop(name, None)
    metadata.setdefault("name", "")  # refused by the rules, with every other fault
    metadata["uid"] = identity.uid()
    metadata["creationTimestamp"] = wall_text(now)
    if kind.has_generation:
        metadata["generation"] = 1
    return body


def begin_update(kind: ObjectKind, sent: Body, old: Mapping[str, Any], subresource: str) -> Body:
    """The object to write: what was sent, with everything that this write may not touch kept."""
    metadata = dict(child(sent, "metadata"))
    old_metadata = old["metadata"]
    if metadata.get("name") not in {None, "", old_metadata["name"]}:
        raise status.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL"
            f" ({old_metadata['name']})"
        )
    if metadata.get("namespace") not in {None, "", old_metadata.get("namespace")}:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    sent_uid = metadata.get("uid")
    if sent_uid and sent_uid != old_metadata["uid"]:
        raise status.conflict(
            kind.resource.group,
            kind.resource.plural,
            old_metadata["name"],
            f"Precondition failed: UID in precondition: {sent_uid}, UID in object meta:"
            f" {old_metadata['uid']}",
        )
    if subresource == "status":
        new = dict(old)
        new["status"] = sent.get("status") or {}
        kept = dict(old_metadata)
        # labels, annotations and finalizers may change with a status write, as on nodes
        for name in ("labels", "annotations", "finalizers", "managedFields"):
            if name in metadata:
                kept[name] = metadata[name]
            elif name != "managedFields":
                kept.pop(name, None)
        new["metadata"] = kept
        return new
    new = dict(sent)
    new["kind"], new["apiVersion"] = kind.resource.kind, kind.resource.api_version
    for name in ("name", "namespace", "generateName", "generation", *_SERVER_OWNED):
        if name in old_metadata:
            metadata[name] = old_metadata[name]
        else:
            metadata.pop(name, None)
    if not metadata.get("managedFields") and "managedFields" in old_metadata:
        metadata["managedFields"] = old_metadata["managedFields"]
    new["metadata"] = metadata
    if kind.has_status and not subresource:
        if "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)
    return new


def finish_update(kind: ObjectKind, new: Body, old: Mapping[str, Any], subresource: str) -> None:
    """Reset what the kind protects, then raise the generation if the spec moved."""
    kind.prepare(new, old)
    metadata = new["metadata"]
    if kind.has_generation and subresource not in _NOT_SPEC:
        generation = old["metadata"].get("generation", 1)
        changed = new.get("spec") != old.get("spec")
        metadata["generation"] = generation + 1 if changed else generation
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        if name in metadata and not metadata[name]:
            del metadata[name]


def check(
    kind: ObjectKind,
    new: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    subresource: str = "",
) -> None:
    """Raise Invalid with every broken rule; a subresource can only break those of metadata, and a
    status those of its own.
    """
    causes = list(
        check_metadata(
            new,
            old,
            name_rule=kind.name_rule,
            namespaced=kind.resource.namespaced,
        )
    )
    metadata = new["metadata"]
    looks = 1 if old is None else kind.looks
    if old is not None:
        causes *= 2 + looks  # the generic update looks at it, and the kind's own rules do
    causes += list(check_finalizer_names(metadata)) * max(1, looks)
    if not kind.free_finalizers and kind.declared is None:
        causes += list(check_finalizers(metadata)) * looks
    if not subresource:
        causes.extend(kind.validate(new, old))
    elif subresource == "status":
        causes.extend((kind.declared or kind).validate_status(new, old or {}))
    if causes:
        raise status.unprocessable(
            kind.resource.group, kind.resource.kind, new["metadata"].get("name") or "", causes
        )


def track(
    kind: ObjectKind,
    new: Body,
    old: Mapping[str, Any] | None,
    options: WriteOptions,
    now: datetime,
    subresource: str = "",
) -> None:
    """Keep ``managedFields`` true. Ours: what the server itself makes (pods of workloads, default
    objects) is not tracked before somebody else writes to it under a name.
    """
    if options.applied:
        return
    if new["metadata"].get("managedFields") == _FORGOTTEN and not subresource:
        del new["metadata"]["managedFields"]
        return
    is_told = bool(options.manager or (options.agent and old is None))
    if not is_told and not new["metadata"].get("managedFields"):
        return
    tracking.track_update(
        new,
        old,
        kind.declared.shape if kind.declared else shape_of(kind.resource),
        options.manager or options.agent or _OWN_MANAGER,
        wall_text(now),
        subresource,
    )


def check_guard(
    kind: ObjectKind, entry: Entry, expect: Preconditions, *, deleting: bool = False
) -> None:
    """Raise Conflict unless the client's preconditions hold."""
    group, plural = kind.resource.group, kind.resource.plural
    if expect.uid and expect.uid != entry.uid:
        raise status.conflict(
            group,
            kind.resource.kind if deleting else plural,
            entry.name,
            f"the UID in the precondition ({expect.uid}) does not match the UID in record"
            f" ({entry.uid}). The object might have been deleted and then recreated"
            if deleting
            else f"Precondition failed: UID in precondition: {expect.uid}, UID in object meta:"
            f" {entry.uid}",
        )
    if expect.revision and expect.revision != str(entry.revision):
        if not deleting:
            raise status.conflict(group, plural, entry.name)
        raise status.conflict(
            group,
            kind.resource.kind,
            entry.name,
            f"the ResourceVersion in the precondition ({expect.revision}) does not match the"
            f" ResourceVersion in record ({entry.revision}). The object might have been modified",
        )


def check_sent_guard(kind: ObjectKind, entry: Entry, new: Mapping[str, Any]) -> None:
    """Raise Conflict if a changed body carries a resourceVersion that is not the current one."""
    sent = _sent_revision(new)
    if sent and sent != str(entry.revision):
        raise status.conflict(kind.resource.group, kind.resource.plural, entry.name)


def begin_delete(
    kind: ObjectKind, body: Body, grace_seconds: int | None, propagation: str, now: datetime
) -> bool:
    """Mark an object as being deleted; whether nothing holds it any more.

    Deleting again can shorten the grace, never lengthen it.
    """
    metadata = body["metadata"]
    if kind.leave is not None and "deletionTimestamp" not in metadata:
        kind.leave(body, wall_text(now))
    finalizers: list[str] = list(metadata.get("finalizers") or ())
    wanted = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
    if propagation:
        finalizers = [f for f in finalizers if f not in {"foregroundDeletion", "orphan"}]
        if wanted:
            finalizers.append(wanted)
    grace = max(0, kind.grace(body, grace_seconds)) if kind.grace else 0
    current = metadata.get("deletionGracePeriodSeconds")
    if "deletionTimestamp" in metadata and current is not None:
        grace = min(grace, int(current))
    holds_namespace = kind.resource.kind == "Namespace" and bool(
        child(body, "spec").get("finalizers")
    )
    if grace == 0 and not finalizers and not holds_namespace:
        return True
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if "deletionTimestamp" not in metadata or grace != current:
        metadata["deletionTimestamp"] = wall_text(now + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        if kind.has_generation and current is None:
            metadata["generation"] = metadata.get("generation", 1) + 1
    if holds_namespace:
        body["status"] = {**child(body, "status"), "phase": "Terminating"}
    return False


def is_released(body: Mapping[str, Any]) -> bool:
    """Whether an object that is being deleted is held by nothing any more."""
    metadata = body["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if body["kind"] == "Namespace" and child(body, "spec").get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")
