"""What a wrong command line is told: a line, exit code 2, and no traceback."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import certifi
import pytest
import typer.main

from poolwright.app.cli.main import AZ_GROUPS, main, take_subscription


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["aks", "nodepool", "add"], "Missing option"),
        (["aks", "nodepool", "list", "--bogus"], "No such option"),
        (["up", "--port", "abc"], "--port"),
        (["group", "list", "-o", "foo"], "foo"),
        (["scarcity", "fail", "-l", "eastus", "--code", "X", "--times", "-3"], "--times"),
    ],
)
def test_a_usage_error_is_told_in_words(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["poolwright", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_other_refusals_are_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["poolwright", "group", "list"])
    monkeypatch.delenv("POOLWRIGHT_ENDPOINT", raising=False)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("ERROR: POOLWRIGHT_ENDPOINT is not set")


def test_a_server_that_is_gone_is_told_how_to_come_back(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["poolwright", "group", "list"])
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("POOLWRIGHT_ENDPOINT", f"https://localhost:{port}")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith(f"ERROR: cannot reach https://localhost:{port}")
    assert error.endswith(f"poolwright up --data-dir DIR --port {port}\n")
    assert error.count("\n") == 1


def test_the_command_that_brings_it_back_has_the_folder_it_was_in(monkeypatch, tmp_path, capsys):
    folder = tmp_path / "of mine"
    folder.mkdir()
    (folder / "env.sh").touch()
    (folder / "ca-bundle.pem").write_text(Path(certifi.where()).read_text())
    monkeypatch.setattr(sys, "argv", ["poolwright", "group", "list"])
    monkeypatch.setenv("POOLWRIGHT_ENDPOINT", "https://poolwright.invalid")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "ca-bundle.pem"))
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.endswith(f"poolwright up --data-dir '{folder}'\n")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.endswith("poolwright up --data-dir DIR\n")


def test_a_bundle_that_is_gone_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["poolwright", "group", "list"])
    monkeypatch.setenv("POOLWRIGHT_ENDPOINT", "https://localhost:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith(f"ERROR: REQUESTS_CA_BUNDLE: {tmp_path}/gone.pem cannot be read")
    assert error.count("\n") == 1


def test_a_store_on_sqlite_has_nothing_to_check(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["poolwright", "store", "check"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("poolwright: server.store: names no PostgreSQL")
    assert not list(tmp_path.iterdir())


def test_a_password_that_breaks_the_url_of_the_store_is_not_repeated(monkeypatch, capsys):
    url = "postgresql://poolwright:a@b:sesame@localhost/db"
    monkeypatch.setattr(sys, "argv", ["poolwright", "store", "migrate", "--store", url])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("poolwright: the store's URL cannot be read")
    assert "sesame" not in said


def _leaves(name, command):
    if isinstance(command, typer.main.TyperGroup):
        for verb, below in command.commands.items():
            yield from _leaves(f"{name} {verb}", below)
    else:
        yield name, command


AZ_COMMANDS = dict(
    leaf
    for name, commands in AZ_GROUPS.items()
    for leaf in _leaves(name, typer.main.get_command(commands))
)


@pytest.mark.parametrize("name", AZ_COMMANDS)
def test_every_command_that_az_has_takes_its_global_options(name):
    flags = {flag for p in AZ_COMMANDS[name].params for flag in p.opts}
    assert {"--output", "-o", "--query"} <= flags


def test_the_commands_that_az_has_are_found():
    assert {"aks nodepool delete", "aks stop", "group exists"} <= set(AZ_COMMANDS)


@pytest.mark.parametrize("words", [["--subscription", "other"], ["--subscription=other"]])
def test_a_subscription_is_taken_from_anywhere_in_a_command_that_az_has(words):
    assert take_subscription(["aks", *words, "list"]) == ("other", ["aks", "list"])
    assert take_subscription(["up", *words]) == ("", ["up", *words])


def test_a_subscription_without_its_value_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["poolwright", "aks", "list", "--subscription"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "expected one argument" in capsys.readouterr().err
