"""Which names of the environment are settings of the server."""

import pytest

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
