"""The ``bash`` blocks of README.md and docs/guides, run from top to bottom on a fresh server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.conftest import AZ_PYTHON, missing
from server_process import ServerProcess

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs/guides"
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


WITH_COMMANDS = [
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", *sorted(GUIDES.glob("*.md")))
    if BLOCK.search(path.read_text())
]


def commands(guide: str) -> str:
    """The blocks as one script that ends with the first command that fails."""
    return "\n".join(["set -euo pipefail", *BLOCK.findall((ROOT / guide).read_text())])


@pytest.mark.parametrize("guide", WITH_COMMANDS)
def test_a_guide_works_as_it_is_written(guide, tmp_path):
    script = commands(guide)
    if "az " in script and not Path(AZ_PYTHON).with_name("az").exists():
        missing("azure-cli (make az)")
    if "kubectl" in script and shutil.which("kubectl") is None:
        missing("kubectl")
    server = ServerProcess(tmp_path / "state")  # what the README calls it
    server.start()
    try:
        environment = server.environment()
        own = f"{Path(AZ_PYTHON).parent}:{Path(sys.executable).parent}"
        environment["PATH"] = f"{own}:{environment['PATH']}"
        done = subprocess.run(
            ["bash", "-x", "-c", script],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=280,
            check=False,
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stdout[-5000:]


def test_the_guides_have_commands():
    assert len(WITH_COMMANDS) >= 5


def test_every_guide_is_in_the_index():
    index = (GUIDES / "README.md").read_text()
    for guide in GUIDES.glob("*.md"):
        assert guide.name == "README.md" or f"({guide.name})" in index
