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
    assert seen == {
        "cluster": "Succeeded",
        "pool": ["Succeeded", 1, "None"],
        "pools": ["gpu", "sys"],
        "scaled": 2,
        "immutable": [400, "PropertyChangeNotAllowed"],
        "missing": 404,
        "left": ["sys"],
        "group": False,
    }
