"""A kubeconfig file: where an API server is, whom to trust, and as whom to come.

Source: k8s.io/client-go tools/clientcmd/api/v1 (Config).
"""

from __future__ import annotations

import base64
import binascii
import json
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import yaml
from cryptography import x509

from poolwright.kube.token_file import TokenFile
from poolwright.model.errors import InvalidRequest
from poolwright.model.json_value import Json, child, children


@dataclass(frozen=True, slots=True)
class KubeAccess:
    """One context of a kubeconfig, read."""

    server_url: str
    ca_pem: bytes
    token: str = field(default="", repr=False)
    certificate_pem: bytes = b""
    key_pem: bytes = field(default=b"", repr=False)
    token_file: TokenFile | None = None
    """Has the token instead, and a newer one before that runs out."""

    @property
    def user(self) -> Mapping[str, str]:
        """The ``user`` of a kubeconfig that says the same."""
        if self.certificate_pem:
            return {
                "client-certificate-data": base64.b64encode(self.certificate_pem).decode(),
                "client-key-data": base64.b64encode(self.key_pem).decode(),
            }
        return {"token": self.token_file.current() if self.token_file else self.token}

    def ssl_context(self) -> ssl.SSLContext:
        """TLS with this trust and this client.

        Raises:
            InvalidRequest: a certificate or key is none.
        """
        try:
            context = ssl.create_default_context(cadata=self.ca_pem.decode() or None)
            if self.certificate_pem:
                with tempfile.NamedTemporaryFile() as pair:  # ssl reads certificates from files
                    pair.write(self.certificate_pem + b"\n" + self.key_pem)
                    pair.flush()
                    # Without a password OpenSSL would ask whoever sits at the terminal for it.
                    context.load_cert_chain(pair.name, password="")
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise InvalidRequest(f"a certificate or key cannot be read: {error}") from error
        return context

    def check_current(self, now: datetime) -> None:
        """Refuse a login that has run out, or does not hold yet.

        Raises:
            InvalidRequest: it has, or it is no certificate.
        """
        if self.certificate_pem:
            _check_certificate(self.certificate_pem, now)
        until = token_end(self.user.get("token", ""))
        if until is not None and until <= now:
            raise InvalidRequest(f"the token expired on {until:%Y-%m-%d %H:%M} UTC")


def _check_certificate(pem: bytes, now: datetime) -> None:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise InvalidRequest("the client certificate cannot be read") from error
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if until < now:
        raise InvalidRequest(f"the client certificate expired on {until:%Y-%m-%d %H:%M} UTC")
    if since > now:
        raise InvalidRequest(f"the client certificate holds from {since:%Y-%m-%d %H:%M} UTC on")


def token_end(token: str) -> datetime | None:
    """When a JSON Web Token ends; None where it says nothing of it, or is another kind of token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return None


def read_kubeconfig(path: Path, context: str = "") -> KubeAccess:
    """A context of a file: the one that is named, or else the current one.

    Raises:
        InvalidRequest: it cannot be read, is no kubeconfig, or asks for what we cannot do.
    """
    try:
        document: Any = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidRequest(f"cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        raise InvalidRequest("is not YAML") from error
    if not isinstance(document, dict):
        raise InvalidRequest("is not a kubeconfig")
    return _read(cast("Json", document), path.parent, context)


def _read(document: Json, folder: Path, wanted: str) -> KubeAccess:
    current = wanted or document.get("current-context")
    context = _named(document, "contexts", "context", current)
    cluster = _named(document, "clusters", "cluster", context.get("cluster"))
    user = _named(document, "users", "user", context.get("user"))
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith("https://"):
        raise InvalidRequest(f"the server {server!r} is not reached by https")
    for name in ("exec", "auth-provider", "username"):
        if user.get(name):
            raise InvalidRequest(f"the user logs in by {name}; a token or certificate is needed")
    for name in ("insecure-skip-tls-verify", "proxy-url", "tls-server-name"):
        if cluster.get(name):
            raise InvalidRequest(f"{name} is not supported")
    named = user.get("tokenFile")  # as in client-go, it precedes a token
    token_file = TokenFile(folder / str(named)) if named else None
    token = "" if token_file else str(user.get("token") or "")
    access = KubeAccess(
        server_url=server.rstrip("/"),
        ca_pem=_pem(cluster, "certificate-authority", folder),
        token=token,
        certificate_pem=_pem(user, "client-certificate", folder),
        key_pem=_pem(user, "client-key", folder),
        token_file=token_file,
    )
    if not (token or token_file) and not (access.certificate_pem and access.key_pem):
        raise InvalidRequest("the user has neither a token nor a client certificate and key")
    return access


def _named(document: Json, plural: str, kind: str, name: object) -> Json:
    for entry in children(document, plural):
        if name and entry.get("name") == name:
            return child(entry, kind)
    wanted = f"{kind} {name!r}" if name else "current-context"
    raise InvalidRequest(f"has no {wanted}")


def _pem(holder: Json, name: str, folder: Path) -> bytes:
    data = holder.get(f"{name}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise InvalidRequest(f"{name}-data is not base64") from error
    return _file(folder, holder[name]) if holder.get(name) else b""


def _file(folder: Path, name: object) -> bytes:
    path = folder / str(name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
