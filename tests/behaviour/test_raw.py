"""What no client library sends, and what it is answered."""

from __future__ import annotations

import pytest

from behaviour.manifests import config_map


@pytest.fixture
def maps(world, namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


def test_a_watch_for_no_number_of_seconds(world, maps):
    said = world.ask("GET", maps, watch="true", timeoutSeconds="x")
    told = world.refused(said, 400, "BadRequest")["message"]
    assert told == 'strconv.ParseInt: parsing "x": invalid syntax'


def test_options_that_are_none(world, maps):
    world.create(maps, config_map("a"))
    said = world.ask("DELETE", f"{maps}/a", {"kind": "Foo", "apiVersion": "v1"})
    told = world.refused(said, 400, "BadRequest")["message"]
    assert told.startswith('no kind "Foo" is registered for version "v1" in scheme')
    assert world.ask("GET", f"{maps}/a").status_code == 200


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"\xff\xfe", "��"),
        (rb"\ud800x", "�x"),
        (rb"\\ud800x", r"\ud800x"),
        (rb"\ud83d\ude00", "\U0001f600"),
        (rb"\udc00\ud83d\ude00", "�\U0001f600"),
    ],
)
def test_what_is_no_text(world, maps, sent, kept):
    body = b'{"metadata":{"name":"a"},"data":{"a":"%b"}}' % sent
    assert world.create(maps, body)["data"] == {"a": kept}
    assert world.get(f"{maps}/a")["data"] == {"a": kept}


def test_heads_are_not_served(world, maps):
    assert world.ask("HEAD", maps).status_code == 405


def test_forms_are_not_read(world, maps):
    media = "application/x-www-form-urlencoded"
    said = world.ask("POST", maps, config_map("a"), media=media)
    world.refused(said, 415, "UnsupportedMediaType")


def test_groups_alone_are_nobody(world, maps):
    said = world.kubectl(f"get --raw {maps} --as-group=some")
    assert said.code == 1
    assert "without impersonating a user" in said.err
