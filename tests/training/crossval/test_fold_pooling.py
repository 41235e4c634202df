"""The answers of several folds become one table, one page and one chart, without training anything."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import CovidXrayError, InputRefused
from covid_xray.evaluation.predictions import Predictions
from covid_xray.training.crossval.fold_pooling import over_folds, pool, write_study
from covid_xray.training.crossval.folds import Fold, Protocol, plan_folds

CLASSES = ("covid", "nor|mal <b>")  # labels are the user's


def manifest(*, sources: int = 1) -> Manifest:
    """40 images of 20 patients."""
    rows = [(f"{i:02}.png", CLASSES[i // 2 % 2], f"p{i // 2}", f"s{i // 4 % sources}") for i in range(40)]
    table = pd.DataFrame(rows, columns=["image", "label", "patient_id", "source"], dtype=str)
    # Fingerprints need no files where the hashes are known.
    table["sha256"] = [f"{i:064x}" for i in range(40)]
    return Manifest(table, Path("nowhere"), pd.DataFrame(columns=["image", "code", "reason"], dtype=str))


def answers(fold: Fold, *, right: float, seed: int = 0, failed: int = 0) -> Predictions:
    """A network that is right in the share `right` of the held-out images; the first `failed` have no score."""
    rows, classes = fold.held.table.reset_index(drop=True), fold.classes
    hit = np.random.default_rng(seed).random(len(rows)) < right
    p = [0.8 if (label == classes[0]) == h else 0.2 for label, h in zip(rows["label"], hit, strict=True)]
    table = rows.assign(predicted=[classes[0] if x > 0.5 else classes[1] for x in p], reasons="")
    for name, values in zip(classes, (p, [1 - x for x in p]), strict=True):
        table[f"p_{name}"] = values
    lost = rows[["image", "label"]].assign(code="damaged", message="no").head(failed)
    return Predictions(table.iloc[failed:].reset_index(drop=True), classes, lost)


def records(folds: list[Fold]) -> list[dict[str, object]]:
    common = {
        "images": {"train": 20, "val": 5},
        "seconds": 1.0,
        "best_epoch": 2,
        "packages": {},
        "precision": "float32",
    }
    return [
        {"name": f.name, "problem": f.problem, "scored": len(f.held.table), "leaking": f.leaking, **common}
        for f in folds
    ]


def study(out: Path, whole: Manifest, protocol: Protocol, *, right: float = 0.9) -> dict[str, object]:
    folds = plan_folds(whole, protocol)
    found = pool([answers(fold, right=right, seed=k) for k, fold in enumerate(folds)], folds, whole)
    return write_study(
        found, records(folds), whole, folds=folds, protocol=protocol, settings=Training(), out=out, rounds=50
    )


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
        with pytest.raises(CovidXrayError, match="one answer for each"):
            pool([wrong, two], folds, whole)


def test_mean_and_spread_are_over_the_folds_that_have_the_figure() -> None:
    found = over_folds([{"a": 0.5, "b": 1.0}, {"a": 0.7}, {"a": 0.9}])
    assert found == {"a": {"mean": pytest.approx(0.7), "sd": pytest.approx(0.2), "folds": 3}}


def test_the_page_cannot_be_broken_by_a_label(tmp_path: Path) -> None:
    facts = study(tmp_path, manifest(), Protocol(folds=2))
    page = (tmp_path / "crossval.md").read_text()
    assert "<b>" not in page
    head = next(line for line in page.splitlines() if line.startswith("| figure"))
    rows = [line for line in page.splitlines() if line.startswith("| f1/")]
    assert len(rows) == 2
    assert all(row.replace("\\|", "").count("|") == head.count("|") for row in rows)
    assert json.loads((tmp_path / "crossval.json").read_text(), parse_constant=pytest.fail) == json.loads(
        json.dumps(facts)
    )


def test_the_worst_source_and_the_sources_are_on_the_page(tmp_path: Path) -> None:
    facts = study(tmp_path, manifest(sources=2), Protocol(folds=2))
    page = (tmp_path / "crossval.md").read_text()
    assert f"Worst source by accuracy: {facts['worst_source']['name']}" in page
    assert "| s0 | 20 |" in page
    assert (tmp_path / "figures" / "folds.png").stat().st_size > 5000
    assert (tmp_path / "figures" / "by_source.png").is_file()


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
    with pytest.raises(InputRefused, match="at least one image"):
        write_study(found, records(folds), whole, folds=folds, protocol=Protocol(folds=2), settings=Training(),
                    out=tmp_path, rounds=50)  # fmt: skip
    assert not (tmp_path / "crossval.json").exists()
