"""Counting answers, with and without a correction."""

import numpy as np
import pytest

from covid_xray.evaluation.site.answers import Share, answer_images
from covid_xray.evaluation.site.images import read_images
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.correction import Correction
from support.bundles import CLASSES, grey, make_bundle
from support.drawing import png
from support.sites import site_answers


def test_a_share_has_exact_ends():
    assert Share(1, 50).value == 0.02
    assert Share(1, 50).upper(0.95) == pytest.approx(0.0914, abs=1e-4)
    assert Share(49, 50).lower(0.95) == pytest.approx(0.9086, abs=1e-4)
    assert Share(0, 0).value is None


def test_rates_count_healthy_and_ill_apart():
    rates = site_answers([-2, -1, 1], [-1, 1, 2, 3]).rates(Correction())
    assert (rates.false_positives, rates.sensitivity) == (Share(1, 3), Share(3, 4))
    assert rates.cannot_say == Share(0, 7)
    assert rates.answers == {"covid": 4, "normal": 3}
    higher = site_answers([-2, -1, 1], [-1, 1, 2, 3]).rates(Correction(threshold=1.5))
    assert (higher.false_positives, higher.sensitivity) == (Share(0, 3), Share(2, 4))


def test_every_image_is_answered_or_named_as_unreadable(tmp_path):
    bundle = Predictor(make_bundle(tmp_path / "bundle"))
    for label in CLASSES:
        path = tmp_path / "data" / label / "1.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(png(grey(label)))
    manifest = read_images(tmp_path / "data")
    (tmp_path / "data" / "covid" / "1.png").write_bytes(b"broken since it was indexed")
    found = answer_images(bundle, manifest, well="normal")
    assert len(found.findings) == 2
    assert found.healthy.sum() == found.ill.sum() == 1
    assert np.isfinite(found.scores).all()
    assert [(one.image, one.code) for one in found.failures] == [("covid/1.png", "not-an-image")]
