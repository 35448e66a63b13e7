"""The chart's pods in containers: what only a container's walls can show.

``POOLWRIGHT_TEST_IMAGE`` names an image of buildah's to run (``make image``); without it they have
this machine's Python.
"""

from __future__ import annotations

import base64

import httpx
import pytest
import yaml

from helm_chart import CHART
from postgresql_server import postgresql_server, require_binaries
from replicas.relay import Relay
from server_containers import Container, image, need_runtime
from server_pods import SECRETS, Client

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
def containers(helm, embedded, tmp_path):
    """Makes the containers of a release; its store and cluster are reached by TCP."""
    need_runtime()
    require_binaries()
    config = yaml.safe_load(embedded.kubeconfig.read_text())
    where, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = base64.b64decode(where["certificate-authority-data"]).decode()
    account = {"ca.crt": ca, "token": user["token"]}
    words = ("--set", f"cluster.server={where['server']}", "--set", "drainSeconds=1")
    objects = helm.render(CHART / "ci/least.yaml", *words)
    made = []
    root = tmp_path / "root"
    root.mkdir()
    with postgresql_server() as url, image(root) as Container.image:
        store = Relay(f"{url.partition('host=')[2]}/.s.PGSQL.5432")
        secrets = {
            "poolwright-store": {"url": f"postgresql://poolwright@127.0.0.1:{store.port}/postgres"},
            **SECRETS,
        }

        def container(kind):
            made.append(Container(tmp_path / kind, objects, kind, secrets, account))
            return made[-1]

        try:
            yield container
        finally:
            for each in made:
                each.remove()
            store.close()


def test_the_job_and_a_server_behind_walls(containers):
    job = containers("migrate").launch()
    assert job.end() == 0, job.log()

    server = containers("server").launch().ready()
    status = dict(
        line.split(":\t", 1) for line in server("cat", "/proc/1/status").stdout.splitlines()
    )
    assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
    assert (int(status["CapBnd"], 16), int(status["CapEff"], 16)) == (0, 0)
    assert status["NoNewPrivs"] == "1"
    for place in ("/", "/usr", "/etc/poolwright/settings"):
        refused = server("touch", f"{place}/x")
        assert refused.returncode == 1
        assert "Read-only file system" in refused.stderr
    mounted = server("cat", "/var/lib/poolwright/tls/ca.pem")
    assert mounted.returncode == 0, mounted.stderr

    with httpx.Client(verify=False, trust_env=False) as kubelet:
        answer = kubelet.get(f"https://127.0.0.2:{server.port}/readyz")
        assert answer.status_code == 200, answer.text
    path = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/poolwright"
    path += "/providers/Microsoft.ContainerService/managedClusters/kubernetes"
    with Client(server, mounted.stdout) as client:
        token = client.token().json()["access_token"]
        found = client("GET", f"{path}?api-version=2025-05-01", token)
        assert found.status_code == 200, found.text
    assert server.stop() == 0, server.log()
