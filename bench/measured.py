"""What every benchmark shares: the machine it ran on, the server it ran against, its result."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import platform
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

from poolwright.app.cli.arm_client import ArmClient
from poolwright.model.record import Kind
from poolwright.ports.store import Create
from poolwright.store import SqlStore

RESULTS = Path(__file__).parent / "results"
TICKS = os.sysconf("SC_CLK_TCK")
ADOPTING = """
[adopt]
kubeconfig = "{kubeconfig}"
resource_group = "bench"
cluster_name = "c"
[arm]
retry_after_ms = 50
[cloud]
delay_factor = {factor}
[cloud.scarcity]
default_quota = 10000000
"""
"""Settings of a server on a real Kubernetes."""


def cpu_model() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor()


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "cpu": cpu_model(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_average": [round(each, 2) for each in os.getloadavg()],
    }


def write_result(name: str, began: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Print and keep one benchmark's figures; ``began`` is `machine` at the start."""
    whole = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "machine": dict(began),
        "load_average_after": [round(each, 2) for each in os.getloadavg()],
        **result,
    }
    text = json.dumps(whole, indent=1)
    print(text, flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def versions(*packages: str, python: str = sys.executable) -> dict[str, str]:
    """Versions of packages that a Python has; the others are left out."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "have = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({n: have[n] for n in sys.argv[1:] if n in have}))"
    )
    return json.loads(subprocess.check_output([python, "-c", code, *packages], timeout=60))


def synchronous_read() -> dict[str, str]:
    """``PRAGMA synchronous`` of the store's own connection after a commit in each kind of scope,
    on a store opened as ``poolwright up`` opens it.
    """
    names = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
    kind = Kind("Pod", bytes, NoneType)

    async def read(folder: str) -> dict[str, str]:
        store = SqlStore.open(Path(folder), clock=_RealClock())  # type: ignore[arg-type]
        found = {}
        for scope in ("arm/s/g/c", "cloud/r", "kube/s/g/c"):
            record = Create(kind, "a", "u", b"", None, datetime.now(UTC))
            await store.transact(scope, [record])
            connection: sqlite3.Connection = store._file._connection  # type: ignore[attr-defined]
            (number,) = connection.execute("PRAGMA synchronous").fetchone()
            found[scope.partition("/")[0]] = names[number]
        await store.close()
        return found

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(read(folder))


class _RealClock:
    def monotonic(self) -> float:
        return time.monotonic()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid: int) -> dict[str, float]:
    """Resident memory now and at its highest."""
    text = Path(f"/proc/{pid}/status").read_text()
    return {
        name: round(int(re.search(rf"{field}:\s+(\d+)", text)[1]) / 1024)  # type: ignore[index]
        for name, field in (("resident_mib", "VmRSS"), ("resident_peak_mib", "VmHWM"))
    }


def until(holds: Callable[[], Any], *, seconds: float = 600, every: float = 0.1) -> Any:
    """Wait until something holds, and give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(every)
    raise TimeoutError("what the benchmark waits for did not happen")


class Server:
    """A real ``poolwright up`` in a process of its own."""

    def __init__(self, data_dir: Path, *, speed: float = 60, config: str = "") -> None:
        self.data_dir = data_dir
        self.speed = speed
        self._config = data_dir.parent / f"{data_dir.name}.toml"
        self._config.write_text(config)
        self._log = data_dir.parent / f"{data_dir.name}.log"
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, profile: Path | None = None) -> float:
        """Seconds from exec to the ready line."""
        command = [sys.executable]
        command += ["-m", "cProfile", "-o", str(profile)] if profile else []
        command += ["-m", "poolwright", "up", "--data-dir", str(self.data_dir)]
        command += ["--port", str(self._port), "--speed", str(self.speed)]
        command += ["--config", str(self._config)]
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            match = re.match(rb"ready https://localhost:(\d+)", line)
            if match:
                self._port = int(match[1])
                return time.monotonic() - began
        raise RuntimeError(f"the server did not start: {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        return self._port

    @property
    def bundle(self) -> str:
        return self.variables()["REQUESTS_CA_BUNDLE"]

    def variables(self) -> dict[str, str]:
        """What ``env.sh`` exports."""
        lines = (self.data_dir / "env.sh").read_text().splitlines()
        found = (each.removeprefix("export ") for each in lines if each.startswith("export "))
        return {
            name: "".join(shlex.split(value))
            for name, _, value in (line.partition("=") for line in found)
        }

    def client(self) -> ArmClient:
        return ArmClient(self.variables())


def token_of(client: ArmClient) -> str:
    """An access token, by a request that works."""
    answer = client.send("GET", "/subscriptions", api_version="2022-12-01")
    return answer.request.headers["authorization"].removeprefix("Bearer ")


def group_path(client: ArmClient, group: str = "bench") -> str:
    return f"/subscriptions/{client.subscription}/resourceGroups/{group}"


def make_group(client: ArmClient, group: str = "bench") -> str:
    client.send(
        "PUT", group_path(client, group), api_version="2024-11-01", body={"location": "eastus"}
    )
    return group_path(client, group)


def cluster_path(client: ArmClient, name: str) -> str:
    return f"{group_path(client)}/providers/Microsoft.ContainerService/managedClusters/{name}"


def cluster_body(pool_count: int = 1) -> dict[str, Any]:
    pool = {"name": "system", "mode": "System", "count": pool_count, "vmSize": "Standard_D4s_v5"}
    return {
        "location": "eastus",
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "dnsPrefix": "bench",
            "kubernetesVersion": "1.36.1",
            "agentPoolProfiles": [pool],
        },
    }


def counters(client: ArmClient, name: str) -> dict[str, float]:
    """A counter of ``/metrics`` so far, by its labels' values."""
    text = client.send("GET", "/metrics", api_version="").text
    return {
        " ".join(re.findall(r'"([^"]*)"', labels)): float(value)
        for labels, value in re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.MULTILINE)
    }


def write_kubeconfig(client: ArmClient, cluster: str, path: Path) -> Path:
    answer = client.operate("POST", f"{cluster}/listClusterAdminCredential", wait=True)
    path.write_bytes(base64.b64decode(answer["kubeconfigs"][0]["value"]))
    return path


def kubectl(kubeconfig: Path, *arguments: str) -> str:
    command = ["kubectl", "--kubeconfig", str(kubeconfig), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
