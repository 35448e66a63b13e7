"""The real az and the Azure SDK at several servers behind one address, while servers are killed."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from adopted import Kubectl
from replicas.books import check_all
from replicas.front import Front
from replicas.load import VERSION
from replicas.team import CLUSTER, GROUP, Team
from waiting import until
from walk_through import AZ_PYTHON, need_clients, one_az

pytestmark = [pytest.mark.live, pytest.mark.postgres, pytest.mark.conformance]

POOL = f"-g {GROUP} --cluster-name {CLUSTER} -n work"
SETTINGS = {
    "POOLWRIGHT_CLOUD__DELAY_FACTOR": "0.08",  # some nine seconds: long enough to be killed in
    "POOLWRIGHT_ARM__RETRY_AFTER_MS": "100",
    "POOLWRIGHT_LOG__LEVEL": "info",  # a line for each request that changed something
}
HELD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "held", "namespace": "default", "labels": {"app": "held"}},
    "spec": {
        "nodeSelector": {"agentpool": "work"},
        "containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}],
    },
}
BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "held", "namespace": "default"},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "held"}}},
}


class Clients:
    """az and the SDK, which know one address and nothing of the servers behind it."""

    def __init__(self, team: Team, front: Front, environment: dict[str, str]):
        self._team = team
        self._front = front
        self.environment = environment
        self.path = (
            f"/subscriptions/{environment['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{GROUP}"
            f"/providers/Microsoft.ContainerService/managedClusters/{CLUSTER}/agentPools/work"
        )

    def begin(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen(
            words,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def az(self, words: str, *more: str):
        """What az prints."""
        return json.loads(finish(self.begin("az", *words.split(), *more, "-o", "json")) or "null")

    def refused(self, words: str) -> str:
        """What az says of a command that must fail."""
        az = self.begin("az", *words.split())
        _, said = az.communicate(timeout=60)
        assert az.returncode in {1, 3}, said  # 3: there is none
        return said

    def sdk_delete(self, *token: str) -> subprocess.Popen:
        script = str(Path(__file__).with_name("sdk_delete.py"))
        return self.begin(str(AZ_PYTHON), script, GROUP, CLUSTER, "work", *token)

    def status(self, path: str, token: str) -> int:
        """What a plain request with this token is answered."""
        trust = ssl.create_default_context(cafile=self.environment["REQUESTS_CA_BUNDLE"])
        url = f"{self._front.endpoint}{path}?api-version={VERSION}"
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(url, headers=headers, verify=trust, timeout=30).status_code

    def at_each(self, question):
        """The one answer that every server gives."""
        answers = []
        for port in self._ports():
            self._front.lead_to(port)
            answers.append(question())
        self._front.lead_to(*self._ports())
        assert all(answer == answers[0] for answer in answers), answers
        return answers[0]

    def _ports(self) -> list[int]:
        return [replica.server.port for replica in self._team.replicas]


def finish(process: subprocess.Popen) -> str:
    """What it printed; it must succeed."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors + out
    return out


@pytest.fixture
def team(shared_cluster, database, tmp_path):
    need_clients()
    team = Team(tmp_path, database, shared_cluster.kubeconfig, 3, settings=SETTINGS)
    yield team
    team.end()


@pytest.fixture
def front(team):
    front = Front([replica.server.port for replica in team.replicas])
    yield front
    front.close()


@pytest.fixture
def clients(team, front, tmp_path):
    server = team.replicas[0].server
    pointed = {
        name: value.replace(server.endpoint, front.endpoint)
        for name, value in server.environment().items()
    }
    with one_az(tmp_path, pointed) as environment:
        yield Clients(team, front, environment)


@pytest.fixture
def kubectl(shared_cluster):
    kubectl = Kubectl(shared_cluster.kubeconfig)
    yield kubectl
    for kind in ("pdb", "pod"):
        kubectl("delete", kind, "held", "--ignore-not-found", "--force", "--grace-period=0")


def accepted_by(team, path):
    """The server that answered the PUT."""
    for replica in team.replicas:
        lines = replica.server.log().splitlines()
        if any("PUT" in line and path in line for line in lines):
            return replica
    return None


def works_on(team, database):
    """The server that has the pool's lease."""
    query = (
        "SELECT holder FROM leases WHERE key LIKE 'agent_pool/%/work' "
        "AND until > extract(epoch FROM clock_timestamp())"
    )
    with psycopg.connect(database) as connection:
        row = connection.execute(query).fetchone()
    pid = int(row[0].split("/")[1]) if row else 0
    alive = [replica for replica in team.replicas if replica.server.process is not None]
    return next((each for each in alive if each.server.process.pid == pid), None)


def test_clients_do_not_notice_that_servers_are_killed(
    shared_cluster, database, team, front, clients, kubectl
):
    log_in(clients, front)
    add_while_the_acceptor_is_killed(team, front, clients)
    agree(clients)
    kubectl("create", "-f", "-", stdin=json.dumps(HELD))
    kubectl("create", "-f", "-", stdin=json.dumps(BUDGET))
    kubectl("wait", "--for=condition=Ready", "pod/held", "--timeout=60s")
    delete_while_the_worker_is_killed(team, database, clients, kubectl)
    check_all([], database, shared_cluster.kubeconfig)
    for replica in team.replicas:
        assert "Traceback" not in replica.server.log(), replica.server.log()[-4000:]


def log_in(clients, front):
    clients.az("cloud register -n Poolwright --endpoint-resource-manager", front.endpoint)
    clients.az("cloud set -n Poolwright")
    words = "login --service-principal --tenant adfs -u {AZURE_CLIENT_ID} -p {AZURE_CLIENT_SECRET}"
    clients.az(words.format_map(clients.environment))


def add_while_the_acceptor_is_killed(team, front, clients):
    adding = clients.begin(*f"az aks nodepool add {POOL} -c 2 -s Standard_D4s_v5 -o json".split())
    acceptor = until(lambda: accepted_by(team, clients.path), every=0.05)
    heard = front.heard
    until(lambda: front.heard >= heard + 2, every=0.05)  # az has its answer, and polls
    acceptor.server.kill()
    assert adding.poll() is None, "it ended before its server was killed"
    added = json.loads(finish(adding))
    assert (added["provisioningState"], added["count"]) == ("Succeeded", 2)
    acceptor.server.start()


def agree(clients):
    """Every server shows the same pool and operation, and takes each other's tokens and ETags."""
    pool = clients.at_each(lambda: clients.az(f"aks nodepool show {POOL}"))
    assert pool["provisioningState"] == "Succeeded"
    version = f"?api-version={VERSION}"
    url = f"{clients.path}/operations/latest{version}"
    latest = clients.az("rest --method get --url", url)["name"]
    url = url.replace("latest", latest)
    operation = clients.at_each(lambda: clients.az("rest --method get --url", url))
    assert operation["status"] == "Succeeded"
    token = clients.az("account get-access-token")["accessToken"]
    assert clients.at_each(lambda: clients.status(clients.path, token)) == 200
    assert clients.at_each(lambda: clients.status(clients.path, f"{token}x")) == 401

    update = f"aks nodepool update {POOL} --labels a=b --if-match {pool['eTag']}"
    assert clients.az(update)["nodeLabels"] == {"a": "b"}
    assert clients.at_each(lambda: "(PreConditionFailed)" in clients.refused(update))


def delete_while_the_worker_is_killed(team, database, clients, kubectl):
    """The budget holds the operation until it is another's."""
    token = finish(clients.sdk_delete()).strip()
    worker = until(lambda: works_on(team, database))
    worker.server.kill()
    until(lambda: works_on(team, database))
    deleting = clients.sdk_delete(token)
    kubectl("delete", "pdb", "held")
    finish(deleting)
    worker.server.start()
    assert clients.at_each(lambda: "(NotFound)" in clients.refused(f"aks nodepool show {POOL}"))
