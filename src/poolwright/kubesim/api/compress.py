"""Large answers compressed for clients that take gzip.

Source of rule and numbers: k8s.io/apiserver pkg/endpoints/handlers/responsewriters/writers.go.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator

from poolwright.kubesim.api.negotiate import JSON, YAML

THRESHOLD = 128 * 1024  # defaultGzipThresholdBytes
TYPES = frozenset({JSON, YAML})
"""What is compressed: objects and lists, not what passes through (logs, proxied answers)."""
HEADERS = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))

_LEVEL = 1  # defaultGzipContentEncodingLevel: least time, almost the same size
_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to ask for gzip's envelope
_PART = 128 * 1024
"""Bytes that are compressed before others get a turn: about a millisecond."""


def is_taken(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header names gzip; weights are not read, as there."""
    return any(token.strip() == "gzip" for token in accept_encoding.split(","))


async def parts(*bodies: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """A body that is given in pieces, one after the other, compressed piece by piece."""
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    for body in bodies:
        async for data in body:
            view = memoryview(data)
            for start in range(0, len(data), _PART):
                if part := squeeze.compress(view[start : start + _PART]):
                    yield part
                await asyncio.sleep(0)
    yield squeeze.flush()
