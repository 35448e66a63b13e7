"""The few commands of a simulated container: one course, in its log and in exec."""

from datetime import UTC, datetime

import pytest

from poolwright.providers.simulated.shell import Container, course, execute

SMI = ("GPU 0: a card\n", 0)
INSIDE = Container("pod", {"WHO": "me"}, datetime(2026, 1, 1, tzinfo=UTC), lambda _: SMI)
BARE = Container("pod", {}, datetime(2026, 1, 1, tzinfo=UTC), lambda _: None)


def said(script, inside=INSIDE):
    found = course(inside, ["sh", "-c", script])
    return "".join(piece.text for piece in found.pieces), found.seconds, found.exit_code


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo hi", ("hi\n", 0.2, 0)),
        ("echo $WHO; sleep 1m && echo late", ("me\nlate\n", 60.4, 0)),
        ("false && echo never; echo then", ("then\n", 0.4, 0)),
        ("false || echo rescued", ("rescued\n", 0.4, 0)),
        ("set -e; false; echo never", ("", 0.2, 1)),
        ("# a comment\necho 'a; b'\nexit 3\necho never", ("a; b\n", 0.2, 3)),
        ("nvidia-smi -L", ("GPU 0: a card\n", 1.0, 0)),
        ("echo on; sleep infinity; echo never", ("on\n", None, 0)),
        ("while true; do echo x; done", ("", None, 0)),
        ("sleep x", ("sleep: invalid time interval 'x'\n", 0.2, 1)),
        ('echo "" $WHO ${WHO}', (" me me\n", 0.2, 0)),
        ("echo $WHOM", ("$WHOM\n", 0.2, 0)),
        ("sh -c 'echo in; exit 3'", ("in\n", 0.2, 3)),
        ("exit \u00b2", ("", 0.0, 0)),
        (f"exit {'9' * 5000}", ("", 0.0, 0)),
    ],
)
def test_a_script_has_a_course(script, expected):
    text, seconds, code = said(script)
    assert (text, seconds and round(seconds, 3), code) == expected
    assert course(INSIDE, ["sh", "-c", script]).is_known


def test_kubernetes_fills_in_variables_that_it_knows():
    pieces = course(INSIDE, ["echo", "$(WHO)", "$(NOBODY)", "$$(WHO)"]).pieces
    assert "".join(piece.text for piece in pieces) == "me $(NOBODY) $(WHO)\n"
    # But not in what somebody types into `kubectl exec`.
    assert execute(INSIDE, ["echo", "$(WHO)"]).stdout == b"$(WHO)\n"


@pytest.mark.parametrize(
    "command", [["python", "train.py"], ["sh", "-c", "echo a; train"], ["sh", "-c", "echo a | wc"]]
)
def test_what_is_not_understood_is_said_to_be(command):
    assert not course(INSIDE, command).is_known


def test_a_script_that_runs_itself_is_not_understood():
    inside = Container("pod", {"X": "sh -c $X"}, datetime(2026, 1, 1, tzinfo=UTC), lambda _: None)
    assert not course(inside, ["sh", "-c", "$(X)"]).is_known


def test_the_tool_is_not_there_without_a_gpu():
    found = course(BARE, ["nvidia-smi"])
    assert (found.is_known, found.is_started) == (True, False)
    assert execute(BARE, ["nvidia-smi"]).exit_code == 127
    assert said("nvidia-smi", BARE) == ("sh: nvidia-smi: not found\n", 0.2, 127)
