"""The walk-throughs of ``examples/``, run by bash as a person runs them: what the clients print."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conformance.conftest import AZ_PYTHON, missing
from server_process import ServerProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Runs a script on a fresh server; gives what each command printed, in order."""
    if not Path(AZ_PYTHON).with_name("az").exists():
        missing("azure-cli (make az)")
    if shutil.which("kubectl") is None:
        missing("kubectl")

    def run(name: str) -> list[tuple[str, str]]:
        server = ServerProcess(tmp_path_factory.mktemp("example") / "data")
        server.start()
        try:
            environment = server.environment()
            environment["PATH"] = f"{Path(AZ_PYTHON).parent}:{environment['PATH']}"
            printed = ""
            for script in ("00_log_in.sh", name):
                done = subprocess.run(
                    ["bash", str(EXAMPLES / script)],
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=280,
                    check=False,
                )
                assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
                printed += done.stdout
        finally:
            code = server.stop()
        assert code == 0
        parts = re.split(r"^\$ (.*)\n", printed, flags=re.MULTILINE)
        return list(zip(parts[1::2], parts[2::2], strict=True))

    return run


def pools(table: str) -> dict[str, dict[str, str]]:
    """The rows of ``az aks nodepool list -o table`` by name."""
    lines = table.splitlines()
    header = lines[0].split()
    rows = (dict(zip(header, line.split(), strict=True)) for line in lines[2:])
    return {row["Name"]: row for row in rows}


def printed_by(transcript: list[tuple[str, str]], beginning: str) -> list[str]:
    return [out for command, out in transcript if command.startswith(beginning)]


def test_managed_gpu_pool(example):
    transcript = example("02_managed_gpu.sh")
    assert "Registered" in printed_by(transcript, "az feature show")[0]
    pods = printed_by(transcript, "kubectl get pods -n default")[0]
    assert re.search(r"^nvidia-device-plugin-\w+ +1/1 +Running", pods, flags=re.MULTILINE)
    assert re.search(r"^nvidia-dcgm-exporter-\w+ +1/1 +Running", pods, flags=re.MULTILINE)
    first, by_pool = printed_by(transcript, "kubectl get nodes")
    assert first.split()[-1] == "1"
    smi = printed_by(transcript, "kubectl exec")[0]
    assert "NVIDIA-SMI" in smi
    assert "Tesla V100-PCIE-16GB" in smi
    metrics = printed_by(transcript, "kubectl get --raw")[0]
    assert re.search(r"^DCGM_FI_DEV_GPU_UTIL\{.*\} \d+", metrics, flags=re.MULTILINE)
    waited = printed_by(transcript, "kubectl wait")
    assert waited[1] == "job.batch/samples-tf-mnist-demo condition met\n"
    assert printed_by(transcript, "kubectl logs")[0].strip()
    assert dict(line.split() for line in by_pool.splitlines()[1:]) == {
        "byo": "<none>",
        "gpual": "1",
        "gpunp": "1",
        "nodepool1": "<none>",
    }
    table = pools(printed_by(transcript, "az aks nodepool list")[0])
    assert {name: row["ProvisioningState"] for name, row in table.items()} == dict.fromkeys(
        ("byo", "gpual", "gpunp", "nodepool1"), "Succeeded"
    )
