from __future__ import annotations

import asyncio

import httpx
import pytest

from poolwright.kube.asgi_transport import AsgiTransport
from poolwright.sim.loop import run


def test_a_day_of_a_stream_arrives_piece_by_piece():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        for index in range(8640):
            await asyncio.sleep(10)
            await send({"type": "http.response.body", "body": b"%d\n" % index, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def main():
        async with httpx.AsyncClient(transport=AsgiTransport(app)) as c:
            async with c.stream("GET", "https://host/a%20b?c=d") as response:
                assert response.headers["x"] == "y"
                assert asyncio.get_running_loop().time() < 1
                lines = [line async for line in response.aiter_lines()]
            assert len(lines) == 8640
            assert asyncio.get_running_loop().time() == pytest.approx(86400)

    run(main())


def test_scope_is_what_a_server_makes_of_the_request():
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)
        seen["message"] = await receive()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def main():
        async with httpx.AsyncClient(transport=AsgiTransport(app)) as c:
            answer = await c.post("https://host:8/a%20b/c?d=e%20f", content=b"body")
            assert answer.status_code == 204

    run(main())
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == (
        "/a b/c",
        b"/a%20b/c",
        b"d=e%20f",
    )
    assert seen["method"] == "POST"
    assert (b"host", b"host:8") in seen["headers"]
    assert seen["message"] == {"type": "http.request", "body": b"body", "more_body": False}


def test_slow_reader_slows_the_application_down():
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for index in range(1000):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            sent.append(index)

    async def main():
        async with httpx.AsyncClient(transport=AsgiTransport(app)) as c:
            async with c.stream("GET", "https://host/"):
                await asyncio.sleep(10)
                assert len(sent) < 50
            with pytest.raises(httpx.RemoteProtocolError):
                await c.get("https://host/")  # ends without its last piece

    run(main())


def test_caller_that_gives_up_does_not_undo_the_request():
    done = []

    async def app(scope, receive, send):
        await asyncio.sleep(10)
        done.append("applied")
        with pytest.raises(OSError, match="gone"):
            await send({"type": "http.response.start", "status": 200, "headers": []})

    async def main():
        async with httpx.AsyncClient(transport=AsgiTransport(app)) as c:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await c.get("https://host/")
            await asyncio.sleep(20)
            assert done == ["applied"]

    run(main())


def test_application_hears_that_the_client_hung_up():
    heard = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        heard.append(await receive())

    async def main():
        async with httpx.AsyncClient(transport=AsgiTransport(app)) as c:
            async with c.stream("GET", "https://host/"):
                pass
            await asyncio.sleep(1)

    run(main())
    assert heard == [{"type": "http.disconnect"}]


def test_end_of_the_transport_ends_every_request():
    ended = []

    async def app(scope, receive, send):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(scope["path"])

    async def main():
        async with asyncio.TaskGroup() as group:
            async with AsgiTransport(app) as transport:
                request = httpx.Request("GET", "https://host/a")
                task = group.create_task(transport.handle_async_request(request))
                await asyncio.sleep(1)
            await asyncio.sleep(0)
            assert isinstance(task.exception(), httpx.RemoteProtocolError)
            task = None
        assert len(asyncio.all_tasks()) == 1

    with pytest.raises(ExceptionGroup):
        run(main())
    assert ended == ["/a"]


def test_bug_of_the_application_is_loud_where_bugs_are_raised():
    async def app(scope, receive, send):
        raise ZeroDivisionError

    async def main():
        async with AsgiTransport(app, raise_bugs=True) as transport:
            await transport.handle_async_request(httpx.Request("GET", "https://host/"))

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert caught.group_contains(ZeroDivisionError)
