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
TERMINAL = {"Succeeded", "Failed", "Canceled"}
PATIENCE = 60.0


class User:
    """``revive`` is called whenever the server does not answer; it starts it if it is dead."""

    def __init__(self, variables: dict[str, str], revive: Callable[[], None]) -> None:
        self._variables = variables
        self._revive = revive
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

    def close(self) -> None:
        self._http.close()

    def cluster(self, name: str) -> str:
        return f"{self.group}/providers/Microsoft.ContainerService/managedClusters/{name}"

    def pool(self, cluster: str, name: str) -> str:
        return f"{self.cluster(cluster)}/agentPools/{name}"

    def ask(self, method: str, url: str, body: object = None, version: str = VERSION):
        """One request, repeated until the server answers it."""
        deadline = time.monotonic() + PATIENCE
        while True:
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

    def send(self, method: str, path: str, body: object = None) -> str:
        """Begin an operation and give its URL, empty if there is nothing to wait for. A conflict
        with an earlier try whose answer was lost is waited out.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.ask(method, path, body)
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

    def finish(self, *urls: str) -> None:
        """Wait until these operations have ended, and well."""
        for url in filter(None, urls):
            deadline = time.monotonic() + PATIENCE
            while (answer := self.ask("GET", url).json())["status"] not in TERMINAL:
                assert time.monotonic() < deadline, f"{self.operations[url]} hangs: {answer}"
                time.sleep(0.03)
            self.ended[url] = answer["status"]
            assert answer["status"] == "Succeeded", f"{self.operations[url]}: {answer}"

    def settle(self, path: str) -> None:
        """Wait until a resource that may be busy with an unacknowledged try is not."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.ask("GET", path)
            state = answer.json().get("properties", {}).get("provisioningState")
            if answer.status_code == 404 or state in TERMINAL:
                return
            assert time.monotonic() < deadline, f"{path} stays {state}"
            time.sleep(0.03)

    def nodes(self, cluster: str) -> dict[str, list[str]]:
        """Names of the nodes by pool, as the cluster's own API tells; only those that are ready."""
        answer = self.ask("POST", f"{self.cluster(cluster)}/listClusterUserCredential")
        config = yaml.safe_load(base64.b64decode(answer.json()["kubeconfigs"][0]["value"]))
        server = config["clusters"][0]["cluster"]["server"]
        token = config["users"][0]["user"]["token"]
        answer = self._http.get(
            f"{server}/api/v1/nodes", headers={"Authorization": f"Bearer {token}"}
        )
        result: dict[str, list[str]] = {}
        for node in answer.json()["items"]:
            conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
            if conditions.get("Ready") == "True":
                pool = node["metadata"]["labels"]["agentpool"]
                result.setdefault(pool, []).append(node["metadata"]["name"])
        return result
