"""Tokens of service accounts: issued for an audience, bound to an object, and void without it.

Source of claims, rules and wording: k8s.io/kubernetes pkg/serviceaccount (claims.go, jwt.go,
legacy.go).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt

from poolwright.kubesim.entry import Entry
from poolwright.kubesim.objects import Objects
from poolwright.kubesim.user import User
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import Resource

AUDIENCE = "https://kubernetes.default.svc.cluster.local"
"""The API server's own, which a token has that was asked for without any."""
_OF_SECRET = "kubernetes.io/serviceaccount/"
_SECRET_ISSUER = "kubernetes/serviceaccount"
_LEEWAY = timedelta(seconds=60)
_KNOWN_MAX = 1024
_BOUND: Mapping[str, Resource] = {
    "pod": names.PODS, "secret": names.SECRETS, "node": names.NODES,
}  # fmt: skip


class Invalid(Exception):
    """Why a token is not good."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a token is asked for: whose, how long, for whom, and bound to what."""

    namespace: str
    account: str
    uid: str
    seconds: int
    audiences: Sequence[str] = ()
    bound: Entry | None = None
    node: Entry | None = None
    """Where the pod runs that it is bound to."""


class Tokens:
    """Signs and checks. A token's signature is checked once: what it says is kept, and only what
    may change is looked up again.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: dict[tuple[str, str], Mapping[str, Any]] = {}

    def issue(self, wanted: Wanted, key: str, now: datetime, identifier: str) -> str:
        """A signed token."""
        about: dict[str, Any] = {
            "namespace": wanted.namespace,
            "serviceaccount": {"name": wanted.account, "uid": wanted.uid},
        }
        if wanted.bound is not None:
            about[wanted.bound.kind.resource.kind.lower()] = _reference(wanted.bound)
        if wanted.node is not None:
            about["node"] = _reference(wanted.node)
        claims = {
            "aud": list(wanted.audiences) or [AUDIENCE],
            "exp": int((now + timedelta(seconds=wanted.seconds)).timestamp()),
            "iat": int(now.timestamp()),
            "iss": AUDIENCE,
            "jti": identifier,
            "kubernetes.io": about,
            "nbf": int(now.timestamp()),
            "sub": f"system:serviceaccount:{wanted.namespace}:{wanted.account}",
        }
        return jwt.encode(claims, key, algorithm="HS256")

    def issue_for_secret(self, secret: Json, account: Json, key: str) -> str:
        """The token that a secret holds: without an end of its own, and always the same."""
        meta, its = secret["metadata"], account["metadata"]
        claims = {
            "iss": _SECRET_ISSUER,
            f"{_OF_SECRET}namespace": meta["namespace"],
            f"{_OF_SECRET}secret.name": meta["name"],
            f"{_OF_SECRET}service-account.name": its["name"],
            f"{_OF_SECRET}service-account.uid": its["uid"],
            "sub": f"system:serviceaccount:{meta['namespace']}:{its['name']}",
        }
        return jwt.encode(claims, key, algorithm="HS256")

    def check(
        self, token: str, key: str, now: datetime, audiences: Sequence[str] = ()
    ) -> tuple[User, list[str]] | None:
        """Whose token it is and which of the wanted audiences it is for; None: it is none of ours.

        Raises:
            Invalid: it is one of ours, and no longer good, or not for these audiences.
        """
        claims = self._claims(token, key)
        if claims is None:
            return None
        wanted = list(audiences) or [AUDIENCE]
        its: list[str] = claims.get("aud") or [AUDIENCE]
        shared = [audience for audience in its if audience in wanted]
        if not shared:
            raise Invalid(
                f"token audiences {_quoted(its)} is invalid for the target audiences"
                f" {_quoted(wanted)}"
            )
        if claims.get("iss") == _SECRET_ISSUER:
            about = self._about_secret(claims, token)
        else:
            about = child(claims, "kubernetes.io")
            if now.timestamp() > int(claims.get("exp", 0)):
                raise Invalid("service account token has expired")
        self._check_objects(about, now)
        return _user(claims, about), shared

    def _claims(self, token: str, key: str) -> Mapping[str, Any] | None:
        """What a token says, if it is signed with our key."""
        known = self._known.get((token, key))
        if known is not None:
            return known
        options: Any = dict.fromkeys(
            ("verify_exp", "verify_aud", "verify_iat", "verify_nbf"), False
        )
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token, key, algorithms=["HS256"], options=options
            )
        except jwt.PyJWTError:
            return None
        if len(self._known) >= _KNOWN_MAX:
            self._known.pop(next(iter(self._known)))
        self._known[token, key] = claims
        return claims

    def _about_secret(self, claims: Mapping[str, Any], token: str) -> Mapping[str, Any]:
        """What a secret's token says, as others do, if the secret still holds it."""
        namespace, name, account, uid = (
            str(claims.get(f"{_OF_SECRET}{part}") or "")
            for part in ("namespace", "secret.name", "service-account.name", "service-account.uid")
        )
        secret = self._objects.entry(names.SECRETS, name, namespace)
        if secret is None or secret.is_leaving:
            raise Invalid("Token has been invalidated")
        held = child(secret.object(), "data").get("token")
        if held != base64.b64encode(token.encode()).decode():
            raise Invalid("Token does not match server's copy")
        return {"namespace": namespace, "serviceaccount": {"name": account, "uid": uid}}

    def _check_objects(self, about: Mapping[str, Any], now: datetime) -> None:
        namespace, account = str(about.get("namespace") or ""), child(about, "serviceaccount")
        name, uid = str(account.get("name") or ""), account.get("uid")
        found = self._objects.entry(names.SERVICE_ACCOUNTS, name, namespace)
        if found is None:
            raise Invalid(f'serviceaccounts "{name}" not found')
        if found.uid != uid:
            raise Invalid(f"service account UID ({found.uid}) does not match claim ({uid})")
        if _is_gone(found, now):
            raise Invalid("service account token has been invalidated")
        for kind, resource in _BOUND.items():
            if kind not in about or (kind == "node" and "pod" in about):
                continue
            name, uid = str(about[kind].get("name")), about[kind].get("uid")
            bound = self._objects.entry(resource, name, namespace if resource.namespaced else "")
            if bound is None:
                raise Invalid("service account token has been invalidated")
            if bound.uid != uid:
                raise Invalid(f"{kind} UID ({bound.uid}) does not match service account {kind} ref"
                              f" claim ({uid})")  # fmt: skip
            if _is_gone(bound, now):
                raise Invalid("service account token has been invalidated")


def _is_gone(entry: Entry, now: datetime) -> bool:
    """Whether it was to be deleted so long ago that its tokens end."""
    if not entry.is_leaving:
        return False
    deleted = entry.object()["metadata"]["deletionTimestamp"]
    return datetime.fromisoformat(deleted) < now - _LEEWAY


def _reference(entry: Entry) -> dict[str, str]:
    return {"name": entry.name, "uid": entry.uid}


def _quoted(words: Sequence[str]) -> str:
    """As Go prints a list of quoted texts."""
    return "[" + " ".join(f'"{word}"' for word in words) + "]"


def _user(claims: Mapping[str, Any], about: Mapping[str, Any]) -> User:
    prefix, extra = "authentication.kubernetes.io", dict[str, tuple[str, ...]]()
    if claims.get("jti"):
        extra[f"{prefix}/credential-id"] = (f"JTI={claims['jti']}",)
    for kind in ("node", "pod"):
        if kind in about:
            extra[f"{prefix}/{kind}-name"] = (str(about[kind].get("name")),)
            extra[f"{prefix}/{kind}-uid"] = (str(about[kind].get("uid")),)
    namespace = about.get("namespace")
    return User(
        str(claims.get("sub") or ""),
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
        str(child(about, "serviceaccount").get("uid") or ""),
        tuple(sorted(extra.items())),
    )
