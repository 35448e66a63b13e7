"""The benchmark of the embedded Kubernetes runs through, in its shortest form.

Not in CI: with ``POOLWRIGHT_TEST_BENCH=1`` alone, for it takes most of a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = {
    "nodes_with_components": ("nodes", 10),
    "deployment": ("pods", 10),
    "nodes_plain": ("nodes", 10),
    "nodes_large": ("nodes", 9),
    "deployment_large": ("pods", 10),
}
SIZES = {"nodes": 10, "large": 20, "pods": 40, "deployment": 10, "watchers": 5, "changes": 10}


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("POOLWRIGHT_TEST_BENCH"), reason="a benchmark: POOLWRIGHT_TEST_BENCH=1"
)
def test_every_row_of_the_embedded_stack_is_measured(tmp_path: Path) -> None:
    sizes = [text for name, size in SIZES.items() for text in (f"--{name}", str(size))]
    command = [sys.executable, str(ROOT / "bench/bench_kubernetes.py"), "--stacks", "embedded"]
    done = subprocess.run(
        [*command, *sizes, "--name", str(tmp_path / "short")],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((tmp_path / "short.json").read_text())["embedded"]
    assert not [name for name in rows if name.endswith("_failed")], rows
    for name, (figure, count) in ROWS.items():
        assert rows[name][figure] == count, name
    assert rows["fan_out"]["events_per_second"] > 0
    assert rows["memory"]["nodes"] == SIZES["large"]
    assert rows["memory"]["pods"] == SIZES["pods"]
