"""Kinds that are asked and not kept: access reviews, token requests, scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from poolwright.kubesim import status
from poolwright.kubesim.access import permission, rules_of
from poolwright.kubesim.account_token import AUDIENCE, Invalid, Wanted
from poolwright.kubesim.api import negotiate
from poolwright.kubesim.api.call import Call
from poolwright.kubesim.api.target import Target
from poolwright.kubesim.entry import Entry
from poolwright.kubesim.user import Attempt, User
from poolwright.model import kubernetes as names
from poolwright.model.instant import wall_text
from poolwright.model.json_value import Json, child

AUTHORIZATION = "authorization.k8s.io"
AUTHENTICATION = "authentication.k8s.io"
TOKEN_SECONDS = 3600
TOKEN_SECONDS_MAX = 1 << 32
TOKEN_SECONDS_MIN = 600  # k8s.io/kubernetes pkg/apis/authentication/validation


@dataclass(frozen=True, slots=True)
class Review:
    """A kind that is only ever posted; ``decide`` says the status."""

    kind: str
    decide: Callable[[Call, dict[str, Any]], dict[str, Any]]
    namespaced: bool = False


def _attempt(body: dict[str, Any]) -> Attempt:
    """What a review asks about."""
    path = child(body, "spec", "nonResourceAttributes")
    if path:
        return Attempt(str(path.get("verb") or ""), path=str(path.get("path") or ""))
    asked = child(body, "spec", "resourceAttributes")
    members = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Attempt(*(str(asked.get(member) or "") for member in members))


def _decision(call: Call, user: User, body: dict[str, Any]) -> dict[str, Any]:
    reason = permission(call.registry, user, _attempt(body))
    return {"allowed": reason is not None, **({"reason": reason} if reason else {})}


def _may_i(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    return _decision(call, call.user, body)


def _may_they(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    spec = child(body, "spec")
    groups = tuple(str(group) for group in spec.get("groups") or ())
    return _decision(call, User(str(spec.get("user") or ""), groups), body)


def _my_rules(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    namespace = str(child(body, "spec").get("namespace") or "")
    rules = list(rules_of(call.registry, call.user, namespace))
    resources = ("verbs", "apiGroups", "resources", "resourceNames")
    paths = ("verbs", "nonResourceURLs")
    return {
        "resourceRules": [
            {m: rule[m] for m in resources if m in rule} for rule in rules if "resources" in rule
        ],
        "nonResourceRules": [
            {m: rule[m] for m in paths if m in rule} for rule in rules if "nonResourceURLs" in rule
        ],
        "incomplete": False,
    }


def _self(call: Call, _body: dict[str, Any]) -> dict[str, Any]:
    return {"userInfo": call.user.info()}


def _token(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    spec = child(body, "spec")
    token = str(spec.get("token") or "")
    if not token:
        raise status.bad_request("token is required for TokenReview in authentication")
    try:
        found = call.cluster.identify(token, _audiences(spec))
    except Invalid as error:
        return {"user": {}, "error": f"[invalid bearer token, {error}]"}
    if found is None:
        return {"user": {}, "error": "invalid bearer token"}
    user, audiences = found
    return {"authenticated": True, "user": user.info(), "audiences": list(audiences)}


def _audiences(spec: Json) -> list[str]:
    listed = spec.get("audiences")
    return [str(a) for a in cast("list[Any]", listed)] if isinstance(listed, list) else []


REVIEWS: dict[tuple[str, str, str], Review] = {
    (AUTHORIZATION, "v1", "selfsubjectaccessreviews"): Review("SelfSubjectAccessReview", _may_i),
    (AUTHORIZATION, "v1", "selfsubjectrulesreviews"): Review("SelfSubjectRulesReview", _my_rules),
    (AUTHORIZATION, "v1", "subjectaccessreviews"): Review("SubjectAccessReview", _may_they),
    (AUTHORIZATION, "v1", "localsubjectaccessreviews"): Review(
        "LocalSubjectAccessReview", _may_they, namespaced=True
    ),
    (AUTHENTICATION, "v1", "tokenreviews"): Review("TokenReview", _token),
    (AUTHENTICATION, "v1", "selfsubjectreviews"): Review("SelfSubjectReview", _self),
}


async def serve(call: Call, group: str, plural: str, _namespace: str) -> None:
    """POST of a review."""
    if call.method != "POST":
        raise status.method_not_supported("")
    review = REVIEWS[group, "v1", plural]
    if call.form().view:  # it has no metadata that a table could show
        raise negotiate.not_acceptable()
    body = await call.object()
    await call.answer_object(
        {
            "kind": review.kind,
            "apiVersion": f"{group}/v1",
            "metadata": {"creationTimestamp": None},
            "spec": body.get("spec") or {},
            "status": review.decide(call, body),
        },
        201,
    )


async def token_request(call: Call, target: Target) -> None:
    """POST of a TokenRequest to a service account."""
    account = call.registry.entry(target.view.kind, target.name, target.namespace)
    if account is None:
        raise target.missing
    body = await call.object()
    spec = child(body, "spec")
    given = spec.get("expirationSeconds") or TOKEN_SECONDS
    if not isinstance(given, int):
        raise status.bad_request(
            'TokenRequest in version "v1" cannot be handled as a TokenRequest: json: cannot'
            " unmarshal string into Go struct field TokenRequestSpec.spec.expirationSeconds of"
            " type int64"
        )
    causes = [
        status.invalid("spec.expirationSeconds", given, f"may not specify a duration {why}")
        for is_wrong, why in (
            (given < TOKEN_SECONDS_MIN, "less than 10 minutes"),
            (given > TOKEN_SECONDS_MAX, "larger than 2^32 seconds"),
        )
        if is_wrong
    ]
    if causes:
        raise status.unprocessable(AUTHENTICATION, "TokenRequest", "", causes)
    audiences = _audiences(spec)
    bound, node = _bound(call, target, child(spec, "boundObjectRef"))
    now = call.registry.clock.now().wall
    token = call.cluster.issue(
        Wanted(target.namespace, target.name, account.uid, given, audiences, bound, node)
    )
    await call.answer_object(
        {
            "kind": "TokenRequest",
            "apiVersion": f"{AUTHENTICATION}/v1",
            "metadata": {
                "name": target.name,
                "namespace": target.namespace,
                "creationTimestamp": wall_text(now),
            },
            "spec": {
                "audiences": audiences or [AUDIENCE],
                "expirationSeconds": given,
                "boundObjectRef": spec.get("boundObjectRef"),
            },
            "status": {
                "token": token,
                "expirationTimestamp": wall_text(now + timedelta(seconds=given)),
            },
        },
        201,
    )


_BOUND = {
    ("v1", "Pod"): names.PODS, ("v1", "Secret"): names.SECRETS, ("v1", "Node"): names.NODES,
}  # fmt: skip


def _bound(call: Call, target: Target, reference: Json) -> tuple[Entry | None, Entry | None]:
    """What a token is to be bound to, and the node where that runs if it is a pod.

    Source: k8s.io/kubernetes pkg/registry/core/serviceaccount/storage/token.go.
    """
    if not reference:
        return None, None
    version, kind = str(reference.get("apiVersion") or ""), str(reference.get("kind") or "")
    resource = _BOUND.get((version, kind))
    if resource is None:
        group, _, short = version.rpartition("/")
        raise status.bad_request(
            f"cannot bind token to object of type {group}/{short}, Kind={kind}"
        )
    name, home = str(reference.get("name") or ""), target.namespace if resource.namespaced else ""
    found = call.registry.entry(resource, name, home)
    if found is None:
        raise status.not_found(resource.group, resource.plural, name)
    node = None
    if resource == names.PODS:
        spec = child(found.object(), "spec")
        if (spec.get("serviceAccountName") or "default") != target.name:
            raise status.bad_request(
                f'cannot bind token for serviceaccount "{target.name}" to pod running with'
                " different serviceaccount name."
            )
        node = call.registry.entry(names.NODES, str(spec.get("nodeName") or ""))
    uid = reference.get("uid")
    if uid and uid != found.uid:
        raise status.StatusError(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on {kind} "{name}": the UID in the bound object'
            f" reference ({uid}) does not match the UID in record. The object might have been"
            " deleted and then recreated",
            details={"name": name, "kind": kind},
        )
    return found, node
