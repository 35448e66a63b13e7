"""What real clients asked while they were recorded: a running server gives the same status, and at
least the recorded members, to everything beside the clusters themselves.

The recording was made with az, the SDK, Terraform and kubectl against a stub. Names that a server
chooses (operations, tokens) are those of this server. No client is needed.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest

TRACE = Path(__file__).parents[3] / "shared/facts/data/az-trace.jsonl"
GROUP = re.compile(r"/subscriptions/[^/]+/resourcegroups/[^/]+", re.IGNORECASE)
LEFT_OUT = (
    # (method, path, status, reason)
    ("*", r"/managedClusters", 0, "replayed in process, where operations end when the test says"),
    ("*", r"/Microsoft\.Compute/skus$|/vmSkus$", 404, "the stub had no such list; we have"),
    ("GET", r"/operationresults/", 202, "our deletion may be over before it is asked about"),
    ("GET", r"/resourceGroups/tfrg$|/resourceGroups/rmrg$", 404, "sessions are not told apart"),
    ("*", r"/deployments/bad", 0, "the stub validated a template for a cluster that is not there"),
    ("GET", r"/locations/eastus/operationresults/", 0, "the stub invented results of deletions"),
)
MADE_UP = (
    # (path, members, reason)
    (r"/msi/token$", r"\.expires_in$", "App Service does not say it; IMDS does, and so do we"),
    (r"/kubernetesVersions$", r"\.patchVersions\.", "the names are versions of the stub"),
    (r"/locations/eastus/operations/", r"\.error", "the stub failed a pool on purpose"),
    (r"/operationStatuses/", r"\.(id|name|startTime|endTime)$", "ARM says only the status"),
    (r"/resources$", r"\.tags\.", "a tag that another session had set on the cluster"),
)


def rows():
    if not TRACE.exists():
        return []
    return [json.loads(line) for line in TRACE.read_text().splitlines()]


def is_left_out(row):
    return any(
        method in ("*", row["method"])
        and re.search(path, row["path"], re.IGNORECASE)
        and status in (0, row["status"])
        for method, path, status, _ in LEFT_OUT
    )


def keys(value, path=""):
    """Every path of member names; entries of lists count as one."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield f"{path}.{name}"
            yield from keys(member, f"{path}.{name}")
    elif isinstance(value, list):
        for member in value:
            yield from keys(member, f"{path}[]")


class Replay:
    """Sends recorded requests, with this server's own names where a server chose them."""

    def __init__(self, server, client):
        self.endpoint = server.endpoint
        self.identity = server.variables()["POOLWRIGHT_IDENTITY_ENDPOINT"]
        self.client = client
        self.operation = ""
        self.deletion = ""
        self.deployment = ""
        self.kubernetes = ("", "")
        self.own = {"client_secret": "development"}
        self.token = client.post(
            f"{self.endpoint}/adfs/oauth2/token",
            data={
                "grant_type": "client_credentials",
                "client_id": "trace",
                "client_secret": "x",
                "scope": f"{self.endpoint}/.default",
            },
        ).json()["access_token"]

    def ask(self, method, url, *, headers=None, content=None):
        sent = {"authorization": f"Bearer {self.token}", **(headers or {})}
        return self.client.request(method, url, headers=sent, content=content)

    def until(self, url, done):
        """Ask again until it holds; the deadline only bounds a failure."""
        deadline = time.monotonic() + 60
        while not done(answer := self.ask("GET", url)):
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)
        return answer

    def make_cluster(self, path):
        """What the sessions of the recording had in the group rg1."""
        url = f"{self.endpoint}{path}/providers/Microsoft.ContainerService/managedClusters/c1"
        url += "?api-version=2026-06-01"
        pools = [{"name": "nodepool1", "count": 1, "mode": "System"}]
        body = {"location": "eastus", "properties": {"agentPoolProfiles": pools}}
        answer = self.ask(
            "PUT", url, headers={"content-type": "application/json"}, content=json.dumps(body)
        )
        assert answer.status_code == 201, answer.text
        self.operation = answer.headers["azure-asyncoperation"]
        self.until(self.operation, lambda a: a.json()["status"] == "Succeeded")
        found = self.ask("POST", url.replace("?", "/listClusterUserCredential?")).json()
        config = base64.b64decode(found["kubeconfigs"][0]["value"]).decode()
        address = re.search(r"server: (\S+)", config)
        token = re.search(r"token: (\S+)", config)
        assert address
        assert token
        self.kubernetes = (address[1], token[1])

    def url(self, row):
        """Where this server has what was asked for."""
        path, query = row["path"], f"?{row['query']}" if row["query"] else ""
        if row["server"] == "msi":
            return f"{self.identity}{path}{query}".replace("localhost%3A8443", "localhost")
        if row["server"] == "k8s":
            return f"{self.kubernetes[0]}{path}{query}"
        for pattern, own in (
            (r"/deployments/[^/]+/operationStatuses/", self.deployment),
            (r"/locations/eastus/operations/", self.operation),
            (r"/subscriptions/[^/]+/operationresults/", self.deletion),
        ):
            if re.search(pattern, path, re.IGNORECASE):
                return own
        return f"{self.endpoint}{path}{query}"

    def content(self, row):
        body = row["request_body"]
        if isinstance(body, str) and "=" in body:  # a form: its secrets were taken out
            form = dict(parse_qsl(body, keep_blank_values=True))
            return urlencode(
                {
                    name: self.own.get(name, value).replace("localhost:8443", self.endpoint[8:])
                    for name, value in form.items()
                }
            )
        return None if body is None else json.dumps(body)

    def replay(self, row):
        headers = {
            name: value
            for name, value in row["request_headers"].items()
            if name.lower() in {"accept", "content-type", "metadata", "x-identity-header"}
        }
        if row["server"] == "k8s":
            headers["authorization"] = f"Bearer {self.kubernetes[1]}"
        is_group = bool(GROUP.fullmatch(row["path"]))
        if is_group and (row["method"], row["status"]) == ("PUT", 201):
            self.take_away(row)
        answer = self.ask(row["method"], self.url(row), headers=headers, content=self.content(row))
        self.remember(row, answer, is_group=is_group)
        return answer

    def take_away(self, row):
        """Another session of the recording had the same group."""
        gone = self.ask("DELETE", self.url(row))
        if gone.status_code == 202:
            self.until(gone.headers["location"], lambda a: a.status_code != 202)

    def remember(self, row, answer, *, is_group):
        method, path = row["method"], row["path"]
        if "json" in answer.headers.get("content-type", "") and answer.content:
            for name in ("device_code", "refresh_token"):
                if name in answer.json():
                    self.own[name] = answer.json()[name]
        if is_group and method == "PUT" and path.endswith("/rg1"):
            self.make_cluster(path)
        if is_group and method == "DELETE" and answer.status_code == 202:
            self.deletion = answer.headers["location"]
            self.until(self.deletion, lambda a: a.status_code != 202)
        if "/deployments/" in path and method == "PUT" and answer.status_code < 300:
            self.deployment = answer.headers["azure-asyncoperation"]
            ended = {"Succeeded", "Failed"}
            self.until(self.deployment, lambda a: a.json().get("status") in ended)


def difference(row, answer):
    """What is not as it was recorded, or nothing."""
    where = f"{row['method']} {row['path']}?{row['query']} ({row['command'][:40]})"
    if answer.status_code != row["status"]:
        return f"{where}: {answer.status_code} instead of {row['status']}: {answer.text[:300]}"
    if row["status"] >= 400 or not isinstance(row["response_body"], dict):
        return ""
    missing = set(keys(row["response_body"])) - set(keys(answer.json()))
    for path, members, _ in MADE_UP:
        if re.search(path, row["path"]):
            missing = {name for name in missing if not re.search(members, name)}
    return f"{where}: without {', '.join(sorted(missing))}" if missing else ""


def test_every_reason_is_needed():
    if not TRACE.exists():
        pytest.skip(f"{TRACE.name} is not beside the checkout")
    for method, path, status, reason in LEFT_OUT:
        assert any(
            method in ("*", row["method"])
            and re.search(path, row["path"], re.IGNORECASE)
            and status in (0, row["status"])
            for row in rows()
        ), reason


def test_replay(server):
    if not TRACE.exists():
        pytest.skip(f"{TRACE.name} is not beside the checkout")
    context = ssl.create_default_context(cafile=server.variables()["REQUESTS_CA_BUNDLE"])
    problems = []
    asked = 0
    with httpx.Client(verify=context, timeout=30) as client:
        replay = Replay(server, client)
        for row in rows():
            if not is_left_out(row):
                asked += 1
                problems.append(difference(row, replay.replay(row)))
    problems = [problem for problem in problems if problem]
    assert not problems, "\n".join(problems)
    assert asked > 100
