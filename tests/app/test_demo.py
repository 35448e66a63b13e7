"""``make demo``: it ends with 0 only if every step was checked."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def demo(tmp_path, **settings):
    """Its machines take a tenth of their time; the demo itself is as it is."""
    named = {f"POOLWRIGHT_CLOUD__{name}": value for name, value in settings.items()}
    quick = {
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "POOLWRIGHT_CLOUD__DELAY_FACTOR": "0.1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "poolwright", "demo"],
        env={**os.environ, **quick, **named},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_step_is_shown_checked_and_timed(tmp_path):
    code, said = demo(tmp_path)
    assert code == 0, said
    steps = [line.removeprefix("▸ ") for line in said.splitlines() if line.startswith("▸ ")]
    assert len(steps) == 8
    assert said.count("✓") == 8
    summary = said[said.index("IN REAL TIME") :]
    assert all(step in summary for step in steps)
    assert summary.count(" min ") == 8
    for shown in (
        "nvidia-device-plugin-",
        "nvidia-dcgm-exporter-",
        "DCGM_FI_DEV_GPU_UTIL",
        "step 500",
    ):
        assert shown in said, said


def test_a_step_that_fails_ends_it(tmp_path):
    code, said = demo(tmp_path, FAILURE_WEIGHTS='{"driver": 1}')
    assert code == 1, said
    assert "✗ " in said
    assert "VM has reported a failure" in " ".join(said.split())
    assert "IN REAL TIME" not in said
    assert "Traceback" not in said
