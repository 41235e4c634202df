"""What would not be answered is counted with its reasons, and the answers that are left are judged on their own."""

import numpy as np
import pytest

from covid_xray.evaluation.metrics.abstention import MOST, measure_abstention
from covid_xray.evaluation.predictions import Predictions
from covid_xray.evaluation.report.results_sections import abstention as section
from covid_xray.evaluation.report.sections import Table
from support.brightness import CLASSES
from support.scored import predictions, worse


def withheld(reasons, *, wrong=(), source=None) -> Predictions:
    found = worse(predictions([i % 3 for i in range(len(reasons))]), np.array(wrong, dtype=int))
    more = {} if source is None else {"source": source}
    return Predictions(found.table.assign(reasons=reasons, **more), CLASSES, found.failures)


def test_answers_and_refusals_are_judged_apart():
    found = measure_abstention(withheld(["dark"] * 30 + [""] * 60, wrong=range(15)), rounds=50)
    assert found["withheld"] == 30
    assert found["accuracy"]["withheld"]["value"] == pytest.approx(0.5)
    assert found["accuracy"]["answered"]["value"] == 1.0
    assert found["accuracy"]["answered"]["ci_low"] < 1.0  # 60 right of 60 prove no certainty


def test_reasons_are_counted_one_by_one_and_only_the_commonest_listed():
    found = measure_abstention(withheld(["dark; small"] * 2 + ["dark"] + [""] * 57), rounds=10)
    assert found["reasons"] == {"dark": 3, "small": 2}
    many = measure_abstention(withheld([f"reason {i}" for i in range(60)]), rounds=10)
    assert len(many["reasons"]) == MOST


def test_rates_of_small_classes_and_sources_are_left_out():
    found = measure_abstention(withheld(["dark"] * 10 + [""] * 50, source=["a"] * 45 + ["b"] * 15), rounds=10)
    assert set(found["rates"]["source"]) == {"a"}
    assert found["rates"]["source"]["a"]["value"] == pytest.approx(10 / 45)
    assert set(found["rates"]["label"]) == set(CLASSES)
    assert set(found["accuracy"]) == {"answered"}


def test_the_section_tells_of_the_gate_or_how_to_get_one():
    m = {"n_images": 60, "abstention": measure_abstention(withheld(["dark"] * 30 + [""] * 30), rounds=10)}
    told = [block.text for block in section(m, {}).blocks if not isinstance(block, Table)]
    assert told[0] == '30 of 60 images (50.0\u00a0%) would be answered "cannot say".'
    assert "covid-xray calibrate fits one" in told[1]
    gate = {"refused": {"train": 0.05, "fresh": None}, "images": {"train": 400}, "rate": 0.05}
    assert "refuses 5.0\u00a0% (train) of good images" in section(m, {"gate": gate}).blocks[1].text
    assert section(m, {}).blocks[2].rows[0][0].text == "dark"
