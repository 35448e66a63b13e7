"""Programs that pipes lead through: what they make of what they read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Parts = Sequence[tuple[float, str]]
"""Text, and the world seconds after which it comes."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """What a filter prints, and its exit code."""

    parts: Parts
    code: int = 0

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(text for _, text in self.parts)


def filtered(name: str, args: Sequence[str], read: Parts) -> Filtered | None:
    """What one of `FILTERS` does with what it reads; None if it is asked for something else."""
    return FILTERS[name](args, read)


def to_bytes(text: str) -> bytes:
    """What is printed; what was read may have been no text."""
    return text.encode(errors="surrogateescape")


_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def _lines(parts: Parts) -> list[tuple[float, str]]:
    return [(at, line) for at, text in parts for line in _LINE.findall(text)]


def _cat(args: Sequence[str], read: Parts) -> Filtered | None:
    return Filtered(read) if list(args) in ([], ["-"]) else None


def _tee(args: Sequence[str], read: Parts) -> Filtered | None:
    del args
    return Filtered(read)


_COUNT = re.compile(r"-n?(\d{1,6})")


def _count(args: Sequence[str]) -> int | None:
    """``-n 3``, ``-n3``, ``-3``, or nothing for ten."""
    if not args:
        return 10
    found = _COUNT.fullmatch("".join(args))
    return int(found[1]) if found else None


_SIGNS = re.compile(r"-c(\+?)(\d{1,9})")


def _some_bytes(args: Sequence[str], read: Parts, *, is_head: bool) -> Filtered | None:
    """``head -c 3``, ``tail -c 3``, ``tail -c +3``."""
    found = _SIGNS.fullmatch("".join(args))
    if found is None or (is_head and found[1]):
        return None
    data, count = to_bytes("".join(text for _, text in read)), int(found[2])
    start = max(0, count - 1) if found[1] else max(0, len(data) - count)
    part = data[:count] if is_head else data[start:]
    return Filtered([(_end(read), part.decode(errors="surrogateescape"))])


def _head(args: Sequence[str], read: Parts) -> Filtered | None:
    if (found := _some_bytes(args, read, is_head=True)) is not None:
        return found
    count = _count(args)
    return None if count is None else Filtered(_lines(read)[:count])


def _tail(args: Sequence[str], read: Parts) -> Filtered | None:
    if (found := _some_bytes(args, read, is_head=False)) is not None:
        return found
    count, lines = _count(args), _lines(read)
    if count is None:
        return None
    end = lines[-1][0] if lines else 0.0
    return Filtered([(end, line) for _, line in lines[len(lines) - min(count, len(lines)) :]])


_GREP = re.compile(r"-[EFivqc]+")


def _grep(args: Sequence[str], read: Parts) -> Filtered | None:
    flags = "".join(arg for arg in args if _GREP.fullmatch(arg))
    words = [arg for arg in args if not _GREP.fullmatch(arg)]
    if len(words) != 1 or words[0].startswith("-"):
        return None
    if "F" not in flags and not set(words[0]).isdisjoint(".*+?{}[]()|\\^$"):
        return None  # expressions of strangers are not evaluated
    wanted = words[0].lower() if "i" in flags else words[0]
    found = [
        (at, line)
        for at, line in _lines(read)
        if (wanted in (line.lower() if "i" in flags else line)) is ("v" not in flags)
    ]
    code = int(not found)
    if "q" in flags:
        return Filtered((), code)
    if "c" in flags:
        return Filtered([(_end(read), f"{len(found)}\n")], code)
    return Filtered(found, code)


def _end(read: Parts) -> float:
    return read[-1][0] if read else 0.0


def _wc(args: Sequence[str], read: Parts) -> Filtered | None:
    text = "".join(text for _, text in read)
    counts = {"-l": text.count("\n"), "-w": len(text.split()), "-c": len(to_bytes(text))}
    if not args:
        return Filtered([(_end(read), "".join(f"{n:8}" for n in counts.values())[1:] + "\n")])
    if len(args) != 1 or args[0] not in counts:
        return None
    return Filtered([(_end(read), f"{counts[args[0]]}\n")])


def _sort(args: Sequence[str], read: Parts) -> Filtered | None:
    if not set(args) <= {"-r", "-u"}:
        return None
    lines = [line for _, line in _lines(read)]
    lines = sorted(set(lines) if "-u" in args else lines, reverse="-r" in args)
    return Filtered([(_end(read), line) for line in lines])


FILTERS: dict[str, Callable[[Sequence[str], Parts], Filtered | None]] = {
    "cat": _cat,
    "grep": _grep,
    "head": _head,
    "sort": _sort,
    "tail": _tail,
    "tee": _tee,
    "wc": _wc,
}
