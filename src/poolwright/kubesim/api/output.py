"""Writing objects, lists and watch events in the form that a client asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.api.negotiate import JSON, YAML, Form, to_yaml
from poolwright.kubesim.entry import Entry, ObjectChange, decode, encode
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.table import definitions, table_row
from poolwright.kubesim.version import View
from poolwright.ports.clock import Clock

_CHUNK = 500
"""Entries of a list that are written before others get a turn."""


class Output:
    """How one request's objects are written: a view of a kind (its API version), and a form."""

    def __init__(self, view: View, form: Form, clock: Clock, include: str = "") -> None:
        self.view = view
        self.form = form
        self._clock = clock
        self.include = include or "Metadata"
        self._is_headed = False

    @property
    def now(self) -> datetime:
        """The wall time that ages are counted to; a watch lives long."""
        return self._clock.now().wall

    @property
    def kind(self) -> ObjectKind:
        """The kind of the objects."""
        return self.view.kind

    @property
    def media(self) -> str:
        """The content type."""
        return self.form.media

    def object(self, entry: Entry) -> bytes:
        """One object."""
        return self._media(self._object(entry))

    def body(self, body: dict[str, Any], entry: Entry | None) -> bytes:
        """An object that was just written; the entry is what the cache holds by now."""
        if not self.form.view and self.form.media == JSON:
            if entry is not None and str(entry.revision) == body["metadata"]["resourceVersion"]:
                return self._object(entry)
            return encode(self.view.shown(body, self.now))
        if self.form.view == "Table":
            return self._media(
                encode(
                    self._table(
                        [self._row_of(body)],
                        {"resourceVersion": body["metadata"].get("resourceVersion", "")},
                    )
                )
            )
        if self.form.view:
            return self._media(encode(self._partial(body)))
        return self._media(encode(self.view.shown(body, self.now)))

    def list(self, entries: Sequence[Entry], metadata: dict[str, Any]) -> AsyncGenerator[bytes]:
        """The parts of a list with its metadata; between those of a long one others run."""
        parts = self._json_list(entries, metadata)
        return _as_yaml(parts) if self.form.media == YAML else parts

    async def _json_list(
        self, entries: Sequence[Entry], metadata: dict[str, Any]
    ) -> AsyncGenerator[bytes]:
        now = self.now
        resource = self.view.resource
        group = f"meta.k8s.io/{self.form.version}"
        member = b"items"
        if self.form.view == "Table":
            head = self._table([], metadata)
            del head["rows"]
            member = b"rows"
        elif self.form.view:
            head = {"kind": "PartialObjectMetadataList", "apiVersion": group, "metadata": metadata}
        else:
            head = {
                "kind": self.kind.list_kind,
                "apiVersion": resource.api_version,
                "metadata": metadata,
            }
        opening = b'%b,"%b":[' % (encode(head)[:-1], member)
        for start in range(0, len(entries), _CHUNK):
            if start:
                await asyncio.sleep(0)
            chunk = entries[start : start + _CHUNK]
            yield opening + b",".join(self._item(entry, now) for entry in chunk)
            opening = b","
        yield b"]}" if entries else opening + b"]}"

    def _item(self, entry: Entry, now: datetime) -> bytes:
        if self.form.view == "Table":
            return encode(self._row_of(entry.object()))
        if self.form.view:
            return encode(self._partial(entry.object()))
        return self.view.item(entry, now)

    def change(self, change: ObjectChange, type_: str) -> bytes:
        """One line of a watch, shared by all that watch in this form; the first of a table has
        its columns as well.
        """
        form = self.form
        if form.view == "Table" and not self._is_headed:
            return self._change_line(change, type_)
        key = f"{self.view.resource.api_version}/{form.view}/{form.version}/{self.include}"
        return change.encoded(type_, key, self._change_line)

    def line(self, type_: str, entry: Entry) -> bytes:
        """A watch line for an object as it stands."""
        if self.form.view == "Table":
            body = self._streamed([self._row_of(entry.object())], entry.revision)
        else:
            body = self._object(entry)
        return b'{"type":"%b","object":%b}\n' % (type_.encode(), body)

    def _streamed(self, rows: list[dict[str, Any]], revision: int) -> bytes:
        """A part of a watched table: columns stand in the first one only.

        Source: k8s.io/apiserver pkg/endpoints/handlers/response.go, NoHeaders.
        """
        table = self._table(rows, {"resourceVersion": str(revision)})
        if self._is_headed:
            table["columnDefinitions"] = None
        self._is_headed = True
        return encode(table)

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """A BOOKMARK line."""
        metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if self.form.view == "Table":
            row: dict[str, Any] = {"cells": [], "object": self._partial({"metadata": metadata})}
            part = self._streamed([row] if initial_end else [], revision)
            return b'{"type":"BOOKMARK","object":%b}\n' % part
        if self.form.view:
            body = self._partial({"metadata": metadata})
        else:
            resource = self.view.resource
            body = {
                "kind": resource.kind,
                "apiVersion": resource.api_version,
                "metadata": metadata,
            }
        return b'{"type":"BOOKMARK","object":%b}\n' % encode(body)

    def _change_line(self, change: ObjectChange, type_: str) -> bytes:
        entry = change.new
        if type_ == "DELETED" and change.type != "DELETED" and change.old is not None:
            entry = change.old.at(change.revision)  # it left the selection: as it was last seen
        return self.line(type_, entry)

    def _object(self, entry: Entry) -> bytes:
        if self.form.view == "Table":
            metadata = {"resourceVersion": str(entry.revision)}
            return encode(self._table([self._row_of(entry.object())], metadata))
        if self.form.view:
            return encode(self._partial(entry.object()))
        if self.view.is_kept(entry):
            return entry.wire()  # without a look at the clock
        return self.view.wire(entry, self.now)

    def _row_of(self, body: dict[str, Any]) -> dict[str, Any]:
        row: dict[str, Any] = {"cells": table_row(self.kind, body, self.now)}
        if self.include == "Object":
            row["object"] = self.view.shown(body, self.now)
        elif self.include == "Metadata":
            row["object"] = self._partial(body)
        return row

    def _table(self, rows: list[dict[str, Any]], metadata: dict[str, Any]) -> dict[str, Any]:
        return {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{self.form.version}",
            "metadata": metadata,
            "columnDefinitions": definitions(self.kind),
            "rows": rows,
        }

    def _partial(self, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "kind": "PartialObjectMetadata",
            "apiVersion": f"meta.k8s.io/{self.form.version}",
            "metadata": body["metadata"],
        }

    def _media(self, data: bytes) -> bytes:
        return to_yaml(decode(data)) if self.form.media == YAML else data


async def _as_yaml(parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    yield to_yaml(decode(b"".join([part async for part in parts])))
