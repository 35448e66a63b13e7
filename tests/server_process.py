"""A real ``poolwright up`` in a process of its own, for tests that are clients."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path


class ServerDied(AssertionError):
    """The server ended before it was ready."""


class ServerProcess:
    """Starts a server on a free port over a data directory; restartable; ended by its pid."""

    def __init__(
        self,
        data_dir: Path,
        *,
        speed: float = 600,
        config: str = "",
        environment=None,
        command: tuple[str, ...] = ("-m", "poolwright"),
    ):
        self.data_dir = data_dir
        self.speed = speed
        self._config = data_dir.parent / f"{data_dir.name}.toml"
        self._config.write_text(config)
        self._environment = environment or {}
        self._command = command
        self.port = 0
        self.process: subprocess.Popen | None = None
        self.ready_seconds = 0.0

    def start(self, **environment: str) -> None:
        """Start it, with further variables for this life; returns once it is ready."""
        command = [sys.executable, *self._command, "up", "--data-dir", str(self.data_dir)]
        command += ["--port", str(self.port), "--speed", str(self.speed)]
        command += ["--config", str(self._config)]
        began = time.monotonic()
        log = (self.data_dir.parent / f"{self.data_dir.name}.log").open("ab")
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self._environment, **environment},
        )
        log.close()
        assert self.process.stdout is not None
        for line in self.process.stdout:
            match = re.match(rb"ready https://localhost:(\d+)", line)
            if match:
                self.port = int(match[1])
                self.ready_seconds = time.monotonic() - began
                return
        self._reap()
        raise ServerDied(f"the server did not start: {self.log()[-4000:]}")

    def log(self) -> str:
        return (self.data_dir.parent / f"{self.data_dir.name}.log").read_text(errors="replace")

    def is_dead(self) -> bool:
        """Whether the process has ended by itself; its remains are cleared away then."""
        if self.process is not None and self.process.poll() is not None:
            self._reap()
        return self.process is None

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            code = self._reap()
        return code

    def _reap(self) -> int:
        assert self.process is not None
        code = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return code

    @property
    def endpoint(self) -> str:
        return f"https://localhost:{self.port}"

    def variables(self) -> dict[str, str]:
        """What ``env.sh`` exports."""
        result = {}
        for line in (self.data_dir / "env.sh").read_text().splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                result[name] = "".join(shlex.split(value))
        return result

    def run(self, words: str) -> None:
        """A command of our own command line; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "poolwright", *words.split()],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"poolwright {words}\n{done.stderr}{done.stdout}"

    def environment(self) -> dict[str, str]:
        """A client's environment: this one, pointed at the server, with a HOME of its own."""
        home = self.data_dir / "home"
        home.mkdir(exist_ok=True)
        return {**os.environ, **self.variables(), "HOME": str(home)}
