"""A server on a Kubernetes that somebody else made, and its clients."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from unittest.mock import patch

from live_stack import live_tools
from poolwright.app.cli import main
from poolwright.app.cli.arm_client import ArmClient

OURS = ("nodes", "-l", "poolwright.dev/machine-provider=kwok")


class Kubectl:
    def __init__(self, kubeconfig):
        binary = live_tools.require("kubectl")["kubectl"]
        self._command = [str(binary), "--kubeconfig", str(kubeconfig)]

    def __call__(self, *words, stdin=None, check=True):
        done = subprocess.run(
            [*self._command, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def items(self, *words):
        return json.loads(self("get", *words, "-o", "json"))["items"]


def up(kubeconfig, folder, *words, errors=subprocess.PIPE):
    """Starts the server; its process, whose first line of output may say that it is ready."""
    command = [sys.executable, "-m", "poolwright", "up", "--kubeconfig", str(kubeconfig)]
    command += ["--data-dir", str(folder), "--port", "0", *words]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={
            **os.environ,
            "POOLWRIGHT_CLOUD__DELAY_FACTOR": "0.02",
            "POOLWRIGHT_ARM__RETRY_AFTER_MS": "100",
        },
    )


class Served:
    """A server and our command line against it."""

    def __init__(self, kubeconfig, folder):
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._log = folder.with_name(f"{folder.name}.log")
        self.start()

    def start(self):
        words = ("--resource-group", "rg1", "--cluster-name", "live")
        with self._log.open("a") as log:
            self.process = up(self._kubeconfig, self._folder, *words, errors=log)
        line = self.process.stdout.readline()
        assert re.match(r"ready https://localhost:\d+", line), self._log.read_text()
        text = (self._folder / "env.sh").read_text()
        self._environment = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", text, re.MULTILINE))

    def run(self, *words):
        """Our command line, in this process: by itself it would take a second to start."""
        out, errors, code = io.StringIO(), io.StringIO(), 0
        clients, make = [], ArmClient.__init__

        def remember(client, *given):
            make(client, *given)
            clients.append(client)

        with (
            patch.object(ArmClient, "__init__", remember),
            patch.dict(os.environ, self._environment),
            patch.object(sys, "argv", ["poolwright", *words]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(errors),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
        for client in clients:
            client.close()
        return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())

    def __call__(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0, self._log.read_text()
        return self._log.read_text()


def ready(nodes):
    return sorted(
        node["metadata"]["name"]
        for node in nodes
        if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
    )


def essence(thing):
    """What an owner wrote of an object, without what its own cluster adds as time passes, and
    whether we wrote any of it.
    """
    meta, spec = thing["metadata"], dict(thing["spec"])
    taints = spec.pop("taints", ())
    return (
        meta["uid"],
        meta.get("labels"),
        spec,
        [taint for taint in taints if not taint["key"].startswith("node.kubernetes.io/")],
        "poolwright" in {entry["manager"] for entry in meta["managedFields"]},
    )
