"""The scripts of ``examples/``, run by bash as a person runs them, and what they print."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from absent import missing

EXAMPLES = Path(__file__).parents[1] / "examples"
AZ_PYTHON = Path(
    os.environ.get("POOLWRIGHT_TEST_AZ", Path.home() / ".cache/poolwright/az-venv/bin/python")
)


class Transcript:
    """What each command of a script printed, in order, and what the script left out."""

    def __init__(self, printed: str):
        self.left_out = re.findall(r"^# left out, .*: (.*)$", printed, re.MULTILINE)
        said = re.sub(r"^# left out, .*\n", "", printed, flags=re.MULTILINE)
        parts = re.split(r"^\$ (.*)\n", said, flags=re.MULTILINE)
        self._commands = list(zip(parts[1::2], parts[2::2], strict=True))

    def of(self, beginning: str) -> list[str]:
        """What the commands printed that begin so."""
        return [out for command, out in self._commands if command.startswith(beginning)]


def need_clients() -> None:
    """The real az and kubectl, or no test."""
    if not AZ_PYTHON.with_name("az").exists():
        missing("azure-cli (make az)")
    if shutil.which("kubectl") is None:
        missing("kubectl")


_SHIM = """#!{python} -IS
import json, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({socket!r})
stream = connection.makefile("rw")
stream.write(json.dumps(sys.argv[1:]) + "\\n")
stream.flush()
said = json.loads(stream.readline())
sys.stdout.write(said["out"])
sys.stderr.write(said["err"])
sys.exit(said["code"])
"""


@contextlib.contextmanager
def one_az(folder: Path, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """An environment whose ``az`` hands its words to one running az: a start costs seconds of
    CPU, and a walk-through has thirty.
    """
    listening, shim = folder / "az.socket", folder / "bin" / "az"
    shim.parent.mkdir()
    shim.write_text(_SHIM.format(python=sys.executable, socket=str(listening)))
    shim.chmod(0o755)
    driver = Path(__file__).parent / "conformance" / "az_driver.py"
    command = [str(AZ_PYTHON), str(driver), str(listening)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as az:
        try:
            while not listening.exists():
                assert az.poll() is None, "az did not start"
                time.sleep(0.05)
            yield {**environment, "PATH": f"{shim.parent}:{environment['PATH']}"}
        finally:
            az.kill()


def with_az(environment: dict[str, str]) -> dict[str, str]:
    """An environment with the real az, a process each time."""
    return {**environment, "PATH": f"{AZ_PYTHON.parent}:{environment['PATH']}"}


def walk(script: str, environment: dict[str, str]) -> Transcript:
    """Log in, then run a script against the server that the environment points at."""
    printed = ""
    for name in ("00_log_in.sh", script):
        done = subprocess.run(
            ["bash", str(EXAMPLES / name)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,  # bounds a failure; a hundred seconds on two quiet cores
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        printed += done.stdout
    return Transcript(printed)


def pools(table: str) -> dict[str, dict[str, str]]:
    """The rows of ``az aks nodepool list -o table`` by name."""
    lines = table.splitlines()
    header = lines[0].split()
    rows = (dict(zip(header, line.split(), strict=True)) for line in lines[2:])
    return {row["Name"]: row for row in rows}


def check_managed_gpu(transcript: Transcript, expected_pools: tuple[str, ...]) -> None:
    """What the walk through managed GPU pools shows on every Kubernetes: the pools that it made,
    and those that were there.
    """
    assert "Registered" in transcript.of("az feature show")[0]
    pods = transcript.of("kubectl get pods -n default")[0]
    assert re.search(r"^nvidia-device-plugin-\w+ +1/1 +Running", pods, flags=re.MULTILINE)
    assert re.search(r"^nvidia-dcgm-exporter-\w+ +1/1 +Running", pods, flags=re.MULTILINE)
    first, by_pool = transcript.of("kubectl get nodes")
    assert first.split()[-1] == "1"
    waited = transcript.of("kubectl wait")
    assert waited[1] == "job.batch/samples-tf-mnist-demo condition met\n"
    gpus = dict(line.split() for line in by_pool.splitlines()[1:])
    offered = {pool: gpus[pool] for pool in gpus if pool not in {"nodepool1", "<none>"}}
    assert offered == {"byo": "<none>", "gpual": "1", "gpunp": "1"}
    table = pools(transcript.of("az aks nodepool list")[0])
    assert {name: row["ProvisioningState"] for name, row in table.items()} == dict.fromkeys(
        expected_pools, "Succeeded"
    )
