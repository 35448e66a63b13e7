"""A few rules of an API server, enough to talk to: create, list in pages, watch, delete by uid."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route


def status(code, reason, message="", causes=(), retry_after=None):
    details = {"causes": [{"reason": c} for c in causes]}
    if retry_after is not None:
        details["retryAfterSeconds"] = retry_after
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return JSONResponse({**body, "details": details}, status_code=code)


@dataclass
class ToyServer:
    objects: dict = field(default_factory=dict)
    log: list = field(default_factory=list)
    revision: int = 100
    compacted: int = 0
    requests: list = field(default_factory=list)
    answer: object = None
    first_answers: list = field(default_factory=list)
    is_stalled: bool = False
    bookmark_seconds: float | None = None
    watches: int = 0
    hang_up: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, plural, name, namespace="", **rest):
        key = (plural, namespace, name)
        self.revision += 1
        verb = "MODIFIED" if key in self.objects else "ADDED"
        meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(self.revision)}
        if namespace:
            meta["namespace"] = namespace
        meta.update(rest.pop("metadata", {}))
        self.objects[key] = {"metadata": meta, **rest}
        self._log(plural, verb, self.objects[key])

    def remove(self, plural, name, namespace=""):
        self.revision += 1
        gone = self.objects.pop((plural, namespace, name))
        meta = {**gone["metadata"], "resourceVersion": str(self.revision)}
        self._log(plural, "DELETED", {**gone, "metadata": meta})

    def _log(self, plural, verb, wire):
        self.log.append((self.revision, plural, {"type": verb, "object": wire}))
        self.news.set()
        self.news = asyncio.Event()

    def close_watches(self):
        self.hang_up.set()
        self.hang_up = asyncio.Event()

    def compact(self):
        self.log.clear()
        self.compacted = self.revision

    async def collection(self, request):
        self.requests.append((request.method, request.url.path, dict(request.query_params)))
        if self.first_answers:
            return self.first_answers.pop(0)
        if self.answer is not None:
            return self.answer
        plural = request.path_params["plural"]
        if request.query_params.get("watch"):
            after = int(request.query_params["resourceVersion"])
            if after < self.compacted:
                return status(410, "Expired", "too old resource version")
            return StreamingResponse(self._watch(plural, after), media_type="application/json")
        items = [o for (p, _, _), o in sorted(self.objects.items()) if p == plural]
        start = int(request.query_params.get("continue", "0"))
        if start and start < self.compacted:
            return status(410, "Expired", "the continue token is too old")
        end = start + int(request.query_params.get("limit", str(10**9)))
        meta = {"resourceVersion": str(self.revision)}
        if end < len(items):
            meta["continue"] = str(end)
        return JSONResponse({"metadata": meta, "items": items[start:end]})

    async def _watch(self, plural, after):
        self.watches += 1
        hang_up = self.hang_up
        try:
            while not hang_up.is_set():
                if self.is_stalled:  # this connection is dead, and nobody says so
                    await asyncio.Event().wait()
                for revision, kind, event in list(self.log):
                    if revision > after and kind == plural:
                        # In two pieces, as a network may cut it.
                        line = json.dumps(event).encode() + b"\n"
                        yield line[:7]
                        yield line[7:]
                after, news = self.revision, self.news
                waits = [asyncio.ensure_future(e.wait()) for e in (news, hang_up)]
                try:
                    told, _ = await asyncio.wait(
                        waits,
                        timeout=self.bookmark_seconds,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    for wait in waits:
                        wait.cancel()
                if not told:
                    mark = {"metadata": {"resourceVersion": str(self.revision)}}
                    yield json.dumps({"type": "BOOKMARK", "object": mark}).encode() + b"\n"
        finally:
            self.watches -= 1

    async def item(self, request):
        body = await request.body()
        self.requests.append(
            (
                request.method,
                request.url.path,
                dict(request.query_params),
                request.headers.get("content-type"),
                request.headers.get("authorization"),
                json.loads(body) if body else None,
            )
        )
        if self.first_answers:
            return self.first_answers.pop(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return self.answer
        path = request.path_params
        key = (path["plural"], path.get("namespace", ""), path["name"])
        if key not in self.objects:
            return status(404, "NotFound", f'{path["plural"]} "{path["name"]}" not found')
        return JSONResponse(self.objects[key])

    def app(self):
        verbs = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        core = "/k8s/s/g/c/api/v1"
        routes = []
        for base in (core, "/k8s/s/g/c/apis/{group}/{version}"):
            for scope in ("", "/namespaces/{namespace}"):
                routes += [
                    Route(f"{base}{scope}/{{plural}}", self.collection, methods=verbs),
                    Route(f"{base}{scope}/{{plural}}/{{name}}", self.item, methods=verbs),
                    Route(f"{base}{scope}/{{plural}}/{{name}}/{{sub}}", self.item, methods=verbs),
                    Route(f"{base}/nodes/{{name}}/proxy/{{plural}}", self.item),
                ]
        routes.sort(key=lambda route: "namespaces" not in route.path)
        return Starlette(routes=routes)
