"""What the cluster serves: version, health, group and resource lists, aggregated or not."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from poolwright.kubesim import status
from poolwright.kubesim.api.call import Call
from poolwright.kubesim.api.review import REVIEWS
from poolwright.kubesim.catalog import Catalog
from poolwright.kubesim.entry import encode
from poolwright.kubesim.kinds.custom import version_order
from poolwright.kubesim.version import View

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_STATUS_VERBS = ["get", "patch", "update"]
_STREAM_VERBS = ["create", "get"]

# Subresources whose kind is not the parent's: kind, group, version, verbs.
_SUBRESOURCES: dict[str, tuple[str, str, str, list[str]]] = {
    "attach": ("PodAttachOptions", "", "v1", _STREAM_VERBS),
    "binding": ("Binding", "", "v1", ["create"]),
    "eviction": ("Eviction", "policy", "v1", ["create"]),
    "exec": ("PodExecOptions", "", "v1", _STREAM_VERBS),
    "log": ("", "", "", ["get"]),
    "portforward": ("PodPortForwardOptions", "", "v1", _STREAM_VERBS),
    "proxy": ("", "", "", ["create", "delete", "get", "patch", "update"]),
    "scale": ("Scale", "autoscaling", "v1", _STATUS_VERBS),
    "token": ("TokenRequest", "authentication.k8s.io", "v1", ["create"]),
    "finalize": ("", "", "", ["update"]),
}
_ROOT_PATHS = (
    "/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version",
)  # fmt: skip
_AGGREGATED = "APIGroupDiscoveryList"
_GROUP_ORDER = (
    "", "events.k8s.io", "apps", "authentication.k8s.io", "authorization.k8s.io", "autoscaling",
    "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io",
    "storage.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io",
    "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "resource.k8s.io",
)  # fmt: skip


# What a kube-apiserver checks: all of it is one process here. Source: k8s.io/kubernetes
# test/e2e/apimachinery/health_handlers.go.
_HEALTH_CHECKS = (
    "ping", "log", "etcd", "informer-sync",
    *(
        f"poststarthook/{name}"
        for name in (
            "start-apiserver-admission-initializer", "generic-apiserver-start-informers",
            "start-apiextensions-informers", "start-apiextensions-controllers",
            "storage-readiness", "crd-informer-synced", "bootstrap-controller",
            "start-system-namespaces-controller", "start-service-ip-repair-controllers",
            "rbac/bootstrap-roles",
            "scheduling/bootstrap-system-priority-classes",
            "start-cluster-authentication-info-controller", "start-kube-aggregator-informers",
            "apiservice-registration-controller", "apiservice-status-local-available-controller",
            "apiservice-status-remote-available-controller", "kube-apiserver-autoregistration",
        )
    ),
    "autoregister-completion", "poststarthook/apiservice-openapi-controller",
)  # fmt: skip


def groups(catalog: Catalog) -> dict[str, list[str]]:
    """Groups in the order of discovery, with their versions, the preferred first."""
    found: dict[str, list[str]] = {}
    for group, version in sorted(catalog.groups() | {(g, v) for g, v, _ in REVIEWS}):
        found.setdefault(group, []).append(version)
    known = {name: place for place, name in enumerate(_GROUP_ORDER)}
    order = sorted(found, key=lambda group: (known.get(group, len(known)), group))
    return {group: sorted(found[group], key=version_order) for group in order}


def _views(catalog: Catalog, group: str, version: str) -> list[View]:
    return [
        view
        for (g, v, _), view in sorted(catalog.views.items(), key=lambda item: item[0][2])
        if (g, v) == (group, version)
    ]


def _kept(catalog: Catalog, key: tuple[str, ...], make: Callable[[], dict[str, Any]]) -> bytes:
    """A document, made once while the catalog stands."""
    made = catalog.made.get(key)
    if made is None:
        made = catalog.made[key] = encode(make())
    return made


def _sub_verbs(view: View, name: str) -> tuple[str, str, str, list[str]]:
    if name == "status":
        return view.resource.kind, "", "", _STATUS_VERBS
    kind, group, version, verbs = _SUBRESOURCES[name]
    return kind or view.resource.kind, group, version, verbs


def _resource_list(catalog: Catalog, group: str, version: str) -> dict[str, Any]:
    """``APIResourceList`` of one group version."""
    resources: list[dict[str, Any]] = []
    for view in _views(catalog, group, version):
        kind, resource = view.kind, view.resource
        row: dict[str, Any] = {
            "name": resource.plural,
            "singularName": kind.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": _verbs_of(view),
        }
        if kind.short_names:
            row["shortNames"] = list(kind.short_names)
        if kind.categories:
            row["categories"] = list(kind.categories)
        row["storageVersionHash"] = _storage_hash(view)
        resources.append(row)
        for name in kind.subresources:
            sub_kind, sub_group, sub_version, verbs = _sub_verbs(view, name)
            sub: dict[str, Any] = {
                "name": f"{resource.plural}/{name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": sub_kind,
                "verbs": verbs,
            }
            if sub_group:
                sub["group"], sub["version"] = sub_group, sub_version
            resources.append(sub)
    for (g, v, plural), review in sorted(REVIEWS.items()):
        if (g, v) == (group, version):
            resources.append(
                {
                    "name": plural,
                    "singularName": review.kind.lower(),
                    "namespaced": review.namespaced,
                    "kind": review.kind,
                    "verbs": ["create"],
                }
            )
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def _storage_hash(view: View) -> str:
    """Tells clients that migrate objects when the form changed in which they are stored.

    Source: k8s.io/apiserver pkg/endpoints/discovery/storageversionhash.go.
    """
    stored = view.kind.resource
    text = f"{stored.group}/{stored.version}/{stored.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _verbs_of(view: View) -> list[str]:
    if view.resource.plural == "namespaces":  # the real server has no deletecollection here
        return [verb for verb in _VERBS if verb != "deletecollection"]
    return _VERBS


def _aggregated_resources(catalog: Catalog, group: str, version: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for view in _views(catalog, group, version):
        kind, resource = view.kind, view.resource
        row: dict[str, Any] = {
            "resource": resource.plural,
            "responseKind": {"group": group, "version": version, "kind": resource.kind},
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "singularResource": kind.singular,
            "verbs": _verbs_of(view),
        }
        if kind.short_names:
            row["shortNames"] = list(kind.short_names)
        if kind.categories:
            row["categories"] = list(kind.categories)
        subs: list[dict[str, Any]] = []
        for name in kind.subresources:
            sub_kind, sub_group, sub_version, verbs = _sub_verbs(view, name)
            subs.append(
                {
                    "subresource": name,
                    "responseKind": {
                        "group": sub_group if sub_version else group,
                        "version": sub_version or version,
                        "kind": sub_kind,
                    },
                    "verbs": verbs,
                }
            )
        if subs:
            row["subresources"] = subs
        rows.append(row)
    for (g, v, plural), review in sorted(REVIEWS.items()):
        if (g, v) == (group, version):
            rows.append(
                {
                    "resource": plural,
                    "responseKind": {"group": g, "version": v, "kind": review.kind},
                    "scope": "Namespaced" if review.namespaced else "Cluster",
                    "singularResource": review.kind.lower(),
                    "verbs": ["create"],
                }
            )
    return rows


def _aggregated(catalog: Catalog, *, core: bool, version: str) -> dict[str, Any]:
    """``APIGroupDiscoveryList`` of the core group or of all others."""
    items = [
        {
            "metadata": {"creationTimestamp": None, **({"name": group} if group else {})},
            "versions": [
                {
                    "version": served,
                    "resources": _aggregated_resources(catalog, group, served),
                    "freshness": "Current",
                }
                for served in versions
            ],
        }
        for group, versions in groups(catalog).items()
        if (group == "") == core
    ]
    return {
        "kind": _AGGREGATED,
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _group(group: str, versions: list[str]) -> dict[str, Any]:
    served = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": served, "preferredVersion": served[0]}


def _group_list(catalog: Catalog) -> dict[str, Any]:
    """``APIGroupList``."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(g, versions) for g, versions in groups(catalog).items() if g],
    }


def _aggregated_version(accept: str) -> str:
    """The version of aggregated discovery that a client prefers over the plain form."""
    for clause in accept.split(","):
        if f"as={_AGGREGATED}" in clause and "g=apidiscovery.k8s.io" in clause:
            for version in ("v2beta1", "v2"):
                if f"v={version}" in [part.strip() for part in clause.split(";")]:
                    return version
        elif clause.strip() in {"application/json", "*/*"}:
            return ""
    return ""


async def serve(call: Call) -> None:
    """``/api``, ``/apis`` and what lies right under them."""
    if call.method not in {"GET", "HEAD"}:
        raise status.method_not_supported("")
    segments, catalog = call.segments, call.registry.catalog
    is_core = segments[0] == "api"
    if len(segments) == 1:
        version = _aggregated_version(call.header(b"accept"))
        if version:
            media = f"application/json;g=apidiscovery.k8s.io;v={version};as={_AGGREGATED}"
            data = _kept(
                catalog,
                ("aggregated", str(is_core), version),
                lambda: _aggregated(catalog, core=is_core, version=version),
            )
            await call.answer(200, data, media)
        elif is_core:
            await call.answer_object(
                {
                    "kind": "APIVersions",
                    "versions": ["v1"],
                    "serverAddressByClientCIDRs": [
                        {"clientCIDR": "0.0.0.0/0", "serverAddress": call.header(b"host")}
                    ],
                }
            )
        else:
            await call.answer(200, _kept(catalog, ("groups",), lambda: _group_list(catalog)))
        return
    found = groups(catalog)
    group = "" if is_core else segments[1]
    if group not in found:
        raise status.page_not_found(plain=True)
    if not is_core and len(segments) == 2:
        await call.answer_object(
            {"kind": "APIGroup", "apiVersion": "v1", **_group(group, found[group])}
        )
        return
    version = segments[1] if is_core else segments[2]
    if version not in found[group]:
        raise status.page_not_found()
    data = _kept(
        catalog, ("resources", group, version), lambda: _resource_list(catalog, group, version)
    )
    await call.answer(200, data)


async def root(call: Call) -> None:
    """``/``: the paths."""
    more = [
        path
        for group, versions in groups(call.registry.catalog).items()
        if group
        for path in (f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions))
    ]
    await call.answer_object({"paths": sorted([*_ROOT_PATHS, *more])})


async def serve_plain(call: Call) -> None:
    """``/version`` and the health endpoints."""
    if call.method not in {"GET", "HEAD"}:
        raise status.method_not_supported("")
    part = "/".join(call.segments[1:])
    match call.segments[0]:
        case "version" if part:
            raise status.page_not_found()
        case "healthz" | "livez" | "readyz" if part and part not in _HEALTH_CHECKS:
            raise status.page_not_found(plain=True)
        case "version":
            git_version = call.cluster.git_version
            major, minor, *_ = git_version.removeprefix("v").split(".")
            await call.answer_object(
                {
                    "major": major,
                    "minor": minor,
                    "gitVersion": git_version,
                    "gitCommit": "0" * 40,
                    "gitTreeState": "clean",
                    "buildDate": "2026-01-01T00:00:00Z",
                    "goVersion": "go1.25.0",
                    "compiler": "gc",
                    "platform": "linux/amd64",
                }
            )
        case "healthz" | "livez" | "readyz":
            if "verbose" in call.query:
                name = call.segments[0]
                checks = "".join(f"[+]{each} ok\n" for each in _HEALTH_CHECKS)
                await call.answer(200, f"{checks}{name} check passed\n".encode(), "text/plain")
            else:
                await call.answer(200, b"ok", "text/plain; charset=utf-8")
        case _:
            raise status.page_not_found(plain=True)
