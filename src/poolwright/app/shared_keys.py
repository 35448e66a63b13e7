"""The keys that all replicas of a store have in common: a CA, and what signs access tokens.

They are kept in the store, so that a token or certificate of one replica is good at every other
without anything being handed around. The files of the data directory are copies of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType

from poolwright.app.certificates import ensure_authority, ensure_signing_key, write_secret
from poolwright.app.first_record import first_record
from poolwright.model.record import Kind
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.store import Create, Store


@dataclass(frozen=True, slots=True)
class Keyring:
    """PEM texts."""

    ca: str
    ca_key: str = field(repr=False)
    token_key: str = field(repr=False)


KEYRING: Kind[Keyring, None] = Kind("Keyring", Keyring, NoneType)
_SCOPE = "server/keys"
_NAME = "keyring"


async def share_keys(store: Store, directory: Path, clock: Clock, identity: Identity) -> None:
    """Bring the store's keys into the directory. The first replica gives its own to the store.

    Raises:
        PoolwrightError: the store cannot be read or written.
        OSError: the directory cannot be written.
    """

    async def own() -> Create:
        ensure_authority(directory)
        ensure_signing_key(directory)
        keys = Keyring(*(path.read_text() for path in _files(directory)))
        return Create(KEYRING, _NAME, identity.uid(), keys, None, clock.now().wall)

    _keep(directory, (await first_record(store, _SCOPE, KEYRING, _NAME, own)).spec)


def _files(directory: Path) -> tuple[Path, Path, Path]:
    tls = directory / "tls"
    return tls / "ca.pem", tls / "ca.key", tls / "token.key"


def _keep(directory: Path, keys: Keyring) -> None:
    ca, ca_key, token_key = _files(directory)
    ca.parent.mkdir(mode=0o700, exist_ok=True)
    if not ca.exists() or ca.read_text() != keys.ca:
        (ca.parent / "server.pem").unlink(missing_ok=True)  # another CA issued it
        ca.write_text(keys.ca)
    write_secret(ca_key, keys.ca_key.encode())
    write_secret(token_key, keys.token_key.encode())
