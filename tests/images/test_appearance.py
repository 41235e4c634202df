"""The figures of a picture: finite for anything, moved by what they are to notice."""

import numpy as np
import pytest

from covid_xray.images.appearance import FIGURES, QUANTILES, appearance
from covid_xray.images.radiograph import ImageSource, Radiograph
from support.drift import PROCESSING
from support.gate_samples import chest


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (300, 7), (700, 900)])
@pytest.mark.parametrize("value", [0, 255, None])
def test_any_picture_has_finite_figures(shape: tuple[int, int], value: int | None) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape) if value is None else np.full(shape, value)
    figures = appearance(Radiograph(pixels.astype(np.uint8))).figures
    assert figures.shape == (len(FIGURES),)
    assert np.isfinite(figures).all()


def test_greys_and_steps_are_those_of_plain_arithmetic() -> None:
    random = np.random.default_rng(1)
    for pixels, bits in ((random.integers(0, 256, (190, 181)), 8), (random.integers(7, 4001, (200, 230)), 12)):
        shares = pixels / (2**bits - 1)
        first = np.mean([np.abs(np.diff(shares, axis=axis)).mean() for axis in (0, 1)])
        figures = appearance(Radiograph(pixels.astype(np.uint8 if bits == 8 else np.uint16), bits=bits)).figures
        np.testing.assert_allclose(figures[:5], np.quantile(shares, QUANTILES), atol=1e-6)
        assert figures[5] == pytest.approx(np.mean((pixels == pixels.min()) | (pixels == pixels.max())))
        second = np.mean([np.abs(shares[2:] - shares[:-2]).mean(), np.abs(shares[:, 2:] - shares[:, :-2]).mean()])
        assert figures[9] == pytest.approx(np.log(first + 1e-4) - np.log(second + 1e-4), abs=1e-6)


def test_depth_changes_nothing() -> None:
    pixels = chest(1).pixels
    deep = Radiograph(pixels.astype(np.uint16) * 257, bits=16)
    assert np.allclose(appearance(deep).figures, appearance(Radiograph(pixels)).figures, atol=1e-3)


@pytest.mark.parametrize("change", PROCESSING)
def test_changes_of_processing_move_a_figure(change: str) -> None:
    before = np.array([appearance(chest(seed)).figures for seed in range(12)])
    after = np.array([appearance(Radiograph(PROCESSING[change](chest(seed).pixels))).figures for seed in range(12)])
    moved = np.abs(after.mean(axis=0) - before.mean(axis=0)) / (before.std(axis=0) + 1e-6)
    assert moved.max() > 1


def test_view_and_vendor_come_from_the_file() -> None:
    seen = appearance(Radiograph(chest(1).pixels, source=ImageSource(view="AP", vendor="AGFA")))
    assert (seen.view, seen.vendor) == ("AP", "AGFA")
