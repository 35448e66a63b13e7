"""The Azure SDK for Python, unmodified, by its ``base_url``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from conformance.conftest import AZ_PYTHON, missing

pytestmark = pytest.mark.conformance


def test_sdk_story(server):
    if not Path(AZ_PYTHON).exists():
        missing("the Azure SDK (make az)")
    done = subprocess.run(
        [AZ_PYTHON, str(Path(__file__).parent / "sdk_story.py")],
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    (machine,) = seen.pop("machines")
    assert machine.startswith("aks-gpu-")
    assert machine.endswith("-vmss000000")
    assert "c1" in seen.pop("clusters")
    assert seen.pop("creating") in {"InProgress", "Creating", "Succeeded"}
    assert seen == {
        "state": "Succeeded",
        "cluster": ["Succeeded", "1.35.1", True],
        "identity": True,
        "of group": ["c1"],
        "tags": {"a": "b"},
        "credentials": ["clusterUser", "apiVersion: v1\n"],
        "upgrades": ["1.35.4", "1.36.1", "1.36.3"],
        "default": ["1.35"],
        "no cluster": [404, "ResourceNotFound", "missing"],
        "no group": [404, "ResourceGroupNotFound", "missing"],
        "pool": ["Succeeded", 1, "None"],
        "power": "Running",
        "pools": ["gpu", "sys"],
        "machine": "IPv4",
        "scaled": 2,
        "stale": [412, "PreConditionFailed"],
        "fresh": [{"a": "b"}, True],
        "immutable": [400, "PropertyChangeNotAllowed"],
        "missing": [404, "NotFound", "missing"],
        "unknown size": [400, "VMSizeNotSupported"],
        "pool version": "1.35.1",
        "image": "Succeeded",
        "nothing to abort": [409, "OperationNotAllowed"],
        "fewer": 1,
        "mig": ["Succeeded", {"managementMode": "Managed", "migStrategy": "Mixed"}],
        "failed": "AllocationFailed",
        "failed pool": "Failed",
        "resources": [["c1", "Microsoft.ContainerService/managedClusters"]],
        "provider": "Registered",
        "left": ["sys"],
        "stopped": "Stopped",
        "group": False,
    }
