"""Real clients against a real server. A client that cannot be had skips its tests, saying so; in
CI a missing one is a failure.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from absent import missing
from server_process import ServerProcess

HERE = Path(__file__).parent
AZ_PYTHON = os.environ.get(
    "POOLWRIGHT_TEST_AZ", str(Path.home() / ".cache/poolwright/az-venv/bin/python")
)


def pytest_collection_modifyitems(items):
    """Mark them, and keep the order within a module: it tells the life of one cluster.

    The modules come in any order; what they share is the server.
    """
    ours = [index for index, item in enumerate(items) if HERE in Path(item.fspath).parents]
    modules: dict[Path, list] = {}
    for index in ours:
        items[index].add_marker(pytest.mark.conformance)
        modules.setdefault(Path(items[index].fspath), []).append(items[index])
    told = [
        item
        for module in modules.values()
        for item in sorted(module, key=lambda item: item.reportinfo()[1] or 0)
    ]
    for index, item in zip(ours, told, strict=True):
        items[index] = item


@dataclass
class Result:
    """What a client printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def table(self) -> dict[str, dict[str, str]]:
        """The rows of az's table output as maps, by their first cell."""
        lines = self.out.splitlines()
        header = re.split(r"  +", lines[0].strip())
        rows = [re.split(r"  +", line.strip()) for line in lines[2:]]
        return {row[0]: dict(zip(header, row, strict=True)) for row in rows}

    def __str__(self):
        return f"exit code {self.code}\n{self.out}{self.err}"


class Driven:
    """A command line in process of a Python of its own, for one server."""

    def __init__(self, command: list[str], environment: dict[str, str], name: str):
        self._name = name
        self._environment = environment
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )

    def __call__(self, *words: str, check: bool = True) -> Result:
        """``az("aks nodepool list -g rg", "--name", "x y")``: the first text is split."""
        arguments = words[0].split() + list(words[1:])
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        result = Result(**json.loads(self._process.stdout.readline()))
        if check:
            assert result.code == 0, f"{self._name} {' '.join(arguments)}\n{result.err}"
        return result

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Az(Driven):
    """The real az."""

    def __init__(self, environment: dict[str, str]):
        super().__init__([AZ_PYTHON, str(HERE / "az_driver.py")], environment, "az")

    def process(self, *words: str) -> Result:
        """The same as a process of its own, as a person runs it."""
        done = subprocess.run(
            [AZ_PYTHON, "-m", "azure.cli", *words[0].split(), *words[1:]],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)


class Kubectl:
    """The real kubectl with a kubeconfig."""

    def __init__(self, environment: dict[str, str]):
        self.environment = environment

    def __call__(self, *words: str, check: bool = True, stdin: str = "") -> Result:
        arguments = words[0].split() + list(words[1:])
        done = subprocess.run(
            ["kubectl", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            input=stdin,
        )
        if check:
            assert done.returncode == 0, (
                f"kubectl {' '.join(arguments)}\n{done.stderr}{done.stdout}"
            )
        return Result(done.returncode, done.stdout, done.stderr)


FAST = "[arm]\nretry_after_ms = 100\n"
"""Clients ask again ten times a second; how they do by default is what the examples show."""


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    process = ServerProcess(tmp_path_factory.mktemp("server") / "data", config=FAST)
    process.start()
    yield process
    assert process.stop() == 0


def log_in(server: ServerProcess) -> Az:
    """The real az, pointed at a server and logged in, as ``examples/00_log_in.sh`` does it."""
    if not Path(AZ_PYTHON).exists():
        missing("azure-cli (make az)")
    client = Az(server.environment())
    client("cloud register -n Poolwright --endpoint-resource-manager", server.endpoint)
    client("cloud set -n Poolwright")
    variables = server.variables()
    client(
        "login --service-principal --tenant 22222222-2222-2222-2222-222222222222 -u",
        variables["AZURE_CLIENT_ID"],
        "-p",
        variables["AZURE_CLIENT_SECRET"],
    )
    return client


@pytest.fixture(scope="session")
def az(server):
    client = log_in(server)
    yield client
    client.close()


@pytest.fixture(scope="session")
def kubectl(server):
    if shutil.which("kubectl") is None:
        missing("kubectl")
    return Kubectl(server.environment())


@pytest.fixture(scope="session")
def kubectl_of(server, az, tmp_path_factory):
    """A kubectl for one cluster: ``kubectl_of("group", "cluster")``."""
    if shutil.which("kubectl") is None:
        missing("kubectl")

    def of(group: str, cluster: str) -> Kubectl:
        file = tmp_path_factory.mktemp("kube") / "config"
        az(f"aks get-credentials -g {group} -n {cluster} --file {file}")
        return Kubectl({**server.environment(), "KUBECONFIG": str(file)})

    return of


@pytest.fixture(scope="session")
def wait_until():
    """Ask again until it holds; the deadline only bounds a failure."""

    def wait(question, seconds: float = 60):
        deadline = time.monotonic() + seconds
        while not (answer := question()):
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.2)
        return answer

    return wait
