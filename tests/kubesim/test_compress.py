"""Answers that are compressed for clients that take gzip."""

import asyncio
import gzip
import json

import pytest

from poolwright.kubesim.api.compress import THRESHOLD

from .in_process import run

MAPS = "/api/v1/namespaces/default/configmaps"
YAML = "application/yaml"


async def fill(call, size):
    body = {"metadata": {"name": "big"}, "data": {"a": "x" * size}}
    assert (await call("POST", MAPS, body)).status == 201


@pytest.mark.parametrize("accept", ["application/json", YAML])
@pytest.mark.parametrize("takes", [b"gzip", b"deflate, gzip", b"br,gzip , identity"])
def test_a_large_list_is_compressed_where_that_is_taken(accept, takes):
    async def test(call):
        await fill(call, 3 * THRESHOLD)
        plain = await call("GET", MAPS, accept=accept)
        small = await call("GET", MAPS, accept=accept, headers=[(b"accept-encoding", takes)])
        headers = dict(small.headers)
        assert headers["content-encoding"] == "gzip"
        assert headers["vary"] == "Accept-Encoding"
        assert "content-length" not in headers
        assert headers["content-type"] == accept
        assert len(small.data) < len(plain.data) / 50
        assert gzip.decompress(small.data) == plain.data
        assert "content-encoding" not in dict(plain.headers)

    run(test)


@pytest.mark.parametrize(
    ("size", "takes"),
    [(1000, b"gzip"), (2 * THRESHOLD, b"identity"), (2 * THRESHOLD, b"gzip;q=0")],
)
def test_others_are_left_as_they_are(size, takes):
    async def test(call):
        await fill(call, size)
        answer = await call("GET", f"{MAPS}/big", headers=[(b"accept-encoding", takes)])
        headers = dict(answer.headers)
        assert "content-encoding" not in headers
        assert int(headers["content-length"]) == len(answer.data)
        assert json.loads(answer.data)["data"]["a"] == "x" * size

    run(test)


def test_others_get_a_turn_while_a_large_answer_is_compressed():
    async def test(call):
        for name in "abcdefgh":
            body = {"metadata": {"name": name}, "data": {"a": name * 4 * THRESHOLD}}
            assert (await call("POST", MAPS, body)).status == 201
        turns = 0

        async def count():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.ensure_future(count())
        before = turns
        await call("GET", MAPS, headers=[(b"accept-encoding", b"gzip")])
        counting.cancel()
        assert turns - before >= 32  # a part at a time

    run(test)
