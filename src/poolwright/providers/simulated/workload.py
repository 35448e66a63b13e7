"""What a container does once it runs: how long, how it ends, and what it prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from poolwright.providers.simulated.shell import (
    NUMBER,
    Container,
    Course,
    Piece,
    course,
    start_error,
    vector_add,
)

RUN_SECONDS = "poolwright.dev/run-seconds"
"""Pod annotation: world seconds until the containers end."""
EXIT_CODE = "poolwright.dev/exit-code"
"""Pod annotation: the code they end with."""
GPU_UTILIZATION = "poolwright.dev/gpu-utilization"
"""Pod annotation: percent of its GPUs that the pod keeps busy."""
TERMINATION_SECONDS = "poolwright.dev/termination-seconds"
"""Pod annotation: world seconds that the containers take to end when asked to."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a container runs. ``run_seconds`` is None for one that serves until it is stopped;
    ``trains`` says that it prints the sample's training; ``start_error`` is why it cannot start;
    ``on_term`` is what it does when it is asked to end, if it does anything of its own.
    """

    run_seconds: float | None = None
    exit_code: int = 0
    pieces: tuple[Piece, ...] = ()
    trains: bool = False
    start_error: str = ""
    on_term: Course | None = None


def _of(known: Course) -> Behaviour:
    return Behaviour(known.seconds, known.exit_code, known.pieces, on_term=known.on_term)


# Declared run times by image; assumed. The sample of the AKS GPU documents trains 500 steps.
_BY_IMAGE: Mapping[str, Behaviour] = {
    "samples-tf-mnist-demo": Behaviour(120.0, trains=True),
    "cuda-sample:vectoradd": _of(vector_add()),
    "cuda-vector-add": _of(vector_add()),
    "/pause": Behaviour(),  # until it is stopped, whatever the pod is meant to do
    "hello-world": Behaviour(0.5, pieces=(Piece(0.0, "Hello from Docker!\n"),)),
}
_START_FAILED = 128
"""The exit code of a container that could not be started."""
_EXIT_CODE_MOST = 255
LONGEST = 1e9
"""World seconds, some thirty years; what takes longer has no end."""


def behaviour(
    image: str,
    command: Sequence[str],
    annotations: Mapping[str, str],
    inside: Container,
    *,
    ends: bool,
    default_seconds: float,
) -> Behaviour:
    """How a container behaves: by annotation, by its command, by image, or by default.

    ``ends`` says that the pod is meant to end (restart policy other than Always).
    """
    found = _by_command(inside, command) if command else None
    if found is None:
        found = next((b for part, b in _BY_IMAGE.items() if part in image), None)
    if found is None:
        found = Behaviour(default_seconds if ends else None)
    declared = declared_number(annotations.get(RUN_SECONDS))
    seconds = found.run_seconds if declared is None else declared
    code = declared_number(annotations.get(EXIT_CODE))
    return Behaviour(
        None if seconds is None or seconds > LONGEST else seconds,
        found.exit_code if code is None else int(min(code, _EXIT_CODE_MOST)),
        found.pieces,
        found.trains,
        found.start_error,
        found.on_term,
    )


def declared_number(text: str | None) -> float | None:
    """What an annotation says: nothing below 0, and None if it is no number."""
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None


def _by_command(inside: Container, command: Sequence[str]) -> Behaviour | None:
    """What can be told from a command line; None if not all of it is understood."""
    found = course(inside, command)
    if not found.is_known:
        return None
    if not found.is_started:
        return Behaviour(0.1, _START_FAILED, start_error=start_error(command))
    return _of(found)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line, and how many world seconds after the start it is printed."""

    offset: float
    text: str


def log_lines(
    behaved: Behaviour, args: Sequence[str], device: str, until: float
) -> Iterator[LogLine]:
    """What a container printed in the first ``until`` world seconds of its run.

    ``device`` is the product of its first GPU.
    """
    seconds = behaved.run_seconds or 120.0
    lines = _mnist(args, seconds, device) if behaved.trains else _lines(behaved.pieces)
    for line in lines:
        if line.offset > until:
            return
        yield line


def _lines(pieces: Sequence[Piece]) -> Iterator[LogLine]:
    """Pieces as lines; one that lacks its end goes on with the next piece."""
    begun = ""
    for piece in pieces:
        *whole, rest = (begun + piece.text).split("\n")
        yield from (LogLine(piece.offset, text) for text in whole)
        begun = rest
    if begun:
        yield LogLine(pieces[-1].offset, begun)


def _steps(args: Sequence[str]) -> int:
    words = [word for arg in args for word in arg.replace("=", " ").split()]
    if "--max_steps" in words[:-1]:
        value = words[words.index("--max_steps") + 1]
        if NUMBER.fullmatch(value):
            return max(1, int(value))
    return 1000


def _mnist(args: Sequence[str], seconds: float, device: str) -> Iterator[LogLine]:
    """A training run of the sample, in lines of its kind that say they are simulated."""
    steps = _steps(args)
    yield LogLine(0.5, "simulated: no training takes place; figures are made up")
    yield LogLine(1.0, f"simulated: Found device 0 with properties: {device}")
    yield LogLine(1.5, "simulated: Creating TensorFlow device (/device:GPU:0)")
    for step in range(0, steps + 1, max(1, steps // 50)):
        offset = 2.0 + (seconds - 3.0) * step / steps
        accuracy = 0.98 - 0.88 * (0.92 ** (50.0 * step / steps))
        yield LogLine(offset, f"Accuracy at step {step}: {accuracy:.4f} (simulated)")
        if step and step % 100 == 0:
            yield LogLine(offset, f"Adding run metadata for {step - 1} (simulated)")
