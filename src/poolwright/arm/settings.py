"""What can be set about the ARM front; built once in ``app`` and passed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from poolwright.model.bounds import Bounds, check_bounds


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription that the server has: its GUID and the name that clients show."""

    id: str
    display_name: str


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client that may ask for tokens outside development mode.

    ``secret_sha256`` is the SHA-256 of ``salt + secret`` in hex; the secret itself is not kept.
    """

    client_id: str
    secret_sha256: str
    salt: str = ""
    object_id: str = ""


@dataclass(frozen=True, slots=True)
class ArmSettings:
    """Settings of the ARM front. Product limits are not here: they are constants."""

    subscriptions: tuple[Subscription, ...] = (
        Subscription("11111111-1111-1111-1111-111111111111", "Poolwright"),
    )
    """The subscriptions that exist; at least one. The first is the default of every client."""
    tenant: str = "22222222-2222-2222-2222-222222222222"
    """GUID of the one tenant; written into every token."""
    cloud_name: str = "Poolwright"
    """Name in the metadata document. Never ``AzureCloud``: az then talks to login.microsoft…"""
    is_development: bool = True
    """Any client id and secret gets a token, opaque static tokens are accepted, device codes are
    approved at once. Refused for a server that does not listen on loopback."""
    is_loopback: bool = True
    """Whether the server is reachable only from this machine; ``app`` derives it."""
    development_tokens: tuple[str, ...] = ()
    """Opaque bearer tokens that are accepted in development mode (for curl and tests)."""
    clients: tuple[RegisteredClient, ...] = ()
    """Who may ask for tokens when not in development mode."""
    identity_header: str = ""
    """Secret that managed-identity requests must carry; empty (default): none, loopback only."""
    token_lifetime: timedelta = timedelta(hours=1)
    """How long an access token is good (wall time; 5 minutes to a day). Azure's is about 1 h."""
    retry_after_seconds: int = 1
    """``Retry-After`` while an operation runs (1 to 60; never 0: clients then wait 30 s)."""
    retry_after_ms: int | None = None
    """Fast mode: send only ``retry-after-ms`` of this value (10 to 10,000) instead."""
    body_bytes_max: int = 4 * 1024 * 1024
    """Longest request body in bytes (up to 64 MiB); ARM's template limit is 4 MB."""
    body_timeout: timedelta = timedelta(seconds=30)
    """How long a client may take to send its body (real time, up to 10 minutes); then 408."""
    is_throttling: bool = False
    """Whether the token buckets of AKS apply; off by default because tests hurry."""
    is_registration_required: bool = False
    """Whether a write needs its provider registered (409 ``MissingSubscriptionRegistration``)."""
    feature_registration: timedelta = timedelta(minutes=3)
    """World time that a feature stays Registering or Unregistering; AKS says a few minutes."""
    provider_registration: timedelta = timedelta(seconds=20)
    """World time that a provider stays Registering or Unregistering."""
    locations: tuple[str, ...] = ()
    """Further locations beside Azure's public regions."""
    makes_clusters: bool = True
    """Whether managed clusters can be created; ``app`` derives it: not where clusters are given."""
    feature_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Further features that can be registered, by provider namespace."""

    BOUNDS: ClassVar[Bounds] = {
        "retry_after_seconds": (1, 60),
        "retry_after_ms": (10, 10_000),
        "body_bytes_max": (1, 64 * 1024 * 1024),
        "body_timeout": (0.001, 600),
        "token_lifetime": (300, 86_400),
        "feature_registration": (0, 86_400),
        "provider_registration": (0, 86_400),
    }

    def __post_init__(self) -> None:
        if not self.subscriptions:
            raise ValueError("subscriptions: at least one is needed")
        if self.is_development and not self.is_loopback:
            raise ValueError(
                "is_development accepts any credential and is refused on a non-loopback address; "
                "register clients and switch it off"
            )
        check_bounds(self, self.BOUNDS)
