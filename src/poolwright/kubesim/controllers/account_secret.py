"""Runs the planner of secrets that hold tokens of service accounts; others only show their type."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from poolwright.kubesim.controllers.perform import Performer
from poolwright.kubesim.controllers.state import Following
from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.kubesim.registry import Registry
from poolwright.model.instant import Instant
from poolwright.model.json_value import Json
from poolwright.model.kubernetes import SECRETS, SERVICE_ACCOUNTS
from poolwright.plan.kubernetes.account_secret import TYPE, account_of, plan_account_secret
from poolwright.reconcile.loop import Loop

SignAccountSecret = Callable[[Json, Json], str]
"""Makes the token that a secret holds for a service account, of both."""


class AccountSecretController:
    """One key per such secret: ``namespace/name``."""

    name = "account_secret"

    def __init__(
        self, registry: Registry, performer: Performer, ca_pem: bytes, sign: SignAccountSecret
    ) -> None:
        self._registry = registry
        self._performer = performer
        self._ca_pem = ca_pem
        self._sign = sign
        self._of_account: dict[str, dict[str, None]] = {}
        """Keys of secrets, by the key of their account."""

    def start(self, loop: Loop[str], following: Following) -> None:
        """Look at each when it changes, and when its account goes."""

        def on_secret(change: ObjectChange) -> None:
            if change.new.field("type") != TYPE:
                return
            if change.old is not None:
                self._forget(change.old)
            if change.type != "DELETED":
                self._note(change.new, loop)

        def on_account(change: ObjectChange) -> None:
            if change.type != "MODIFIED":
                for key in self._of_account.get(change.new.key, ()):
                    loop.wake(key)

        following.subscribe(on_secret, (SECRETS,))
        following.subscribe(on_account, (SERVICE_ACCOUNTS,))
        for entry in following.list(SECRETS):
            if entry.field("type") == TYPE:
                self._note(entry, loop)

    def _note(self, secret: Entry, loop: Loop[str]) -> None:
        self._of_account.setdefault(_account_key(secret), {})[secret.key] = None
        loop.wake(secret.key)

    def _forget(self, secret: Entry) -> None:
        account = _account_key(secret)
        others = self._of_account.get(account, {})
        others.pop(secret.key, None)
        if not others:
            self._of_account.pop(account, None)

    async def reconcile(self, key: str) -> Instant | None:
        """Fill one secret, or delete it."""
        namespace, _, name = key.rpartition("/")
        secret = self._registry.get(SECRETS, name, namespace)
        if secret is None or "deletionTimestamp" in secret["metadata"]:
            return None
        account = self._registry.get(SERVICE_ACCOUNTS, account_of(secret), namespace)
        make = partial(self._sign, secret, account or {})
        await self._performer.perform(plan_account_secret(secret, account, self._ca_pem, make))
        return None


def _account_key(secret: Entry) -> str:
    return f"{secret.namespace}/{account_of(secret.object())}"
