"""What the chart's pods run, run here: the same arguments, files and variables, on loopback.

The pods' volumes are folders, the store is a real PostgreSQL, and the cluster is an embedded one.
127.0.0.2 is loopback to the kernel and not to the server, which insists on TLS and on clients.
"""

from __future__ import annotations

import base64
import ssl

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from helm_chart import CHART, one
from live_stack import Authority
from server_pods import LOGIN, SECRETS, SERVICE, Client, Pod
from waiting import until

pytestmark = pytest.mark.postgres

GIVEN = ("tls.existingSecret=certificate", "tokenKeys.existingSecret=tokens")


@pytest.fixture(scope="module")
def cluster(embedded):
    """A Kubernetes: its address, and the files that a pod's account has there."""
    config = yaml.safe_load(embedded.kubeconfig.read_text())
    where, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = base64.b64decode(where["certificate-authority-data"]).decode()
    return where["server"], {"ca.crt": ca, "token": user["token"]}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Secrets of a certificate and of a signing key."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    authority.issue("server", SERVICE, names=(SERVICE, "localhost"))
    authority.issue("next", SERVICE, names=(SERVICE, "localhost"))
    files = {"tls.crt": "server.crt", "tls.key": "server.key", "ca.crt": "ca.crt"}
    renewed = {"tls.crt": "next.crt", "tls.key": "next.key"}
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        name: {key: (authority.folder / file).read_text() for key, file in pair.items()}
        for name, pair in (("certificate", files), ("renewed", renewed))
    } | {
        "tokens": {"tls.key": key.decode()},
    }


@pytest.fixture
def release(helm, empty_store, cluster, given, tmp_path):
    """Makes pods of a release; ends their processes."""
    server, account = cluster
    pods = []

    def pod(container, name, *values):
        words = [f"cluster.server={server}", "drainSeconds=1", *values]
        flags = [part for word in words for part in ("--set", word)]
        objects = helm.render(CHART / "ci/least.yaml", *flags)
        secrets = {"poolwright-store": {"url": empty_store}, **SECRETS, **given}
        pods.append(Pod(tmp_path / name, objects, container, secrets, account))
        return pods[-1]

    yield pod
    for each in pods:
        if each.process is not None and each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def test_servers_start_after_the_job_and_share_their_keys(release):
    early = release("server", "early").launch()
    assert early.end() == 1
    assert "poolwright store migrate" in early.log()

    job = release("migrate", "job").launch()
    assert job.end() == 0, job.log()

    first, second = (release("server", name).launch() for name in ("first", "second"))
    first.ready()
    second.ready()
    ca = first.ca({})
    assert second.ca({}) == ca
    with Client(first, ca) as one_of_them, Client(second, ca) as other:
        answer = one_of_them.token()
        assert answer.status_code == 200, answer.text
        listed = other(
            "GET", "/subscriptions?api-version=2022-12-01", answer.json()["access_token"]
        )
        assert listed.status_code == 200, listed.text
        assert one_of_them.token(client_secret="wrong").status_code == 401
        assert other("GET", "/subscriptions?api-version=2022-12-01").status_code == 401
    assert (first.stop(), second.stop()) == (0, 0), first.log()


def test_a_certificate_and_keys_that_were_given(release, given, helm):
    job = release("migrate", "job").launch()
    assert job.end() == 0, job.log()
    pod = release("server", "server", *GIVEN).launch().ready()
    untouched = {path: path.read_bytes() for path in _files(pod.here("/etc/poolwright"))}
    assert len(untouched) == 6

    # kubelet's probes: by address, without trust, without credentials
    with httpx.Client(verify=False, trust_env=False) as kubelet:
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = pod.spec["containers"][0][name]["httpGet"]["path"]
            answer = kubelet.get(f"https://127.0.0.2:{pod.port}{path}")
            assert answer.status_code == 200, answer.text

    ca = given["certificate"]["ca.crt"]
    with Client(pod, ca) as client:
        token = client.token().json()["access_token"]
        path = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/poolwright"
        path += "/providers/Microsoft.ContainerService/managedClusters/kubernetes"
        found = client("GET", f"{path}?api-version=2025-05-01", token)
        assert found.status_code == 200, found.text
        assert found.json()["properties"]["provisioningState"] == "Succeeded"
        assert client("GET", "/metrics").status_code == 401

    # Prometheus: the login of the ServiceMonitor, and every server by its address
    words = ("--set", "serviceMonitor.enabled=true", "--set", "serviceMonitor.existingSecret=s")
    values = CHART / "ci/least.yaml"
    rendered = helm.render(values, *words, "--set", "tls.existingSecret=certificate")
    login = one(rendered, "ServiceMonitor")["spec"]["endpoints"][0]["oauth2"]
    name, _, path = login["tokenUrl"].removeprefix("https://").partition("/")
    assert name == SERVICE
    with Client(pod, ca) as client, Client(pod, ca, host="10.0.0.9:8443") as prometheus:
        form = {"grant_type": "client_credentials", "scope": " ".join(login["scopes"]), **LOGIN}
        token = client("POST", f"/{path}", data=form).json()["access_token"]
        assert prometheus("GET", "/metrics", token).status_code == 200

    # Nothing but the two volumes for it was written.
    assert {path: path.read_bytes() for path in _files(pod.here("/etc/poolwright"))} == untouched

    # cert-manager renews the Secret's pair, and kubelet the files
    for name, text in given["renewed"].items():
        (pod.here("/etc/poolwright/tls") / name).write_text(text)
    until(lambda: ssl.get_server_certificate(("127.0.0.2", pod.port)) in given["renewed"].values())
    with Client(pod, ca) as client:
        assert client.token().status_code == 200

    assert pod.stop() == 0
    assert not list(_files(pod.here("/tmp")))


def _files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())
