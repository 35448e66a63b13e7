"""Which names of the environment are settings of the server."""

from pathlib import Path

import pytest

from poolwright.app.data_directory import DataDirectory
from poolwright.app.settings import SettingsError, load_settings


def test_what_env_sh_and_the_tests_export_does_not_hinder_a_server():
    environment = {
        "POOLWRIGHT_ENDPOINT": "https://localhost:1",
        "POOLWRIGHT_IDENTITY_ENDPOINT": "http://127.0.0.1:2",
        "POOLWRIGHT_TEST_CRASHES": "200",
        "POOLWRIGHT_SERVER__PORT": "9000",
    }
    assert load_settings(None, environment, {}).server.port == 9000


def test_a_misspelt_setting_is_named():
    with pytest.raises(SettingsError, match="sevrer"):
        load_settings(None, {"POOLWRIGHT_SEVRER__PORT": "1"}, {})


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"POOLWRIGHT_SERVER__PORT": "x"}, "port"),
        ({"POOLWRIGHT_SERVER__PORT": "70000"}, "65535"),
        ({"POOLWRIGHT_SERVER__HOST": '["localhost"]'}, "^server.host: Expected `str`"),
        ({"POOLWRIGHT_SERVER__PORT": "1", "POOLWRIGHT_SERVER__PORT__X": "1"}, "port"),
        ({"POOLWRIGHT_SERVER__STORE": "mysql://x"}, "postgresql"),
        ({"POOLWRIGHT_CLOUD__FAILURE_WEIGHTS": '{"driver": 7}'}, "driver"),
        ({"POOLWRIGHT_CLOUD__FAILURE_WEIGHTS": '{"diver": 0.5}'}, "diver"),
        (
            {"POOLWRIGHT_CLOUD__FAILURE_WEIGHTS": '{"gpu-stack": 7}'},
            "^cloud.failure_weights.gpu-stack: must be",
        ),
        (
            {"POOLWRIGHT_CLOUD__SCARCITY__QUOTAS": '{"standardNCFamily": -1}'},
            "^cloud.scarcity.quotas.standardNCFamily: must be 0 or more",
        ),
        ({"POOLWRIGHT_CLOUD__SCARCITY__DEFAULT_QUOTA": "-1"}, "quota"),
        ({"POOLWRIGHT_CLOUD__DELAY_FACTOR": "-1"}, "delay_factor"),
        ({"POOLWRIGHT_SERVER__TLS_CA": "ca.pem"}, "tls_ca: says nothing without"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(environment, said):
    with pytest.raises(SettingsError, match=said):
        load_settings(None, environment, {})


def test_a_file_that_is_not_text_is_one_line(tmp_path):
    config = tmp_path / "poolwright.toml"
    config.write_bytes(b"\xd0\xff")
    with pytest.raises(SettingsError, match=r"poolwright\.toml"):
        load_settings(config, {}, {})


@pytest.mark.parametrize("name", ["~nobody-of-that-name/x", "a\0b"])
def test_a_directory_that_cannot_be_is_one_line(name):
    with pytest.raises(SettingsError, match=r"^data directory '.*': .+") as caught:
        DataDirectory.open(Path(name))
    assert "\n" not in str(caught.value)


def test_what_follows_from_the_rest_cannot_be_set():
    """A server that made clusters, and shared its store as one that makes none, would make each of
    them in every replica.
    """
    environment = {"POOLWRIGHT_ARM__MAKES_CLUSTERS": "false"}
    assert load_settings(None, environment, {}).arm.makes_clusters
    environment = {"POOLWRIGHT_ARM__MAKES_CLUSTERS": "true", "POOLWRIGHT_ADOPT__KUBECONFIG": "f"}
    assert not load_settings(None, environment, {}).arm.makes_clusters
