"""The skeleton: one a patient, both sides, spine in the middle."""

import numpy as np

from covid_xray.images.phantoms.bones import bones
from covid_xray.images.phantoms.phantom import draw_anatomy

SIZE = 256


def test_bones_belong_to_the_patient() -> None:
    one, other = (draw_anatomy(np.random.default_rng(seed), child=False) for seed in (1, 2))
    np.testing.assert_array_equal(bones(one, SIZE), bones(one, SIZE))
    assert np.abs(bones(one, SIZE) - bones(other, SIZE)).max() > 0.03


def test_the_spine_is_in_the_middle_and_ribs_lie_on_both_sides() -> None:
    field = bones(draw_anatomy(np.random.default_rng(1), child=False), SIZE)
    assert field.min() >= 0
    assert field.max() < 0.3
    middle = field[:, SIZE // 2 - 4 : SIZE // 2 + 4].mean()
    left, right = field[60:160, 40:110], field[60:160, 146:216]
    assert middle > 2 * left.mean()
    assert abs(left.mean() - right.mean()) < 0.1 * left.mean()


def test_as_many_ribs_as_the_anatomy_says_cross_the_lung() -> None:
    """A column halfway out meets each back rib above the diaphragm once, as a peak."""
    for seed in range(4):
        anatomy = draw_anatomy(np.random.default_rng(seed), child=True)
        column = bones(anatomy, 512)[:, round(512 * (0.5 - 0.3 * anatomy.width))]
        bright = column[round(512 * anatomy.apex) : round(512 * anatomy.dome)] > 0.05
        bands = int((np.diff(bright.astype(int)) == 1).sum()) + int(bright[0])
        assert anatomy.ribs - 4 <= bands <= anatomy.ribs + 1
