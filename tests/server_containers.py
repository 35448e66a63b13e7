"""The chart's pods as containers, by a runtime that kubelets use: another user, no capabilities, a
root file system that nobody writes to, process number one.

They share this machine's network. What they run is an image, or this machine's Python and what is
installed for it, mounted where it lies.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import poolwright
from helm_chart import ACCOUNT, ROOT
from server_pods import Pod, PodFolders

_PACKAGE = Path(poolwright.__file__).parent
_CONTAINERFILE = ROOT / "deploy/Containerfile"
_NAMESPACES = ("pid", "ipc", "uts", "mount")
_PROC = {"destination": "/proc", "type": "proc", "source": "proc"}
_DEVICES = {
    "destination": "/dev",
    "type": "tmpfs",
    "source": "tmpfs",
    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
}


_UNIFIED = Path("/sys/fs/cgroup/unified")
_WITHOUT_UNIFIED = (
    ["unshare", "--mount", "sh", "-c", f'umount {_UNIFIED} && exec "$0" "$@"']
    if _UNIFIED.is_mount()
    else []
)
"""crun refuses machines with both versions of cgroups, though it is told to make none."""


def need_runtime() -> None:
    """Skip where no container can be run."""
    if shutil.which("crun") is None:
        pytest.skip("crun is not installed here (Debian: apt-get install crun)")
    if os.geteuid() != 0:
        pytest.skip("a container with a user of its own is made by root here")


@dataclass(frozen=True)
class Image:
    """A root file system, what to run in it and how."""

    root: Path
    command: list[str]
    environment: dict[str, str]
    directory: str
    borrowed: dict[str, str] = field(default_factory=dict)
    """What of this machine it has, too: paths of this machine by its own."""


@contextlib.contextmanager
def image(folder: Path) -> Iterator[Image]:
    """The image that ``POOLWRIGHT_TEST_IMAGE`` names, or what stands for it."""
    name = os.environ.get("POOLWRIGHT_TEST_IMAGE")
    if not name:
        yield _stand_in(folder)
        return
    container = _buildah("from", name).strip()
    try:
        config = json.loads(_buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
        assert config["User"] == "10001:10001", "nobody but root could run it"
        yield Image(
            Path(_buildah("mount", container).strip()),
            config["Entrypoint"],
            dict(each.split("=", 1) for each in config["Env"]),
            config["WorkingDir"],
        )
    finally:
        _buildah("rm", container)


def _buildah(*words: str) -> str:
    return subprocess.run(["buildah", *words], stdout=subprocess.PIPE, text=True, check=True).stdout


def _stand_in(folder: Path) -> Image:
    """This machine's programs and Python, under the variables of the Containerfile."""
    last = _CONTAINERFILE.read_text().rpartition("\nFROM")[2]
    found = re.search(r"^ENV ((?:.*\\\n)*.*)$", last, re.MULTILINE)
    words = shlex.split(found[1].replace("\\\n", " "))
    environment = dict(word.split("=", 1) for word in words)
    for path in map(Path, ("/bin", "/lib", "/lib64", "/sbin")):
        if path.is_symlink():  # into /usr
            (folder / path.name).symlink_to(path.readlink())
    borrowed = {"/usr": "/usr", "/etc": "/etc", "/opt/source": str(_PACKAGE.parent)}
    if sys.prefix != sys.base_prefix:
        borrowed["/opt/environment"] = sys.prefix
    if not sys.base_prefix.startswith("/usr"):
        borrowed[sys.base_prefix] = sys.base_prefix
    python = sys.executable.replace(sys.prefix, "/opt/environment", 1)
    return Image(
        folder,
        [python if "/opt/environment" in borrowed else sys.executable, "-m", "poolwright"],
        {**environment, "PATH": "/usr/bin:/bin", "PYTHONPATH": "/opt/source"},
        environment["HOME"],
        borrowed,
    )


class _Mounted(PodFolders):
    """Volumes that are mounted where the pod has them: nothing is moved."""

    def _moved(self, text):
        return text


class Container(Pod):
    """A pod's container."""

    _folders = _Mounted
    image: Image
    """What all of them run."""

    def launch(self):
        bundle = self.folders.folder
        self._name = f"poolwright-{os.getpid()}-{bundle.name}"
        (bundle / "config.json").write_text(json.dumps(self._config()))
        with (bundle / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._runtime(), "run", "--bundle", str(bundle), self._name],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
            )
        return self

    def __call__(self, *words):
        """Run a command in it, as ``kubectl exec`` does."""
        pod = self.spec["securityContext"]
        user = f"--user={pod['runAsUser']}:{pod['runAsGroup']}"
        return subprocess.run(
            [*self._runtime(), "exec", user, self._name, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def stop(self):
        subprocess.run([*self._runtime(), "kill", self._name, "TERM"], check=True)
        self.process.communicate(timeout=self.spec["terminationGracePeriodSeconds"])
        return self.process.returncode

    def remove(self):
        if self.process is not None:
            command = [*self._runtime(), "delete", "--force", self._name]
            subprocess.run(command, capture_output=True, check=False)
            self.process.communicate()

    def _runtime(self):
        state = self.folders.folder.parent / "crun"
        return [*_WITHOUT_UNIFIED, "crun", "--cgroup-manager=disabled", f"--root={state}"]

    def _config(self):
        """What kubelet asks its runtime for."""
        pod, container = self.spec["securityContext"], self.spec["containers"][0]
        own = container["securityContext"]
        assert own["capabilities"]["drop"] == ["ALL"]
        environment = {**self.image.environment, **self.environment()}
        return {
            "ociVersion": "1.0.2",
            "hostname": self.folders.folder.name,
            "root": {"path": str(self.image.root), "readonly": own["readOnlyRootFilesystem"]},
            "process": {
                "args": [*self.image.command, *self.folders.arguments()],
                "env": [f"{name}={value}" for name, value in environment.items()],
                "cwd": self.image.directory,
                "user": {
                    "uid": pod["runAsUser"],
                    "gid": pod["runAsGroup"],
                    "additionalGids": [pod["fsGroup"]],
                },
                "capabilities": {},
                "noNewPrivileges": not own["allowPrivilegeEscalation"],
            },
            "mounts": [_PROC, _DEVICES, *self._borrowed(), *self._volumes()],
            "linux": {"namespaces": [{"type": each} for each in _NAMESPACES]},
        }

    def _borrowed(self):
        return (_bound(path, source) for path, source in self.image.borrowed.items())

    def _volumes(self):
        group = self.spec["securityContext"]["fsGroup"]
        volumes = {each["name"]: each for each in self.spec["volumes"]}
        for mount in self.spec["containers"][0]["volumeMounts"]:
            path, volume = mount["mountPath"], volumes[mount["name"]]
            if "emptyDir" in volume:
                size = volume["emptyDir"]["sizeLimit"].removesuffix("i")
                yield {
                    "destination": path,
                    "type": "tmpfs",
                    "source": "tmpfs",
                    "options": ["nosuid", "nodev", f"size={size}", "mode=2777", f"gid={group}"],
                }
            else:
                self._give(path, group)
                yield _bound(path, self.here(path))
        if self.spec["automountServiceAccountToken"]:
            self._give(ACCOUNT, group)
            yield _bound(ACCOUNT, self.here(ACCOUNT))

    def _give(self, path, group):
        """Files that their group may read, and nobody else."""
        for file in self.here(path).iterdir():
            os.chown(file, 0, group)
            file.chmod(0o440)


def _bound(path, source):
    return {
        "destination": path,
        "type": "bind",
        "source": str(source),
        "options": ["rbind", "ro", "nosuid"],
    }
