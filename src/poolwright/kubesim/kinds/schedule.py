"""Schedules and time zones: whether they are any, in the words of those who read them.

Source of grammar and words: github.com/robfig/cron/v3 parser.go, which Kubernetes uses.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator

_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_BOUNDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
"""Of each field: its least and greatest number, and their names."""
_NUMBER = re.compile(r"[+-]?[0-9]+")
_DURATION = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_ZONE_PART = re.compile(r"[A-Za-z._0-9+-]{1,14}")


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name. Without a database of them, any name will do."""
    parts = name.split("/")
    if any(p in {".", ".."} or p[:1] == "-" or not _ZONE_PART.fullmatch(p) for p in parts):
        return False
    return name == "UTC" or _is_known(name) or not _is_known("Europe/London")


def _is_known(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def schedule_problem(schedule: str) -> str:
    """What is wrong with a schedule; empty if nothing is."""
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        zone, _, schedule = schedule.partition(" ")
        name = zone.partition("=")[2]
        if not is_zone(name):
            return f"provided bad location {name}: unknown time zone {name}"
        schedule = schedule.strip()
    if schedule.startswith("@"):
        return _descriptor_problem(schedule)
    fields = schedule.split()
    if len(fields) != len(_BOUNDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    return next((said for said in _field_problems(fields) if said), "")


def _descriptor_problem(schedule: str) -> str:
    if schedule in _MACROS:
        return ""
    if not schedule.startswith("@every "):
        return f"unrecognized descriptor: {schedule}"
    text = schedule.removeprefix("@every ")
    if text == "0" or re.fullmatch(f"[+-]?({_DURATION.pattern.removeprefix('[+-]?')})+", text):
        return ""
    return f'failed to parse duration {schedule}: time: invalid duration "{text}"'


def _field_problems(fields: list[str]) -> Iterator[str]:
    for field, (least, most, words) in zip(fields, _BOUNDS, strict=True):
        for part in filter(None, field.split(",")):
            yield _part_problem(part, least, most, words)


def _part_problem(part: str, least: int, most: int, words: tuple[str, ...]) -> str:
    """What is wrong with one range of a field (getRange)."""
    span, *steps = part.split("/")
    bounds = span.split("-")
    start, end, problem = least, most, ""
    if bounds[0] not in {"*", "?"}:
        start, problem = _read(bounds[0], least, words)
        end = start
        if not problem and len(bounds) == 2:
            end, problem = _read(bounds[1], least, words)
        elif not problem and len(bounds) > 2:
            problem = f"too many hyphens: {part}"
    step = 1
    if not problem and len(steps) == 1:
        step, problem = _read(steps[0], 0, ())
        end = most if len(bounds) == 1 else end
    elif not problem and steps:
        problem = f"too many slashes: {part}"
    if problem:
        return problem
    if start < least:
        return f"beginning of range ({start}) below minimum ({least}): {part}"
    if end > most:
        return f"end of range ({end}) above maximum ({most}): {part}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {part}"
    return "" if step else f"step of range should be a positive number: {part}"


def _read(text: str, least: int, words: tuple[str, ...]) -> tuple[int, str]:
    """A number or a name, and what is wrong with it."""
    if text.lower() in words:
        return words.index(text.lower()) + least, ""
    if not _NUMBER.fullmatch(text):
        why = f'strconv.Atoi: parsing "{text}": invalid syntax'
        return 0, f"failed to parse int from {text}: {why}"
    if len(text) > 18:
        why = f'strconv.Atoi: parsing "{text}": value out of range'
        return 0, f"failed to parse int from {text}: {why}"
    if int(text) < 0:
        return 0, f"negative number ({int(text)}) not allowed: {text}"
    return int(text), ""
