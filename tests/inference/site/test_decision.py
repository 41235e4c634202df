"""From probabilities to an answer, and what a site changes in it."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.inference.finding import CANNOT_SAY, SiteCheck
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.correction import Correction, log_odds
from covid_xray.inference.site.decision import at_site, decide, site_reasons
from covid_xray.inference.site.site_file import read_site
from support.bundles import grey, make_bundle
from support.drawing import png
from support.sites import FACTS, make_site_file

FIT = SiteCheck("A", "fit", "0")


def test_the_most_probable_class_is_the_answer_where_nothing_objects():
    found = decide({"covid": 0.7, "normal": 0.3}, FACTS, gate=None, known=None, lungs=None)
    assert found["label"] == "covid"
    assert found["reasons"] == ()
    assert found["ill"] == pytest.approx(0.7)


def test_reasons_of_the_site_stand_first_and_end_in_cannot_say():
    blank = {"contrast": {"value": 0.0, "threshold": 0.1, "ok": False, "words": "looks blank"}}
    found = decide({"covid": 0.7, "normal": 0.3}, FACTS, gate=blank, known=None, lungs=None, site=("not fit at A",))
    assert found["label"] == CANNOT_SAY
    assert found["reasons"] == ("not fit at A", "looks blank")


def test_no_answer_where_it_is_not_fit_or_a_check_is_required_and_missing():
    assert site_reasons(None, required=False) == ()
    assert site_reasons(None, required=True) == ("not checked at this hospital",)
    assert site_reasons(FIT, required=True) == ()
    assert site_reasons(SiteCheck("A", "not-fit", "0"), required=False) == ("not fit at A",)
    ended = SiteCheck("A", "fit", "0", "2026-01-01")
    assert site_reasons(ended, required=False) == ()
    assert site_reasons(ended, required=True) == ("the check at A ended on 2026-01-01",)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def test_what_commissioning_counts_is_what_the_predictor_answers_at_the_site(bundle, tmp_path):
    """The finding moved afterwards equals that of a predictor with the site file, to the last reason."""
    image = png(grey("covid", seed=3))
    plain = Predictor(bundle).predict(image)
    score = float(log_odds([list(plain.probabilities.values())], well=1)[0])
    correction = Correction(threshold=score + 0.5)
    site = read_site(make_site_file(tmp_path / "site", bundle, correction=correction))
    there = Predictor(bundle, site=site).predict(image)
    moved = at_site(plain, correction, Predictor(bundle).bundle.contents, well=1)
    assert there.label == moved.label == "normal" != plain.label
    assert list(there.probabilities.values()) == pytest.approx(list(moved.probabilities.values()), abs=1e-6)
    assert there.reasons == moved.reasons
    assert there.site is not None
    assert there.site.name == "St. Elsewhere"
    assert np.array_equal(there.embedding, plain.embedding), "the network is never changed"


def test_not_fit_says_nothing_to_every_image(bundle, tmp_path):
    site = read_site(make_site_file(tmp_path / "site", bundle, verdict="not-fit"))
    finding = Predictor(bundle, site=site).predict(png(grey("covid")))
    assert finding.label == CANNOT_SAY
    assert finding.reasons == ("not fit at St. Elsewhere",)
    required = Predictor(bundle, require_site=True).predict(png(grey("covid")))
    assert required.reasons == ("not checked at this hospital",)
