"""What a disease adds: nothing to the healthy, nothing outside the lungs, soft edges for covid, lines for virus."""

import numpy as np
import pytest

from covid_xray.images.phantoms.disease import opacities
from covid_xray.images.phantoms.phantom import draw_anatomy

SIZE = 256


@pytest.fixture(scope="module")
def lungs() -> np.ndarray:
    field = np.zeros((SIZE, SIZE), np.float32)
    field[40:200, 30:110] = field[40:200, 146:226] = 1.0
    return field


def added(lungs: np.ndarray, finding: str, *, severity: float = 0.8, seed: int = 0) -> np.ndarray:
    anatomy = draw_anatomy(np.random.default_rng(5))
    return opacities(anatomy, lungs, finding, severity, SIZE, np.random.default_rng(seed))


def test_the_healthy_get_nothing(lungs: np.ndarray) -> None:
    assert not added(lungs, "normal").any()


@pytest.mark.parametrize("finding", ["covid", "virus"])
def test_only_lungs_get_denser(lungs: np.ndarray, finding: str) -> None:
    field = added(lungs, finding)
    assert not field[lungs == 0].any()
    assert field[:, : SIZE // 2].max() > 0.05
    assert field[:, SIZE // 2 :].max() > 0.05


def test_ground_glass_is_softer_than_streaks(lungs: np.ndarray) -> None:
    """Steepness inside the lungs for the same density: streaks are several times as steep."""

    def steepness(finding: str) -> float:
        inner = np.s_[45:195, 35:105]
        fields = [added(lungs, finding, seed=seed)[inner] for seed in range(4)]
        return float(np.mean([np.abs(np.diff(f, axis=1)).sum() / f.sum() for f in fields]))

    assert steepness("virus") > 2 * steepness("covid")
