"""Pitfalls of pixels: odd and turned pictures are named, marks and borders told by class."""

import numpy as np
import pytest

from covid_xray.data.doctor.doctor import examine
from covid_xray.data.doctor.pitfall import Verdict
from covid_xray.data.doctor.pixel_facts import PixelFacts
from covid_xray.data.doctor.pixel_pitfalls import likeness
from support.spoilt import I, clean


def test_pixels_marks_borders_odd_and_turned_pictures():
    manifest, facts = clean()
    thumbnails, table = facts.thumbnails.copy(), facts.table.copy()
    thumbnails[7] = thumbnails[7][::-1]
    thumbnails[8] = np.random.default_rng(5).integers(0, 256, (32, 32))
    table["edge_marks"] = np.where(I % 2, 1.0, 0.0)
    table["border"] = np.where(I % 3, 0.0, 0.2)
    found = {p.name: p for p in examine(manifest, pixels=PixelFacts(thumbnails, table)).pitfalls}
    assert found["upside-down"].examples == ("i0007.png",)
    assert any(name.startswith("i0008.png") for name in found["unlike-a-chest"].examples)
    assert found["marks"].verdict is Verdict.FAIL
    assert "covid 100%, normal 0%" in found["marks"].says
    assert found["borders"].verdict is Verdict.WARN  # a third of the images has them, in both classes alike


def test_likeness_is_a_correlation():
    ramp = np.tile(np.arange(32, dtype=np.uint8)[:, None], (1, 32))
    near, turned = likeness(np.stack([ramp, ramp, ramp]))
    assert near == pytest.approx([1, 1, 1])
    assert turned == pytest.approx([-1, -1, -1])
