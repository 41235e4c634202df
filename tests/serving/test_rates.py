"""Token buckets: a minute's worth at once, then one at a time; clients do not hinder each other."""

import pytest

from covid_xray.errors import TooOften
from covid_xray.serving import rates
from covid_xray.serving.rates import RateLimit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills() -> None:
    clock = Clock()
    rate = RateLimit(6, clock=clock)
    for _ in range(6):
        rate.spend("a")
    with pytest.raises(TooOften) as refusal:
        rate.spend("a")
    assert (refusal.value.http_status, refusal.value.retry_after) == (429, 10)
    rate.spend("b")
    clock.now += 10
    rate.spend("a")
    with pytest.raises(TooOften):
        rate.spend("a")
    clock.now += 1000
    for _ in range(6):
        rate.spend("a")


def test_looking_costs_nothing() -> None:
    rate = RateLimit(1, clock=Clock())
    for _ in range(5):
        rate.check("a")
    rate.spend("a")
    with pytest.raises(TooOften):
        rate.check("a")


def test_zero_is_no_limit() -> None:
    rate = RateLimit(0)
    for _ in range(1000):
        rate.spend("a")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST_CLIENTS", 3)
    rate = RateLimit(2)
    for client in "abcdefg":
        rate.spend(client)
    assert list(rate._buckets) == ["e", "f", "g"]
