"""Runs the real az in process, one command per line of standard input.

Executed by the Python of az's own environment. Each input line is a JSON list of arguments; each
output line is ``{"code", "out", "err"}``. A process start per command would cost 0.6 s; so it is
a tenth of that. With a path as argument the lines come over that Unix socket, one a connection.
"""

import io
import json
import socket
import sys


class Switch(io.TextIOBase):
    """A stream that writes to whatever is plugged in; az keeps the object it finds at start."""

    def __init__(self):
        self.target = io.StringIO()

    def writable(self):
        return True

    def write(self, text):
        return self.target.write(text)

    def isatty(self):
        return False


def main():
    answers = sys.stdout
    out, err = Switch(), Switch()
    sys.stdout, sys.stderr = out, err
    from azure.cli.core import get_default_cli

    def answer(line):
        out.target, err.target = io.StringIO(), io.StringIO()
        try:
            code = get_default_cli().invoke(json.loads(line), out_file=out)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        except Exception as error:  # noqa: BLE001 - reported to the test
            code = 99
            err.write(f"{type(error).__name__}: {error}")
        said = {"code": code or 0, "out": out.target.getvalue(), "err": err.target.getvalue()}
        return json.dumps(said) + "\n"

    if len(sys.argv) > 1:
        serve(sys.argv[1], answer)
    for line in sys.stdin:
        answers.write(answer(line))
        answers.flush()


def serve(path, answer):
    """For ever: one line in, one line out, over a connection each."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as stream:
                stream.write(answer(stream.readline()))


main()
