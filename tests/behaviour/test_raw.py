"""What no client library sends, and what it is answered."""

from __future__ import annotations

import subprocess

import httpx
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


def test_a_config_map_holds_a_mebibyte(world, maps):
    most = 1024 * 1024
    world.create(
        maps, config_map("a") | {"data": {"a": "x" * (most - 4)}, "binaryData": {"b": "eHh4"}}
    )
    body = config_map("b") | {"data": {"a": "x" * most, "b": "é"}}
    told = world.refused(world.ask("POST", maps, body), 422, "Invalid")
    assert told["message"] == (
        'ConfigMap "b" is invalid: []: Too long: may not be more than 1048576 bytes'
    )


def test_a_secret_holds_a_mebibyte(world, maps):
    body = {"metadata": {"name": "a"}, "stringData": {"a": "x" * (1024 * 1024), "b": "x"}}
    said = world.ask("POST", maps.replace("configmaps", "secrets"), body)
    told = world.refused(said, 422, "Invalid")["message"]
    assert told == 'Secret "a" is invalid: data: Too long: may not be more than 1048576 bytes'


@pytest.mark.parametrize(
    ("time", "unread"),
    [
        ("2026-01-01T00:00:00Z", '"Z" as ".000000"'),
        ("2026-01-01T00:00:00.12+02:00", '".12+02:00" as ".000000"'),
        ("2026-01-01T00:00:00.123456789Z", '"789Z" as "Z07:00"'),
    ],
)
def test_a_micro_time_has_six_digits(world, namespace, time, unread):
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    said = world.ask("POST", leases, {"metadata": {"name": "a"}, "spec": {"renewTime": time}})
    told = world.refused(said, 400, "BadRequest")["message"]
    layout = "2006-01-02T15:04:05.000000Z07:00"
    assert told.endswith(f'parsing time "{time}" as "{layout}": cannot parse {unread}')


def test_a_value_that_is_null(world, maps):
    world.create(maps, {"metadata": {"name": "a"}, "data": {"a": None}})
    assert world.get(f"{maps}/a").get("data") == {"a": ""}


@pytest.fixture(scope="module")
def proxy(world):
    """Where ``kubectl proxy`` serves, which sends paths on without that of the kubeconfig."""
    command = [world.kubectl_path, f"--kubeconfig={world.stack.kubeconfig}", "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            yield f"http://{serving.stdout.readline().split()[-1]}"
        finally:
            serving.terminate()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/nope", 404), ("/foo/bar", 404), ("/apis/nope", 404), ("/api/v1/nope", 404),
        ("/version/x", 404), ("/healthz/nope", 404), ("/healthz/ping", 200), ("/version", 200),
        ("/", 200),
    ],
)  # fmt: skip
def test_a_path_of_nothing_is_not_found(proxy, path, code):
    answer = httpx.get(f"{proxy}{path}")
    is_plain = path in {"/nope", "/foo/bar", "/apis/nope", "/healthz/nope", "/healthz/ping"}
    media = answer.headers["content-type"].partition(";")[0]
    assert (answer.status_code, media) == (code, "text/plain" if is_plain else "application/json")
    if is_plain and code == 404:
        assert answer.text.strip() == "404 page not found"
