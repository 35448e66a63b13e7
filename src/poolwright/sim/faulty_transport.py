"""The faults of a network between a Kubernetes client and its API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from random import Random
from typing import cast

import httpx

from poolwright.sim.trace import Trace
from poolwright.sim.weather import Weather

_EXPIRED = b'{"kind":"Status","status":"Failure","reason":"Expired","code":410}'


class _CutStream(httpx.AsyncByteStream):
    """A watch whose connection breaks at a moment of virtual time, or ends with its server."""

    def __init__(
        self,
        inner: httpx.AsyncByteStream,
        cut_at: float | None,
        *,
        quietly: bool,
        lag: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._cut_at = cut_at
        self._quietly = quietly
        self._lag = lag

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._inner.__aiter__()
        while True:
            try:
                async with asyncio.timeout_at(self._cut_at):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if self._quietly:
                    return
                raise httpx.ReadError("simulated: connection reset") from None
            await asyncio.sleep(self._lag())
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class FaultyTransport(httpx.AsyncBaseTransport):
    """Stands before ``target``; does not own it."""

    def __init__(
        self,
        name: str,
        target: httpx.AsyncBaseTransport,
        *,
        seed: object,
        weather: Weather,
        trace: Trace,
    ) -> None:
        self._name = name
        self._target = target
        self._rng = Random(f"{seed}/faults/{name}")
        self._weather = weather
        self._trace = trace

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request through the weather."""
        body = sha256(await request.aread()).hexdigest()[:16]
        what = f"{request.method} {request.url.raw_path.decode()} {body}"
        try:
            response, result = await self._fate(request)
        except httpx.TransportError as error:
            self._trace.add(self._name, what, f"{type(error).__name__}: {error}")
            raise
        except asyncio.CancelledError:
            self._trace.add(self._name, what, "cancelled")
            raise
        self._trace.add(self._name, what, result)
        return response

    async def _fate(self, request: httpx.Request) -> tuple[httpx.Response, str]:
        rng, rates = self._rng, self._weather.rates
        is_watch = b"watch=1" in request.url.query
        draws = [rng.random() for _ in range(6)]
        delay = rng.uniform(0, rates.delay)
        if draws[0] < rates.stalled:
            delay = self._weather.stall_seconds(rng)
        await asyncio.sleep(delay)
        if draws[1] < rates.lost:
            kind = httpx.ConnectError if rng.random() < 0.5 else httpx.ReadError
            raise kind("simulated: lost")
        if is_watch:
            return await self._watch(request, is_expired=draws[2] < rates.expired)
        if request.method != "GET" and draws[3] < rates.duplicated:
            await _read(await self._target.handle_async_request(request))
            await asyncio.sleep(rng.uniform(0, rates.delay))
        response = await self._target.handle_async_request(request)
        body = await _read(response)
        if draws[4] < rates.reply_lost:
            raise httpx.ReadError("simulated: reply lost")
        if request.method == "GET" and draws[5] < rates.stale:
            await asyncio.sleep(self._weather.stall_seconds(rng))
        answer = httpx.Response(
            response.status_code, headers=response.headers, stream=httpx.ByteStream(body)
        )
        return answer, f"{response.status_code} {sha256(body).hexdigest()[:16]}"

    async def _watch(
        self, request: httpx.Request, *, is_expired: bool
    ) -> tuple[httpx.Response, str]:
        if is_expired:
            return httpx.Response(410, stream=httpx.ByteStream(_EXPIRED)), "410"
        cut_at = None
        if self._rng.random() < self._weather.rates.cut:
            cut_at = asyncio.get_running_loop().time() + self._rng.uniform(1, 300)
        quietly = self._rng.random() < 0.5
        response = await self._target.handle_async_request(request)
        inner = cast("httpx.AsyncByteStream", response.stream)
        stream = _CutStream(
            inner, cut_at, quietly=quietly, lag=lambda: self._weather.lag_seconds(self._rng)
        )
        answer = httpx.Response(response.status_code, headers=response.headers, stream=stream)
        return answer, f"{response.status_code} watch"


async def _read(response: httpx.Response) -> bytes:
    stream = cast("httpx.AsyncByteStream", response.stream)
    try:
        return b"".join([chunk async for chunk in stream])
    finally:
        await stream.aclose()
