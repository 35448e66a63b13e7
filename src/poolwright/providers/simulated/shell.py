"""The few commands that a simulated container understands, for its log and for ``kubectl exec``.

A command has a `Course`: what it prints and when, how long it takes and how it ends.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from poolwright.ports.kube import ExecResult


@dataclass(frozen=True, slots=True)
class Container:
    """Where a command runs. ``smi`` gives None where there is no GPU, and so no such tool."""

    hostname: str
    environment: Mapping[str, str]
    now: datetime
    smi: Callable[[Sequence[str]], tuple[str, int] | None]


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that appears so many world seconds after the start."""

    offset: float
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Course:
    """How a command goes. ``seconds`` is None for one that runs until it is stopped."""

    pieces: tuple[Piece, ...] = ()
    seconds: float | None = 0.2
    exit_code: int = 0
    is_known: bool = True
    """Whether all of it was understood; else this is what a container without the rest does."""
    is_started: bool = True
    """Whether there was anything to run."""


NUMBER = re.compile(r"[0-9]{1,9}")
"""A number in a command line that is worth reading as one."""
_SHELLS = {"sh", "bash", "ash", "dash"}
_FILES: Mapping[str, str] = {
    "/etc/os-release": 'PRETTY_NAME="Simulated container"\nID=simulated\n',
    "/etc/hostname": "",
    "/proc/1/comm": "main\n",
}
_ROOT = "bin  dev  etc  home  lib  proc  root  run  sys  tmp  usr  var\n"
_SMI_SECONDS = 1.0  # assumed: the tool asks the driver
_SLEEP = re.compile(r"^(\d+(?:\.\d*)?|\.\d+)([smhd]?)$")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ENDLESS = ("infinity", "inf")
_LOOPS = ("while", "for", "until")
_SEPARATORS = (";", "&&", "||")
_SYMBOLS = "|<>&"
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_REFERENCE = re.compile(r"\$\$|\$\((\w+)\)")
_NOT_FOUND = Course(exit_code=127, is_known=False, is_started=False)

VECTOR_ADD = (
    "[Vector addition of 50000 elements]",
    "Copy input data from the host memory to the CUDA device",
    "CUDA kernel launch with 196 blocks of 256 threads",
    "Copy output data from the CUDA device to the host memory",
    "Test PASSED",
    "Done",
)
"""What NVIDIA's sample of that name prints."""


def execute(container: Container, command: Sequence[str]) -> ExecResult:
    """Run a command as the container's first process would be asked to.

    A command that is not there gives what the runtime says, with its exit code.
    """
    found = _course(container, command)  # variables are filled in for what the spec names only
    if found.is_started:
        said = [
            "".join(p.text for p in found.pieces if p.is_error is side) for side in (False, True)
        ]
        return ExecResult(said[0].encode(), said[1].encode(), found.exit_code)
    error = "OCI runtime exec failed: exec failed: unable to start container process: "
    return ExecResult(b"", (error + _not_there(command)).encode(), 127)


def start_error(command: Sequence[str]) -> str:
    """Why a container whose command is not there could not be started."""
    return (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
        f"runc create failed: unable to start container process: error during container init: "
        f"{_not_there(command)}"
    )


def _not_there(command: Sequence[str]) -> str:
    shown = command[0] if command else ""
    where = "no such file or directory" if "/" in shown else "executable file not found in $PATH"
    prefix = "stat " + shown if "/" in shown else f'exec: "{shown}"'
    return f"{prefix}: {where}: unknown"


def course(container: Container, command: Sequence[str]) -> Course:
    """How a command goes in a container; variables as Kubernetes writes them are filled in."""
    return _course(container, [filled_in(word, container.environment) for word in command])


def _course(container: Container, words: Sequence[str]) -> Course:
    name = words[0].rsplit("/", 1)[-1] if words else ""
    if name in _SHELLS:
        return _shell(container, words[1:])
    return _run(container, name, list(words[1:])) or (
        # The driver's tool is put into containers with a GPU: without one it is not there.
        replace(_NOT_FOUND, is_known=name == "nvidia-smi")
    )


def filled_in(word: str, environment: Mapping[str, str]) -> str:
    """A word with ``$(NAME)`` replaced by what is set; ``$$(NAME)`` says that it is none."""
    if "$(" not in word:
        return word

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else environment.get(found[1], found[0])

    return _REFERENCE.sub(value, word)


# ---------------------------------------------------------------------- a shell's script


@dataclass(slots=True)
class _Script:
    """A script while it runs."""

    pieces: list[Piece] = field(default_factory=list[Piece])
    seconds: float | None = 0.0
    code: int = 0
    is_known: bool = True

    def add(self, step: Course) -> None:
        began = self.seconds or 0.0
        self.pieces += [replace(p, offset=began + p.offset) for p in step.pieces]
        self.seconds = None if step.seconds is None else began + step.seconds
        self.code = step.exit_code
        self.is_known = self.is_known and step.is_known

    def course(self) -> Course:
        return Course(tuple(self.pieces), self.seconds, self.code, self.is_known)


def _shell(container: Container, args: Sequence[str]) -> Course:
    options = [arg for arg in args if arg.startswith("-")]
    rest = [arg for arg in args if not arg.startswith("-")]
    if not any("c" in option for option in options) or not rest:
        return Course(is_known=False)
    try:
        commands = list(_commands(rest[0]))
    except ValueError:
        return _complaint("sh: syntax error: unterminated quoted string\n", 2)
    stops = any("e" in option for option in options)
    script = _Script()
    for operator, written in commands:
        if operator in ("&&", "||") and (script.code == 0) is (operator == "||"):
            continue
        words = [_expand(container, word) for word in written]
        if words[0] == "set":
            stops = stops or any(word.startswith("-") and "e" in word for word in words)
            continue
        script.add(_step(container, words, script.code, is_plain=words == written))
        if script.seconds is None or words[0] == "exit" or (stops and script.code):
            break
    return script.course()


def _step(container: Container, words: list[str], last_code: int, *, is_plain: bool) -> Course:
    """One command of a script; ``is_plain`` if no variable is in it."""
    if words[0] in _LOOPS:
        return Course(seconds=None)
    if words[0] == "exit":
        return Course(seconds=0.0, exit_code=_exit_code(words[1:], last_code))
    if words[0] == "exec" and len(words) > 1:
        words = words[1:]
    name = words[0].rsplit("/", 1)[-1]
    if name in _SHELLS:  # a script from a variable may be what we are in
        return _shell(container, words[1:]) if is_plain else Course(is_known=False)
    found = _run(container, name, words[1:])
    if found is not None:
        return found
    missing = _complaint(f"sh: {words[0]}: not found\n", 127)
    return replace(missing, is_known=name == "nvidia-smi")


def _commands(script: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a script, each with the operator before it.

    Pipes and redirections make words of their own, which no command is called.
    """
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("#")]
    reader = shlex.shlex("\n".join(lines), posix=True, punctuation_chars=";&|<>\n")
    reader.whitespace, reader.whitespace_split, reader.commenters = " \t\r", True, ""
    operator, words = ";", list[str]()
    for read in reader:
        token = ";" if read and not read.strip("\n") else read
        if token not in _SEPARATORS:
            words.append(token)
            continue
        if words:
            yield operator, _unpiped(words)
        operator, words = token, []
    if words:
        yield operator, _unpiped(words)


def _unpiped(words: list[str]) -> list[str]:
    odd = next((word for word in words if word and not word.strip(_SYMBOLS)), None)
    return words if odd is None else [odd]


def _expand(container: Container, word: str) -> str:
    return _VARIABLE.sub(
        lambda found: container.environment.get(found[1] or found[2], found[0]), word
    )


# ---------------------------------------------------------------------- commands


def _says(text: str, code: int = 0) -> Course:
    return Course((Piece(0.0, text),) if text else (), exit_code=code)


def _complaint(text: str, code: int) -> Course:
    return Course((Piece(0.0, text, is_error=True),), exit_code=code)


def _run(container: Container, name: str, args: list[str]) -> Course | None:
    """One command by its name; None if there is none."""
    match name:
        case "nvidia-smi":
            printed = container.smi(args)
            if printed is None:
                return None
            out, code = printed
            return Course((Piece(_SMI_SECONDS / 2, out),), _SMI_SECONDS, code)
        case "vectorAdd":
            return vector_add()
        case "echo":
            return _says(" ".join(args[1:]) if args[:1] == ["-n"] else " ".join(args) + "\n")
        case "printf":
            return _says(args[0].replace("\\n", "\n") if args else "")
        case "hostname":
            return _says(f"{container.hostname}\n")
        case "env" | "printenv":
            return _environment(container, args)
        case "cat":
            return _cat(container, args)
        case "ls":
            return _says(_ROOT if args in ([], ["/"]) else "")
        case "date":
            return _says(container.now.strftime("%a %b %e %H:%M:%S UTC %Y\n"))
        case "pwd":
            return _says("/\n")
        case "whoami":
            return _says("root\n")
        case "id":
            return _says("uid=0(root) gid=0(root) groups=0(root)\n")
        case "sleep":
            return _sleep(args)
        case "tail" if "-f" in args:
            return Course(seconds=None)
        case "true" | ":":
            return Course()
        case "false":
            return Course(exit_code=1)
        case _:
            return None


def vector_add() -> Course:
    """NVIDIA's sample: half a second a line; assumed."""
    pieces = tuple(Piece(0.5 * index, f"{text}\n") for index, text in enumerate(VECTOR_ADD))
    return Course(pieces, 4.0)


def _exit_code(args: Sequence[str], last_code: int) -> int:
    return int(args[0]) % 256 if args and NUMBER.fullmatch(args[0]) else last_code


def _sleep(args: Sequence[str]) -> Course:
    if not args:
        return _complaint("sleep: missing operand\n", 1)
    total = 0.0
    for word in args:
        if word in _ENDLESS:
            return Course(seconds=None)
        found = _SLEEP.match(word)
        if found is None:
            return _complaint(f"sleep: invalid time interval '{word}'\n", 1)
        total += float(found[1]) * _UNITS[found[2]]
    return Course(seconds=total)


def _environment(container: Container, args: Sequence[str]) -> Course:
    if args:
        value = container.environment.get(args[0])
        return Course(exit_code=1) if value is None else _says(f"{value}\n")
    return _says("".join(f"{k}={v}\n" for k, v in container.environment.items()))


def _cat(container: Container, args: Sequence[str]) -> Course:
    pieces: list[Piece] = []
    for path in args:
        if path == "/etc/hostname":
            pieces.append(Piece(0.0, f"{container.hostname}\n"))
        elif path in _FILES:
            pieces.append(Piece(0.0, _FILES[path]))
        else:
            error = f"cat: {path}: No such file or directory\n"
            pieces.append(Piece(0.0, error, is_error=True))
    failed = any(piece.is_error for piece in pieces)
    return Course(tuple(pieces), exit_code=int(failed), is_known=not failed)
