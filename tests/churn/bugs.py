"""Planted bugs: each breaks one promise in the server's process, so that the judge must see it.

They are put in from outside, by the launcher; the product has no switch for any of them.
"""

from __future__ import annotations

import asyncio

from poolwright.kubesim import meta, watch
from poolwright.kubesim.api import stream
from poolwright.kubesim.cache import ObjectCache
from poolwright.store.sqlite_file import SqliteFile


def forget_one_after_resumption() -> None:
    """Who resumes is not told of the first change that was missed."""
    changes_after = ObjectCache.changes_after

    def one_less(cache, revision):
        found = changes_after(cache, revision)
        return found and found[1:]

    ObjectCache.changes_after = one_less


def repeat_one_after_resumption() -> None:
    """Who resumes is told once more of what it saw last."""
    changes_after = ObjectCache.changes_after

    def one_more(cache, revision):
        return changes_after(cache, max(revision - 1, cache.floor))

    ObjectCache.changes_after = one_more


def forget_one_in_a_hundred() -> None:
    """A watch is not told of each change, and only its own client can know."""
    offer, count = watch.Watcher.offer, 0

    def sometimes(watcher, change):
        nonlocal count
        count += 1
        if count % 100:
            offer(watcher, change)

    watch.Watcher.offer = sometimes


def forget_who_leaves() -> None:
    """An object that no longer matches a selector is not said to be gone."""
    event_type = watch.event_type

    def quiet(change, selection):
        told = event_type(change, selection)
        return "" if told == "DELETED" and change.type != "DELETED" else told

    watch.event_type = stream.event_type = quiet


def promise_too_much() -> None:
    """A bookmark is ahead of what was sent."""
    bookmark = stream.Output.bookmark
    stream.BOOKMARK_SECONDS = 0.5

    def ahead(out, revision, **how):
        return bookmark(out, revision + (0 if how else 3), **how)

    stream.Output.bookmark = ahead


def begin_anew() -> None:
    """resourceVersions go back at a restart."""
    revisions = SqliteFile.revisions

    def lower(file):
        return {
            scope: max(1, revision - 40) if scope.startswith("kube/") else revision
            for scope, revision in revisions(file).items()
        }

    SqliteFile.revisions = lower


def lose_commits() -> None:
    """A write is acknowledged a second before it is kept."""
    write = SqliteFile.write

    def write_late(file, batch):
        asyncio.get_running_loop().call_later(1, write, file, batch)

    SqliteFile.write = write_late


def ignore_guards() -> None:
    """Who writes what is not the newest any more is not refused."""
    meta.check_guard = meta.check_sent_guard = lambda *_, **__: None


BUGS = {
    "forget one after resumption": forget_one_after_resumption,
    "repeat one after resumption": repeat_one_after_resumption,
    "forget one in a hundred": forget_one_in_a_hundred,
    "forget who leaves": forget_who_leaves,
    "promise too much": promise_too_much,
    "begin anew": begin_anew,
    "lose commits": lose_commits,
    "ignore guards": ignore_guards,
}
