"""World time: the time that decisions are made in, kept apart from the time users' clocks show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Instant:
    """A point in world time, in microseconds since the world began.

    There is no ``+`` or ``-``: arithmetic with wall time or with plain numbers is a type error.
    """

    micros: int

    def after(self, duration: timedelta) -> Instant:
        """The instant that lies ``duration`` later (earlier, if negative)."""
        return Instant(self.micros + duration // _MICROSECOND)

    def since(self, earlier: Instant) -> timedelta:
        """How much world time passed from ``earlier`` until this instant."""
        return timedelta(microseconds=self.micros - earlier.micros)


@dataclass(frozen=True, slots=True)
class Now:
    """Both times at one moment: ``world`` to decide with, ``wall`` (UTC) to show users."""

    world: Instant
    wall: datetime


_SECONDS_LENGTH = len("2006-01-02T15:04:05")


def wall_text(wall: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes writes ``metav1.Time``."""
    if wall.tzinfo is not UTC:
        wall = wall.astimezone(UTC)
    return f"{wall.isoformat(timespec='seconds')[:_SECONDS_LENGTH]}Z"


def wall_text_micro(wall: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as Kubernetes writes ``metav1.MicroTime``."""
    return f"{wall.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def wall_from(text: str) -> datetime | None:
    """The moment that a text of `wall_text`'s form names; None if it names none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
