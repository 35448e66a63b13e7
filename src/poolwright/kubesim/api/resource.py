"""The verbs on kinds: get, list, watch, create, replace, patch, delete, deletecollection."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

from poolwright.kubesim import meta, status
from poolwright.kubesim.api import negotiate
from poolwright.kubesim.api.apply_patch import apply
from poolwright.kubesim.api.call import Call
from poolwright.kubesim.api.output import Output
from poolwright.kubesim.api.stream import stream_watch
from poolwright.kubesim.api.target import Target
from poolwright.kubesim.apply import required_manager
from poolwright.kubesim.entry import Entry, decode, encode
from poolwright.kubesim.meta import Preconditions
from poolwright.kubesim.patch import json_patch, merge, strategic
from poolwright.kubesim.selector import Selection, parse_fields, parse_labels
from poolwright.kubesim.version import View
from poolwright.kubesim.watch import select
from poolwright.model.json_value import child
from poolwright.model.kubernetes import CUSTOM_RESOURCE_DEFINITIONS

_JSON, _MERGE, _STRATEGIC, _APPLY = _PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_PATCHES_OF_CUSTOM = (_JSON, _MERGE, _APPLY)
_UNKNOWN_MAX = 100  # as the strict decoder stops collecting


def output(call: Call, target: Target) -> Output:
    """How this request's objects are written."""
    clock = call.registry.clock
    return Output(target.view, call.form(), clock, call.query.get("includeObject", ""))


def selection(call: Call, target: Target) -> Selection:
    """What a list or watch asks for."""
    query = call.query
    fields = query.get("fieldSelector", "")
    labels = query.get("labelSelector", "")
    terms = parse_fields(fields, target.view.kind) if fields else ()
    return Selection(target.namespace, parse_labels(labels) if labels else (), terms)


async def get(call: Call, target: Target) -> None:
    """GET of one object."""
    entry = call.registry.entry(target.view.kind, target.name, target.namespace)
    if entry is None:
        raise target.missing
    out = output(call, target)
    await call.answer(200, out.object(entry), out.media)


async def list_(call: Call, target: Target) -> None:
    """GET of a collection, or a watch of it."""
    query = call.query
    if query and call.flag("watch"):
        _number(call, "timeoutSeconds")
        await stream_watch(call, output(call, target), selection(call, target), _since(call))
        return
    out = output(call, target)
    chosen = selection(call, target)
    limit = _number(call, "limit")
    _number(call, "timeoutSeconds")
    token = query.get("continue", "")
    if token:
        if query.get("resourceVersion", "0") not in {"", "0"}:
            raise status.bad_request(
                "specifying resource version is not allowed when using continue"
            )
        revision, start = _read_continue(token)
    else:
        revision, start = _list_revision(call), ""
    entries = _entries_at(call, target, chosen, revision, start)
    shown = call.registry.revision if revision < 0 else revision
    metadata: dict[str, Any] = {"resourceVersion": str(shown)}
    if start:
        entries = [entry for entry in entries if entry.key > start]
    if limit and len(entries) > limit:
        remaining = len(entries) - limit
        entries = entries[:limit]
        metadata["continue"] = _continue(shown, entries[-1].key)
        if chosen.is_plain:
            metadata["remainingItemCount"] = remaining
    await call.answer_parts(out.list(entries, metadata), out.media)


def _entries_at(
    call: Call, target: Target, chosen: Selection, revision: int, start: str
) -> Sequence[Entry]:
    """What is selected as it stood at a revision, rebuilt from the changes since then."""
    registry = call.registry
    entries = select(registry, target.view.kind, chosen)
    if revision < 0 or revision == registry.revision:
        return entries
    changes = registry.cache(target.view.kind).changes_after(revision)
    if changes is None:
        if not start:
            raise status.expired("The resourceVersion for the provided list is too old.")
        raise status.StatusError(
            410, "Expired", _TOO_OLD, list_metadata={"continue": _continue(-1, start)}
        )
    before: dict[str, Entry | None] = {}
    for change in changes:
        before.setdefault(change.new.key, change.old)
    kept = [entry for entry in entries if entry.key not in before]
    kept.extend(old for old in before.values() if old is not None and chosen.selects(old))
    return sorted(kept, key=lambda entry: entry.key)


_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start"
    " a new list without the continue parameter, or use the continue token in this response to"
    " retrieve the remainder of the results. Continuing with the provided token results in an"
    " inconsistent list - objects that were created, modified, or deleted between the time the"
    " first chunk was returned and now may show up in the list."
)


def _since(call: Call) -> int | None:
    """The resourceVersion that a watch starts after; None for the state as it is."""
    text = call.query.get("resourceVersion", "")
    return _revision(text) or None


def _revision(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal():
        raise status.bad_request(
            f'invalid resource version: resourceVersion: Invalid value: "{text}":'
            f' strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def _list_revision(call: Call) -> int:
    query, current = call.query, call.registry.revision
    text, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    causes: list[status.Cause] = []
    if match and not text:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        causes.append(status.forbidden("resourceVersionMatch", why))
    if match not in {"", "Exact", "NotOlderThan"}:
        allowed = ("Exact", "NotOlderThan", "")
        causes.append(status.not_supported("resourceVersionMatch", match, allowed))
    if match == "Exact" and text == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        causes.append(status.forbidden("resourceVersionMatch", why))
    if query.get("sendInitialEvents"):
        why = "sendInitialEvents is forbidden for list"
        causes.append(status.forbidden("sendInitialEvents", why))
    if causes:
        raise status.unprocessable("meta.k8s.io", "ListOptions", "", causes)
    asked = _revision(text)
    if asked > current:
        raise status.StatusError(
            504,
            "Timeout",
            f"Timeout: Too large resource version: {asked}, current: {current}",
            details={
                "causes": [
                    {
                        "reason": "ResourceVersionTooLarge",
                        "message": "Too large resource version",
                    }
                ],
                "retryAfterSeconds": 1,
            },
        )
    return asked if match == "Exact" else current


def _number(call: Call, name: str) -> int:
    text = call.query.get(name, "")
    if not text:
        return 0
    if not text.removeprefix("-").isdecimal():
        raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return max(0, int(text))


def _continue(revision: int, start: str) -> str:
    token = encode({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _read_continue(token: str) -> tuple[int, str]:
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        value = negotiate.decode_as_go(data)
        return int(value["rv"]), str(value["start"])
    except (ValueError, TypeError, KeyError) as error:
        why = error if isinstance(error, negotiate.NotJson) else "invalid token"
        raise status.bad_request(
            f"invalid continue token: continue key is not valid: {why}"
        ) from None


def read_body(call: Call, view: View, body: dict[str, Any]) -> dict[str, Any]:
    """A sent object as we keep it: its kind checked, wrong types refused, unknown fields dropped
    (and told, or refused, as ``fieldValidation`` says).
    """
    _check_kind(call, view, body)
    prune(call, view, body, call.sent)
    return view.from_wire(body)


def prune(call: Call, view: View, body: dict[str, Any], data: bytes = b"") -> None:
    """Hold an object against the schema of its kind."""
    unknown = view.prune(body, data)
    if not unknown and not call.duplicates:
        return
    told = [
        *(f'unknown field "{path}"' for path in unknown),
        *(f'duplicate field "{path}"' for path in call.duplicates),
    ][:_UNKNOWN_MAX]
    match call.query.get("fieldValidation", "Warn"):
        case "Strict":
            resource = view.resource
            raise status.bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a'
                f" {resource.kind}: strict decoding error: {', '.join(told)}"
            )
        case "Ignore":
            pass
        case _:
            call.warnings.extend(told)


async def create(call: Call, target: Target) -> None:
    """POST to a collection."""
    options = call.write_options()
    body = read_body(call, target.view, await call.object(target.view.resource.kind))
    _check_defined(call, target, body)
    made = await call.registry.create(
        target.view.kind, body, namespace=target.namespace, options=options
    )
    await _answer_written(call, target, made, 201)


def _check_defined(call: Call, target: Target, body: dict[str, Any]) -> None:
    """Refuse a new object of a kind whose definition is going."""
    if target.view.declared is None:
        return
    resource = target.view.resource
    qualified = f"{resource.plural}.{resource.group}"
    definition = call.registry.entry(CUSTOM_RESOURCE_DEFINITIONS, qualified)
    if definition is None or not definition.is_leaving:
        return
    name = str(child(body, "metadata").get("name") or "")
    raise status.StatusError(
        403,
        "Forbidden",
        f'{qualified} "{name}" is forbidden: create not allowed while custom resource definition'
        " is terminating",
        details={"name": name, "group": resource.group, "kind": resource.plural},
    )


async def replace(call: Call, target: Target) -> None:
    """PUT of an object or its status."""
    options = call.write_options()
    body = read_body(call, target.view, await call.object(target.view.resource.kind))
    sent = child(body, "metadata").get("name")
    if not sent:
        raise status.bad_request(
            f"the name of the object ({target.name} based on URL) was undeterminable: name must be"
            " provided"
        )
    if sent != target.name:
        raise status.bad_request(
            f"the name of the object ({sent}) does not match the name on the URL ({target.name})"
        )
    kind = target.view.kind
    if (
        kind.created_by_put
        and not target.subresource
        and call.registry.entry(kind, target.name, target.namespace) is None
        and not child(body, "metadata").get("uid")
    ):
        made = await call.registry.create(kind, body, namespace=target.namespace, options=options)
        await _answer_written(call, target, made, 201)
        return
    made = await call.registry.replace(
        kind,
        target.name,
        body,
        namespace=target.namespace,
        subresource=target.subresource,
        options=options,
    )
    await _answer_written(call, target, made)


async def _answer_written(
    call: Call, target: Target, made: dict[str, Any], code: int = 200
) -> None:
    """Answer with an object that was just written: as it is kept, where it still is."""
    metadata = made["metadata"]
    entry = None
    if not call.write_options().dry_run:
        entry = call.registry.entry(
            target.view.kind, metadata["name"], metadata.get("namespace", "")
        )
    out = output(call, target)
    await call.answer(code, out.body(made, entry), out.media)


async def patch(call: Call, target: Target) -> None:
    """PATCH of an object or its status, in any of the four ways."""
    options = call.write_options()
    media = call.header(b"content-type").partition(";")[0].strip().lower()
    if target.view.declared is not None and media not in _PATCHES_OF_CUSTOM:
        raise negotiate.unsupported_media(*_PATCHES_OF_CUSTOM)
    if media not in _PATCHES:
        raise negotiate.unsupported_patch()
    data = await call.body()
    change = negotiate.read_value(data, media)
    if media == _APPLY:
        required_manager(options.manager)
        if isinstance(change, dict):
            _declared_only(target, cast("dict[str, Any]", change))
        made, is_new = await apply(call, target, change, options)
        out = output(call, target)
        await call.answer(201 if is_new else 200, out.body(made, None), out.media)
        return
    call.note_duplicates(data, change)
    if media != _JSON and not isinstance(change, dict):
        start = "error decoding patch: " if media == _MERGE else ""
        raise status.bad_request(
            f"{start}json: cannot unmarshal {negotiate.go_kind(change)} into Go value of type"
            " map[string]interface {}"
        )

    told = len(call.warnings)

    def mutate(stored: dict[str, Any]) -> dict[str, Any]:
        del call.warnings[told:]  # this may be another try
        body = _patched(call, target, target.view.to_wire(stored), change, media)
        if not body["metadata"].get("resourceVersion"):
            body["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
        return target.view.from_wire(body)

    made = await call.registry.update(
        target.view.kind,
        target.name,
        mutate,
        namespace=target.namespace,
        subresource=target.subresource,
        expect=_patch_guard(change),
        options=options,
        derives=True,
    )
    await _answer_written(call, target, made)


def _patched(
    call: Call, target: Target, shown: dict[str, Any], change: Any, media: str
) -> dict[str, Any]:
    """An object, as clients see it, after a patch that is none to apply."""
    view, new = target.view, _result_of(target.view, shown, change, media)
    # What the patch left alone was held against the schema when it was written.
    is_known = media != _JSON and view.declared is None
    data = encode(_changed(new, shown) if is_known else new)
    body: dict[str, Any] = {**new, **decode(data)} if is_known else decode(data)
    if not child(body, "metadata").get("name"):
        raise status.bad_request(
            f"the name of the object ({target.name} based on URL) was undeterminable: name must"
            " be provided"
        )
    if media == _STRATEGIC:  # it is laid over the typed object, which keeps its kind
        body.update(kind=view.resource.kind, apiVersion=view.resource.api_version)
    _check_patched(call, view, body, data, new, change if media == _STRATEGIC else None)
    sent_uid, uid = body["metadata"].get("uid"), shown["metadata"]["uid"]
    if sent_uid and sent_uid != uid:
        cause = status.invalid("metadata.uid", sent_uid, "field is immutable")
        resource = view.resource
        raise status.unprocessable(resource.group, resource.kind, target.name, [cause, cause])
    return body


def _result_of(view: View, shown: dict[str, Any], change: Any, media: str) -> Any:
    if media == _JSON:
        return json_patch(meta.copy_of(shown), change)
    if media == _MERGE:
        return merge(shown, change)
    return strategic(shown, cast("dict[str, Any]", change), view.shape)


def _changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """The members that a patch made anew."""
    return {name: value for name, value in new.items() if value is not old.get(name)}


def _check_patched(
    call: Call, view: View, body: dict[str, Any], data: bytes, result: Any, typed_patch: Any
) -> None:
    """Hold the result of a patch against the schema; a wrong result is a wrong patch. ``data`` is
    what of it is new. A strategic patch is shown itself, and converted by other code than a
    document that is decoded.

    Source: k8s.io/apiserver pkg/endpoints/handlers/patch.go.
    """
    resource = view.resource
    try:
        if body.get("kind") != resource.kind or body.get("apiVersion") != resource.api_version:
            _check_kind(call, view, body)
        prune(call, view, body, data)
    except status.StatusError as error:
        _, separator, why = error.message.partition(f"cannot be handled as a {resource.kind}: ")
        if not separator:
            raise
        shown = encode(result).decode()
        if typed_patch is not None:
            why, shown = negotiate.conversion_error(why), negotiate.go_text(typed_patch)
        cause = status.invalid("patch", shown, why)
        raise status.unprocessable("", "", "", [cause]) from None


def _check_kind(call: Call, view: View, body: Mapping[str, Any]) -> None:
    """Raise unless a body says that it is of the kind that its path means."""
    resource = view.resource
    kind = str(body.get("kind") or resource.kind)
    version = str(body.get("apiVersion") or resource.api_version)
    if (kind, version) == (resource.kind, resource.api_version):
        return
    group, _, plain = version.rpartition("/")
    known = any(
        (other.resource.kind, other.resource.api_version) == (kind, version)
        for other in call.registry.catalog.views.values()
    )
    if known and version != resource.api_version:
        raise status.bad_request(
            f"the API version in the data ({version}) does not match the expected API version"
            f" ({resource.api_version})"
        )
    why = f'no kind "{kind}" is registered for version "{version}" in scheme "{_SCHEME}"'
    if known:
        home = group.partition(".")[0] or "core"
        why = f"converting (v1.{kind}) to ({home}.{resource.kind}): unknown conversion"
    raise status.bad_request(
        f'{kind} in version "{plain}" cannot be handled as a {resource.kind}: {why}'
    )


_SCHEME = "pkg/runtime/scheme.go:111"


def _declared_only(target: Target, body: dict[str, Any]) -> None:
    """Raise unless the schema knows every field that is applied.

    Source of the wording: k8s.io/apimachinery pkg/util/managedfields and structured-merge-diff.
    """
    unknown = target.view.prune(body)
    if unknown:
        resource = target.view.resource
        where = f"{target.namespace}/{target.name}" if target.namespace else f"/{target.name}"
        problems = "\n".join(f"  .{path}: field not declared in schema" for path in unknown)
        problems = problems.strip() if len(unknown) == 1 else f"errors:\n{problems}"
        raise status.StatusError(
            400,
            "BadRequest",
            f"failed to create typed patch object ({where}; {resource.api_version},"
            f" Kind={resource.kind}): {problems}",
        )


def _patch_guard(change: Any) -> Preconditions:
    if not isinstance(change, dict):
        return meta.UNGUARDED
    return meta.preconditions_of(cast("dict[str, Any]", change))


_PROPAGATIONS = ("Foreground", "Background", "Orphan")


def delete_options(
    call: Call, body: Mapping[str, Any]
) -> tuple[int | None, str, Preconditions, bool]:
    """Grace, propagation, preconditions and dry run of a deletion, from body and query."""
    query = call.query
    grace: Any = body.get("gracePeriodSeconds")
    if grace is not None and type(grace) is not int:
        raise status.bad_request(
            f"json: cannot unmarshal {negotiate.go_kind(grace)} into Go struct field"
            " DeleteOptions.gracePeriodSeconds of type int64"
        )
    if grace is None and "gracePeriodSeconds" in query:
        grace = query["gracePeriodSeconds"]
    try:
        grace = None if grace is None else int(grace)
    except (TypeError, ValueError):
        raise status.bad_request(f'strconv.ParseInt: parsing "{grace}": invalid syntax') from None
    propagation = str(body.get("propagationPolicy") or query.get("propagationPolicy", ""))
    causes: list[status.Cause] = []
    if propagation and propagation not in _PROPAGATIONS:
        causes.append(
            status.not_supported("propagationPolicy", propagation, (*_PROPAGATIONS, "nil"))
        )
    orphan = body.get("orphanDependents")
    if orphan is not None and propagation:
        causes.append(
            status.invalid(
                "propagationPolicy",
                propagation,
                "orphanDependents and deletionPropagation cannot be both set",
            )
        )
    dry_run = body.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    if dry_run and dry_run != ["All"]:
        causes.append(status.not_supported("dryRun", dry_run, ("All",)))
    if causes:
        raise status.unprocessable("meta.k8s.io", "DeleteOptions", "", causes)
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    asked = child(body, "preconditions")
    expect = Preconditions(str(asked.get("uid") or ""), str(asked.get("resourceVersion") or ""))
    return grace, propagation, expect, bool(dry_run)


async def _options_body(call: Call) -> dict[str, Any]:
    data = await call.body()
    body = negotiate.read_object(data, call.header(b"content-type")) if data else {}
    version, kind = body.get("apiVersion"), body.get("kind")
    if kind and kind != "DeleteOptions":
        raise status.bad_request(
            f'no kind "{kind}" is registered for version "{version or ""}" in scheme'
            ' "pkg/runtime/scheme.go:111"'
        )
    return body


_ORPHANING = frozenset(("Job", "ReplicationController"))
"""Kinds of which a client that says nothing lets the pods be.

Source: k8s.io/kubernetes pkg/registry, DefaultGarbageCollectionPolicy.
"""


def _propagation(call: Call, target: Target, name: str, namespace: str) -> str:
    """What becomes of dependents if nobody says so; what was asked before stays."""
    kind = target.view.kind
    if kind.resource.kind not in _ORPHANING or kind.declared is not None:
        return ""
    entry = call.registry.entry(kind, name, namespace)
    told = () if entry is None else entry.finalizers
    return "" if "foregroundDeletion" in told or "orphan" in told else "Orphan"


async def delete(call: Call, target: Target) -> None:
    """DELETE of one object."""
    grace, propagation, expect, dry_run = delete_options(call, await _options_body(call))
    kind = target.view.kind
    body, gone = await call.registry.delete(
        kind,
        target.name,
        namespace=target.namespace,
        grace_seconds=grace,
        propagation=propagation or _propagation(call, target, target.name, target.namespace),
        expect=expect,
        dry_run=dry_run,
        options=call.caller_options(),
    )
    if not gone or kind.grace is not None:
        out = output(call, target)
        await call.answer(200, out.body(body, None), out.media)
        return
    resource = target.view.resource
    details: dict[str, Any] = {"name": target.name}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    details["uid"] = body["metadata"]["uid"]
    await call.answer_object(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }
    )


async def delete_collection(call: Call, target: Target) -> None:
    """DELETE of a collection."""
    grace, propagation, _, dry_run = delete_options(call, await _options_body(call))
    chosen = selection(call, target)
    entries = select(call.registry, target.view.kind, chosen)
    for entry in entries:
        try:
            await call.registry.delete(
                target.view.kind,
                entry.name,
                namespace=entry.namespace,
                grace_seconds=grace,
                propagation=propagation or _propagation(call, target, entry.name, entry.namespace),
                expect=Preconditions(uid=entry.uid),
                dry_run=dry_run,
                options=call.caller_options(),
            )
        except status.StatusError as error:
            if error.reason not in {"NotFound", "Conflict"}:
                raise
    out = output(call, target)
    metadata = {"resourceVersion": str(call.registry.revision)}
    await call.answer_parts(out.list(entries, metadata), out.media)
