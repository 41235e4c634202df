"""Passwords are long and hard to guess; which characters they have does not matter."""

import pytest

from covid_xray.errors import InputRefused, UsageError
from covid_xray.store.passwords import require_good_password, require_good_token


@pytest.mark.parametrize(
    "password",
    [
        "ten letters or more",
        "correct horse battery",
        "xkqzvjwpmbtr",
        "日本語のパスワードは長いです",
        "a" * 8 + "Kd7 raven lamp " * 60,
    ],
)
def test_long_ones_of_any_characters_are_fine(password: str) -> None:
    require_good_password(password, name="doe")


@pytest.mark.parametrize(
    "password",
    [
        *("", "tiny", "elevenchars", "passwordpassword", "123456789012345", "aaaaaaaaaaaaaaaa", "qwertyuiopasdfgh"),
        *("iloveyouiloveyou", "abcdefghijklmnop", "covid-xray-2026", "doe.radiology.doe"),
    ],
)
def test_short_and_common_ones_are_refused(password: str) -> None:
    with pytest.raises(InputRefused) as refusal:
        require_good_password(password, name="doe.radiology")
    assert refusal.value.code == "weak-password"
    assert not password or password not in refusal.value.message


def test_the_shortest_length_is_a_setting() -> None:
    with pytest.raises(InputRefused, match="at least 15"):
        require_good_password("xkqzvjwpmbtr", name="doe", shortest=15)


def test_tokens_are_random() -> None:
    require_good_token("9f86d081884c7d659a2feaa0c55ad015")
    for token in ("", "9f86d081884c7d659a2feaa0c55ad01", "a" * 64, "0123456789abcdef" * 4, "password" * 8):
        with pytest.raises(UsageError, match="openssl rand"):
            require_good_token(token)
