"""Drawn radiographs: same seed same picture, lungs dark, findings in the lungs and nowhere else."""

import numpy as np
import pytest

from covid_xray.images.phantoms.disease import FINDINGS
from covid_xray.images.phantoms.phantom import Exposure, draw, draw_anatomy, draw_exposure, lung_mask

SIZE = 160
STILL = Exposure(noise=0.0)


@pytest.fixture(scope="module", params=[True, False], ids=["child", "adult"])
def anatomy(request: pytest.FixtureRequest):
    return draw_anatomy(np.random.default_rng(5), child=request.param)


def test_same_seed_same_picture_other_seed_another(anatomy) -> None:
    first = draw(anatomy, finding="covid", size=SIZE, seed=1).pixels
    np.testing.assert_array_equal(first, draw(anatomy, finding="covid", size=SIZE, seed=1).pixels)
    assert (first != draw(anatomy, finding="covid", size=SIZE, seed=2).pixels).mean() > 0.1


def test_lungs_are_dark_the_heart_is_bright(anatomy) -> None:
    pixels = draw(anatomy, size=SIZE, exposure=STILL).pixels
    lungs = lung_mask(anatomy, size=SIZE, exposure=STILL)
    assert 0.12 < lungs.mean() < 0.5
    body = pixels[SIZE // 4 : 3 * SIZE // 4]
    assert pixels[lungs].mean() < body[~lungs[SIZE // 4 : 3 * SIZE // 4]].mean() - 30
    middle = pixels[:, SIZE // 2 - 3 : SIZE // 2 + 3]
    assert middle[SIZE // 2 : 2 * SIZE // 3].mean() > pixels[lungs].mean() + 60


@pytest.mark.parametrize("finding", ["covid", "virus"])
def test_a_finding_is_in_both_lungs_and_nowhere_else(anatomy, finding: str) -> None:
    healthy = draw(anatomy, size=SIZE, exposure=STILL).pixels.astype(int)
    ill = draw(anatomy, finding=finding, severity=1.0, size=SIZE, exposure=STILL).pixels.astype(int)
    lungs = lung_mask(anatomy, size=SIZE, exposure=STILL)
    changed = np.abs(ill - healthy) > 3
    grown = lungs | np.roll(lungs, 3, 0) | np.roll(lungs, -3, 0) | np.roll(lungs, 3, 1) | np.roll(lungs, -3, 1)
    assert changed[~grown].mean() < 0.002
    for half in (np.s_[:, : SIZE // 2], np.s_[:, SIZE // 2 :]):
        assert changed[half][lungs[half]].mean() > 0.05


def test_covid_is_peripheral_and_low_virus_is_central(anatomy) -> None:
    def where(finding: str) -> tuple[float, float]:
        """Mean distance from the midline and mean height of what a finding adds."""
        added = np.zeros((SIZE, SIZE))
        for seed in range(6):
            ill = draw(anatomy, finding=finding, severity=0.9, size=SIZE, exposure=STILL, seed=seed).pixels
            added += ill - draw(anatomy, size=SIZE, exposure=STILL, seed=seed).pixels.astype(float)
        rows, columns = np.mgrid[:SIZE, :SIZE]
        added = np.clip(added, 0, None)
        return (np.abs(columns - SIZE / 2) * added).sum() / added.sum(), (rows * added).sum() / added.sum()

    covid, virus = where("covid"), where("virus")
    assert covid[0] > virus[0] + 0.05 * SIZE
    assert covid[1] > virus[1]


def test_severity_grows(anatomy) -> None:
    healthy = draw(anatomy, size=SIZE, exposure=STILL).pixels.astype(float)
    added = [
        np.abs(draw(anatomy, finding="covid", severity=s, size=SIZE, exposure=STILL).pixels - healthy).sum()
        for s in (0.2, 1.0)
    ]
    assert added[1] > 1.5 * added[0]


def test_two_exposures_of_one_patient_are_one_patient(anatomy) -> None:
    """Registered by their known shift, two exposures agree far better than two patients do."""
    other = draw_anatomy(np.random.default_rng(77), child=anatomy.child)
    base = draw(anatomy, size=SIZE, exposure=STILL).pixels.astype(float)
    again = draw(anatomy, size=SIZE, exposure=Exposure(shift=(0.05, 0.0), noise=0.0)).pixels.astype(float)
    stranger = draw(other, size=SIZE, exposure=STILL).pixels.astype(float)
    moved = np.roll(again, -round(0.05 * SIZE), axis=1)
    inner = np.s_[20:-20, 20:-20]
    same = np.corrcoef(base[inner].ravel(), moved[inner].ravel())[0, 1]
    assert same > 0.98
    assert same > np.corrcoef(base[inner].ravel(), stranger[inner].ravel())[0, 1]


def test_an_unknown_finding_is_refused(anatomy) -> None:
    with pytest.raises(ValueError, match="Choose one of covid, normal, virus"):
        draw(anatomy, finding="tuberculosis")
    assert set(FINDINGS) == {"covid", "normal", "virus"}


def test_exposures_and_anatomies_vary() -> None:
    random = np.random.default_rng(0)
    assert len({draw_exposure(random) for _ in range(5)}) == 5
    assert {draw_anatomy(random).child for _ in range(30)} == {True, False}
