"""One proxy for any port: counts calls, delays them, and gives each a fate from the seed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from enum import Enum, auto
from random import Random
from typing import Any

from poolwright.model.errors import NoCapacity, PoolwrightError, Transient, Unknown
from poolwright.sim.trace import Trace
from poolwright.sim.weather import Weather


class Nature(Enum):
    """What a port's method does; methods that are in no table pass through untouched."""

    READ = auto()
    WRITE = auto()
    STREAM = auto()


STORE: Mapping[str, Nature] = {
    "get": Nature.READ,
    "list": Nature.READ,
    "find": Nature.READ,
    "scopes": Nature.READ,
    "revision": Nature.READ,
    "revisions": Nature.READ,
    "changes": Nature.READ,
    "transact": Nature.WRITE,
    "drop": Nature.WRITE,
    "lease": Nature.WRITE,
    "release": Nature.WRITE,
    "watch": Nature.STREAM,
    "follow": Nature.STREAM,
}
MACHINE_PROVIDER: Mapping[str, Nature] = {
    "create_machine": Nature.WRITE,
    "list_machines": Nature.READ,
    "delete_machine": Nature.WRITE,
    "reimage_machine": Nature.WRITE,
    "stop_machine": Nature.WRITE,
    "start_machine": Nature.WRITE,
    "changes": Nature.STREAM,
    "usage": Nature.READ,
    "scarcity": Nature.READ,
    "set_scarcity": Nature.WRITE,
}
CONTROL_PLANES: Mapping[str, Nature] = {
    "get": Nature.READ,
    "put": Nature.WRITE,
    "delete": Nature.WRITE,
    "token": Nature.READ,
    "kubeconfig_user": Nature.READ,
}

# A duplicated transaction would be a second, refused one: our own store's connection does not do
# that. Duplicates are for what travels over networks that are not ours.
_NEVER_TWICE = frozenset({"transact", "lease", "drop"})


Later = Callable[[Coroutine[Any, Any, None]], object]
"""Lets something happen beside everything else; the world's task group."""


class FaultyPort:
    """Stands for ``target``, a port whose methods have the natures given."""

    def __init__(
        self,
        name: str,
        target: Any,
        natures: Mapping[str, Nature],
        *,
        seed: object,
        weather: Weather,
        trace: Trace,
        later: Later,
    ) -> None:
        self._name = name
        self._target = target
        self._natures = natures
        self._later = later
        self._rng = Random(f"{seed}/faults/{name}")
        self._weather = weather
        self._trace = trace

    def __getattr__(self, method: str) -> Any:
        real = getattr(self._target, method)
        match self._natures.get(method):
            case None:
                return real
            case Nature.STREAM:
                made: Callable[..., Any] = self._stream(method, real)
            case nature:
                made = self._call(method, real, is_write=nature is Nature.WRITE)
        setattr(self, method, made)
        return made

    def _call(self, method: str, real: Callable[..., Any], *, is_write: bool) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            what = f"{method}{args!r}{options!r}"
            try:
                result = await self._fate(method, lambda: real(*args, **options), is_write)
            except PoolwrightError as error:
                self._trace.add(self._name, what, f"{type(error).__name__}: {error}")
                raise
            except asyncio.CancelledError:
                self._trace.add(self._name, what, "cancelled")
                raise
            self._trace.add(self._name, what, repr(result))
            return result

        return call

    async def _fate(self, method: str, apply: Callable[[], Any], is_write: bool) -> Any:
        rng, rates = self._rng, self._weather.rates
        draws = [rng.random() for _ in range(6)]
        delay = rng.uniform(0, rates.delay)
        if draws[0] < rates.stalled:
            delay = self._weather.stall_seconds(rng)
        await asyncio.sleep(delay)
        if draws[1] < rates.lost:
            kind = Unknown if is_write and rng.random() < 0.5 else Transient
            raise kind(f"simulated: {method} was lost")
        if method == "create_machine" and draws[2] < rates.refused:
            raise NoCapacity("simulated: no capacity")
        if is_write and draws[3] < rates.duplicated and method not in _NEVER_TWICE:
            self._later(self._second_copy(method, apply, self._weather.stall_seconds(rng)))
        if draws[4] >= rates.reply_lost:
            answer = await apply()
            if not is_write and draws[5] < rates.stale:
                await asyncio.sleep(self._weather.stall_seconds(rng))
            return answer
        try:
            await apply()
        except PoolwrightError as error:
            raise _no_reply(method, is_write=is_write) from error
        raise _no_reply(method, is_write=is_write)

    async def _second_copy(self, method: str, apply: Callable[[], Any], delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            result = repr(await apply())
        except PoolwrightError as error:
            result = f"{type(error).__name__}: {error}"
        self._trace.add(self._name, f"second copy of {method}", result)

    def _stream(self, method: str, real: Callable[..., Any]) -> Callable[..., Any]:
        async def stream(*args: Any, **options: Any) -> AsyncIterator[Any]:
            what = f"{method}{args!r}{options!r}"
            items = real(*args, **options)
            cut_at = None
            if self._rng.random() < self._weather.rates.cut:
                cut_at = asyncio.get_running_loop().time() + self._rng.uniform(1, 300)
            try:
                while True:
                    try:
                        async with asyncio.timeout_at(cut_at):
                            item = await anext(items)
                    except StopAsyncIteration:
                        return
                    except TimeoutError:
                        self._trace.add(self._name, what, "cut")
                        raise Transient(f"simulated: {method} was cut") from None
                    self._trace.add(self._name, what, repr(item))
                    await asyncio.sleep(self._weather.lag_seconds(self._rng))
                    yield item
            finally:
                await items.aclose()

        return stream


def _no_reply(method: str, *, is_write: bool) -> PoolwrightError:
    kind = Unknown if is_write else Transient
    return kind(f"simulated: the reply to {method} was lost")
