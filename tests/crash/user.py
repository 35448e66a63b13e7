"""A user of the ARM API who outlives restarts: it asks again until there is an answer."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Callable

import httpx
import yaml

GROUP = "crash"
VERSION = "2026-08-01"
GROUPS = "2024-11-01"
DEPLOYMENTS = "2024-11-01"
TERMINAL = {"Succeeded", "Failed", "Canceled"}
PATIENCE = 60.0


class User:
    """``revive`` is called whenever the server does not answer; it starts it if it is dead.
    ``tick`` is called before every request: it may kill.
    """

    def __init__(
        self,
        variables: dict[str, str],
        revive: Callable[[], None],
        tick: Callable[[], None],
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._variables = variables
        self._revive = revive
        self._tick = tick
        self._patience = patience
        context = ssl.create_default_context(cafile=variables["REQUESTS_CA_BUNDLE"])
        self._http = httpx.Client(
            base_url=variables["POOLWRIGHT_ENDPOINT"], verify=context, timeout=20
        )
        self._token = ""
        self.subscription = variables["AZURE_SUBSCRIPTION_ID"]
        self.group = f"/subscriptions/{self.subscription}/resourceGroups/{GROUP}"
        self.operations: dict[str, str] = {}
        """Every acknowledged operation by its URL: what it did."""
        self.ended: dict[str, str] = {}
        """The terminal state that was first seen of each."""
        self._noted = ""

    def close(self) -> None:
        self._http.close()

    def cluster(self, name: str) -> str:
        return f"{self.group}/providers/Microsoft.ContainerService/managedClusters/{name}"

    def pool(self, cluster: str, name: str) -> str:
        return f"{self.cluster(cluster)}/agentPools/{name}"

    def ask(self, method: str, url: str, body: object = None, version: str = VERSION):
        """One request, repeated until the server answers it."""
        deadline = time.monotonic() + self._patience
        while True:
            self._tick()
            try:
                if not self._token:
                    self._log_in()
                answer = self._http.request(
                    method,
                    url,
                    params=None if url.startswith("https:") else {"api-version": version},
                    json=body,
                    headers={"Authorization": f"Bearer {self._token}"},
                )
            except httpx.TransportError:
                self._revive()
            else:
                assert answer.status_code < 500, f"{method} {url}: {answer.text}"
                if answer.status_code != 401:
                    return answer
                self._token = ""
            assert time.monotonic() < deadline, f"{method} {url}: no answer"
            time.sleep(0.02)

    def _log_in(self) -> None:
        answer = self._http.post(
            "/adfs/oauth2/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self._variables["AZURE_CLIENT_ID"],
                "client_secret": self._variables["AZURE_CLIENT_SECRET"],
                "scope": self._variables["POOLWRIGHT_ENDPOINT"] + "/.default",
            },
        )
        answer.raise_for_status()
        self._token = answer.json()["access_token"]

    def note(self, text: str) -> None:
        """Write something down that is acknowledged at once, after looking for the last note."""
        answer = self.ask("GET", self.group, None, GROUPS)
        noted = answer.json().get("tags", {}).get("note", "")
        assert noted == self._noted, f"{self._noted!r} was acknowledged, but {noted!r} is there"
        body = {"location": "eastus", "tags": {"note": text}}
        assert self.ask("PUT", self.group, body, GROUPS).status_code in {200, 201}
        self._noted = text

    def send(
        self, method: str, path: str, body: object = None, version: str = VERSION, done: str = ""
    ) -> str:
        """Begin an operation and give its URL, empty if there is nothing to wait for. A conflict
        with an earlier try whose answer was lost is waited out; a refusal that contains ``done``
        says that such a try was successful.
        """
        deadline = time.monotonic() + self._patience
        while True:
            answer = self.ask(method, path, body, version)
            if done and answer.is_client_error and done in answer.text:
                return ""
            if answer.status_code != 409:
                break
            assert time.monotonic() < deadline, f"{method} {path}: {answer.text}"
            time.sleep(0.05)
        if method == "DELETE" and answer.status_code in {204, 404}:
            return ""
        assert answer.status_code in {200, 201, 202}, f"{method} {path}: {answer.text}"
        url = answer.headers.get("azure-asyncoperation", "")
        if url:
            self.operations[url] = f"{method} {path.rsplit('/', 1)[-1]} {body}"
        return url

    def state(self, url: str) -> str:
        """The state of an acknowledged operation."""
        answer = self.ask("GET", url)
        what = self.operations[url]
        assert answer.is_success, f"{what} was acknowledged, but is lost: {answer.text}"
        return answer.json()["status"]

    def finish(self, *urls: str, ends: frozenset[str] = frozenset({"Succeeded"})) -> None:
        """Wait until these operations have ended, and well."""
        for url in filter(None, urls):
            deadline = time.monotonic() + self._patience
            while (state := self.state(url)) not in TERMINAL:
                assert time.monotonic() < deadline, f"{self.operations[url]} hangs"
                time.sleep(0.03)
            self.ended[url] = state
            assert state in ends, f"{self.operations[url]}: {self.ask('GET', url).text}"

    def settle(self, path: str) -> None:
        """Wait until a resource that may be busy with an unacknowledged try is not."""
        deadline = time.monotonic() + self._patience
        while True:
            answer = self.ask("GET", path)
            state = answer.json().get("properties", {}).get("provisioningState")
            if answer.status_code == 404 or state in TERMINAL:
                return
            assert time.monotonic() < deadline, f"{path} stays {state}"
            time.sleep(0.03)

    def _kube(self, cluster: str) -> tuple[str, dict[str, str]]:
        """Where a cluster's own API is, and the header that opens it."""
        answer = self.ask("POST", f"{self.cluster(cluster)}/listClusterUserCredential")
        config = yaml.safe_load(base64.b64decode(answer.json()["kubeconfigs"][0]["value"]))
        token = config["users"][0]["user"]["token"]
        return config["clusters"][0]["cluster"]["server"], {"Authorization": f"Bearer {token}"}

    def create(self, cluster: str, path: str, body: object) -> None:
        """Make an object in a cluster, by its own API; it may be there already."""
        server, headers = self._kube(cluster)
        answer = self._http.post(f"{server}{path}", json=body, headers=headers)
        assert answer.status_code in {201, 409}, answer.text

    def items(self, cluster: str, path: str) -> list[dict]:
        """Objects of a cluster, by its own API."""
        server, headers = self._kube(cluster)
        return self._http.get(f"{server}{path}", headers=headers).json()["items"]

    def nodes(self, cluster: str) -> dict[str, list[str]]:
        """Names of the nodes by pool, as the cluster's own API tells; only those that are ready."""
        result: dict[str, list[str]] = {}
        for node in self.items(cluster, "/api/v1/nodes"):
            conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
            if conditions.get("Ready") == "True":
                pool = node["metadata"]["labels"]["agentpool"]
                result.setdefault(pool, []).append(node["metadata"]["name"])
        return result

    def running(self, cluster: str, app: str) -> int:
        """How many pods of an app are ready."""
        pods = self.items(cluster, f"/api/v1/namespaces/default/pods?labelSelector=app%3D{app}")
        ready = [
            condition["status"] == "True"
            for pod in pods
            for condition in pod["status"].get("conditions", ())
            if condition["type"] == "Ready"
        ]
        return sum(ready)
