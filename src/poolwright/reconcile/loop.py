"""The reconcile loop. The only module of the product that catches broadly.

What a pass's end means::

    returns None        nothing to do until somebody wakes the key
    returns an Instant  run again at that world time
    Precondition        the world moved on: observe again at once, a few times, then back off
    Transient, Unknown  back off
    other Refused       back off: the controller asked for something that cannot be had now
    deadline passed     a call hung: back off, as after Unknown
    anything else       a bug: logged with its traceback, counted, backed off; never fatal
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from random import Random
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

import structlog

from poolwright.model.bounds import Bounds, check_bounds
from poolwright.model.errors import PoolwrightError, Precondition, Refused, Transient
from poolwright.model.instant import Instant
from poolwright.ports.clock import Clock
from poolwright.ports.store import Store
from poolwright.reconcile.backoff import Backoff
from poolwright.reconcile.complaints import Complaints
from poolwright.reconcile.lease import Leases
from poolwright.reconcile.metered import Metered
from poolwright.reconcile.queue import WorkQueue

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)

_log: Any = structlog.get_logger("poolwright.reconcile")
_line: ContextVar[dict[str, Any] | None] = ContextVar("poolwright_reconcile_line", default=None)


_REST = 9.0
"""Where wake-ups are debounced, the keys of a loop rest for so many times what their passes keep
the process busy: passes over thousands of nodes then take no more than a tenth of it."""
_REST_MOST = 2.0
"""Real seconds that such a rest takes at most."""


_FAILURES_HELD = 4
"""After so many failures in a row a key's lease is given up between our attempts."""


class Controller(Protocol[K_contra]):
    """Moves one thing one step closer to what it shall be."""

    @property
    def name(self) -> str:
        """What it reconciles, for logs, metrics and leases: ``agent_pool``."""
        ...

    async def reconcile(self, key: K_contra) -> Instant | None:
        """Observe, plan, act, record; when to come back if nobody wakes the key earlier."""
        ...


class Outcome(StrEnum):
    """How a pass ended."""

    DONE = "done"
    HELD_BY_OTHER = "held_by_other"
    PRECONDITION = "precondition"
    REFUSED = "refused"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Pass:
    """One finished pass, as metrics see it. ``queued`` keys could run but wait for a worker;
    ``read`` objects were looked at, as the controller notes it.
    """

    controller: str
    key: Hashable
    outcome: Outcome
    seconds: float
    queued: int
    read: int = 0


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How a loop behaves. All durations are real time."""

    workers: int = 8
    """Passes at once, 1 to 256; enough to hide slow ports, few enough to be fair to others."""
    debounce: timedelta = timedelta()
    """How long a wake-up waits for its burst, 0 to 1 s; 50 to 100 ms where nodes and pods wake."""
    backoff: Backoff = field(default_factory=Backoff)
    precondition_retries: int = 3
    """How often in a row a lost race is repeated at once, 0 to 10."""
    deadline: timedelta | None = timedelta(minutes=2)
    """After which a pass is given up, 1 s to 1 h, or None; a hung call must not stop a key."""
    lease_duration: timedelta = timedelta(seconds=15)
    """3 s to 5 min; how long a dead replica's keys lie."""
    raise_bugs: bool = False
    """Whether a bug ends the loop: true in simulations, which must not hide one."""

    BOUNDS: ClassVar[Bounds] = {
        "workers": (1, 256),
        "debounce": (0, 1),
        "precondition_retries": (0, 10),
        "deadline": (1, 3_600),
        "lease_duration": (3, 300),
    }

    def __post_init__(self) -> None:
        check_bounds(self, self.BOUNDS)


def note(**facts: Any) -> None:
    """Add what was seen, planned and why to the running pass's canonical log line."""
    line = _line.get()
    if line is not None:
        line.update(facts)


class Loop(Generic[K]):
    """Runs one controller over many keys until it is cancelled."""

    def __init__(
        self,
        controller: Controller[K],
        clock: Clock,
        rng: Random,
        settings: LoopSettings | None = None,
        *,
        leases: Store | None = None,
        holder: str = "",
        on_pass: Callable[[Pass], None] | None = None,
    ) -> None:
        self._controller = controller
        self._clock = clock
        self._rng = rng
        self._settings = settings or LoopSettings()
        self._queue: WorkQueue[K] = WorkQueue(clock, debounce=self._settings.debounce)
        self._failures: dict[K, int] = {}
        self._complaints: Complaints[K] = Complaints()
        self._rests_until = 0.0
        self._on_pass = on_pass
        self._leases: Leases | None = None
        if leases is not None:
            duration = self._settings.lease_duration
            self._leases = Leases(leases, clock, holder=holder, duration=duration)

    @property
    def is_idle(self) -> bool:
        """Whether no key runs or could run now; keys may wait for their time."""
        return self._queue.is_idle

    def wake(self, key: K, at: Instant | None = None) -> None:
        """Run the key soon, or at a world instant. Waking often is cheap: it runs once."""
        self._queue.wake(key, at)

    async def run(self) -> None:
        """Work until cancelled; gives the leases back at the end."""
        try:
            async with asyncio.TaskGroup() as group:
                for timer in self._queue.timers():
                    group.create_task(timer)
                for _ in range(self._settings.workers):
                    group.create_task(self._work())
        finally:
            if self._leases is not None:
                await self._leases.release_all()

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            rest = 0.0
            try:
                rest = self._rest(await self._pass(key))
            finally:
                self._queue.done(key, rest=rest)

    def _rest(self, busy: float) -> float:
        """How long a key rests after a pass: its share, behind those of other keys."""
        now = self._clock.monotonic()
        until = max(self._rests_until, now) + _REST * busy
        self._rests_until = min(until, now + _REST_MOST)
        return self._rests_until - now

    async def _pass(self, key: K) -> float:
        """Run the key once; how many real seconds of that the process was busy with it."""
        started = self._clock.monotonic()
        facts: dict[str, Any] = {}
        token = _line.set(facts)
        bug: Exception | None = None
        attempt = Metered(self._attempt(key), self._clock)
        try:
            outcome, wake_at = await attempt
        except Exception as error:  # noqa: BLE001 (the one place: a bug in one key stops nothing else)
            wake_at, expected = None, _expected(error)
            outcome = Outcome.BUG if expected is None else _outcome_of(expected)
            bug = error if expected is None else None
            facts["error"] = f"{type(error).__name__}: {error}"
        finally:
            _line.reset(token)
        seconds = self._clock.monotonic() - started
        self._log(key, outcome, seconds, facts, bug)
        if self._on_pass is not None:
            name, read = self._controller.name, facts.get("read", 0)
            self._on_pass(Pass(name, key, outcome, seconds, len(self._queue), read))
        if bug is not None and self._settings.raise_bugs:
            raise bug
        self._schedule(key, outcome, wake_at)
        is_cut_off = outcome in {Outcome.TRANSIENT, Outcome.UNKNOWN}
        if is_cut_off and self._leases is not None and self._failures[key] >= _FAILURES_HELD:
            # What we cannot reach, perhaps another replica can.
            await self._leases.release(f"{self._controller.name}/{key}")
        return attempt.busy

    async def _attempt(self, key: K) -> tuple[Outcome, Instant | None]:
        if self._leases is not None and not await self._leases.acquire(
            f"{self._controller.name}/{key}"
        ):
            return Outcome.HELD_BY_OTHER, None
        limit = self._settings.deadline
        timeout = asyncio.timeout(None if limit is None else limit.total_seconds())
        try:
            async with timeout:
                return Outcome.DONE, await self._controller.reconcile(key)
        except TimeoutError:
            if not timeout.expired():
                raise  # not ours: the controller let one through, which is a bug
            note(error=f"the pass took longer than {limit}")
            return Outcome.UNKNOWN, None

    def _schedule(self, key: K, outcome: Outcome, wake_at: Instant | None) -> None:
        if outcome is Outcome.DONE:
            self._failures.pop(key, None)
            self._complaints.over(key)
            if wake_at is not None:
                self._queue.wake(key, wake_at)
            return
        if outcome is Outcome.HELD_BY_OTHER:
            # The holder does the work. We look again, in case it died: so often that its key lies
            # little longer than its lease does.
            wait = self._settings.lease_duration * (1 + self._rng.random() / 4) / 4
            self._queue.delay(key, wait)
            return
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        if outcome is Outcome.PRECONDITION and failures <= self._settings.precondition_retries:
            self._queue.push(key)
        else:
            self._queue.delay(key, self._settings.backoff.delay(failures, self._rng))

    def _log(
        self,
        key: K,
        outcome: Outcome,
        seconds: float,
        facts: dict[str, Any],
        bug: Exception | None,
    ) -> None:
        line = {
            "controller": self._controller.name,
            "key": str(key),
            "outcome": str(outcome),
            "seconds": round(seconds, 6),
            **facts,
        }
        if bug is not None:
            _log.error("reconcile failed", exc_info=bug, **line)
        elif outcome is Outcome.DONE and facts.get("planned"):
            _log.info("reconciled", **line)
        elif outcome in {Outcome.DONE, Outcome.HELD_BY_OTHER, Outcome.PRECONDITION}:
            _log.debug("reconciled", **line)
        else:
            cause = (outcome, str(facts.get("error", "")).partition(":")[0])
            alike = self._complaints.about(key, cause, self._clock.monotonic())
            _complain("reconcile backs off", alike, line)


def _complain(what: str, alike: int | None, line: dict[str, Any]) -> None:
    """Warn, with how many alike were kept back before; or keep this one back, too."""
    if alike is None:
        _log.debug(what, **line)
    elif alike:
        _log.warning(what, alike=alike, **line)
    else:
        _log.warning(what, **line)


def _outcome_of(error: PoolwrightError) -> Outcome:
    match error:
        case Precondition():
            return Outcome.PRECONDITION
        case Refused():
            return Outcome.REFUSED
        case Transient():
            return Outcome.TRANSIENT
        case _:
            return Outcome.UNKNOWN


def _expected(error: Exception) -> PoolwrightError | None:
    """The error of the contract that an exception stands for; None for bugs.

    Of a task group's errors the one we know least after: Unknown, then Transient, then Refused.
    """
    if isinstance(error, PoolwrightError):
        return error
    if not isinstance(error, ExceptionGroup):
        return None
    group = cast("ExceptionGroup[Exception]", error)
    found = [_expected(inner) for inner in group.exceptions]
    worst: PoolwrightError | None = None
    for inner in found:
        if inner is None:
            return None
        if worst is None or _DOUBT.index(_outcome_of(inner)) < _DOUBT.index(_outcome_of(worst)):
            worst = inner
    return worst


_DOUBT = (Outcome.UNKNOWN, Outcome.TRANSIENT, Outcome.REFUSED, Outcome.PRECONDITION)


async def supervise(
    name: str,
    work: Callable[[], Awaitable[None]],
    clock: Clock,
    rng: Random,
    *,
    backoff: Backoff | None = None,
    raise_bugs: bool = False,
    woken: asyncio.Event | None = None,
) -> None:
    """Run an endless piece of work for ever: start it again, with back-off, whenever it ends.

    Work that went well for longer than the longest back-off starts over with the shortest, and so
    does work that ``woken`` calls back: what it failed for may be over.
    """
    backoff = backoff or Backoff()
    failures = 0
    complaints: Complaints[str] = Complaints()
    while True:
        started = clock.monotonic()
        if woken is not None:
            woken.clear()
        try:
            await work()
            _log.debug("restarting", work=name)
        except Exception as error:
            expected = _expected(error)
            if clock.monotonic() - started > backoff.most.total_seconds():
                complaints.over(name)
            if expected is not None:
                said = f"{type(expected).__name__}: {expected}"
                alike = complaints.about(name, said, clock.monotonic())
                _complain("restarting", alike, {"work": name, "error": said})
            else:
                _log.error("work failed", work=name, exc_info=error)
                if raise_bugs:
                    raise
        if clock.monotonic() - started > backoff.most.total_seconds():
            failures = 0
        failures += 1
        delay = backoff.delay(failures, rng)
        if woken is None:
            await clock.sleep(delay)
        elif await _sleep_unless(woken, delay):
            failures = 0


async def _sleep_unless(woken: asyncio.Event, delay: timedelta) -> bool:
    """Wait for real time, or until woken; whether that was it."""
    try:
        async with asyncio.timeout(delay.total_seconds()):
            await woken.wait()
    except TimeoutError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Follower(Generic[T]):
    """Somebody who is told news in their order. A bug that kept some from it is told to ``lost``,
    which has what it keeps made anew.
    """

    hear: Callable[[T], None]
    lost: Callable[[Exception], None]


def tell(followers: Iterable[Follower[T]], news: T) -> list[tuple[Follower[T], Exception]]:
    """Tell followers something, one after another; a bug in one keeps it from no other.

    Those that failed come back, logged: what they keep is not true any more.
    """
    failed: list[tuple[Follower[T], Exception]] = []
    for follower in followers:
        try:
            follower.hear(news)
        except Exception as error:  # noqa: BLE001 (what it keeps is wrong, and nothing else)
            name = getattr(follower.hear, "__qualname__", type(follower.hear).__name__)
            _log.error("listener failed", listener=name, exc_info=error)
            failed.append((follower, error))
    return failed


async def contain(
    name: str, work: Callable[[], Awaitable[None]], *, raise_bugs: bool = False
) -> bool:
    """Run a piece of work to its end; an error in it is logged and ends nothing else. Whether it
    went well.
    """
    try:
        await work()
    except Exception as error:
        _log.error("work failed", work=name, exc_info=error)
        if raise_bugs:
            raise
        return False
    return True
