"""Streaming a watch: what is, then what changes, until client, time or server end it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from poolwright.kubesim import status
from poolwright.kubesim.api.call import Call
from poolwright.kubesim.api.output import Output
from poolwright.kubesim.entry import Entry, encode
from poolwright.kubesim.selector import Selection
from poolwright.kubesim.watch import Watcher, event_type, select

BOOKMARK_SECONDS = 60.0  # k8s.io/apiserver pkg/storage/cacher: once a minute
TIMEOUT_SECONDS = 45 * 60.0  # the real server draws between 30 and 60 minutes
_BATCH = 500
_BATCH_BYTES = 256 * 1024
"""Objects that are written at once come to no more than this, or are one: so much, and what the
connection holds (64 KiB, then its writer waits), is what a client that does not read costs.
"""
_EARLY_SECONDS = 0.001  # a timer may come early by what the loop's clock cannot tell apart


async def stream_watch(call: Call, out: Output, chosen: Selection, since: int | None) -> None:
    """Answer a watch request."""
    query = call.query
    timeout_text = query.get("timeoutSeconds", "")
    timeout = float(timeout_text) if timeout_text.isdecimal() and int(timeout_text) else None
    bookmarks = call.flag("allowWatchBookmarks")
    initial = query.get("sendInitialEvents", "")
    if initial:
        _check_initial(initial, query.get("resourceVersionMatch", ""), bookmarks=bookmarks)
    watcher, end = call.cluster.hub.open(out.kind, chosen)
    try:
        first = _first_lines(call, out, chosen, since, initial)
        await call.send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"cache-control", b"no-cache, private"),
                ],
            }
        )
        if first is None:
            await _send(call, _expired_line(call, out, since or 0), more=False)
            return
        parts = _pieces(first)
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(_until_gone(call, watcher))
            try:
                await _send(call, next(parts, b""), more=True)
                for part in parts:
                    await asyncio.sleep(0)
                    if watcher.is_closed:  # nothing later may come where something is left out
                        await _send(call, b"", more=False)
                        return
                    await _send(call, part, more=True)
                await _pump(call, out, watcher, timeout or TIMEOUT_SECONDS, bookmarks=bookmarks)
            finally:
                gone.cancel()
    finally:
        end()


def _check_initial(initial: str, match: str, *, bookmarks: bool) -> None:
    causes: list[status.Cause] = []
    if match != "NotOlderThan":
        causes.append(
            status.forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
        )
    if initial.lower() == "true" and not bookmarks:
        causes.append(
            status.forbidden(
                "allowWatchBookmarks",
                "sendInitialEvents requires setting allowWatchBookmarks to true",
            )
        )
    if causes:
        raise status.unprocessable("meta.k8s.io", "ListOptions", "", causes)


def _first_lines(
    call: Call, out: Output, chosen: Selection, since: int | None, initial: str
) -> Iterator[bytes] | None:
    """What a watch begins with, as it stands now, to be written line by line; None if its start is
    too long ago.
    """
    registry = call.registry
    wants_state = initial.lower() == "true" or (since is None and initial.lower() != "false")
    if wants_state:
        state = select(registry, out.kind, chosen)
        return _state_lines(out, state, registry.revision if initial else None)
    if since is None:
        return iter(())
    missed = registry.cache(out.kind).changes_after(since)
    if missed is None:
        return None
    typed = ((event_type(change, chosen), change) for change in missed)
    return (out.change(change, type_) for type_, change in typed if type_)


def _state_lines(out: Output, state: Sequence[Entry], revision: int | None) -> Iterator[bytes]:
    for entry in state:
        yield out.line("ADDED", entry)
    if revision is not None:
        yield out.bookmark(revision, initial_end=True)


def _pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines put together, so many at once, and so long."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= _BATCH_BYTES or len(piece) == _BATCH:
            yield b"".join(piece)
            piece.clear()
            size = 0
    if piece:
        yield b"".join(piece)


def _expired_line(call: Call, out: Output, since: int) -> bytes:
    floor = call.registry.cache(out.kind).floor
    error = status.expired(f"too old resource version: {since} ({floor})")
    body: dict[str, Any] = {"type": "ERROR", "object": error.body()}
    return encode(body) + b"\n"


async def _pump(
    call: Call, out: Output, watcher: Watcher, timeout: float, *, bookmarks: bool
) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    next_bookmark = loop.time() + BOOKMARK_SECONDS if bookmarks else deadline
    # One timer until it is due, not one for each wait: most waits end with an event.
    timer = loop.call_at(min(deadline, next_bookmark), watcher.wake)
    try:
        while True:
            if not watcher.backlog and not watcher.is_closed:
                await watcher.wait()
            while batch := watcher.take(_BATCH, _BATCH_BYTES):
                await _send(
                    call, b"".join(out.change(change, type_) for type_, change in batch), more=True
                )
            now = loop.time() + _EARLY_SECONDS
            if watcher.is_closed or now >= deadline:
                await _send(call, b"", more=False)
                return
            if now >= next_bookmark:
                next_bookmark = now + BOOKMARK_SECONDS
                timer = loop.call_at(min(deadline, next_bookmark), watcher.wake)
                await _send(call, out.bookmark(call.registry.revision), more=True)
    finally:
        timer.cancel()


async def _send(call: Call, data: bytes, *, more: bool) -> None:
    await call.send({"type": "http.response.body", "body": data, "more_body": more})


async def _until_gone(call: Call, watcher: Watcher) -> None:
    """Close the watch when the client disconnects."""
    while True:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            watcher.close()
            return
