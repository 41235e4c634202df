"""Addresses of other systems use HTTPS, and secrets of signatures are long."""

import pydantic
import pytest

from covid_xray.connections import OpenId, Webhook

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD7dFeVQIuHP8="


def test_an_issuer_uses_https() -> None:
    with pytest.raises(pydantic.ValidationError, match="https"):
        OpenId(issuer="http://id.ward.example", client_id="x")


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("http://other.example/", SECRET),
        ("ftp://127.0.0.1/", "x" * 4),
        ("https://", SECRET),
        ("https://a.example/", "short"),
        ("https://a.example/", f"whsec_{'!' * 40}"),
    ],
)
def test_an_address_uses_https_and_the_secret_is_long(url: str, secret: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        Webhook(url=url, secret=secret)
