"""Access tokens: RS256 JWTs signed with persisted keys, verified against our own clock.

Keys come in from ``app``; nothing here draws randomness.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from poolwright.arm.errors import EXPIRED_TOKEN, INVALID_TOKEN
from poolwright.arm.request import Caller
from poolwright.arm.settings import ArmSettings
from poolwright.ports.clock import Clock

PUBLIC_ARM_AUDIENCES = frozenset(
    {
        "https://management.azure.com",
        "https://management.core.windows.net",
        "https://management.usgovcloudapi.net",
        "https://management.chinacloudapi.cn",
    }
)
"""Aliases of our own audience, for SDK users who set only the base URL (real-clients §3.3)."""

_CACHE_SIZE_MAX = 4096
_SKEW_SECONDS = 300  # what Azure tolerates between clocks, for tokens not yet valid


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenKeys:
    """RSA keys for tokens: the first one signs, all of them verify (so keys can be rotated)."""

    def __init__(self, keys: tuple[RSAPrivateKey, ...]) -> None:
        assert keys, "at least one key is needed"
        self._signing_key = keys[0]
        self._public: dict[str, RSAPublicKey] = {}
        self._jwks: list[dict[str, str]] = []
        for key in keys:
            public = key.public_key()
            jwk = _jwk(public)
            self._public[jwk["kid"]] = public
            self._jwks.append(jwk)
        self._signing_id = self._jwks[0]["kid"]

    @classmethod
    def from_pem(cls, *pems: bytes) -> TokenKeys:
        """Keys from unencrypted PEM private keys, the signing one first.

        Raises:
            ValueError: not a PEM private RSA key.
        """
        keys: list[RSAPrivateKey] = []
        for pem in pems:
            key = serialization.load_pem_private_key(pem, password=None)
            if not isinstance(key, RSAPrivateKey):
                raise ValueError("a token key must be an RSA private key")  # noqa: TRY004
            keys.append(key)
        return cls(tuple(keys))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A compact JWT of these claims."""
        return jwt.encode(
            dict(claims), self._signing_key, algorithm="RS256", headers={"kid": self._signing_id}
        )

    def read(self, token: str) -> dict[str, Any]:
        """The claims of a token with a good signature; times are not looked at.

        Raises:
            AuthenticationFailed: not a JWT, an unknown key, or a bad signature.
        """
        try:
            key = self._public[str(jwt.get_unverified_header(token).get("kid"))]
            return jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                options={
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "require": ["exp", "aud", "tid"],
                },
            )
        except (jwt.InvalidTokenError, KeyError, ValueError):
            raise INVALID_TOKEN() from None

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set."""
        return {"keys": self._jwks}


def _jwk(key: RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    exponent = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
    modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
    core = {"e": _base64url(exponent), "kty": "RSA", "n": _base64url(modulus)}
    # RFC 7638: the thumbprint is over the members in lexical order, without spaces.
    thumbprint = sha256(json.dumps(core, separators=(",", ":"), sort_keys=True).encode()).digest()
    key_id = _base64url(thumbprint)
    return {**core, "use": "sig", "alg": "RS256", "kid": key_id, "x5t": key_id}


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    expires: float


class TokenVerifier:
    """Who a bearer token is. Good tokens are remembered, so that a hot path pays once."""

    def __init__(self, keys: TokenKeys, settings: ArmSettings, clock: Clock) -> None:
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._cache: dict[tuple[bytes, str], _Verified] = {}

    def verify(self, authorization: bytes, base_url: str) -> Caller:
        """The caller of an ``Authorization`` header's value.

        Raises:
            AuthenticationFailed: no bearer token, or one that is forged, expired, of another
                tenant, or for another audience.
        """
        cached = self._cache.get((authorization, base_url))
        if cached is not None and cached.expires > self._clock.now().wall.timestamp():
            return cached.caller
        verified = self._verify(authorization, base_url)
        if len(self._cache) >= _CACHE_SIZE_MAX:
            self._cache.clear()
        self._cache[authorization, base_url] = verified
        return verified.caller

    def _verify(self, authorization: bytes, base_url: str) -> _Verified:
        scheme, _, credential = authorization.decode("latin-1").partition(" ")
        token = credential.strip()
        if scheme.lower() != "bearer" or not token:
            raise INVALID_TOKEN()
        settings = self._settings
        if settings.is_development and token in settings.development_tokens:
            return _Verified(Caller(settings.tenant, settings.tenant, "development"), float("inf"))
        claims = self._keys.read(token)
        now = self._clock.now().wall.timestamp()
        expiry, start = claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(expiry, int | float) or not isinstance(start, int | float):
            raise INVALID_TOKEN()
        if expiry <= now:
            raise EXPIRED_TOKEN(expiry=_moment(expiry), now=_moment(now))
        if start > now + _SKEW_SECONDS or claims.get("tid") != settings.tenant:
            raise INVALID_TOKEN()
        if not self._is_ours(str(claims.get("aud")), base_url):
            raise INVALID_TOKEN()
        caller = Caller(
            tenant=str(claims["tid"]),
            object_id=str(claims.get("oid", "")),
            app_id=str(claims.get("appid", "")),
        )
        return _Verified(caller, expiry)

    def _is_ours(self, audience: str, base_url: str) -> bool:
        bare = audience.rstrip("/")
        if bare == base_url or bare in PUBLIC_ARM_AUDIENCES:
            return True
        # A development server answers to several names (localhost, 127.0.0.1); tokens for Graph
        # and refresh tokens are still no ARM tokens.
        return (
            self._settings.is_development
            and bare.startswith("https://")
            and not bare.endswith("/graph")
        )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%m/%d/%Y %H:%M:%S")
