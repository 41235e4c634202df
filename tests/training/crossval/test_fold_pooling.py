"""The answers of several folds become one table, one page and one chart, without training anything."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.config import Training
from covid_xray.errors import CovidXrayError, InputRefused
from covid_xray.evaluation.predictions import Predictions
from covid_xray.training.crossval.fold_pooling import Seen, over_folds, pool, write_study
from covid_xray.training.crossval.folds import Protocol, plan_folds
from support.folds import answers, manifest, records, study


def test_answers_are_joined_by_image_in_the_order_of_the_manifest() -> None:
    whole = manifest()
    folds = plan_folds(whole, Protocol(folds=4))
    parts = [answers(fold, right=1.0, failed=1) for fold in folds]
    shuffled = [Predictions(part.table[::-1].reset_index(drop=True), part.classes, part.failures) for part in parts]
    found = pool(shuffled, folds, whole)
    expected = pool(parts, folds, whole)
    pd.testing.assert_frame_equal(found.table, expected.table)
    failed = set(found.failures["image"])
    assert len(failed) == 4
    assert found.table["image"].tolist() == [image for image in whole.table["image"] if image not in failed]
    assert (found.table["label"] == found.table["predicted"]).all()


def test_an_answer_that_is_missing_or_doubled_is_an_error() -> None:
    whole = manifest()
    folds = plan_folds(whole, Protocol(folds=2))
    one, two = (answers(fold, right=1.0) for fold in folds)
    for wrong in (one.take(np.arange(len(one.table)) > 0), Predictions(pd.concat([one.table, one.table.head(1)]),
                  one.classes, one.failures)):  # fmt: skip
        with pytest.raises(CovidXrayError, match="images were held out"):
            pool([wrong, two], folds, whole)


def test_mean_and_spread_are_over_the_folds_that_have_the_figure() -> None:
    found = over_folds([{"a": 0.5, "b": 1.0}, {"a": 0.7}, {"a": 0.9}])
    assert found == {"a": {"mean": pytest.approx(0.7), "sd": pytest.approx(0.2), "folds": 3}}


def test_figures_by_image_carry_the_warning_at_the_top(tmp_path: Path) -> None:
    facts = study(tmp_path, manifest(), Protocol(folds=4, group="image"))
    assert "this leaks" in facts["banner"]
    page = (tmp_path / "crossval.md").read_text()
    assert page.index(facts["banner"]) < page.index("| accuracy |")
    nobody = manifest()
    nobody.table["patient_id"] = ""
    assert "no patient or copy is known" in study(tmp_path, nobody, Protocol(folds=4, group="image"))["banner"]


def test_nothing_scored_is_an_error_and_leaves_no_figures(tmp_path: Path) -> None:
    whole = manifest()
    folds = plan_folds(whole, Protocol(folds=2))
    found = pool([answers(fold, right=1, failed=len(fold.held.table)) for fold in folds], folds, whole)
    with pytest.raises(InputRefused, match="None of the images"):
        write_study(found, records(folds), whole, folds=folds, protocol=Protocol(folds=2), settings=Training(),
                    out=tmp_path, rounds=50)  # fmt: skip
    assert not (tmp_path / "crossval.json").exists()


def test_images_that_the_first_network_knew_are_in_no_figure_unless_wished(tmp_path: Path) -> None:
    whole = manifest()
    folds = plan_folds(whole, Protocol(folds=4))
    found = pool([answers(fold, right=1.0) for fold in folds], folds, whole)
    known = {"listed": {"train": 10}, "recognised": {"train": 10}, "by": {"file": 10}, "kept": {}}
    how = {"folds": folds, "protocol": Protocol(folds=4), "settings": Training(), "out": tmp_path, "rounds": 50}
    facts = write_study(found, records(folds), whole, seen=Seen(np.arange(40) >= 10, known), **how)
    assert (facts["n_images"], facts["trained_images"], facts["banner"]) == (30, known, None)
    assert sum("10 images left out" in text for text in facts["warnings"]) == 1
    kept = {**known, "kept": {"train": 10}}
    facts = write_study(found, records(folds), whole, seen=Seen(np.ones(40, dtype=bool), kept), **how)
    assert facts["n_images"] == 40
    assert "10 images of those scored made this network" in facts["banner"]
    assert facts["banner"] in (tmp_path / "crossval.md").read_text()
