"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TRACKED = [
    *SOURCES,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "bench").rglob("*.py")),
]
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
# Real clock and entropy live in app; sim has its own on the virtual loop.
BANNED_CALLS = re.compile(
    r"\b(time\.(time|monotonic|sleep|perf_counter)\(|datetime\.(now|utcnow)\(|uuid\.uuid\d\("
    r"|secrets\.|asyncio\.create_task\(|asyncio\.ensure_future\(|random\.(random|choice|randint)\()"
)


def room(path: Path) -> str:
    return path.relative_to(ROOT / "src/poolwright").parts[0]


def test_every_package_says_what_it_is_for():
    for path in SOURCES:
        if path.name == "__init__.py":
            docstring = ast.get_docstring(ast.parse(path.read_text()))
            assert len(docstring or "") > 30, path


@pytest.mark.parametrize("path", TRACKED, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_have_telling_names_and_sizes(path):
    assert path.stem not in BANNED_NAMES
    assert len(path.read_text().splitlines()) <= 700


def test_no_real_clock_or_entropy_outside_app():
    for path in SOURCES:
        if room(path) == "app":
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not BANNED_CALLS.search(line.split("#")[0]), f"{path}:{number}: {line.strip()}"


def test_broad_catches_only_in_the_loop():
    for path in SOURCES:
        if path.relative_to(ROOT / "src/poolwright").as_posix() == "reconcile/loop.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                assert caught not in {"Exception", "BaseException", "everything"}, (
                    f"{path}:{node.lineno} catches {caught}"
                )


def test_the_core_knows_no_provider_and_no_speed():
    for path in SOURCES:
        if room(path) in {"control", "plan", "kube"}:
            text = path.read_text().lower()
            for word in ("simulat", "kwok", "cluster_api", ".speed"):
                assert word not in text, f"{path} mentions {word!r}"


def test_nothing_of_this_machine_or_of_how_it_was_written():
    for path in ROOT.rglob("*"):
        relative = path.relative_to(ROOT)
        if relative.parts[0] in {".git", ".venv", ".cache"} or not path.is_file():
            continue
        if path.suffix in {".py", ".md", ".toml", ".sh", ".yaml"} and path != Path(__file__):
            text = path.read_text()
            for word in ("/work/main", "/work/shared", "/root/.cache", "founder"):
                assert word not in text, f"{relative} mentions {word!r}"


def test_links_of_the_documents_lead_somewhere():
    for path in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path}: {target}"


def test_the_room_table_is_what_the_packages_say():
    check = [sys.executable, str(ROOT / "tools/make_architecture.py"), "--check"]
    assert subprocess.run(check, check=False).returncode == 0, "run tools/make_architecture.py"


def test_files_named_in_the_architecture_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text().partition("## Three flows")[2]
    for name in re.findall(r"`([a-z_]+/[a-z_/]+(?:\.py)?)`", text):
        assert (ROOT / "src/poolwright" / name).exists() or (ROOT / name).exists(), name
