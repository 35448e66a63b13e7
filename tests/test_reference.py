"""docs/reference is what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs/reference"


def test_the_reference_is_current():
    check = [sys.executable, str(ROOT / "tools/make_reference.py"), "--check"]
    done = subprocess.run(check, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_reference_names_what_there_is():
    """The pages are not empty: one fact of each, spelled here."""
    for page, fact in {
        "README.md": "(settings.md)",
        "arm.md": "/agentPools/{pool}/abort",
        "agent-pool.md": "| `gpuProfile.nvidia.managementMode` | `Managed`, `Unmanaged` |",
        "managed-cluster.md": "| `maxAgentPools` | int32 | from 2019-02-01 | readonly |",
        "errors.md": "| `OperationNotAllowed` |",
        "scarcity.md": "| `ZonalAllocationFailed` | at step `allocate` |",
        "settings.md": "`POOLWRIGHT_ARM__RETRY_AFTER_MS`",
        "limits.md": "| `MAX_PODS_MAX` | `250` |",
        "cli.md": "`--gpu-instance-profile`",
        "kubernetes.md": "| core | v1 | `pods` | Pod |",
        "metrics.md": "| `poolwright_reconcile_seconds` | histogram | controller |",
    }.items():
        assert fact in (REFERENCE / page).read_text(), f"{page} lacks {fact}"
