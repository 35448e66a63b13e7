"""The load generator: keep-alive connections over raw asyncio streams, in a process of its own.

Run: python bench/load.py HOST PORT SECONDS CONNECTIONS REQUEST_FILE [--ca FILE]
Prints one JSON line: requests, seconds, statuses, its own CPU seconds. The request file holds one
whole HTTP/1.1 request; ``{n}`` in it is replaced by a running number.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
import time
from pathlib import Path

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The status of the next answer, its body read."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    if length:
        await reader.readexactly(int(length[1]))
    return head[9:12]


async def work(options: argparse.Namespace) -> dict[str, object]:
    context = ssl.create_default_context(cafile=options.ca) if options.ca else None
    request = Path(options.request).read_bytes()
    numbered = b"{n}" in request
    statuses: dict[str, int] = {}
    count = 0
    streams = [
        await asyncio.open_connection(options.host, options.port, ssl=context)
        for _ in range(options.connections)
    ]

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while time.perf_counter() < end:
            count += 1
            sent = request.replace(b"{n}", b"%06d" % count) if numbered else request
            writer.write(sent)
            status = (await answer(reader)).decode()
            statuses[status] = statuses.get(status, 0) + 1

    began = time.perf_counter()
    end = began + options.seconds
    async with asyncio.TaskGroup() as group:
        for reader, writer in streams:
            group.create_task(client(reader, writer))
    took = time.perf_counter() - began
    for _, writer in streams:
        writer.transport.abort()
    return {
        "requests": sum(statuses.values()),
        "seconds": round(took, 3),
        "statuses": statuses,
        "generator_cpu_seconds": round(time.process_time(), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("connections", type=int)
    parser.add_argument("request")
    parser.add_argument("--ca")
    print(json.dumps(asyncio.run(work(parser.parse_args()))))


if __name__ == "__main__":
    main()
