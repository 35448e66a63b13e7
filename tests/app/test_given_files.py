"""Certificates and keys that an operator gives: what cannot be used is a line that names it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization

from poolwright.app.certificates import ensure_signing_key, given_certificates
from poolwright.app.data_directory import DataDirectory
from poolwright.app.server import _token_keys
from poolwright.app.settings import ServerSettings, SettingsError


def encrypt(path):
    """Put a password on a private key."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )


def given(authority, key="server.key"):
    folder = authority.folder
    return given_certificates(folder, folder / "server.crt", folder / key, authority.ca)


def test_a_pair_is_taken(authority):
    assert given(authority).certificate == authority.folder / "server.crt"


def test_a_file_that_is_missing_is_named(authority):
    with pytest.raises(OSError, match=r"absent\.key"):
        given(authority, "absent.key")


def test_a_key_of_another_certificate_is_refused(authority):
    with pytest.raises(OSError, match="are no pair"):
        given(authority, "other.key")


def test_nobody_is_asked_for_the_password_of_a_key(authority, capfd):
    encrypt(authority.folder / "server.key")
    with pytest.raises(OSError, match="are no pair"):
        given(authority)
    assert capfd.readouterr() == ("", "")


def test_an_encrypted_token_key_is_refused(tmp_path):
    ensure_signing_key(tmp_path)
    path = tmp_path / "tls" / "token.key"
    server = ServerSettings(token_keys=(str(path),))
    _token_keys(server, DataDirectory(tmp_path))
    encrypt(path)
    with pytest.raises(SettingsError, match=r"server\.token_keys: .*encrypted"):
        _token_keys(server, DataDirectory(tmp_path))
