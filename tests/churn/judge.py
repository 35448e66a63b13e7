"""Holds what every watcher was told against what every writer was answered.

Nothing here knows the server: ``judge`` reads lines of journals and says what was wrong.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from churn.journal import Item, Line, Scope, scope_of

SHOWN = 12
"""Faults of one sort that are told in full."""
COUNTER = "/counter"
CLIENTS = ("go ", "python ")


@dataclass(slots=True)
class Fact:
    """One change, as far as somebody who sees all of the object was told."""

    key: str
    type: str  # ADDED, MODIFIED, DELETED; "" if only an answer to a writer tells of it
    uid: str
    mark: str
    color: str
    node: str
    source: str

    def agrees(self, other: Fact) -> bool:
        if self.key != other.key or self.mark != other.mark:
            return False
        if not self.type or not other.type:
            return True
        return (self.type, self.uid, self.color) == (other.type, other.uid, other.color)


@dataclass(slots=True)
class Session:
    """A watch from a list on, over all its connections, until it has to list again."""

    watch: str
    scope: Scope
    start: int
    items: list[Item]
    position: int
    events: dict[int, Line] = field(default_factory=dict)


@dataclass(slots=True)
class Verdict:
    """What was wrong, by sort, and what was counted."""

    faults: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def fault(self, sort: str, text: str) -> None:
        self.faults[sort] += 1
        if self.faults[sort] <= SHOWN:
            self.told.append(f"{sort}: {text}")

    def __str__(self) -> str:
        told = "\n".join(self.told)
        return f"faults: {dict(self.faults)}\n{told}" if self.faults else "no fault"


class Judge:
    """Takes lines in the order of each journal."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self._sessions: list[Session] = []
        self._open: dict[str, Session] = {}
        self._facts: dict[int, Fact] = {}
        self._faint: dict[int, str] = {}  # changes of which only somebody with a selector was told
        self._writes: list[Line] = []
        self._lists: list[Line] = []
        self._given: list[tuple[int, int, str]] = []  # when which resourceVersion was known
        self._finals: list[Line] = []
        self._stores: list[Line] = []

    def take(self, line: Line) -> None:
        """One line."""
        match line.what:
            case "list":
                self._take_list(line)
            case "watch":
                self._take_resumption(line)
            case "event":
                self._take_event(line)
            case "bookmark":
                self._take_bookmark(line)
            case "gone":
                self.verdict.counts["told to list again"] += 1
                self._open.pop(line.watch, None)
            case "write":
                self._take_write(line)
            case "store":
                self._stores.append(line)
            case "server":
                self.verdict.counts[f"server: {line.verb}"] += 1
            case "late":
                self.verdict.fault("late", f"{line.watch} never saw the end")
            case _:
                self.verdict.fault("refused", f"{line.watch} {line.verb}: {line.text}")

    def end(self) -> Verdict:
        """All lines are taken."""
        revisions = self._by_resource()
        for session in self._sessions:
            self._check_session(session, revisions[session.scope.resource])
        self._check_time()
        self._check_kept()
        self._check_counters()
        self._check_stores()
        self.verdict.counts["changes"] = len(self._facts)
        self.verdict.counts["watches"] = len({session.watch for session in self._sessions})
        return self.verdict

    # -- one line at a time ---------------------------------------------------------------------

    def _take_list(self, line: Line) -> None:
        self._lists.append(line)
        self._given.append((line.ended, line.rv, f"a list of {line.watch}"))
        scope = scope_of(line.watch)
        before = self._open.get(line.watch)
        if before is not None and line.rv < before.position:
            self.verdict.fault(
                "back", f"{line.watch} listed {line.rv} after it had seen {before.position}"
            )
        session = Session(line.watch, scope, line.rv, line.items, line.rv)
        self._sessions.append(session)
        self._open[line.watch] = session
        self.verdict.counts["lists"] += 1
        if line.watch.startswith("final"):
            self._finals.append(line)
        for key, revision, *_ in line.items:
            if int(revision) > line.rv:
                self.verdict.fault("back", f"{line.watch}: {key} at {revision}, list at {line.rv}")

    def _session(self, line: Line) -> Session | None:
        session = self._open.get(line.watch)
        if session is None:
            self.verdict.fault("order", f"{line.watch}: {line.what} {line.rv} without a list")
        return session

    def _take_resumption(self, line: Line) -> None:
        session = self._session(line)
        if session is not None and line.rv != session.position:
            self.verdict.fault(
                "order", f"{line.watch} goes on from {line.rv}, and was at {session.position}"
            )
        self.verdict.counts["watches opened"] += 1

    def _take_event(self, line: Line) -> None:
        self.verdict.counts["events"] += 1
        session = self._session(line)
        if session is None:
            return
        if line.rv <= session.position:
            sort = "doubled" if line.rv in session.events else "order"
            self.verdict.fault(
                sort, f"{line.watch}: {line.type} {line.key} {line.rv} after {session.position}"
            )
            return
        session.position = line.rv
        session.events[line.rv] = line
        if line.ended:
            self._given.append((line.ended, line.rv, f"an event of {line.watch}"))
        if line.type == "DELETED" and not session.scope.is_plain:
            self._faint.setdefault(line.rv, line.key)
            return
        type_ = line.type if session.scope.is_plain else ""
        self._learn(
            line.rv,
            Fact(line.key, type_, line.uid, line.mark, line.color, line.node, line.watch),
        )

    def _take_bookmark(self, line: Line) -> None:
        self.verdict.counts["bookmarks"] += 1
        session = self._session(line)
        if session is None:
            return
        if line.rv < session.position:
            self.verdict.fault("back", f"{line.watch}: bookmark {line.rv} after {session.position}")
        session.position = max(session.position, line.rv)

    def _take_write(self, line: Line) -> None:
        self._writes.append(line)
        self.verdict.counts[f"writes {line.out}"] += 1
        if line.out == "refused" or (line.verb == "stale" and line.out == "ok"):
            self.verdict.fault(
                "refused" if line.out == "refused" else "unguarded",
                f"{line.by} {line.verb} {line.key} {line.mark}: {line.out} {line.text}",
            )
        if line.out != "ok" or not line.rv:
            return
        self._given.append((line.ended, line.rv, f"the answer to {line.by} {line.verb}"))
        if line.mark:
            self._learn(line.rv, Fact(line.key, "", line.uid, line.mark, line.color, "", line.by))

    def _learn(self, revision: int, fact: Fact) -> None:
        known = self._facts.get(revision)
        if known is None:
            self._facts[revision] = fact
            return
        if not known.agrees(fact):
            self.verdict.fault(
                "disagreement",
                f"{revision} is {_told(known)} to {known.source}, {_told(fact)} to {fact.source}",
            )
        if fact.type and not known.type:
            self._facts[revision] = fact

    # -- when everything is known ---------------------------------------------------------------

    def _by_resource(self) -> dict[str, list[int]]:
        found: defaultdict[str, list[int]] = defaultdict(list)
        for revision in sorted({*self._facts, *self._faint}):
            fact = self._facts.get(revision)
            key = fact.key if fact is not None else self._faint[revision]
            found[key.split("/", 1)[0]].append(revision)
        return found

    def _check_session(self, session: Session, revisions: list[int]) -> None:
        """Every change between list and last event was told, once, as what it is to this watch."""
        scope = session.scope
        members = {key: int(revision) for key, revision, *_ in session.items}
        unsure: set[str] = set()
        first = bisect_right(revisions, session.start)
        last = bisect_right(revisions, session.position)
        for revision in revisions[first:last]:
            fact = self._facts.get(revision)
            event = session.events.get(revision)
            key = fact.key if fact is not None else self._faint[revision]
            if not scope.reaches(key):
                continue
            if event is None and (fact is None or not fact.type):
                # There was a change; to a selector only its color says whether it was one.
                if scope.is_plain or (
                    fact is not None and not scope.node and fact.color == scope.color
                ):
                    self._miss(session, revision, fact)
                unsure.add(key)
                continue
            self._check_change(session, revision, key, members, unsure)

    def _check_change(
        self,
        session: Session,
        revision: int,
        key: str,
        members: dict[str, int],
        unsure: set[str],
    ) -> None:
        fact, event = self._facts.get(revision), session.events.get(revision)
        was_in = key in members
        if fact is not None and fact.type:
            is_in = fact.type != "DELETED" and session.scope.selects(fact.color, fact.node)
        else:
            assert event is not None
            is_in = event.type != "DELETED"
        wanted = {
            (True, True): "MODIFIED",
            (True, False): "DELETED",
            (False, True): "ADDED",
            (False, False): "",
        }[was_in, is_in]
        told = event.type if event is not None else ""
        is_sure = key not in unsure
        unsure.discard(key)
        if is_in:
            members[key] = revision
        else:
            members.pop(key, None)
        if told == wanted:
            return
        if not told:
            if is_sure or is_in:
                self._miss(session, revision, fact)
        elif is_sure or (told != "DELETED") != is_in:
            self.verdict.fault(
                "type", f"{session.watch}: {told} {key} {revision} is {wanted or 'nothing'} to it"
            )

    def _miss(self, session: Session, revision: int, fact: Fact | None) -> None:
        self.verdict.fault(
            "missed",
            f"{session.watch} (from {session.start} to {session.position}) was not told of"
            f" {revision}: {_told(fact)} by {fact.source if fact else 'nobody'}",
        )

    def _check_time(self) -> None:
        """What is asked for later is never older."""
        given = sorted(self._given)
        times = [when for when, *_ in given]
        highest: list[tuple[int, str]] = []
        for _, revision, source in given:
            before = highest[-1] if highest else (0, "")
            highest.append(max(before, (revision, source)))
        made = [line for line in self._writes if line.out == "ok" and line.mark and line.rv]
        for line in (*self._lists, *made):
            place = bisect_left(times, line.began)
            if not place:
                continue
            revision, source = highest[place - 1]
            is_too_low = line.rv <= revision if line.what == "write" else line.rv < revision
            if is_too_low:
                self.verdict.fault(
                    "back",
                    f"{line.watch or line.by} {line.what} at {line.rv}, after {source} had"
                    f" given out {revision}",
                )

    def _check_kept(self) -> None:
        """Every list has what was acknowledged before it was asked for, or something later."""
        by_key: defaultdict[str, list[Line]] = defaultdict(list)
        for line in self._writes:
            by_key[line.key].append(line)
        kept = {key: _Kept(lines) for key, lines in by_key.items()}
        for line in self._lists:
            scope = scope_of(line.watch)
            if not scope.is_plain:
                continue
            there = {item[0]: int(item[1]) for item in line.items}
            for key, writes in kept.items():
                if key.split("/", 1)[0] != scope.resource or not scope.reaches(key):
                    continue
                last = writes.last_before(line.began)
                revision = there.get(key)
                if last is not None and revision is None and not writes.may_be_gone(last, line):
                    self.verdict.fault(
                        "lost", f"{line.watch} at {line.rv} lacks {key}: {last.by} {last.mark}"
                    )
                elif last is not None and revision is not None and revision < last.rv:
                    self.verdict.fault(
                        "lost",
                        f"{line.watch} at {line.rv} has {key} {revision}, and {last.rv} was"
                        f" acknowledged to {last.by} ({last.verb} {last.mark})",
                    )
                deleted = writes.deleted_before(line.began)
                if revision is not None and deleted is not None and revision <= deleted.rv:
                    self.verdict.fault(
                        "lost", f"{line.watch} at {line.rv} has {key} {revision}, deleted before"
                    )

    def _check_counters(self) -> None:
        """Numbers that many raise, each guarded by what it read: no raise is lost."""
        raised: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for revision, fact in self._facts.items():
            if fact.key.endswith(COUNTER) and "|" in fact.mark:
                raised[fact.key].append((revision, int(fact.mark.split("|")[0])))
        for key, pairs in raised.items():
            values = [value for _, value in sorted(pairs)]
            for before, after in pairwise(values):
                if after <= before:
                    self.verdict.fault("unguarded", f"{key} went from {before} to {after}")
            self.verdict.counts["counter"] += values[-1]

    def _check_stores(self) -> None:
        """At the end everybody holds what a last list says."""
        finals = {scope_of(line.watch).resource: line for line in self._finals}
        last = {session.watch: session for session in self._sessions}
        for watch, session in last.items():
            final = finals.get(session.scope.resource)
            if final is None or not watch.startswith(CLIENTS):
                continue
            held = {key: int(revision) for key, revision, *_ in session.items}
            for revision, event in session.events.items():
                if revision > final.rv:
                    continue
                held.pop(event.key, None)
                if event.type != "DELETED":
                    held[event.key] = revision
            if session.start <= final.rv:
                self._compare(watch, held, _selected(final, session.scope))
        for line in self._stores:
            held = {item[0]: item[2] for item in line.items}
            session = last[line.watch]
            states = {item[0]: item[2] for item in session.items}
            for event in session.events.values():
                states.pop(event.key, None)
                if event.type != "DELETED":
                    states[event.key] = event.mark
            if held != states:
                self._compare(f"{line.watch}'s informer", held, states)

    def _compare(self, who: str, held: dict, wanted: dict) -> None:
        for key in sorted({*held, *wanted}):
            if held.get(key) != wanted.get(key):
                self.verdict.fault(
                    "state", f"{who} ends with {key} {held.get(key)}, and it is {wanted.get(key)}"
                )


class _Kept:
    """The writes of one object by when they ended."""

    def __init__(self, writes: list[Line]) -> None:
        self._writes = writes
        made = [w for w in writes if w.out == "ok" and w.rv and w.verb not in {"release", "delete"}]
        self._made = _highest(made)
        self._times = [w.ended for w in self._made]
        self._deleted = sorted(
            (w for w in writes if w.out == "ok" and w.verb in {"delete", "release"}),
            key=lambda w: w.ended,
        )

    def last_before(self, moment: int) -> Line | None:
        """The newest state that was acknowledged by then, unless a deletion was after it."""
        place = bisect_left(self._times, moment)
        if not place:
            return None
        last = self._made[place - 1]
        gone = any(last.ended <= w.began and w.ended < moment for w in self._deleted)
        return None if gone else last

    def deleted_before(self, moment: int) -> Line | None:
        """The last acknowledged deletion by then, carrying the version that it ended."""
        done = [w for w in self._deleted if w.ended < moment]
        if not done:
            return None
        place = bisect_left(self._times, done[-1].began)
        return self._made[place - 1] if place else None

    def may_be_gone(self, last: Line, asked: Line) -> bool:
        """Whether a deletion that nobody can be sure of lies between a state and a list."""
        return any(
            w.verb in {"delete", "condemn", "release"}
            and w.out in {"ok", "doubt"}
            and w.ended > last.began
            and w.began < asked.ended
            for w in self._writes
        )


def _highest(writes: list[Line]) -> list[Line]:
    """In the order in which they ended, each with the highest resourceVersion until then."""
    found: list[Line] = []
    for write in sorted(writes, key=lambda w: w.ended):
        found.append(write if not found or write.rv > found[-1].rv else found[-1])
    return found


def _selected(final: Line, scope: Scope) -> dict[str, int]:
    return {
        key: int(revision)
        for key, revision, _, color, node in final.items
        if scope.reaches(key) and scope.selects(color, node)
    }


def _told(fact: Fact | None) -> str:
    return "something" if fact is None else f"{fact.type or 'a write'} {fact.key} ({fact.mark})"


def judge(lines: Iterable[Line] | Iterator[Line]) -> Verdict:
    """What was wrong."""
    judges = Judge()
    for line in lines:
        judges.take(line)
    return judges.end()
