"""The ASGI application: every cluster under ``/k8s/<subscription>/<group>/<name>``.

``kubectl get --raw`` drops the path of the kubeconfig's server. A Kubernetes path without a cluster
is therefore served by the cluster whose credential the request carries; so is any other path that
comes with one and is nobody else's, as through ``kubectl proxy``.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from poolwright.kubesim import status
from poolwright.kubesim.access import MASTERS, is_allowed, refused
from poolwright.kubesim.api import discovery, openapi, pod_access, resource, review
from poolwright.kubesim.api.call import Call, Disconnected
from poolwright.kubesim.api.scale import SCALE
from poolwright.kubesim.api.target import Target
from poolwright.kubesim.cluster import Cluster
from poolwright.kubesim.user import Attempt, User
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Transient, Unknown

Verb = Callable[[Call, Target], Awaitable[None]]

PREFIX = "k8s"
BARE_PATHS = ("api", "apis", "healthz", "livez", "openapi", "readyz", "version")
"""First segments of Kubernetes' own paths, which may come without a cluster."""
_ANONYMOUS_PATHS = ("version", "healthz", "livez", "readyz")

_COLLECTION: dict[str, Verb] = {
    "GET": resource.list_,
    "POST": resource.create,
    "DELETE": resource.delete_collection,
}
_OBJECT: dict[str, Verb] = {
    "GET": resource.get,
    "PUT": resource.replace,
    "PATCH": resource.patch,
    "DELETE": resource.delete,
}
_STATUS: dict[str, Verb] = {
    "GET": resource.get,
    "PUT": resource.replace,
    "PATCH": resource.patch,
}
_SUBRESOURCES: dict[tuple[str, str], dict[str, Verb]] = {
    **pod_access.SUBRESOURCES,
    ("serviceaccounts", "token"): {"POST": review.token_request},
    ("namespaces", "finalize"): {"PUT": resource.replace},
}


class Application:
    """Finds the cluster, knows the caller, dispatches; every refusal becomes a ``Status``."""

    def __init__(self, clusters: Mapping[ClusterKey, Cluster]) -> None:
        self._clusters = clusters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request."""
        if scope["type"] not in {"http", "websocket"}:
            return
        path: str = scope["path"]
        segments = [part for part in path.split("/") if part]
        nobody = User("system:anonymous", ("system:unauthenticated",))
        try:
            cluster, inner = self._route(scope, segments)
        except status.StatusError as error:
            call = Call(scope, receive, send, _NO_CLUSTER, nobody, segments)
            await _refuse(call, error)
            return
        call = Call(scope, receive, send, cluster, nobody, inner)
        try:
            await self._serve(call)
        except status.StatusError as error:
            await _refuse(call, error)
        except Transient as error:
            await _refuse(call, status.unavailable(error.message))
        except Unknown:
            await _refuse(call, status.timed_out())
        except Disconnected:
            return

    def is_known(self, scope: Scope) -> bool:
        """Whether a request bears the credential of a cluster's kubeconfig, which is no JWT."""
        token = _bearer_of(scope)
        return bool(token) and "." not in token and self._cluster_of(token) is not None

    def _cluster_of(self, token: str) -> Cluster | None:
        known = (c for c in self._clusters.values() if c.authenticate(token) is not None)
        return next(known, None) if token else None

    def _route(self, scope: Scope, segments: list[str]) -> tuple[Cluster, list[str]]:
        """The cluster that is meant, and the segments behind its address."""
        if not segments or segments[0] != PREFIX:
            token = _bearer_of(scope)
            cluster = self._cluster_of(token)
            if cluster is None:
                raise status.unauthorized()
            return cluster, segments
        if len(segments) < 4:
            raise status.page_not_found()
        found = self._clusters.get(ClusterKey.of(*(unquote(part) for part in segments[1:4])))
        if found is None:
            raise status.page_not_found()
        return found, segments[4:]

    async def _serve(self, call: Call) -> None:
        segments = call.segments
        if not call.cluster.record.is_running:
            raise status.stopped()
        user = _caller(call)
        if user is None:
            if not segments or segments[0] not in _ANONYMOUS_PATHS:
                raise status.unauthorized()
        else:
            call.user = user
        if MASTERS not in call.user.groups and not _is_resource(segments):
            path = "/" + "/".join(segments)
            _authorize(call, call.user, Attempt(_VERBS.get(call.method, ""), path=path))
        _check_timeout(call)
        if not segments:
            await discovery.root(call)
            return
        match segments[0]:
            case "api" if len(segments) > 2:
                await _dispatch(call, "", segments[1], segments[2:])
            case "apis" if len(segments) > 3:
                await _dispatch(call, segments[1], segments[2], segments[3:])
            case "api" | "apis":
                await discovery.serve(call)
            case "openapi":
                await openapi.serve(call)
            case _:
                await discovery.serve_plain(call)


_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)")


def _check_timeout(call: Call) -> None:
    """Refuse a ``timeout`` that is no duration; requests here never take so long as one."""
    text = call.query.get("timeout", "")
    if text and not _DURATION.fullmatch(text) and not call.query.get("watch"):
        why = f'time: invalid duration "{text}"'
        raise status.bad_request(f"invalid timeout specified in the request URL - {why}")


def _caller(call: Call) -> User | None:
    token = _bearer(call.header(b"authorization"))
    user = call.cluster.authenticate(token) if token else None
    name = call.header(b"impersonate-user")
    groups = [value.decode("latin-1") for key, value in call.scope["headers"] if key == _AS_GROUP]
    uid = call.header(b"impersonate-uid")
    if user is not None and not name and (groups or uid):
        raise status.bad_request(_nobody(groups, uid))
    if user is None or not name:
        return user
    for kind, wanted in (("users", name), *(("groups", group) for group in groups)):
        _authorize(call, user, Attempt("impersonate", resource=kind, name=wanted))
    if name.startswith("system:serviceaccount:") and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{name.split(':')[2]}"]
    return User(name, (*groups, "system:authenticated"))


def _nobody(groups: list[str], uid: str) -> str:
    """Why groups alone cannot be impersonated, as Go prints it."""
    named = ", ".join(f'"{group}"' for group in groups)
    listed = f"[]string{{{named}}}" if groups else "[]string(nil)"
    return (
        f'requested &user.DefaultInfo{{Name:"", UID:"{uid}", Groups:{listed},'
        " Extra:map[string][]string(nil)} without impersonating a user name"
    )


_AS_GROUP = b"impersonate-group"
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
          "DELETE": "delete"}  # fmt: skip


def _authorize(call: Call, user: User, attempt: Attempt) -> None:
    """Raise Forbidden unless a user may do something."""
    if MASTERS not in user.groups and not is_allowed(call.registry, user, attempt):
        raise refused(user, attempt)


def _verb_of(call: Call, name: str) -> str:
    """The verb that roles speak of."""
    verb = _VERBS.get(call.method, call.method.lower())
    if name:
        return verb
    if verb == "get":
        return "watch" if call.flag("watch") else "list"
    return "deletecollection" if verb == "delete" else verb


def _bearer(header: str) -> str:
    """The token of an Authorization header; empty if there is none."""
    kind, _, token = header.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _bearer_of(scope: Scope) -> str:
    headers: dict[bytes, bytes] = dict(scope.get("headers") or ())
    return _bearer(headers.get(b"authorization", b"").decode("latin-1"))


def _is_resource(segments: list[str]) -> bool:
    """Whether a path names a resource (its rules are others than those of plain paths)."""
    return len(segments) > {"api": 2, "apis": 3}.get(segments[0] if segments else "", 99)


async def _dispatch(call: Call, group: str, version: str, rest: list[str]) -> None:
    if rest[0] == "watch" and len(rest) > 1:  # the old form of ?watch=true
        rest = rest[1:]
        call.watch_always()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (group, rest[2]) not in _NAMESPACE_PARTS:
        namespace, rest = rest[1], rest[2:]
    plural = rest[0]
    if MASTERS not in call.user.groups:
        name, subresource = (*rest[1:3], "", "")[:2]
        home = name if (group, plural) == ("", "namespaces") else namespace
        attempt = Attempt(_verb_of(call, name), group, plural, subresource, home, name)
        _authorize(call, call.user, attempt)
    if (group, version, plural) in review.REVIEWS:
        await review.serve(call, group, plural, namespace)
        return
    view = call.registry.catalog.views.get((group, version, plural))
    if view is None and version not in discovery.groups(call.registry.catalog).get(group, ()):
        raise status.page_not_found(plain=True)
    if view is None or len(rest) > 3 + 10:
        raise status.page_not_found()
    if namespace and not view.resource.namespaced:
        raise status.page_not_found()
    if view.declared is not None and view.declared.warning:
        call.warnings.append(view.declared.warning)
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    target = Target(view, namespace, name, subresource)
    if name in {".", ".."}:
        raise status.bad_request(f"Name parameter invalid: \"{name}\": may not be '{name}'")
    if name and view.resource.namespaced and not namespace:
        raise status.page_not_found()
    verbs = _verbs(target)
    verb = verbs.get(call.method if call.scope["type"] == "http" else "GET")
    if verb is None:
        raise status.method_not_supported("")
    if not name and call.method == "POST" and view.resource.namespaced and not namespace:
        raise status.method_not_supported("")
    await verb(call, target)


_NAMESPACE_PARTS = (("", "status"), ("", "finalize"))


def _verbs(target: Target) -> dict[str, Verb]:
    subresource = target.subresource
    if not subresource:
        return _OBJECT if target.name else _COLLECTION
    kind = target.view.kind
    if subresource not in kind.subresources:
        raise status.page_not_found()
    if subresource == "status":
        return _STATUS
    if subresource == "scale":
        return SCALE
    found = _SUBRESOURCES.get((kind.resource.plural, subresource))
    if found is None:
        raise status.page_not_found()
    return found


async def _refuse(call: Call, error: status.StatusError) -> None:
    if call.scope["type"] == "http":
        await call.refuse(error)
        return
    await pod_access.refuse_socket(call, error)


class _NoCluster:
    """Stands where a request names no cluster."""


_NO_CLUSTER: Cluster = _NoCluster()  # type: ignore[assignment]
