"""The judge sees each fault in a journal that has it, and none in one that has none."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from churn.journal import Line, Scope, scope_of
from churn.judge import judge

ALL, ALSO, RED = "go configmaps", "python configmaps", "go red configmaps"
SHARE = "configmaps/a/one"


@dataclass
class Story:
    """A journal without a fault: one object is made, changes its color, and goes."""

    lines: list[Line] = field(default_factory=list)
    clock: int = 0

    def tick(self) -> int:
        self.clock += 10
        return self.clock

    def found(self, watch, revision, *items):
        self.lines.append(
            Line(
                "list", watch, rv=revision, items=list(items), began=self.tick(), ended=self.tick()
            )
        )

    def told(self, watch, type_, revision, mark, color="red", key=SHARE):
        self.lines.append(
            Line("event", watch, type_, key, revision, "u", mark, color, ended=self.tick())
        )

    def wrote(self, verb, revision, mark, color="red", key=SHARE, out="ok"):
        self.lines.append(
            Line(
                "write",
                by="w",
                verb=verb,
                key=key,
                rv=revision,
                mark=mark,
                color=color,
                out=out,
                began=self.tick(),
                ended=self.tick(),
            )
        )

    def without(self, what, watch, revision):
        """The same with one line left out."""
        kept = [
            line
            for line in self.lines
            if (line.what, line.watch, line.rv) != (what, watch, revision)
        ]
        assert len(kept) == len(self.lines) - 1
        return kept


@pytest.fixture
def story():
    told = Story()
    for watch in (ALL, ALSO, RED):
        told.found(watch, 10)
    told.wrote("create", 11, "w/1")
    told.wrote("merge", 13, "w/2", "blue")
    told.wrote("merge", 14, "w/3")
    told.wrote("delete", 0, "", "")
    for watch in (ALL, ALSO):
        told.told(watch, "ADDED", 11, "w/1")
        told.told(watch, "MODIFIED", 13, "w/2", "blue")
        told.told(watch, "MODIFIED", 14, "w/3")
        told.told(watch, "DELETED", 16, "w/3")
    told.told(RED, "ADDED", 11, "w/1")
    told.told(RED, "DELETED", 13, "w/1")
    told.told(RED, "ADDED", 14, "w/3")
    told.told(RED, "DELETED", 16, "w/3")
    told.found("final configmaps", 17)
    return told


def test_a_journal_without_a_fault(story):
    verdict = judge(story.lines)
    assert not verdict.faults, str(verdict)
    assert verdict.counts["events"] == 12


@pytest.mark.parametrize("watch", [ALL, RED])
@pytest.mark.parametrize("revision", [11, 13, 14])
def test_a_missed_event(story, watch, revision):
    assert judge(story.without("event", watch, revision)).faults["missed"]


@pytest.mark.parametrize("watch", [ALL, RED])
def test_a_missed_last_event(story, watch):
    assert judge(story.without("event", watch, 16)).faults["state"]


def test_what_nobody_was_told_of_but_was_acknowledged(story):
    watchers = {ALL, ALSO, RED}
    lines = [line for line in story.lines if line.watch not in watchers or line.rv != 13]
    assert judge(lines).faults["missed"] >= 2


def test_a_doubled_event(story):
    story.told(ALL, "DELETED", 16, "w/3")
    assert judge(story.lines).faults == {"doubled": 1}


def test_events_out_of_order(story):
    place = next(i for i, line in enumerate(story.lines) if (line.watch, line.rv) == (ALL, 13))
    lines = story.lines
    lines[place], lines[place + 1] = lines[place + 1], lines[place]
    assert judge(lines).faults["order"]


def test_a_wrong_type(story):
    lines = [
        msgspec.structs.replace(line, type="MODIFIED")
        if (line.watch, line.rv) == (RED, 14)
        else line
        for line in story.lines
    ]
    assert judge(lines).faults["type"]


def test_a_bookmark_that_is_ahead(story):
    place = next(i for i, line in enumerate(story.lines) if (line.watch, line.rv) == (ALL, 13))
    story.lines.insert(place, Line("bookmark", ALL, rv=13))
    assert judge(story.lines).faults["order"]


def test_a_resumption_from_elsewhere(story):
    story.lines.append(Line("watch", ALL, rv=14))
    assert judge(story.lines).faults["order"]


def test_two_that_were_told_different_things(story):
    lines = [
        msgspec.structs.replace(line, mark="w/9") if (line.watch, line.rv) == (ALSO, 14) else line
        for line in story.lines
    ]
    assert judge(lines).faults["disagreement"]


def test_a_list_that_is_older_than_what_was_known(story):
    story.found("start configmaps", 12)
    assert judge(story.lines).faults["back"]


def test_a_write_below_what_was_given_out(story):
    story.wrote("create", 15, "w/4", key="configmaps/a/two")
    assert judge(story.lines).faults["back"]


def test_a_lost_write(story):
    story.wrote("create", 18, "w/4", key="configmaps/a/two")
    story.found("start configmaps", 19)
    assert judge(story.lines).faults["lost"]


def test_a_write_that_went_back(story):
    two = "configmaps/a/two"
    story.wrote("create", 18, "w/4", key=two)
    story.wrote("merge", 19, "w/5", key=two)
    story.found("start configmaps", 19, (two, "18", "w/4", "red", ""))
    assert judge(story.lines).faults["lost"]


def test_a_deletion_that_was_undone(story):
    story.found("start configmaps", 19, (SHARE, "14", "w/3", "red", ""))
    assert judge(story.lines).faults["lost"]


def test_a_write_in_doubt_may_be_there_or_not(story):
    two = "configmaps/a/two"
    story.wrote("create", 18, "w/4", key=two)
    story.wrote("delete", 0, "", key=two, out="doubt")
    story.found("start configmaps", 19)
    story.found("start configmaps", 19, (two, "18", "w/4", "red", ""))
    verdict = judge(story.lines)
    assert not verdict.faults, str(verdict)


def test_a_lost_raise_of_a_counter(story):
    counter = "configmaps/a/counter"
    story.wrote("raise", 18, "1|w/4", key=counter)
    story.wrote("raise", 19, "1|w/5", key=counter)
    assert judge(story.lines).faults["unguarded"]


def test_a_stale_update_that_was_taken(story):
    story.wrote("stale", 18, "w/4")
    assert judge(story.lines).faults["unguarded"]


def test_one_that_never_saw_the_end(story):
    story.lines.append(Line("late", ALL))
    assert judge(story.lines).faults == {"late": 1}


def test_an_answer_that_nobody_should_get(story):
    story.wrote("merge", 0, "", out="refused")
    assert judge(story.lines).faults == {"refused": 1}


def test_what_a_watch_selects_is_in_its_name():
    assert scope_of("go red configmaps in churn-b") == Scope("configmaps", "churn-b", "red")
    assert scope_of("python pods on node-0") == Scope("pods", "", "", "node-0")
    assert scope_of("python configmaps, long") == Scope("configmaps")
