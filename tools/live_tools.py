"""Get Kubernetes, its conformance binary, KWOK, Helm, OpenTofu and azapi from Go modules.

``python tools/live_tools.py`` builds what is missing, in the order in which it is useful; the
versions are those of the module files beside this file. Nothing goes into the tree: the binaries
are kept in ``~/.cache/poolwright/live/<version>``; ``POOLWRIGHT_TEST_LIVE_TOOLS`` names another
folder.
Binaries in ``KUBEBUILDER_ASSETS`` are taken first and never built.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent / "live"
KWOK_VERSION = "v0.8.0"
HELM_VERSION = "v3.19.2"
_MARK = "building"

_SERVER = "go.etcd.io/etcd/server/v3"
_KUBERNETES = "k8s.io/kubernetes"


class ToolsMissing(Exception):
    """Tools that are not there, and why."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A binary and where it comes from: a package, and a folder of ours with its module file or,
    without one, the version that is published.
    """

    name: str
    module: str
    package: str
    is_test: bool = False
    version: str = ""


STACK = (
    Tool("etcd", "etcd", "."),
    Tool("kubectl", "kubernetes", f"{_KUBERNETES}/cmd/kubectl"),
    Tool("kube-apiserver", "kubernetes", f"{_KUBERNETES}/cmd/kube-apiserver"),
    Tool("kube-scheduler", "kubernetes", f"{_KUBERNETES}/cmd/kube-scheduler"),
    Tool("kube-controller-manager", "kubernetes", f"{_KUBERNETES}/cmd/kube-controller-manager"),
    Tool("kwok", "", "sigs.k8s.io/kwok/cmd/kwok", version=KWOK_VERSION),
)
"""A real cluster without machines."""
SUITE = (Tool("e2e.test", "kubernetes", f"{_KUBERNETES}/test/e2e", is_test=True),)
"""Kubernetes' own conformance tests."""
CHART = (Tool("helm", "", "helm.sh/helm/v3/cmd/helm", version=HELM_VERSION),)
"""What installs our chart."""
TERRAFORM = (
    Tool("tofu", "tofu", "github.com/opentofu/opentofu/cmd/tofu"),
    Tool("terraform-provider-azapi", "azapi", "github.com/Azure/terraform-provider-azapi"),
)
"""Terraform's language and its generic Azure provider."""
TOOLS = {tool.name: tool for tool in (*STACK, *SUITE, *CHART, *TERRAFORM)}


@dataclass(frozen=True, slots=True)
class Document:
    """YAML that a Go module publishes, gathered into one file that is kept beside a tool."""

    name: str
    tool: str
    module: str
    version: str
    files: tuple[str, ...]
    """Patterns within the module."""


STAGES = Document(
    "kwok-stages.yaml",
    "kwok",
    "sigs.k8s.io/kwok",
    KWOK_VERSION,
    tuple(
        f"kustomize/stage/{part}/{kind}-*.yaml"
        for kind, part in (
            ("node", "node/fast"),
            ("node", "node/heartbeat-with-lease"),
            ("pod", "pod/fast"),
        )
    ),
)
"""The life of nodes and pods that KWOK plays; without stages it does nothing."""
SERVICE_MONITORS = Document(
    "servicemonitors.yaml",
    "helm",
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    ("example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",),
)
"""The Prometheus operator's definition of one of the kinds in our chart."""
CERTIFICATES = Document(
    "certificates.yaml",
    "helm",
    "github.com/cert-manager/cert-manager",
    "v1.21.2",
    ("deploy/crds/cert-manager.io_certificates.yaml",),
)
"""cert-manager's definition of another."""
DOCUMENTS = (STAGES, SERVICE_MONITORS, CERTIFICATES)


def pinned(module: str, dependency: str) -> str:
    """The version of a dependency in one of our module files."""
    found = re.search(
        rf"^require {re.escape(dependency)} (v\S+)", (HERE / module / "go.mod").read_text(), re.M
    )
    assert found is not None, f"{module}/go.mod does not require {dependency}"
    return found[1]


def kubernetes_version() -> str:
    """The pinned version of Kubernetes, without v."""
    return pinned("kubernetes", _KUBERNETES).removeprefix("v")


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where built tools are kept."""
    named = environment.get("POOLWRIGHT_TEST_LIVE_TOOLS")
    if named:
        return Path(named)
    return Path.home() / ".cache/poolwright/live" / kubernetes_version()


def find(name: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """A tool: in ``KUBEBUILDER_ASSETS`` first, else built before; None if it is nowhere."""
    assets = environment.get("KUBEBUILDER_ASSETS")
    places = [Path(assets)] if assets else []
    for place in (*places, folder(environment)):
        if os.access(place / name, os.X_OK):
            return place / name
    return None


def require(*names: str, environment: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """The paths of these tools.

    Raises:
        ToolsMissing: some are not there; says which, and what to do.
    """
    found = {name: find(name, environment) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise ToolsMissing(f"{', '.join(missing)} not found ({how_to_get(environment)})")
    return {name: path for name, path in found.items() if path is not None}


def await_build(*names: str, environment: Mapping[str, str] = os.environ) -> None:
    """Wait while another process builds (`main`) and these tools, or any, are still missing."""
    mark = folder(environment) / _MARK
    while not all(find(name, environment) for name in names or TOOLS):
        if not mark.exists() or not _is_alive(int(mark.read_text() or 0)):
            return
        time.sleep(1)


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _marked() -> Iterator[None]:
    """A mark beside the tools while this process builds them; it holds our pid."""
    mark = folder() / _MARK
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(str(os.getpid()))
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def how_to_get(environment: Mapping[str, str] = os.environ) -> str:
    """What a person must do to have the tools."""
    if shutil.which("go", path=environment.get("PATH")) is None:
        return "make live-tools builds them, and needs Go 1.26, which is not on PATH"
    return "make live-tools builds them in about ten minutes"


def _command(tool: Tool, target: Path, parallel: int) -> tuple[list[str], Path]:
    """What builds the tool, and where to run it."""
    flags = ["-p", str(parallel), "-trimpath"]
    major, minor, _ = kubernetes_version().split(".")
    if not tool.module:
        # Helm takes a cluster that it does not ask for one of this version.
        kinds = ("chartutil", "lint/rules") if tool.name == "helm" else ()
        stamps = {
            f"helm.sh/helm/v3/pkg/{kind}.k8sVersion{part}": value
            for kind in kinds
            for part, value in (("Major", major), ("Minor", minor))
        }
        flags += ["-ldflags", f"-s -w {_stamped(stamps)}"]
        return ["go", "install", *flags, f"{tool.package}@{tool.version}"], HERE
    version = "k8s.io/component-base/version"
    stamps = {
        f"{version}.gitVersion": f"v{kubernetes_version()}",
        f"{version}.gitMajor": major,
        f"{version}.gitMinor": minor,
        f"{version}.gitTreeState": "clean",
    }
    flags += ["-ldflags", f"-s -w {_stamped(stamps)}", "-o", str(target)]
    verb = ["test", "-c", "-vet=off"] if tool.is_test else ["build"]
    return ["go", *verb, *flags, tool.package], HERE / tool.module


def _stamped(stamps: Mapping[str, str]) -> str:
    return " ".join(f"-X {name}={value}" for name, value in stamps.items())


def build(tool: Tool, parallel: int) -> None:
    """Build one tool; it appears under its name only when it is whole.

    Raises:
        subprocess.CalledProcessError: Go could not build it; it has said why.
    """
    place = folder()
    scratch = place / "unfinished"
    scratch.mkdir(parents=True, exist_ok=True)
    command, where = _command(tool, scratch / tool.name, parallel)
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOBIN": str(scratch),
        "GOFLAGS": "-buildvcs=false",
        "GOWORK": "off",
    }
    subprocess.run(["nice", *command], cwd=where, env=environment, check=True)
    (scratch / tool.name).replace(place / tool.name)


def document(wanted: Document) -> Path:
    """Where a document is kept.

    Raises:
        ToolsMissing: it is not there; says what to do.
    """
    path = folder() / wanted.name
    if not path.exists():
        raise ToolsMissing(f"{wanted.name} not found ({how_to_get()})")
    return path


def gather(wanted: Document) -> None:
    """Take a document out of its module."""
    query = ["go", "mod", "download", "-json", f"{wanted.module}@{wanted.version}"]
    said = subprocess.run(query, cwd=HERE, capture_output=True, check=True)
    module = Path(json.loads(said.stdout)["Dir"])
    files = [file for pattern in wanted.files for file in sorted(module.glob(pattern))]
    assert files, f"{wanted.module} {wanted.version} has no {wanted.files}"
    target = folder() / wanted.name
    target.with_suffix(".new").write_text("\n---\n".join(file.read_text() for file in files))
    target.with_suffix(".new").replace(target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="tool", help=f"of {', '.join(TOOLS)}")
    parser.add_argument("--check", action="store_true", help="only say what is there")
    parser.add_argument("-p", "--parallel", type=int, default=2, help="packages built at once")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in TOOLS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    wanted = [tool for tool in TOOLS.values() if not options.names or tool.name in options.names]
    if options.check:
        for tool in wanted:
            print(f"{tool.name}: {find(tool.name) or 'missing'}")
        return 0
    with _marked():
        return _get(wanted, options.parallel)


def _get(wanted: Sequence[Tool], parallel: int) -> int:
    """Build what is missing; the exit status."""
    for tool in wanted:
        beside = [each for each in DOCUMENTS if each.tool == tool.name]
        lacking = [each for each in beside if not (folder() / each.name).exists()]
        if lacking or find(tool.name) is None:
            if shutil.which("go") is None:
                print(f"{tool.name}: {how_to_get()}", file=sys.stderr)
                return 1
            try:
                for each in lacking:  # before the tool: whoever waits for that needs both
                    gather(each)
                if find(tool.name) is None:
                    _build_and_tell(tool, parallel)
            except subprocess.CalledProcessError as error:
                print(f"{tool.name}: go ended with {error.returncode}", file=sys.stderr)
                return 1
        print(f"{tool.name}: {find(tool.name) or 'missing'}")
    return 0


def _build_and_tell(tool: Tool, parallel: int) -> None:
    began = time.monotonic()
    print(f"{tool.name}: building", flush=True)
    build(tool, parallel)
    print(f"{tool.name}: built in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
