"""What ``poolwright up`` says where it cannot start: one line that names what is wrong."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys

import pytest

from poolwright.app.data_directory import DataDirectory
from poolwright.app.settings import SettingsError

RUN = """
import contextlib, io, json, sys
from poolwright.app.cli.main import main
said = []
for arguments in json.load(sys.stdin):
    sys.argv = ["poolwright", "up", *arguments]
    error, code = io.StringIO(), None
    with contextlib.redirect_stderr(error):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    said.append((code, error.getvalue()))
json.dump(said, sys.stdout)
"""


def test_one_line_says_what_is_wrong(tmp_path):
    """All in one process: it takes longer to start than to refuse."""

    def file(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    def config(name, text):
        return ["--config", file(name, text), "--data-dir", str(tmp_path / "data"), "--port", "0"]

    plain = file("plain", "")
    file("clock/clock.json", "")
    file("store/state", "not a database " * 400)
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        free = ("--data-dir", str(tmp_path / "data"), "--port", "0")
        wanted = {
            ("--data-dir", plain): r"data directory \S+plain: is a file",
            ("--data-dir", f"{plain}/in"): "cannot be made: Not a directory",
            ("--data-dir", str(tmp_path / "clock")): r"clock\.json does not say where",
            ("--data-dir", str(tmp_path / "store"), "--port", "0"): "cannot be .* as a database",
            ("--port", "70000"): r"server\.port: must be between 0 and 65535",
            ("--port", "-1"): r"server\.port: must be between 0 and 65535",
            ("--speed", "0"): r"world\.speed: must be between 1 and 100000",
            ("--speed", "nan"): r"world\.speed: must be between 1 and 100000",
            ("--host", "0.0.0.0"): "arm: is_development accepts any credential",
            ("--config", str(tmp_path / "none.toml")): r"none\.toml: No such file or directory",
            ("--config", str(tmp_path)): "Is a directory",
            ("--kubeconfig", str(tmp_path / "none"), *free): (
                r"kubeconfig \S+none: cannot be read: No such file or directory"
            ),
            ("--kubeconfig", plain, *free): "is not a kubeconfig",
            ("--kubeconfig", plain, "--speed", "60"): r"world\.speed: must be 1",
            ("--location", "eastus"): "says nothing without",
            tuple(config("syntax.toml", "[server\n")): r"syntax\.toml: .* line 1",
            tuple(config("unknown.toml", "[server]\nprot = 1\n")): "unknown setting 'server.prot'",
            tuple(config("type.toml", '[world]\nspeed = "x"\n')): r"world\.speed: Expected `float`",
            tuple(config("inner.toml", "[control.pools]\nworkers = 0\n")): (
                r"control\.pools\.workers: must be between 1 and 256"
            ),
            tuple(config("identity.toml", f"[server]\nidentity_port = {taken}\n")): (
                f"cannot listen on 127.0.0.1:{taken}: Address already in use"
            ),
            ("--data-dir", str(tmp_path / "data"), "--host", "127.0.0.1", "--port", str(taken)): (
                f"cannot listen on 127.0.0.1:{taken}: Address already in use"
            ),
        }
        done = subprocess.run(
            [sys.executable, "-c", RUN],
            input=json.dumps(list(wanted)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    for (arguments, expected), (code, said) in zip(
        wanted.items(), json.loads(done.stdout), strict=True
    ):
        assert code == 1, (arguments, said)
        assert re.fullmatch(r"poolwright: [^\n]+\n", said), (arguments, said)
        assert re.search(expected, said), (arguments, said)
        assert "Errno" not in said


def test_a_folder_of_somebody_else(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theirs")
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.geteuid() and each != each.parent:
            each.chmod(each.stat().st_mode | 0o555)
    folder.chmod(0o555)
    if os.geteuid() == 0:
        with as_nobody(), pytest.raises(SettingsError, match="cannot be written"):
            DataDirectory.open(folder)
    else:
        with pytest.raises(SettingsError, match="cannot be written"):
            DataDirectory.open(folder)


@contextlib.contextmanager
def as_nobody():
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
