"""The range test: rates rise, the loss diverges, and both rules find the rate that the curve was built with."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("keras")
from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.training.batches import Part
from covid_xray.training.cache import PixelCache
from covid_xray.training.epochs import Run
from covid_xray.training.rates import rate_finder
from covid_xray.training.rates.rate_finder import RateCurve, describe, find_rates, write_curve

PIXELS = np.zeros((6, 8, 8), np.uint8)
IMAGES = tuple(f"{number}.png" for number in range(6))
PART = Part(IMAGES, np.arange(6) % 3, ("a", "b", "c"), PixelCache(PIXELS, {n: i for i, n in enumerate(IMAGES)}),
            np.arange(6) % 3)  # fmt: skip


def loss_at(rate: float) -> float:
    """Falls fastest at 0.001, is lowest at about 0.02 and explodes from 1 on."""
    return 1 - 0.8 / (1 + math.exp(-3 * (math.log10(rate) + 3))) + min(rate**2 * 10, 1e9)


class Network:
    """Its loss is a function of the rate alone."""

    optimizer: Any

    def __init__(self, loss: Any) -> None:
        self.rates, self.optimizer, self.learning_rate, self._loss = [], self, self, loss

    def assign(self, rate: float) -> None:
        self.rates.append(rate)

    def reset_metrics(self) -> None: ...

    def train_on_batch(self, x: np.ndarray, y: np.ndarray, **_: object) -> dict[str, float]:
        return {"loss": self._loss(self.rates[-1])}


def curve(monkeypatch: pytest.MonkeyPatch, loss: Any = loss_at, **options: Any) -> RateCurve:
    monkeypatch.setattr(rate_finder, "begin_run", lambda run: None)
    settings = Training(batch_size=4, augment=False)
    return find_rates(Run(settings, Path(), Network(loss), PART, PART, "", lambda *_: None), **options)


def test_rates_rise_until_the_loss_diverges_and_both_rules_find_their_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    found = curve(monkeypatch)
    steps = np.diff(np.log(found.rates))
    np.testing.assert_allclose(steps, steps[0])
    assert len(found.rates) < 100
    assert found.diverged_at == found.rates[-1]
    assert 0.1 < found.diverged_at < 1
    assert found.suggest("steepest") == pytest.approx(1e-3, rel=0.5)
    lowest = min(np.geomspace(1e-5, 1, 1000), key=loss_at)
    assert found.suggest("minimum") == pytest.approx(lowest / 10, rel=0.5)
    assert "steepest fall" in describe(found, "steepest")
    assert "would be a tenth" in describe(found, "steepest")


def test_a_loss_that_is_no_number_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    found = curve(monkeypatch, lambda rate: loss_at(rate) if rate < 0.05 else float("nan"))
    assert math.isnan(found.losses[-1])
    assert np.isfinite(found.smoothed).all()
    assert found.suggest("steepest") == pytest.approx(1e-3, rel=0.5)


def test_one_huge_loss_does_not_hide_the_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    found = curve(monkeypatch, lambda rate: loss_at(rate) if rate < 0.05 else 1e12)
    assert found.suggest("minimum") == pytest.approx(2e-3, rel=0.6)


def test_a_loss_that_does_not_fall_suggests_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = curve(monkeypatch, lambda rate: 1.1 - 0.01 * rate, steps=20, highest=1.0)
    assert (found.suggest(), found.diverged_at, len(found.rates)) == (None, None, 20)
    assert "No suggestion" in describe(found, "minimum")
    assert write_curve(found, tmp_path, settings=Training()) is None


def test_the_files_hold_the_curve_and_the_rule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = curve(monkeypatch)
    suggestion = write_curve(found, tmp_path / "rates", settings=Training(batch_size=4), rule="minimum")
    facts = json.loads((tmp_path / "rates" / "rates.json").read_text())
    assert facts["suggestion"] == suggestion == facts["rules"]["minimum"]["learning_rate"]
    assert (facts["rule"], facts["settings"]["batch_size"]) == ("minimum", 4)
    table = pd.read_csv(tmp_path / "rates" / "rates.csv", index_col="step")
    np.testing.assert_allclose(table["loss"], found.losses, rtol=1e-4)
    assert (tmp_path / "rates" / "rates.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("options", [{"steps": 5}, {"lowest": 0.0}, {"lowest": 2.0, "highest": 1.0}])
def test_rates_that_do_not_rise_are_refused(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="at least 10 steps"):
        curve(monkeypatch, **options)
