"""Runs our own command line in process, one command per line of standard input.

As ``az_driver.py``: each input line is a JSON list of arguments, each output line is
``{"code", "out", "err"}``; what is spared are the imports of a process per command.
"""

import contextlib
import io
import json
import sys

from poolwright.app.cli.main import main as poolwright


def run(arguments):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["poolwright", *arguments]
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            poolwright()
        except SystemExit as stop:
            code = stop.code or 0
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


for line in sys.stdin:
    sys.__stdout__.write(json.dumps(run(json.loads(line))) + "\n")
    sys.__stdout__.flush()
