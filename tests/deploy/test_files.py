"""What lies in deploy/ agrees with the product, without any tool."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from helm_chart import CHART, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTAINERFILE = (ROOT / "deploy/Containerfile").read_text()


def locked(name):
    """Versions by name; every one must come with hashes."""
    text = (ROOT / "deploy" / name).read_text()
    found = {}
    for entry in re.split(r"\n(?=[a-z])", text[text.index("\n\n") if "\n\n" in text else 0 :]):
        line = entry.strip().splitlines()[0] if entry.strip() else ""
        match = re.match(r"([a-z0-9-]+)==([^\s;]+)", line)
        if match:
            assert "--hash=sha256:" in entry, line
            found[match[1]] = match[2]
    return found


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        ("build.lock", PROJECT["build-system"]["requires"]),
    ],
)
def test_the_image_has_every_dependency_in_a_version_that_will_do(file, wanted):
    versions = locked(file)
    for text in wanted:
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[requirement.name]), text
        for extra in requirement.extras:
            assert f"{requirement.name}-{extra}" in versions


def test_the_base_image_is_pinned_and_nobody_is_root():
    base = re.search(r"^ARG BASE=(\S+)$", CONTAINERFILE, re.MULTILINE)[1]
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-\S+@sha256:[0-9a-f]{64}", base)
    froms = re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE)
    assert set(froms) == {"${BASE}"}
    final = CONTAINERFILE[CONTAINERFILE.rindex("\nFROM") :]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "RUN" not in final


def test_what_the_image_copies_is_sent_to_the_builder_and_is_there():
    ignored = (ROOT / "deploy/Containerfile.dockerignore").read_text().split()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = set()
    for words in re.findall(r"^COPY ((?!--).+)$", CONTAINERFILE, re.MULTILINE):
        copied |= set(words.split()[:-1])
    assert copied == sent
    assert all((ROOT / path).exists() for path in copied)


def test_the_chart_is_of_this_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == PROJECT["project"]["version"]


def test_readme_and_schema_are_made_from_values_and_settings():
    tool = ROOT / "tools/make_chart.py"
    done = subprocess.run([sys.executable, tool, "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


def test_every_value_is_described():
    readme = (CHART / "README.md").read_text()

    def leaves(tree, path=""):
        for name, value in tree.items():
            here = f"{path}.{name}" if path else name
            if f"| `{here}` |" not in readme:
                assert isinstance(value, dict), f"{here} has no comment"
                assert value, f"{here} has no comment"
                yield from leaves(value, here)
            else:
                yield here

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert len(list(leaves(values))) > 40


def test_the_charts_rights_are_those_of_the_manifests():
    manifests = yaml.safe_load_all((ROOT / "deploy/kubernetes/access.yaml").read_text())
    roles = {
        each["metadata"]["name"]: each["rules"]
        for each in manifests
        if each["kind"] in {"ClusterRole", "Role"}
    }
    assert roles == {
        role: yaml.safe_load((CHART / f"files/{file}-role-rules.yaml").read_text())
        for role, file in (
            ("poolwright", "cluster"),
            ("poolwright-system", "system"),
            ("poolwright-components", "components"),
        )
    }
