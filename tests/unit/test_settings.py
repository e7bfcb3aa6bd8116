"""Settings: file, then environment, then flags; whatever is not known or not in range refuses to start."""

import pytest

from comity.errors import NotFoundError, UsageError
from comity_broker.settings import Settings, read_settings


def test_the_defaults_are_loopback():
    assert read_settings(None, {}, {}) == Settings()
    assert Settings().address == ("127.0.0.1", 7443)


def test_flags_win_over_the_environment_and_the_environment_over_the_file(tmp_path):
    file = tmp_path / "broker.toml"
    file.write_text('listen = "127.0.0.1:1"\nattempts = 2\nredelivery = 7.5\n', encoding="utf-8")
    settings = read_settings(
        file, {"COMITY_BROKER_LISTEN": "127.0.0.1:2", "COMITY_BROKER_ATTEMPTS": "3"}, {"listen": "127.0.0.1:3"}
    )
    assert (settings.listen, settings.attempts, settings.redelivery) == ("127.0.0.1:3", 3, 7.5)


def test_a_flag_that_was_not_given_changes_nothing():
    assert read_settings(None, {}, {"listen": None}).listen == Settings().listen


def test_an_ipv6_address_is_written_in_brackets():
    assert read_settings(None, {}, {"listen": "[::1]:0"}).address == ("::1", 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mtls = false", "mtls"),
        ("listen = 7443", "listen"),
        ('listen = "7443"', "listen"),
        ('listen = "127.0.0.1:99999"', "listen"),
        ("attempts = 0", "attempts"),
        ("attempts = true", "attempts"),
        ("routine_full = 0.99", "routine_full"),
        ("segment_bytes = 2000000", "segment_bytes"),
        ("not toml", "TOML"),
        ("attempts = " + "[" * 5_000, "nested too deep"),
    ],
)
def test_a_setting_that_is_unknown_or_out_of_range_is_named(tmp_path, text, said):
    file = tmp_path / "broker.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        read_settings(file, {}, {})


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"COMITY_BROKER_PLAINTEXT": "1"}, "plaintext"),
        ({"COMITY_BROKER_ATTEMPTS": "many"}, "COMITY_BROKER_ATTEMPTS"),
        ({"COMITY_BROKER_ATTEMPTS": "0"}, "attempts"),
    ],
)
def test_an_environment_value_that_means_nothing_refuses_to_start(environment, said):
    with pytest.raises(UsageError, match=said):
        read_settings(None, environment, {})


def test_a_settings_file_that_was_named_must_be_there(tmp_path):
    assert read_settings(tmp_path / "none.toml", {}, {}) == Settings()
    with pytest.raises(NotFoundError):
        read_settings(tmp_path / "none.toml", {}, {}, required=True)


def test_no_setting_turns_transport_security_off_or_is_a_secret():
    names = set(Settings.__struct_fields__)
    assert not {name for name in names if any(word in name for word in ("tls", "plain", "secure", "pass", "key"))}
