"""Kubeconfig files: what is read, and the one line for what cannot be."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from poolwright.kube.kubeconfig import read_kubeconfig
from poolwright.model.errors import InvalidRequest

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def pair(until):
    """A certificate that signs itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(until - timedelta(days=30))
        .not_valid_after(until)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def document(user=None, **cluster):
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://localhost:6443", **cluster}}],
        "users": [{"name": "u", "user": user or {"token": "secret"}}],
    }


@pytest.fixture
def read(tmp_path):
    def written(content):
        path = tmp_path / "kubeconfig"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return read_kubeconfig(path)

    return written


def test_a_token(read):
    access = read(document())
    assert (access.server_url, access.token) == ("https://localhost:6443", "secret")
    assert access.user == {"token": "secret"}
    access.check_current(NOW)


def test_a_token_file_precedes_a_token_and_is_read_again(read, tmp_path):
    (tmp_path / "token").write_text("first\n")
    access = read(document({"token": "old", "tokenFile": "token"}))
    assert (access.token, access.user) == ("", {"token": "first"})
    (tmp_path / "token").write_text("the second\n")
    assert access.user == {"token": "the second"}


def test_files_lie_beside_the_kubeconfig(read, tmp_path):
    certificate, key = pair(NOW + timedelta(days=1))
    (tmp_path / "u.crt").write_bytes(certificate)
    (tmp_path / "u.key").write_bytes(key)
    (tmp_path / "ca.crt").write_bytes(certificate)
    user = {"client-certificate": "u.crt", "client-key": "u.key"}
    access = read(document(user, **{"certificate-authority": "ca.crt"}))
    assert (access.certificate_pem, access.ca_pem) == (certificate, certificate)
    assert base64.b64decode(access.user["client-key-data"]) == key
    access.check_current(NOW)
    access.ssl_context()


def test_a_certificate_that_ran_out(read):
    certificate, key = pair(NOW - timedelta(days=1))
    user = {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }
    with pytest.raises(InvalidRequest, match="expired on 2026-05-31 00:00 UTC"):
        read(document(user)).check_current(NOW)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "is not YAML"),
        ("just text", "is not a kubeconfig"),
        ("{}", "has no current-context"),
        (document() | {"current-context": "there"}, "has no context 'there'"),
        (document() | {"clusters": None}, "has no cluster 'c'"),
        (document(server="http://localhost"), "is not reached by https"),
        (document({"exec": {"command": "login"}}), "logs in by exec"),
        (document({"client-certificate-data": "AAAA"}), "neither a token nor"),
        (document({"token": "t", "client-key-data": "%"}), "client-key-data is not base64"),
        (document({"token": "t", "tokenFile": "absent"}), "absent cannot be read"),
        (document(**{"insecure-skip-tls-verify": True}), "insecure-skip-tls-verify"),
    ],
)
def test_what_cannot_be_used(read, content, said):
    with pytest.raises(InvalidRequest) as caught:
        read(content)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_certificate_that_is_none(read):
    access = read(document(**{"certificate-authority-data": "AAAA"}))
    with pytest.raises(InvalidRequest, match="cannot be read"):
        access.ssl_context()


def test_a_key_with_a_password_is_refused(read, capfd):
    certificate, key = pair(NOW + timedelta(days=1))
    locked = serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    user = {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(locked).decode(),
    }
    access = read(document(user))
    with pytest.raises(InvalidRequest, match="cannot be read"):
        access.ssl_context()
    assert capfd.readouterr() == ("", ""), "nobody is asked for it"


def test_no_secret_is_shown_of_it(read):
    certificate, key = pair(NOW + timedelta(days=1))
    user = {
        "token": "sesame",
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }
    shown = repr(read(document(user)))
    assert "sesame" not in shown
    assert "PRIVATE KEY" not in shown
