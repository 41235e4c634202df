"""The tests of drift together: what they notice within 100 images, what they call it, and how rarely they are wrong."""

import numpy as np
import pytest

from covid_xray.inference.drift import checks, cusum
from covid_xray.inference.drift.checks import EVERY, WINDOW, Result, compare, follow, kind_of
from covid_xray.inference.drift.reference import Observation
from support.drift import PROCESSING, stream


@pytest.fixture(scope="module")
def home() -> list[Observation]:
    return stream(300, seed=0)


def watch(home: list[Observation], images: list[Observation], month: list[Observation]) -> list[list[Result]]:
    """The results of every look at a stream, as the store makes them."""
    state, looks = (0.0, 0.0), []
    for end in range(EVERY, len(images) + 1, EVERY):
        recent = images[max(0, end - WINDOW) : end]
        positives, state = follow(state, images[end - EVERY : end], home, against="commissioning")
        results = compare(recent, home, against="commissioning", seed=end)
        results += compare(recent, month, against="last month", seed=end + 1)
        looks.append([*results, *([positives] if positives else [])])
    return looks


@pytest.mark.parametrize("change", PROCESSING)
def test_a_silent_change_of_processing_is_noticed_within_a_hundred_images(home: list[Observation], change: str) -> None:
    share = 0.2 if change == "laterals" else 1.0
    recent = stream(100, seed=11, change=change, share=share)
    assert kind_of(compare(recent, home, against="commissioning", seed=1)) == "appearance"


def test_a_thousand_images_without_a_change_raise_no_alarm(home: list[Observation]) -> None:
    looks = watch(home, stream(1000, seed=1), stream(300, seed=2))
    assert len(looks) == 40
    assert {len(results) for results in looks} == {9}
    assert not [result for results in looks for result in results if result.alarm]


def test_an_epidemic_is_a_change_of_prevalence(home: list[Observation]) -> None:
    looks = watch(home, stream(100, seed=3, ill=0.7), stream(300, seed=2))
    assert kind_of(looks[-1]) == "prevalence"
    assert {result.test for result in looks[-1] if result.alarm} == {"answers", "positives"}


def test_few_images_say_nothing(home: list[Observation]) -> None:
    assert compare(stream(24, seed=1), home, against="commissioning", seed=1) == []
    assert follow((0.0, 0.0), stream(25, seed=1), [], against="commissioning") == (None, (0.0, 0.0))


def test_refused_files_count_as_answers_and_nowhere_else(home: list[Observation]) -> None:
    recent = [*stream(70, seed=4), *[Observation("refused")] * 30]
    found = {result.test: result for result in compare(recent, home, against="commissioning", seed=1)}
    assert [name for name, result in found.items() if result.alarm] == ["answers"]
    assert len(checks.positives(recent)) == 70
    only = compare([Observation("refused")] * 100, home, against="commissioning", seed=1)
    assert [result.test for result in only] == ["answers"]


def test_a_broken_network_is_an_alarm_and_no_crash(home: list[Observation]) -> None:
    broken = [
        Observation("cannot say", None, "PA", "AGFA", (), np.full(24, np.nan, np.float32), row.figures)
        for row in stream(50, seed=5)
    ]
    assert kind_of(compare(broken, home, against="commissioning", seed=1)) == "appearance"


def test_the_limits_share_the_false_alarms() -> None:
    looks = cusum.HORIZON / EVERY
    assert looks * 8 * checks.LIMIT + cusum.CHANCE == pytest.approx(checks.FALSE_ALARMS)
    assert checks.LIMIT > 5 / 10_000  # the permutations can pass it
