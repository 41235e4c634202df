"""Limits are frozen and strict about names."""

import pytest

from covid_xray.limits import Limits


def test_limits_are_frozen_and_strict_about_names() -> None:
    with pytest.raises(AttributeError):
        Limits().pixels = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        Limits(pixel=1)  # type: ignore[call-arg]
