"""The few commands that a simulated container understands, for its log and for ``kubectl exec``.

A command has a `Course`: what it prints and when, how long it takes and how it ends.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from poolwright.ports.kube import ExecResult
from poolwright.providers.simulated import archive
from poolwright.providers.simulated.arithmetic import evaluate
from poolwright.providers.simulated.filter import FILTERS, filtered, to_bytes
from poolwright.providers.simulated.script import (
    MOST_DEPTH,
    Block,
    Command,
    For,
    Function,
    If,
    NotUnderstoodError,
    Part,
    Pipeline,
    Redirect,
    Redirected,
    Simple,
    UnterminatedError,
    While,
    Word,
    parse,
)


@dataclass(frozen=True, slots=True)
class Container:
    """Where a command runs. ``smi`` gives None where there is no GPU, and so no such tool."""

    hostname: str
    environment: Mapping[str, str]
    now: datetime
    smi: Callable[[Sequence[str]], tuple[str, int] | None]
    standard_input: Callable[[], str] | None = None
    """Gives all of it, or raises `InputWantedError`; None: programs that read it are not there."""
    files: dict[str, str] | None = None
    """What commands left there, by path, and may leave; None: each script has files of its own."""


class InputWantedError(Exception):
    """A command reads its standard input, which is still to come."""


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
    on_term: Course | None = None
    """What it does when it is asked to end, if that is not what any program does."""


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
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_REFERENCE_IN_ARITHMETIC = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_COMPARED = {"-eq": "==", "-ne": "!=", "-lt": "<", "-le": "<=", "-gt": ">", "-ge": ">="}
_LONGEST_WORD = 16_384
_LONGEST_FILE = 131_072
_MOST_KEPT, _FILE_ENTRY = 2**20, 2**10
"""The signs that a container's files may have together, and what each counts for besides."""
_MOST_STEPS = 1000
"""So many commands a script may run; one that takes more is not understood."""
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
        return ExecResult(to_bytes(said[0]), to_bytes(said[1]), found.exit_code)
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
    script = _script(container)
    try:
        found = script.known(name, list(words[1:]))
    except NotUnderstoodError:  # a program that writes files, and it is too much
        return _complaint(f"{name}: write error: No space left on device\n", 1)
    # The driver's tool is put into containers with a GPU: without one it is not there.
    return found or replace(_NOT_FOUND, is_known=name == "nvidia-smi")


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
    """A script while it runs. It counts its steps: no word of a pod's may keep this one busy."""

    container: Container
    variables: dict[str, str]
    pieces: list[Piece] = field(default_factory=list[Piece])
    seconds: float | None = 0.0
    code: int = 0
    is_known: bool = True
    stops: bool = False
    """Whether it ends at the first command that fails."""
    is_over: bool = False
    steps: int = 0
    depth: int = 0
    drawn: int = 0
    functions: dict[str, Block] = field(default_factory=dict[str, Block])
    files: dict[str, str] = field(default_factory=dict[str, str])
    """What it wrote, by path."""
    read: tuple[Piece, ...] | None = None
    """What its standard input holds; None: nothing is led there."""
    fails_early: bool = False
    """Whether a pipeline fails with any of its commands."""
    trap: Block | None = None

    def add(self, step: Course) -> None:
        began = self.seconds or 0.0
        self.pieces += [replace(p, offset=began + p.offset) for p in step.pieces]
        self.seconds = None if step.seconds is None else began + step.seconds
        self.code = step.exit_code
        self.is_known = self.is_known and step.is_known
        self.is_over = self.is_over or self.seconds is None

    def course(self) -> Course:
        course = Course(tuple(self.pieces), self.seconds, self.code, self.is_known)
        return course if self.trap is None else replace(course, on_term=self._ending(self.trap))

    def _ending(self, trap: Block) -> Course | None:
        """What it does when it is asked to end, if all of that is understood; without ``exit`` it
        goes on, until it is killed.
        """
        rest = replace(self, pieces=[], seconds=0.0, is_over=False, trap=None)
        try:
            rest.run(trap)
        except (ValueError, ZeroDivisionError):
            return None
        if not rest.is_known:
            return None
        is_left = rest.is_over and rest.seconds is not None
        return Course(tuple(rest.pieces), rest.seconds if is_left else None, rest.code)

    # -------------------------------------------------------------- commands

    def run(self, block: Block) -> None:
        """Run commands until the script is over."""
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise NotUnderstoodError("nested too deeply")
        self._run_each(block)
        self.depth -= 1

    def _run_each(self, block: Block) -> None:
        for index, (operator, command) in enumerate(block.commands):
            if operator in ("&&", "||") and (self.code == 0) is (operator == "||"):
                continue
            self._command(command)
            following = [o for o, _ in block.commands[index + 1 : index + 2]]
            if self.stops and self.code and following not in (["&&"], ["||"]):
                self.is_over = True
            if self.is_over:
                return

    def _command(self, command: Command) -> None:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise NotUnderstoodError("it takes too many steps")
        match command:
            case If():
                self._choose(command)
            case While(condition, _, is_until):
                if self._holds(condition) is not is_until and not self.is_over:
                    self.add(Course(seconds=None))
            case For():
                for word in [self._filled(word) for word in command.words]:
                    self.variables[command.name] = word
                    self.run(command.body)
                    if self.is_over:
                        return
            case Function():
                self.functions[command.name] = command.body
                self.code = 0
            case Block():
                self.run(command)
            case Redirected(inner, redirects):
                self._lead(inner, redirects)
            case Pipeline(commands):
                self._pipe(commands)
            case Simple():
                self._simple(command)

    def _lead(self, command: Command, redirects: Sequence[Redirect]) -> None:
        """Run a command, and lead what it prints elsewhere."""
        ways = {"1": "&1", "2": "&2"}
        before, read = len(self.pieces), self.read
        for each in redirects:
            to = self._filled(each.to)
            if each.operator == "<":
                text = self._text_of(to)
                if text is None:
                    self.add(_complaint(f"sh: can't open {to}: no such file\n", 1))
                    return
                self.read = (Piece(0.0, text),)
                continue
            is_same = each.operator == ">&"
            if is_same and to not in ways:
                raise NotUnderstoodError(f">&{to}")
            way = ways[to] if is_same else to
            if not is_same and (each.operator == ">" or to not in self.files):
                self._write(to, "")
            for descriptor in ("1", "2") if each.descriptor == "&" else (each.descriptor or "1",):
                ways[descriptor] = way
        if command != Simple(()):
            self._command(command)
        else:
            self.code = 0
        self.read = read
        printed, self.pieces[before:] = self.pieces[before:], []
        for piece in printed:
            way = ways["2" if piece.is_error else "1"]
            if way in ("&1", "&2", "/dev/stdout", "/dev/stderr"):
                is_error = way in ("&2", "/dev/stderr")
                self.pieces.append(replace(piece, is_error=is_error))
            else:
                self._write(way, self.files.get(way, "") + piece.text)

    def _write(self, path: str, text: str) -> None:
        kept = self.container.files
        room = _LONGEST_FILE
        if kept is not None:
            taken = (len(p) + len(t) + _FILE_ENTRY for p, t in kept.items() if p != path)
            room = _MOST_KEPT - sum(taken) - len(path) - _FILE_ENTRY
        if len(text) > room:
            raise NotUnderstoodError("a file is too long")
        if not path.startswith("/dev/"):
            self.files[path] = text

    def _text_of(self, path: str) -> str | None:
        return "" if path == "/dev/null" else self.files.get(path, _FILES.get(path))

    def _pipe(self, commands: Sequence[Command]) -> None:
        """Run commands each on what the one before prints: they all go on at once."""
        read, began = self.read, self.seconds or 0.0
        codes: list[int] = []
        lasts: list[float | None] = []
        for command in commands:
            before = len(self.pieces)
            lasts.append(self._part_of_pipe(command, began))
            codes.append(self.code)
            if len(codes) < len(commands):
                printed = self.pieces[before:]
                self.pieces[before:] = [piece for piece in printed if piece.is_error]
                passed = (piece for piece in printed if not piece.is_error)
                self.read = tuple(replace(p, offset=p.offset - began) for p in passed)
        self.read = read
        known = [seconds for seconds in lasts if seconds is not None]
        self.seconds = max(known) if len(known) == len(lasts) else None
        self.is_over = self.seconds is None
        if self.fails_early:
            self.code = next((code for code in reversed(codes) if code), 0)

    def _part_of_pipe(self, command: Command, began: float) -> float | None:
        """Run it from that second on; when it is over."""
        self.seconds, self.is_over = began, False
        self._command(command)
        return self.seconds

    def _choose(self, command: If) -> None:
        for condition, body in command.branches:
            holds = self._holds(condition)
            if self.is_over:
                return
            if holds:
                self.run(body)
                return
        self.code = 0
        if command.otherwise is not None:
            self.run(command.otherwise)

    def _holds(self, condition: Block) -> bool:
        stops, self.stops = self.stops, False
        self.run(condition)
        self.stops = stops
        return self.code == 0

    def _simple(self, command: Simple) -> None:
        if command.odd or not command.words:
            self.add(_missing(command.odd))
            return
        words = [self._filled(word) for word in command.words]
        named = _ASSIGNMENT.match(words[0])
        if named is not None and len(words) == 1:
            self.variables[named[1]] = named[2]
            self.code = 0
            return
        is_negated = words[0] == "!" and len(words) > 1
        is_plain = all(word.is_plain for word in command.words)
        self._step(words[1:] if is_negated else words, is_plain=is_plain)
        if is_negated:
            self.code = int(self.code == 0)

    def _step(self, words: list[str], *, is_plain: bool) -> None:
        """One command; ``is_plain`` if nothing was filled in."""
        match words[0]:
            case "set":
                asked = any(word.startswith("-") and "e" in word for word in words)
                self.stops = self.stops or asked
                self.fails_early = self.fails_early or "pipefail" in words
                self.code = 0
            case "trap":
                self._trap(words[1:])
            case "exit":
                self.code = _exit_code(words[1:], self.code)
                self.is_over = True
            case "test" | "[" | "[[":
                self.code = _test(words)
            case name if name in self.functions:
                self.run(self.functions[name])
            case _:
                self._program(words, is_plain=is_plain)

    def _program(self, words: list[str], *, is_plain: bool) -> None:
        is_last = words[0] == "exec" and len(words) > 1
        words = words[1:] if is_last else words
        name = words[0].rsplit("/", 1)[-1]
        if name in _SHELLS:  # a script from a variable may be what we are in
            inner = _shell(self.container, words[1:]) if is_plain else Course(is_known=False)
            self.add(inner)
        else:
            self.add(self.known(name, words[1:]) or _missing(words[0]))
        self.is_over = self.is_over or is_last

    def known(self, name: str, args: list[str]) -> Course | None:
        """One command by its name; None if there is none."""
        if name == "cat" and args and all(path in self.files for path in args):
            return _says("".join(self.files[path] for path in args))
        if name == "ls" and len(args) == 1 and (found := archive.listed(self.files, args[0])):
            return _says("".join(f"{each}\n" for each in found))
        if name == "tar" and self.container.files is not None:
            return self._tar(args)
        if name in FILTERS and filtered(name, args, ()) is not None:
            read = self._standard_input()
            found = None
            if read is not None:
                found = filtered(name, args, [(p.offset, p.text) for p in read])
            if found is not None:
                if name == "tee":
                    for path in (arg for arg in args if not arg.startswith("-")):
                        self._write(path, found.text)
                pieces = tuple(Piece(at, text) for at, text in found.parts)
                return Course(pieces, 0.0, found.code)
        return _run(self.container, name, args)

    def _tar(self, args: list[str]) -> Course | None:
        if archive.reads(args):
            text = "".join(piece.text for piece in self._standard_input() or ())
            done = archive.unpack(args, text, self._write)
        else:
            done = archive.pack(args, self.files, self.container.now)
        if done is None:
            return None
        said = _says(done.output, done.code)
        return replace(said, pieces=(*said.pieces, *_complaint(done.complaint, 0).pieces))

    def _standard_input(self) -> tuple[Piece, ...] | None:
        """What is led to a command, else what is left of the script's own; None if neither is."""
        wanted = self.container.standard_input
        if self.read is not None or wanted is None:
            return self.read
        text = wanted()
        self.container = replace(self.container, standard_input=_nothing_left)
        return (Piece(0.0, text),)

    def _trap(self, words: Sequence[str]) -> None:
        action, *signals = words or [""]
        if not {"TERM", "SIGTERM", "15"}.isdisjoint(signals):
            self.trap = None if action == "-" else parse(action)
        self.code = 0

    # -------------------------------------------------------------- words

    def _filled(self, word: Word) -> str:
        text = "".join(self._part(part) for part in word.parts)
        if len(text) > _LONGEST_WORD:
            raise NotUnderstoodError("a word is too long")
        return text

    def _part(self, part: Part) -> str:
        match part.kind:
            case "variable":
                return self._variable(part.text, part.written)
            case "arithmetic":
                try:
                    return str(evaluate(self._expanded(part.text), self._variable))
                except ValueError as error:
                    raise NotUnderstoodError(part.written) from error
            case "output":
                return self._output(part.text)
            case _:
                return part.text

    def _expanded(self, text: str) -> str:
        return _REFERENCE_IN_ARITHMETIC.sub(lambda m: self._variable(m[1] or m[2]), text)

    def _variable(self, name: str, written: str = "") -> str:
        """Its value; one that nobody set stays as it is written."""
        if name == "?":
            return str(self.code)
        if name == "RANDOM" and name not in self.variables:
            self.drawn += 1
            inside = self.container
            seed = f"{inside.hostname}/{int(inside.now.timestamp())}/{self.drawn}"
            return str(zlib.crc32(seed.encode()) % 2**15)
        return self.variables.get(name, written)

    def _output(self, text: str) -> str:
        inner = replace(self, pieces=[], seconds=0.0, code=0, stops=False, trap=None)
        inner.run(parse(text))
        self.container = inner.container
        self.steps, self.drawn = inner.steps, inner.drawn
        self.code = inner.code
        self.is_known = inner.is_known
        if self.seconds is not None:
            self.seconds = None if inner.seconds is None else self.seconds + inner.seconds
        return "".join(p.text for p in inner.pieces if not p.is_error).rstrip("\n")


def _script(container: Container) -> _Script:
    files = {} if container.files is None else container.files
    return _Script(container, dict(container.environment), files=files)


def _shell(container: Container, args: Sequence[str]) -> Course:
    options = [arg for arg in args if arg.startswith("-")]
    rest = [arg for arg in args if not arg.startswith("-")]
    if not any("c" in option for option in options) or not rest:
        if rest or container.standard_input is None:
            return Course(is_known=False)
        rest = [container.standard_input()]  # the script itself
        container = replace(container, standard_input=_nothing_left)
    script = _script(container)
    script.stops = any("e" in option for option in options)
    try:
        script.run(parse(rest[0]))
    except UnterminatedError:
        return _complaint("sh: syntax error: unterminated quoted string\n", 2)
    except ValueError:
        return _missing("")
    except ZeroDivisionError:
        script.add(_complaint("sh: divide by zero\n", 2))
    return script.course()


def _nothing_left() -> str:
    return ""


def _missing(name: str) -> Course:
    complaint = _complaint(f"sh: {name}: not found\n" if name else "sh: syntax error\n", 127)
    return replace(complaint, is_known=name == "nvidia-smi")


def _test(words: Sequence[str]) -> int:
    """``test`` and ``[``: 0 if it holds, 1 if not."""
    args = list(words[1:])
    if words[0] != "test" and (not args or args.pop() != {"[": "]", "[[": "]]"}[words[0]]):
        raise NotUnderstoodError(words[0])
    if args[:1] == ["!"]:
        return 1 - _test(["test", *args[1:]])
    match args:
        case []:
            return 1
        case [text] | ["-n", text]:
            return int(text == "")
        case ["-z", text]:
            return int(text != "")
        case [left, "=" | "==", right]:
            return int(left != right)
        case [left, "!=", right]:
            return int(left == right)
        case [left, operator, right] if operator in _COMPARED:
            return int(not evaluate(f"({left}) {_COMPARED[operator]} ({right})", _nothing))
        case _:
            raise NotUnderstoodError(" ".join(args))


def _nothing(name: str) -> str:
    raise NotUnderstoodError(name)


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
        case "expr":
            return _expression(args)
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


def _expression(args: Sequence[str]) -> Course:
    try:
        value = evaluate(" ".join(args), _nothing)
    except ZeroDivisionError:
        return _complaint("expr: division by zero\n", 2)
    except ValueError:
        return _complaint("expr: syntax error\n", 2)
    return _says(f"{value}\n", int(value == 0))
