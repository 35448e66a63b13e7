"""What a container does once it runs: how long, how it ends, and what it prints."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
    ``script`` names the lines it prints; ``output`` are lines that follow from its command.
    """

    run_seconds: float | None = None
    exit_code: int = 0
    script: str = ""
    output: tuple[str, ...] = ()


# Declared run times by image; assumed. The sample of the AKS GPU documents trains 500 steps.
_BY_IMAGE: Mapping[str, Behaviour] = {
    "samples-tf-mnist-demo": Behaviour(120.0, script="mnist"),
    "cuda-sample:vectoradd": Behaviour(4.0, script="vectoradd"),
    "cuda-vector-add": Behaviour(4.0, script="vectoradd"),
    "hello-world": Behaviour(0.5, output=("Hello from Docker!",)),
}

_SLEEP = re.compile(r"^(\d+(?:\.\d+)?)([smhd]?)$")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ENDLESS = ("infinity", "inf")
_SHELLS = {"sh", "bash", "ash", "/bin/sh", "/bin/bash", "/bin/ash"}


def behaviour(
    image: str,
    command: Sequence[str],
    annotations: Mapping[str, str],
    *,
    ends: bool,
    default_seconds: float,
) -> Behaviour:
    """How a container behaves: by annotation, by image, by its command, or by default.

    ``ends`` says that the pod is meant to end (restart policy other than Always).
    """
    found = next((b for part, b in _BY_IMAGE.items() if part in image), None)
    if found is None and command:
        found = _by_command(command)
    if found is None:
        found = Behaviour(default_seconds if ends else None)
    declared = _number(annotations.get(RUN_SECONDS))
    code = _number(annotations.get(EXIT_CODE))
    return Behaviour(
        found.run_seconds if declared is None else declared,
        found.exit_code if code is None else int(code),
        found.script,
        found.output,
    )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None


def _by_command(command: Sequence[str]) -> Behaviour | None:
    """What can be told from a command line: ``sleep``, ``echo``, ``true``, ``exit`` and chains
    of them in a shell. Anything else is not understood.
    """
    if command[0] in _SHELLS:
        rest = [part for part in command[1:] if not part.startswith("-")]
        return _by_script(rest[0]) if rest else None
    return _by_words(list(command))


def _by_script(script: str) -> Behaviour | None:
    seconds, output, code = 0.0, list[str](), 0
    if re.search(r"\b(while|for|until)\b", script):
        return Behaviour(None)
    for part in re.split(r"&&|;|\n", script):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:
            return None
        if not words:
            continue
        step = _by_words(words)
        if step is None:
            return None
        if step.run_seconds is None:
            return Behaviour(None, output=(*output, *step.output))
        seconds, code = seconds + step.run_seconds, step.exit_code
        output += step.output
        if words[0] == "exit" or (code and "&&" in script):
            break
    return Behaviour(seconds, code, output=tuple(output))


def _by_words(words: list[str]) -> Behaviour | None:
    match words[0].rsplit("/", 1)[-1]:
        case "sleep":
            return _sleep(words[1:])
        case "echo":
            return Behaviour(0.2, output=(" ".join(words[1:]),))
        case "true" | ":" | "date" | "env" | "ls" | "pwd" | "set" | "hostname":
            return Behaviour(0.2)
        case "nvidia-smi":
            return Behaviour(1.0, script="nvidia-smi")
        case "false":
            return Behaviour(0.2, 1)
        case "exit":
            return Behaviour(0.2, int(words[1]) if words[1:] and words[1].isdigit() else 0)
        case "tail" if "-f" in words:
            return Behaviour(None)
        case _:
            return None


def _sleep(words: Sequence[str]) -> Behaviour:
    total = 0.0
    for word in words:
        if word in _ENDLESS:
            return Behaviour(None)
        match = _SLEEP.match(word)
        if match is None:
            return Behaviour(0.2, 1, output=(f"sleep: invalid time interval '{word}'",))
        total += float(match[1]) * _UNITS[match[2]]
    return Behaviour(total)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line, and how many world seconds after the start it is printed."""

    offset: float
    text: str


def log_lines(behaved: Behaviour, args: Sequence[str], smi: str, until: float) -> Iterator[LogLine]:
    """What a container printed in the first ``until`` world seconds of its run.

    ``smi`` is what ``nvidia-smi`` prints on its node.
    """
    for line in _script(behaved, args, smi):
        if line.offset > until:
            return
        yield line


def _script(behaved: Behaviour, args: Sequence[str], smi: str) -> Iterator[LogLine]:
    match behaved.script:
        case "mnist":
            yield from _mnist(args, behaved.run_seconds or 120.0, smi)
        case "vectoradd":
            for index, text in enumerate(_VECTOR_ADD):
                yield LogLine(index * 0.5, text)
        case "nvidia-smi":
            for text in smi.splitlines():
                yield LogLine(0.4, text)
        case _:
            for index, text in enumerate(behaved.output):
                yield LogLine(0.1 * index, text)


_VECTOR_ADD = (
    "[Vector addition of 50000 elements] (simulated)",
    "Copy input data from the host memory to the CUDA device",
    "CUDA kernel launch with 196 blocks of 256 threads",
    "Copy output data from the CUDA device to the host memory",
    "Test PASSED",
    "Done",
)


def _steps(args: Sequence[str]) -> int:
    words = [word for arg in args for word in arg.replace("=", " ").split()]
    if "--max_steps" in words[:-1]:
        value = words[words.index("--max_steps") + 1]
        if value.isdigit():
            return max(1, int(value))
    return 1000


def _mnist(args: Sequence[str], seconds: float, smi: str) -> Iterator[LogLine]:
    """A training run of the sample, in lines of its kind that say they are simulated."""
    steps = _steps(args)
    device = next((line for line in smi.splitlines() if "NVIDIA" in line), "")
    yield LogLine(0.5, "simulated: no training takes place; figures are made up")
    yield LogLine(1.0, f"simulated: Found device 0 with properties: {device.strip(' |')}")
    yield LogLine(1.5, "simulated: Creating TensorFlow device (/device:GPU:0)")
    for step in range(0, steps + 1, max(1, steps // 50)):
        offset = 2.0 + (seconds - 3.0) * step / steps
        accuracy = 0.98 - 0.88 * (0.92 ** (50.0 * step / steps))
        yield LogLine(offset, f"Accuracy at step {step}: {accuracy:.4f} (simulated)")
        if step and step % 100 == 0:
            yield LogLine(offset, f"Adding run metadata for {step - 1} (simulated)")
