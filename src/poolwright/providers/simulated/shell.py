"""The few commands that a simulated container understands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from poolwright.ports.kube import ExecResult


@dataclass(frozen=True, slots=True)
class Container:
    """Where a command runs. ``smi`` is the tool of a container that has a GPU, else None."""

    hostname: str
    environment: Mapping[str, str]
    now: datetime
    smi: Callable[[Sequence[str]], tuple[str, int]] | None


_SHELLS = {"sh", "bash", "ash"}
_FILES: Mapping[str, str] = {
    "/etc/os-release": 'PRETTY_NAME="Simulated container"\nID=simulated\n',
    "/etc/hostname": "",
    "/proc/1/comm": "main\n",
}
_ROOT = "bin  dev  etc  home  lib  proc  root  run  sys  tmp  usr  var\n"


def _result(out: str = "", code: int = 0, error: str = "") -> ExecResult:
    return ExecResult(out.encode(), error.encode(), code)


def execute(container: Container, command: Sequence[str]) -> ExecResult:
    """Run a command as the container's first process would be asked to.

    A command that is not there gives what the runtime says, with its exit code.
    """
    name = command[0].rsplit("/", 1)[-1] if command else ""
    if name in _SHELLS:
        return _shell(container, list(command[1:]))
    found = _run(container, name, list(command[1:]))
    if found is not None:
        return found
    shown = command[0] if command else ""
    where = "no such file or directory" if "/" in shown else "executable file not found in $PATH"
    prefix = "stat " + shown if "/" in shown else f'exec: "{shown}"'
    return _result(
        code=127,
        error="OCI runtime exec failed: exec failed: unable to start container process: "
        f"{prefix}: {where}: unknown",
    )


def _shell(container: Container, args: list[str]) -> ExecResult:
    rest = [arg for arg in args if not arg.startswith("-")]
    if not any(arg.startswith("-") and "c" in arg for arg in args) or not rest:
        return _result()
    out, error, code = "", "", 0
    for part in _parts(rest[0]):
        try:
            words = shlex.split(part)
        except ValueError:
            return _result(out, 2, "sh: syntax error: unterminated quoted string\n")
        words = [_expand(container, word) for word in words]
        found = _run(container, words[0].rsplit("/", 1)[-1], words[1:])
        if found is None:
            code, error = 127, error + f"sh: {words[0]}: not found\n"
        else:
            out, error = out + found.stdout.decode(), error + found.stderr.decode()
            code = found.exit_code
        if words[0] == "exit" or (code and "&&" in rest[0]):
            break
    return _result(out, code, error)


def _parts(script: str) -> list[str]:
    for separator in ("&&", "\n"):
        script = script.replace(separator, ";")
    return [part.strip() for part in script.split(";") if part.strip()]


def _expand(container: Container, word: str) -> str:
    for name, value in container.environment.items():
        word = word.replace(f"${{{name}}}", value).replace(f"${name}", value)
    return word


def _run(container: Container, name: str, args: list[str]) -> ExecResult | None:
    match name:
        case "nvidia-smi":
            if container.smi is None:
                return None
            out, code = container.smi(args)
            return _result(out, code)
        case "echo":
            tail = "" if args[:1] == ["-n"] else "\n"
            return _result(" ".join(args[1:] if not tail else args) + tail)
        case "printf":
            return _result(args[0].replace("\\n", "\n") if args else "")
        case "hostname":
            return _result(f"{container.hostname}\n")
        case "env" | "printenv":
            return _environment(container, args)
        case "cat":
            return _cat(container, args)
        case "ls":
            return _result(_ROOT if args in ([], ["/"]) else "")
        case "date":
            return _result(container.now.strftime("%a %b %e %H:%M:%S UTC %Y\n"))
        case "pwd":
            return _result("/\n")
        case "whoami":
            return _result("root\n")
        case "id":
            return _result("uid=0(root) gid=0(root) groups=0(root)\n")
        case "true" | ":" | "sleep":
            return _result()
        case "false":
            return _result(code=1)
        case "exit":
            return _result(code=int(args[0]) if args and args[0].isdigit() else 0)
        case _:
            return None


def _environment(container: Container, args: Sequence[str]) -> ExecResult:
    if args:
        value = container.environment.get(args[0])
        return _result(code=1) if value is None else _result(f"{value}\n")
    return _result("".join(f"{k}={v}\n" for k, v in container.environment.items()))


def _cat(container: Container, args: Sequence[str]) -> ExecResult:
    out, error = "", ""
    for path in args:
        if path == "/etc/hostname":
            out += f"{container.hostname}\n"
        elif path in _FILES:
            out += _FILES[path]
        else:
            error += f"cat: {path}: No such file or directory\n"
    return _result(out, 1 if error else 0, error)
