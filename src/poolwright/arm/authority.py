"""The token authority: discovery documents, keys, and the token and device-code endpoints.

One set of handlers under several routes: ``/adfs`` (what the metadata document advertises),
``/adfs/{tenant}`` (azurerm), ``/{tenant}`` with v2.0 and v1 paths. Source: real-clients §3, §11.
Secrets are compared, never logged, and never repeated in an error.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from poolwright.arm.context import ArmContext
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse
from poolwright.arm.routing import Access, Route
from poolwright.arm.tokens import TokenKeys
from poolwright.model.errors import Refused

_NAMESPACE_OIDC = "openid"
_DEVICE_GRANTS = frozenset({"urn:ietf:params:oauth:grant-type:device_code", "device_code"})
_DEVICE_CODE_SECONDS = 900


class _OAuthError(Refused):
    """An OAuth error answer: HTTP status, ``error``, and a description with its AADSTS code."""

    def __init__(self, status: int, error: str, number: int, text: str) -> None:
        super().__init__(f"AADSTS{number}: {text}", code=error)
        self.status = status
        self.number = number


@dataclass(frozen=True, slots=True)
class _Subject:
    """Who a token is for."""

    object_id: str
    client_id: str
    is_user: bool = False


def _guid_of(text: str) -> str:
    """A stable GUID of a name, so that the same client is the same object after a restart."""
    digest = sha256(text.encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def _audience(form: Mapping[str, str], base_url: str) -> str:
    """The resource that a token is asked for: of ``scope`` (v2) or ``resource`` (v1).

    A token for Azure's own names of ARM is good under every name of this server, and so at every
    replica behind it.
    """
    resource = form.get("resource", "")
    if not resource:
        for scope in form.get("scope", "").split():
            if scope.startswith(("https://", "api://")):
                # The audience ends in a slash, so that clients send a double one before .default.
                resource = scope.removesuffix("/.default").removesuffix("/user_impersonation")
                break
    bare = resource.rstrip("/")
    return resource if bare else base_url


_ANY_TENANT = frozenset({"adfs", "common", "organizations"})


def _check_tenant(context: ArmContext, request: ArmRequest) -> None:
    """Outside development mode only our own tenant's endpoints give tokens."""
    tenant = request.names.get("tenant", "adfs").lower()
    own = context.settings.tenant.lower()
    if not context.settings.is_development and tenant != own and tenant not in _ANY_TENANT:
        raise _OAuthError(400, "invalid_request", 90002, f"Tenant '{tenant[:64]}' not found.")


def _form(request: ArmRequest) -> dict[str, str]:
    try:
        pairs = parse_qsl(request.raw_body.decode(), keep_blank_values=True, max_num_fields=64)
    except (UnicodeDecodeError, ValueError):
        raise _OAuthError(
            400, "invalid_request", 900144, "The request body is malformed."
        ) from None
    form = dict(pairs)
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":  # client_secret_basic
        try:
            text = base64.b64decode(credential, validate=True).decode()
        except (binascii.Error, ValueError):
            raise _OAuthError(
                401, "invalid_client", 7000216, "The Authorization header is malformed."
            ) from None
        client, _, secret = text.partition(":")
        form.setdefault("client_id", unquote_plus(client))
        form.setdefault("client_secret", unquote_plus(secret))
    return form


class Authority:
    """Signs tokens for those who may have them."""

    def __init__(self, keys: TokenKeys) -> None:
        self._keys = keys

    # --- discovery -----------------------------------------------------------------------------

    async def get_configuration(self, context: ArmContext, request: ArmRequest) -> ArmResponse:
        """GET ``…/.well-known/openid-configuration``."""
        tenant = request.names.get("tenant", "adfs")
        base = request.base_url
        is_adfs = request.path.lower().startswith("/adfs/")
        root = f"{base}/adfs" if is_adfs else f"{base}/{tenant}"
        flow = f"{root}/oauth2" if is_adfs else f"{root}/oauth2/v2.0"
        return ArmResponse(
            200,
            {
                "token_endpoint": f"{flow}/token",
                "authorization_endpoint": f"{flow}/authorize",
                "device_authorization_endpoint": f"{flow}/devicecode",
                "issuer": root if is_adfs else f"{root}/v2.0",
                "jwks_uri": f"{base}/common/discovery/keys",
                "response_types_supported": ["code", "id_token", "token"],
                "subject_types_supported": ["pairwise"],
                "scopes_supported": ["openid", "profile", "offline_access"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "tenant_region_scope": None,
                "cloud_instance_name": base.partition("://")[2].partition(":")[0],
                "userinfo_endpoint": f"{base}/userinfo",
            },
        )

    async def get_instance(self, context: ArmContext, request: ArmRequest) -> ArmResponse:
        """GET ``/common/discovery/instance``: we are the only instance."""
        host = request.base_url.partition("://")[2]
        return ArmResponse(
            200,
            {
                "tenant_discovery_endpoint": (
                    f"{request.base_url}/{context.settings.tenant}"
                    "/v2.0/.well-known/openid-configuration"
                ),
                "api-version": "1.1",
                "metadata": [
                    {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
                ],
            },
        )

    async def get_keys(self, context: ArmContext, request: ArmRequest) -> ArmResponse:
        """GET ``…/discovery/keys``."""
        return ArmResponse(200, self._keys.jwks())

    async def get_user_realm(self, context: ArmContext, request: ArmRequest) -> ArmResponse:
        """GET ``/common/userrealm/{user}``: every user is managed here."""
        return ArmResponse(
            200,
            {
                "ver": "1.0",
                "account_type": "Managed",
                "domain_name": request.names["user"].rpartition("@")[2],
                "cloud_instance_name": request.base_url.partition("://")[2],
            },
        )

    # --- tokens --------------------------------------------------------------------------------

    async def post_token(self, context: ArmContext, request: ArmRequest) -> ArmResponse:
        """POST ``…/oauth2/token`` and ``…/oauth2/v2.0/token``."""
        try:
            _check_tenant(context, request)
            form = _form(request)
            subject = self._authenticate(context, form)
            return ArmResponse(200, self._tokens(context, request, form, subject))
        except _OAuthError as error:
            return _oauth_answer(context, error)

    async def post_device_code(self, context: ArmContext, request: ArmRequest) -> ArmResponse:
        """POST ``…/devicecode``; approved at once, and only in development mode."""
        if not context.settings.is_development:
            return _oauth_answer(
                context,
                _OAuthError(
                    400, "unauthorized_client", 7000218, "Device codes need development mode."
                ),
            )
        page = f"{request.base_url}/device"
        user_code = context.identity.suffix(8).upper()
        now = context.clock.now().wall.timestamp()
        device_code = self._keys.sign(
            {
                "aud": "device",
                "tid": context.settings.tenant,
                "exp": int(now) + _DEVICE_CODE_SECONDS,
            }
        )
        return ArmResponse(
            200,
            {
                "user_code": user_code,
                "device_code": device_code,
                "verification_uri": page,
                "verification_url": page,
                "expires_in": _DEVICE_CODE_SECONDS,
                "interval": 1,
                "message": f"To sign in, open {page} and enter the code {user_code}. This "
                "development server approves it by itself.",
            },
        )

    def managed_identity_token(
        self, context: ArmContext, *, base_url: str, resource: str, client_id: str
    ) -> tuple[str, int, int]:
        """A token for a managed identity: the token, when it begins and when it ends (epoch)."""
        subject = _Subject(_guid_of(f"msi/{client_id}"), client_id or _guid_of("msi"))
        audience = _audience({"resource": resource}, base_url)
        now = int(context.clock.now().wall.timestamp())
        lifetime = int(context.settings.token_lifetime.total_seconds())
        return self._sign(context, base_url, audience, subject, now), now, now + lifetime

    def _authenticate(self, context: ArmContext, form: Mapping[str, str]) -> _Subject:
        grant = form.get("grant_type", "")
        client_id = form.get("client_id", "")
        if not grant or not client_id:
            missing = "grant_type" if not grant else "client_id"
            raise _OAuthError(
                400,
                "invalid_request",
                900144,
                f"The request body must contain the following parameter: '{missing}'.",
            )
        if grant == "client_credentials":
            return self._authenticate_client(context, form, client_id)
        user = _Subject(_guid_of("user/developer"), client_id, is_user=True)
        if context.settings.is_development:
            if grant in _DEVICE_GRANTS:
                self._check_own_token(
                    context, form.get("device_code") or form.get("code"), "device"
                )
                return user
            if grant == "refresh_token":
                self._check_own_token(context, form.get("refresh_token"), "refresh")
                return user
            if grant == "password" and form.get("username"):
                return user
        raise _OAuthError(
            400,
            "unsupported_grant_type",
            70003,
            f"The app requested an unsupported grant type '{grant[:64]}'.",
        )

    def _check_own_token(self, context: ArmContext, token: str | None, purpose: str) -> None:
        """A device code or refresh token is a token of ours for that purpose."""
        try:
            claims = self._keys.read(token or "")
        except Refused:
            claims = {}
        now = context.clock.now().wall.timestamp()
        if claims.get("aud") != purpose or claims.get("exp", 0) <= now:
            raise _OAuthError(
                400, "invalid_grant", 70008, "The provided grant is invalid or has expired."
            )

    def _authenticate_client(
        self, context: ArmContext, form: Mapping[str, str], client_id: str
    ) -> _Subject:
        secret = form.get("client_secret", "")
        if context.settings.is_development:
            if not secret and not form.get("client_assertion"):
                raise _OAuthError(
                    401,
                    "invalid_client",
                    7000218,
                    "The request body must contain the following parameter: "
                    "'client_assertion' or 'client_secret'.",
                )
            return _Subject(_guid_of(f"client/{client_id}"), client_id)
        for client in context.settings.clients:
            if client.client_id != client_id:
                continue
            digest = sha256((client.salt + secret).encode()).hexdigest()
            if secret and hmac.compare_digest(digest, client.secret_sha256.lower()):
                object_id = client.object_id or _guid_of(f"client/{client_id}")
                return _Subject(object_id, client_id)
        raise _OAuthError(
            401, "invalid_client", 7000215, "Invalid client secret provided, or unknown client."
        )

    def _sign(
        self, context: ArmContext, base_url: str, audience: str, subject: _Subject, now: int
    ) -> str:
        tenant = context.settings.tenant
        lifetime = int(context.settings.token_lifetime.total_seconds())
        claims = {
            "aud": audience,
            "iss": f"{base_url}/adfs",
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "tid": tenant,
            "oid": subject.object_id,
            "sub": subject.object_id,
            "appid": subject.client_id,
            "idtyp": "user" if subject.is_user else "app",
            "ver": "1.0",
            "xms_cc": ["CP1"],
        }
        if subject.is_user:
            claims |= {"scp": "user_impersonation", "upn": "developer@localhost"}
        return self._keys.sign(claims)

    def _tokens(
        self,
        context: ArmContext,
        request: ArmRequest,
        form: Mapping[str, str],
        subject: _Subject,
    ) -> dict[str, Any]:
        now = int(context.clock.now().wall.timestamp())
        lifetime = int(context.settings.token_lifetime.total_seconds())
        audience = _audience(form, request.base_url)
        answer: dict[str, Any] = {
            "token_type": "Bearer",
            "expires_in": lifetime - 1,
            "ext_expires_in": lifetime - 1,
            "access_token": self._sign(context, request.base_url, audience, subject, now),
        }
        if "resource" in form:  # the v1 endpoint says more
            answer |= {"expires_on": now + lifetime - 1, "not_before": now, "resource": audience}
        if subject.is_user:
            answer |= self._user_parts(context, request, form, subject, now)
        return answer

    def _user_parts(
        self,
        context: ArmContext,
        request: ArmRequest,
        form: Mapping[str, str],
        subject: _Subject,
        now: int,
    ) -> dict[str, Any]:
        tenant = context.settings.tenant
        identity = {
            "aud": subject.client_id,
            "iss": f"{request.base_url}/adfs",
            "iat": now,
            "nbf": now,
            "exp": now + int(context.settings.token_lifetime.total_seconds()),
            "tid": tenant,
            "oid": subject.object_id,
            "sub": subject.object_id,
            "preferred_username": "developer@localhost",
            "upn": "developer@localhost",
            "name": "developer",
            "ver": "2.0",
        }
        about = json.dumps({"uid": subject.object_id, "utid": tenant}).encode()
        refresh = {"aud": "refresh", "tid": tenant, "exp": now + 90 * 86400}
        return {
            "scope": form.get("scope", _NAMESPACE_OIDC),
            "refresh_token": self._keys.sign(refresh),
            "id_token": self._keys.sign(identity),
            "client_info": base64.urlsafe_b64encode(about).rstrip(b"=").decode(),
        }

    def routes(self) -> tuple[Route, ...]:
        """All of the above under every path that clients use."""
        paths = {
            "GET": {
                "/adfs/.well-known/openid-configuration": self.get_configuration,
                "/adfs/v2.0/.well-known/openid-configuration": self.get_configuration,
                "/adfs/{tenant}/v2.0/.well-known/openid-configuration": self.get_configuration,
                "/{tenant}/.well-known/openid-configuration": self.get_configuration,
                "/{tenant}/v2.0/.well-known/openid-configuration": self.get_configuration,
                "/common/discovery/instance": self.get_instance,
                "/common/discovery/keys": self.get_keys,
                "/common/userrealm/{user}": self.get_user_realm,
                "/adfs/discovery/keys": self.get_keys,
                "/{tenant}/discovery/keys": self.get_keys,
                "/{tenant}/discovery/v2.0/keys": self.get_keys,
            },
            "POST": {
                "/adfs/oauth2/token": self.post_token,
                "/adfs/oauth2/v2.0/token": self.post_token,
                "/adfs/{tenant}/oauth2/token": self.post_token,
                "/adfs/{tenant}/oauth2/v2.0/token": self.post_token,
                "/{tenant}/oauth2/token": self.post_token,
                "/{tenant}/oauth2/v2.0/token": self.post_token,
                "/adfs/oauth2/devicecode": self.post_device_code,
                "/adfs/oauth2/v2.0/devicecode": self.post_device_code,
                "/adfs/{tenant}/oauth2/v2.0/devicecode": self.post_device_code,
                "/{tenant}/oauth2/devicecode": self.post_device_code,
                "/{tenant}/oauth2/v2.0/devicecode": self.post_device_code,
            },
        }
        return tuple(
            Route(method, path, handler, access=Access.PUBLIC)
            for method, handlers in paths.items()
            for path, handler in handlers.items()
        )


def _oauth_answer(context: ArmContext, error: _OAuthError) -> ArmResponse:
    now = context.clock.now().wall
    trace = context.identity.uid()
    return ArmResponse(
        error.status,
        {
            "error": error.code,
            "error_description": f"{error.message} Trace ID: {trace} Timestamp: "
            f"{now.strftime('%Y-%m-%d %H:%M:%SZ')}",
            "error_codes": [error.number],
            "timestamp": now.strftime("%Y-%m-%d %H:%M:%SZ"),
            "trace_id": trace,
        },
    )
