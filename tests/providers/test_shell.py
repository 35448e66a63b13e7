"""The few commands of a simulated container: one course, in its log and in exec."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        ("if [ $WHO = me ]; then exit 4; else exit 5; fi", ("", 0.0, 4)),
        ("if ! [[ $WHO == you ]]\nthen\n  echo no\nelif true; then exit 1\nfi", ("no\n", 0.2, 0)),
        ("if [ $(expr 7 % 2) -ne 0 ]; then exit 1; fi", ("", 0.2, 1)),
        ("for i in 1 2 3; do echo $i; sleep 1; done; echo end", ("1\n2\n3\nend\n", 3.8, 0)),
        ("f() { echo $X; exit 6; }; X=one; f; echo never", ("one\n", 0.2, 6)),
        ("exit $(( (2 + 3) * 4 % 7 ))", ("", 0.0, 6)),
        ("while false; do sleep 1; done; exit 2", ("", 0.2, 2)),
        ("set -e; false || true; if false; then :; fi; echo on", ("on\n", 0.8, 0)),
        ("echo \"$(echo in) '$WHO'\" '$WHO'", ("in 'me' $WHO\n", 0.4, 0)),
        ("expr 1 / 0; echo $?", ("expr: division by zero\n2\n", 0.4, 0)),
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
    "command",
    [
        ["python", "train.py"],
        ["sh", "-c", "echo a; train"],
        ["sh", "-c", "echo a | wc -m"],
        ["sh", "-c", "if [ -r /data/seen ]; then exit 0; fi"],
        ["sh", "-c", "if true; then echo a"],
        ["sh", "-c", "case $WHO in me) exit 1;; esac"],
        ["sh", "-c", "again() { again; }; again"],
        ["sh", "-c", "for a in 1 2 3 4 5 6 7 8; do " * 5 + "true; " + "done; " * 5],
        ["sh", "-c", "if " * 5000],
        ["sh", "-c", "echo " + "$(echo " * 5000 + ")" * 5000],
        ["sh", "-c", "exit $((" + "(" * 90 + "1" + ")" * 90 + " x))"],
        ["sh", "-c", "exit $(( 1 + ))"],
        ["sh", "-c", "if [ '' -eq 0 ]; then exit 0; fi"],
        ["sh", "-c", "X=aa; for i in " + "1 " * 60 + "; do X=$X$X; done"],
    ],
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


def test_chance_is_the_same_whenever_it_is_looked_at():
    drawn = [said("echo $RANDOM $RANDOM") for _ in range(2)]
    assert drawn[0] == drawn[1]
    first, second = map(int, drawn[0][0].split())
    assert first != second
    assert max(first, second) < 2**15


@pytest.mark.parametrize(
    ("script", "seconds", "code"),
    [
        (
            "_term(){\n\tsleep 5\n\texit 143\n}\ntrap _term SIGTERM\nwhile true; do sleep 1; done",
            5,
            143,
        ),
        ("trap 'echo bye; exit 0' INT TERM; sleep infinity", 0.2, 0),
        ("trap 'echo bye' TERM; sleep infinity", None, 0),
    ],
)
def test_a_script_may_say_how_it_ends(script, seconds, code):
    found = course(INSIDE, ["sh", "-c", script])
    assert (found.is_known, found.seconds) == (True, None)
    assert (found.on_term.seconds, found.on_term.exit_code) == (seconds, code)


def test_other_scripts_end_like_any_program():
    for script in (
        "sleep infinity",
        "trap 'exit 1' INT; sleep infinity",
        "trap x TERM; trap - TERM",
        "trap 'kill $PID' TERM; sleep infinity",
        "trap 'echo $((1 / 0))' TERM; sleep infinity",
        "f() { f; }; trap f TERM; sleep infinity",
    ):
        assert course(INSIDE, ["sh", "-c", script]).on_term is None


GRAMMAR = """
    if then else elif fi while for in do done { } f() f ( ) [ ] [[ ]] -eq -r ! ; && || | & < > ' "
    $X ${WHO} $(( )) $( ) 1 * % / 0 echo exit trap TERM expr sleep sh -c # \\ ` $? $ case $RANDOM
"""
WORDS = (*GRAMMAR.split(), "X=$X$X", "for i in 1 2 3", "set -e", "\n")


@given(st.lists(st.sampled_from(WORDS), max_size=25), st.sampled_from(["", " "]))
@settings(max_examples=300, deadline=None)
def test_no_script_does_harm(words, between):
    script = between.join(words)
    for command in (["sh", "-c", script], ["sh", "-ec", script], ["expr", *words]):
        assert course(INSIDE, command).exit_code in range(256)
        execute(INSIDE, command)


@pytest.mark.parametrize(
    ("script", "printed", "complained", "code"),
    [
        ("echo boom >&2; exit 3", "", "boom\n", 3),
        ("exit 42 2>/dev/null", "", "", 42),
        ("echo x > /tmp/a; exit 3", "", "", 3),
        ("echo x >/tmp/a; echo y >> /tmp/a; cat /tmp/a", "x\ny\n", "", 0),
        ("echo x >/tmp/a; echo y > /tmp/a; cat < /tmp/a", "y\n", "", 0),
        ("cat nothing 2>/dev/null || echo none", "none\n", "", 0),
        ("{ echo a; echo b >&2; } > /dev/null 2>&1; echo c", "c\n", "", 0),
        ("{ echo a; echo b >&2; } 2>&1 >/dev/null", "b\n", "", 0),
        ("echo a &>/dev/null", "", "", 0),
        ("for i in 1 2; do echo $i; done | tee log; cat log", "1\n2\n1\n2\n", "", 0),
        ("cat < nothing; echo $?", "1\n", "sh: can't open nothing: no such file\n", 0),
        ("false | true; echo $?", "0\n", "", 0),
        ("set -o pipefail; false | true; echo $?", "1\n", "", 0),
        ("exit 5 | cat; echo on", "on\n", "", 0),
        ("echo a b | wc -w", "2\n", "", 0),
        ("for i in 3 1 2; do echo $i; done | sort | head -n 1", "1\n", "", 0),
        ("for i in 3 1 2; do echo $i; done | tail -1", "2\n", "", 0),
        ("printenv | grep -q NO_SUCH_THING && echo found; echo done", "done\n", "", 0),
        ("echo '2>1' 2>&1", "2>1\n", "", 0),
        ("echo 2", "2\n", "", 0),
        ("if echo x | grep -c y >/dev/null; then echo yes; else echo no; fi", "no\n", "", 0),
    ],
)
def test_what_is_printed_can_be_led_elsewhere(script, printed, complained, code):
    found = execute(INSIDE, ["sh", "-c", script])
    assert (found.stdout.decode(), found.stderr.decode()) == (printed, complained)
    assert found.exit_code == code


def test_what_goes_through_a_pipe_comes_when_it_is_printed():
    found = course(INSIDE, ["sh", "-c", "sleep 5; (echo) 2>&1"])
    assert not found.is_known
    found = course(INSIDE, ["sh", "-c", "{ sleep 5; echo a; sleep 5; } | tee log; echo b"])
    assert [(piece.offset >= 5, piece.text) for piece in found.pieces] == [
        (True, "a\n"),
        (True, "b\n"),
    ]
    assert found.pieces[1].offset >= 10
    found = course(INSIDE, ["sh", "-c", "tail -f /dev/null | cat"])
    assert found.seconds is None
    assert found.is_known
    found = course(INSIDE, ["sh", "-c", "python train.py 2>&1 | tee log"])
    assert not found.is_known


def test_files_do_not_grow_without_end():
    doubled = "; ".join("cat a a > b; cat b b > a" for _ in range(40))
    assert not course(INSIDE, ["sh", "-c", f"echo x > a; {doubled}"]).is_known
