"""The local certificate authority: one CA and one serving certificate in the data directory."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CA_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=397)  # the longest that Apple's and browsers' TLS stacks accept
_RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the files are: the CA, the serving pair, and the bundle for clients that replace
    their store (``REQUESTS_CA_BUNDLE``): system CAs and our own.
    """

    ca: Path
    certificate: Path
    key: Path
    bundle: Path


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a whole file, or leave it as it is: a full disk makes no half one."""
    if path.is_file() and path.read_bytes() == data:
        return
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    partial.replace(path)


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read."""
    write_file(path, data, 0o600)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Poolwright"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    entries: list[x509.GeneralName] = []
    for name in names:
        try:
            entries.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            entries.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(entries)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _make_ca(directory: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Poolwright local CA")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_secret(directory / "ca.key", _pem(key))
    write_file(directory / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))


def _make_leaf(directory: Path, names: Sequence[str], now: datetime) -> None:
    ca = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(names[0]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LEAF_LIFE)
        .add_extension(_alternative_names(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    write_secret(directory / "server.key", _pem(key))
    write_file(directory / "server.pem", certificate.public_bytes(serialization.Encoding.PEM))


def _leaf_serves(directory: Path, names: Sequence[str], now: datetime) -> bool:
    path = directory / "server.pem"
    if not path.exists():
        return False
    leaf = x509.load_pem_x509_certificate(path.read_bytes())
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return san == _alternative_names(names) and leaf.not_valid_after_utc - now > _RENEW_BEFORE


def _system_bundle() -> bytes:
    system = ssl.get_default_verify_paths().cafile
    return Path(system if system and Path(system).exists() else certifi.where()).read_bytes()


def _bundle(directory: Path, ca: Path) -> Path:
    bundle = directory / "ca-bundle.pem"
    write_file(bundle, _system_bundle().rstrip() + b"\n" + ca.read_bytes())
    return bundle


def given_certificates(directory: Path, certificate: Path, key: Path, ca: Path) -> Certificates:
    """A serving pair that somebody else issued, and the CA that clients shall trust.

    Raises:
        OSError: a file cannot be read, or the pair is none.
    """
    for file in (certificate, key):
        file.open("rb").close()  # ssl does not say which one it cannot read
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password="")  # without one it asks the terminal
    except ssl.SSLError as error:
        raise OSError(f"{certificate} and {key} are no pair: {error.reason or error}") from error
    return Certificates(ca, certificate, key, _bundle(directory, ca))


def ensure_authority(directory: Path) -> None:
    """Make the CA, unless it is there."""
    tls = directory / "tls"
    tls.mkdir(mode=0o700, exist_ok=True)
    if not (tls / "ca.pem").exists():
        _make_ca(tls, datetime.now(UTC))


def ensure_certificates(directory: Path, names: Sequence[str]) -> Certificates:
    """Make what is missing or about to expire; the CA stays as long as the directory does.

    ``names`` are DNS names and addresses of the server, the first one its subject.
    """
    ensure_authority(directory)
    now, tls = datetime.now(UTC), directory / "tls"
    if not _leaf_serves(tls, names, now):
        _make_leaf(tls, names, now)
    ca = tls / "ca.pem"
    return Certificates(ca, tls / "server.pem", tls / "server.key", _bundle(directory, ca))


def ensure_signing_key(directory: Path) -> bytes:
    """The RSA key (PEM) that signs access tokens; made once."""
    path = directory / "tls" / "token.key"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        write_secret(path, _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    return path.read_bytes()
