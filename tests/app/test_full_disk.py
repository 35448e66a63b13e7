"""A real server whose disk is full: it says so in JSON, goes on reading, and recovers."""

import base64
import os
import ssl
import subprocess
from contextlib import suppress

import httpx
import pytest
import structlog
import yaml
from structlog.testing import capture_logs

from poolwright.app.cli.arm_client import AKS_API_VERSION, RESOURCES_API_VERSION
from poolwright.app.real_clock import RealClock
from poolwright.telemetry.logs import Stderr
from server_process import ServerProcess
from waiting import until

MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path):
    """A file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk):
    """Leave not one page."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        for size in (MIB, 4096, 1):
            with suppress(OSError):
                while True:
                    filler.write(b"x" * size)


class Client:
    """Plain HTTP: nothing that was refused is sent again."""

    def __init__(self, server):
        variables = server.variables()
        self._trust = ssl.create_default_context(cafile=variables["REQUESTS_CA_BUNDLE"])
        self._http = httpx.Client(base_url=server.endpoint, verify=self._trust, timeout=30)
        body = {
            "grant_type": "client_credentials",
            "client_id": variables["AZURE_CLIENT_ID"],
            "client_secret": variables["AZURE_CLIENT_SECRET"],
            "scope": f"{server.endpoint}/.default",
        }
        token = self._http.post("/adfs/oauth2/token", data=body).json()["access_token"]
        self._http.headers["authorization"] = f"Bearer {token}"
        self._root = f"/subscriptions/{variables['AZURE_SUBSCRIPTION_ID']}/resourcegroups"

    def ask(self, method, path="", body=None):
        version = AKS_API_VERSION if "/providers/" in path else RESOURCES_API_VERSION
        query = {"api-version": version}
        return self._http.request(method, self._root + path, params=query, json=body)

    def close(self):
        self._http.close()

    def put_group(self, name):
        return self.ask("PUT", f"/{name}", {"location": "eastus"})

    def groups(self):
        return {each["name"] for each in self.ask("GET").json()["value"]}

    def kubernetes(self, cluster):
        answer = self.ask("POST", f"{cluster}/listClusterUserCredential").json()
        config = yaml.safe_load(base64.b64decode(answer["kubeconfigs"][0]["value"]))
        token = config["users"][0]["user"]["token"]
        return httpx.Client(
            base_url=config["clusters"][0]["cluster"]["server"],
            headers={"authorization": f"Bearer {token}"},
            verify=self._trust,
            timeout=30,
        )


CLUSTER = "/before/providers/Microsoft.ContainerService/managedClusters/c"
POOL = {"name": "p", "count": 1, "mode": "System", "vmSize": "Standard_D4s_v5"}
BODY = {"location": "eastus", "properties": {"dnsPrefix": "c", "agentPoolProfiles": [POOL]}}
NAMESPACE = {"metadata": {"name": "n"}}


@pytest.mark.slow
def test_a_full_disk_is_said_in_json_and_is_over_when_there_is_space(disk):
    server = ServerProcess(disk, speed=600)  # its log is beside, on another disk
    server.start()
    try:
        client = Client(server)
        assert client.put_group("before").status_code == 201
        assert client.ask("PUT", CLUSTER, BODY).status_code == 201
        until(lambda: _state(client) == "Succeeded", 120)
        kube = client.kubernetes(CLUSTER)
        fill(disk)
        _check_refusals(client, kube)
        (disk / "filler").unlink()
        until(lambda: client.put_group("after").is_success, 30)
        assert client.groups() >= {"before", "after"}
        assert "during" not in client.groups()
        until(lambda: kube.post("/api/v1/namespaces", json=NAMESPACE).status_code == 201, 30)
        assert client.ask("PUT", CLUSTER, {**BODY, "tags": {"a": "b"}}).is_success
        until(lambda: _state(client) == "Succeeded", 120)
        kube.close()
        client.close()
    finally:
        code = server.stop()
    log = server.log()
    assert code == 0, log
    assert "Traceback" not in log, log
    for once in ("the database takes no writes", "the database takes writes again"):
        assert log.count(once) == 1, log


def _state(client):
    return client.ask("GET", CLUSTER).json()["properties"]["provisioningState"]


def _check_refusals(client, kube):
    """Both fronts refuse writes in their own shape, and read as before."""
    refused = client.put_group("during")
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "ServiceUnavailable"
    assert int(refused.headers["retry-after"]) >= 1
    flat = client.ask("PUT", CLUSTER, {**BODY, "tags": {"a": "b"}})
    assert (flat.status_code, flat.json()["code"]) == (503, "ServiceUnavailable")
    refused = kube.post("/api/v1/namespaces", json=NAMESPACE)
    assert (refused.status_code, refused.json()["kind"]) == (503, "Status")
    assert refused.json()["reason"] == "ServiceUnavailable"
    for _ in range(20):
        assert _state(client) == "Succeeded"
        assert len(kube.get("/api/v1/nodes").json()["items"]) == 1
    assert "during" not in client.groups()


class Readings:
    """A process that is idle all the time."""

    real = 0.0

    def monotonic(self):
        return self.real

    def idle(self):
        return self.real


def test_the_world_stands_still_while_its_position_cannot_be_kept(tmp_path):
    """It never goes back, whenever the process is killed, and does not leap afterwards."""
    path = tmp_path / "there" / "clock.json"
    path.parent.mkdir()
    readings = Readings()
    clock = RealClock(60, path, readings)
    shown = [clock.now().world]
    path.unlink()
    path.parent.rmdir()  # a disk that takes nothing
    with capture_logs() as lines:
        for _ in range(100):
            readings.real += 0.1
            shown.append(clock.now().world)
        stood = shown[-1]
        assert shown == sorted(shown)
        assert stood.since(shown[0]).total_seconds() <= 6  # what was reserved before
        path.parent.mkdir()
        for _ in range(10):
            readings.real += 0.1
            shown.append(clock.now().world)
        assert shown == sorted(shown)
    assert 30 <= shown[-1].since(stood).total_seconds() <= 60
    assert RealClock(60, path, readings).now().world >= shown[-1]
    assert [line["event"] for line in lines] == ["the world stands still", "the world goes on"]


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch):
    with open("/dev/full", "w", encoding="ascii") as full:
        monkeypatch.setattr("sys.stderr", full)
        structlog.PrintLogger(Stderr()).msg("nobody reads this")
        with suppress(OSError):
            full.close()
