"""What the server writes on stderr, of its own and of the libraries it stands on."""

import asyncio
import json
import logging

import pytest
import structlog

from poolwright.telemetry.logs import LogSettings, configure_logs


@pytest.fixture
def as_it_was():
    """Give the process its logging back."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn.error")
    kept = (root.level, root.handlers[:], uvicorn.filters[:])
    yield
    root.setLevel(kept[0])
    root.handlers[:], uvicorn.filters[:] = kept[1:]
    structlog.reset_defaults()


@pytest.mark.usefixtures("as_it_was")
def test_lines_of_libraries_have_our_form(capsys):
    configure_logs(LogSettings(format="json"))
    logging.getLogger("uvicorn.error").error("it broke: %s", 7)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"]) == ("it broke: 7", "error")
    assert line["timestamp"].endswith("Z")


@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_of_a_library_is_told_whole(capsys, form):
    configure_logs(LogSettings(format=form))
    try:
        int("inside")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    said = capsys.readouterr().err
    assert "Exception in ASGI application" in said
    assert "ValueError: invalid literal" in said


@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize("text", ["Unsupported upgrade request.", "Invalid HTTP request received."])
def test_nothing_is_said_of_what_the_client_was_told(capsys, text):
    configure_logs(LogSettings())
    configure_logs(LogSettings())  # again, as a second server in one process would
    logging.getLogger("uvicorn.error").warning(text)
    logging.getLogger("asyncio").warning("another")
    said = capsys.readouterr().err
    assert text not in said
    assert said.count("another") == 1


@pytest.mark.usefixtures("as_it_was")
def test_nothing_is_said_of_a_watch_that_is_cut_at_the_end(capsys):
    configure_logs(LogSettings())
    cut = asyncio.CancelledError("Task cancelled, timeout graceful shutdown exceeded")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=cut)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("as_it_was")
def test_no_secret_of_a_library_is_said(capsys):
    configure_logs(LogSettings(format="json"))
    logging.getLogger("httpx").error("refused", extra={"token": "sesame", "status": 401})
    said = capsys.readouterr().err
    assert "sesame" not in said
    assert json.loads(said)["status"] == 401
