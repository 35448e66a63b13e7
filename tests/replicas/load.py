"""Users who change pools through whichever server they come upon, and forget nothing."""

from __future__ import annotations

import random
import ssl
import threading
import time
from urllib.parse import urlsplit

import httpx

from replicas.team import CLUSTER, GROUP, Team

VERSION = "2026-08-01"
TERMINAL = {"Succeeded", "Failed", "Canceled"}
PATIENCE = 90.0


class Broken(AssertionError):
    """Something was lost or doubled."""


class User:
    """One pool's user: makes it, scales it, deletes it, again and again. Each request goes to a
    server by chance; one without an answer is repeated at another.
    """

    def __init__(self, team: Team, name: str, seed: int) -> None:
        self._team = team
        self._rng = random.Random(f"{seed}/{name}")
        self.name = name
        variables = team.replicas[0].server.variables()
        context = ssl.create_default_context(cafile=variables["REQUESTS_CA_BUNDLE"])
        self._http = httpx.Client(verify=context, timeout=3)
        self._variables = variables
        self._token = ""
        cluster = (
            f"/subscriptions/{variables['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{GROUP}"
            f"/providers/Microsoft.ContainerService/managedClusters/{CLUSTER}"
        )
        self.path = f"{cluster}/agentPools/{name}"
        self.count = 0
        """How many machines there must be, by the last operation that succeeded."""
        self.ended: dict[str, str] = {}
        """The acknowledged operations that ended, by path."""
        self.troubles: dict[str, int] = {}

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: object = None, endpoint: str = ""):
        """One request, until some server answers it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            chosen = endpoint or self._rng.choice(self._team.endpoints())
            try:
                answer = self._send(chosen, method, path, body)
            except httpx.TransportError as error:
                self._note(type(error).__name__)
            else:
                if answer.status_code < 500:
                    return answer
                self._note(f"{answer.status_code} {answer.text[:200]}")
            if time.monotonic() > deadline:
                raise Broken(f"{method} {path}: no answer; {self.troubles}")
            time.sleep(0.05)

    def _note(self, trouble: str) -> None:
        self.troubles[trouble] = self.troubles.get(trouble, 0) + 1

    def _send(self, endpoint: str, method: str, path: str, body: object):
        if not self._token:  # one server's token opens every door
            form = {
                "grant_type": "client_credentials",
                "client_id": self._variables["AZURE_CLIENT_ID"],
                "client_secret": self._variables["AZURE_CLIENT_SECRET"],
                "scope": f"{endpoint}/.default",
            }
            answer = self._http.post(f"{endpoint}/adfs/oauth2/token", data=form)
            answer.raise_for_status()
            self._token = answer.json()["access_token"]
        url = f"{endpoint}{path}"
        if "api-version=" not in url:
            url += f"?api-version={VERSION}"
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = self._http.request(method, url, json=body, headers=headers)
        if answer.status_code == 401:
            raise Broken(f"a token of another server was refused: {answer.text}")
        return answer

    def change(self, method: str, body: object = None) -> None:
        """One operation from its acceptance to its end."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.ask(method, self.path, body)
            if answer.status_code != 409:
                break
            # An earlier try was accepted, and its answer lost.
            if time.monotonic() > deadline:
                raise Broken(f"{method} {self.path}: {answer.text}")
            time.sleep(0.1)
        if answer.status_code not in {200, 201, 202, 204}:
            raise Broken(f"{method} {self.path}: {answer.status_code} {answer.text}")
        url = answer.headers.get("azure-asyncoperation", "")
        if url:
            parts = urlsplit(url)
            self._finish(f"{parts.path}?{parts.query}")
        self._settle()

    def _finish(self, operation: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.ask("GET", operation)
            if answer.status_code != 200:
                raise Broken(f"acknowledged, but lost: {operation} {answer.text}")
            state = answer.json()["status"]
            if state in TERMINAL:
                break
            if time.monotonic() > deadline:
                raise Broken(f"hangs: {operation} {answer.text}")
            time.sleep(0.1)
        self.ended[operation] = state
        if state != "Succeeded":
            raise Broken(f"{operation}: {answer.text}")

    def _settle(self) -> None:
        """Wait for a try that was accepted without our hearing of it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.ask("GET", self.path)
            if answer.status_code == 404:
                return
            if answer.json()["properties"]["provisioningState"] in TERMINAL:
                return
            if time.monotonic() > deadline:
                raise Broken(f"{self.path}: {answer.text}")
            time.sleep(0.1)

    def step(self) -> None:
        """Change the pool in one way or another."""
        if self.count and self._rng.random() < 0.3:
            self.change("DELETE")
            self.count = 0
            return
        wanted = self._rng.choice([count for count in (1, 2, 3, 4) if count != self.count])
        size = "Standard_DS2_v2"
        self.change("PUT", {"properties": {"count": wanted, "vmSize": size, "mode": "User"}})
        self.count = wanted

    def confirm(self) -> None:
        """Every server says of every operation what was said first."""
        for operation, state in self.ended.items():
            for endpoint in self._team.endpoints():
                answer = self.ask("GET", operation, endpoint=endpoint)
                if answer.status_code != 200 or answer.json()["status"] != state:
                    raise Broken(f"{operation} was {state}: {endpoint} says {answer.text}")


class Load:
    """Users at work, each on a thread, until told to stop."""

    def __init__(self, users: list[User]) -> None:
        self.users = users
        self.broken: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(user,)) for user in users]
        for thread in self._threads:
            thread.start()

    def _work(self, user: User) -> None:
        try:
            while not self._stop.is_set():
                user.step()
        except Exception as error:  # noqa: BLE001 - told by `stop`, on the test's thread
            self.broken.append(error)

    def wait(self, seconds: float) -> None:
        """Time passes, unless something broke."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.broken:
            time.sleep(0.1)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.broken:
            raise self.broken[0]
