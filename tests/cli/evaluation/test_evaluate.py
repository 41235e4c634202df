"""The command evaluate, on a run that was trained for it."""

import csv
import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from covid_xray.errors import InputRefused, UsageError
from support.commands import call, refused
from support.copies import copies, draw_classes, knowing
from support.datasets import draw_folders


def test_evaluate_fills_the_run_folder(evaluated_run: Path) -> None:
    names = {path.name for path in evaluated_run.iterdir()}
    assert {"metrics.json", "predictions.csv", "figures", "report.html", "model_card.md"} <= names
    metrics = json.loads((evaluated_run / "metrics.json").read_text())
    assert metrics["figures"]["accuracy"]["value"] >= 0.8
    assert set(metrics["figures"]["macro_f1"]) >= {"value", "ci_low", "ci_high", "n"}


def test_evaluate_takes_the_test_part_and_pairs_by_image(evaluated_run: Path) -> None:
    split = {row["image"]: row for row in csv.DictReader((evaluated_run / "split.csv").read_text().splitlines())}
    rows = list(csv.DictReader((evaluated_run / "predictions.csv").read_text().splitlines()))
    assert {row["image"] for row in rows} == {image for image, row in split.items() if row["split"] == "test"}
    assert all(row["label"] == split[row["image"]]["label"] for row in rows)
    assert all(Path(row["image"]).parent.name == row["label"] for row in rows)


def test_evaluate_records_its_figures_in_the_bundle(evaluated_run: Path) -> None:
    facts = json.loads((evaluated_run / "bundle" / "bundle.json").read_text())
    assert facts["metrics"]["part"] == "test"
    assert call("info", "--bundle", evaluated_run / "bundle", "--json").exit_code == 0


def test_evaluate_chooses_parts_by_name(evaluated_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    result = call(
        "evaluate", evaluated_run, "--data", drawn_data, "--part", "val", "-o", tmp_path / "val", "--rounds", 20
    )
    assert result.exit_code == 0, result.output
    val = {
        r["image"]
        for r in csv.DictReader((evaluated_run / "split.csv").read_text().splitlines())
        if r["split"] == "val"
    }
    rows = csv.DictReader((tmp_path / "val" / "predictions.csv").read_text().splitlines())
    assert {row["image"] for row in rows} == val
    assert "No images of the calibration part" in refused(
        UsageError, "evaluate", evaluated_run, "--data", drawn_data, "--part", "calibration"
    )


def test_evaluate_refuses_a_mixed_set_and_foreign_labels(evaluated_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    mixed = draw_folders(tmp_path / "mixed", each=30)
    assert "--part" in refused(InputRefused, "evaluate", evaluated_run, "--data", mixed)
    (mixed / "normal").rename(mixed / "bacterial")
    assert "bacterial" in refused(InputRefused, "evaluate", evaluated_run / "bundle", "--data", mixed)


def test_evaluate_reports_a_bad_baselines_file(evaluated_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("[1]")
    refused(
        InputRefused,
        "evaluate",
        evaluated_run,
        "--data",
        drawn_data,
        "--baselines",
        tmp_path / "b.json",
        "-o",
        tmp_path / "o",
    )


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A run that knows 4 images of each class, and a folder with copies of them among 20 new ones of each class."""
    run = knowing(tmp_path / "run", draw_classes(tmp_path / "trained", each=4), n000="val")
    copies(tmp_path / "trained", draw_classes(tmp_path / "mixed", each=20, first=50))
    return run


def test_trained_images_are_left_out_whatever_they_are_called(known: Path, tmp_path: Path) -> None:
    result = call("evaluate", known, "--data", tmp_path / "mixed", "--rounds", 20)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "12 images left out" in result.stderr
    assert "n=60 images" in result.stdout
    metrics = json.loads((known / "metrics.json").read_text())
    assert metrics["trained_images"] == {
        "listed": {"train": 9, "val": 3}, "recognised": {"train": 9, "val": 3}, "by": {"near": 12}, "kept": {},
    }  # fmt: skip
    assert (metrics["n_images"], metrics["banner"]) == (60, None)
    assert "copy-" not in (known / "predictions.csv").read_text()
    assert "12 images left out" in (known / "report.html").read_text()


def test_with_trained_keeps_them_in_red_and_out_of_the_bundle(known: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call("evaluate", known, "--data", tmp_path / "mixed", "--rounds", 20, "--with-trained", "-o", out)
    assert result.exit_code == 0, (result.output, result.exception)
    sentence = "12 images of those scored made this network (9 train, 3 val)"
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["n_images"], metrics["trained_images"]["kept"]) == (72, {"train": 9, "val": 3})
    for text in (result.stderr, metrics["banner"], (out / "model_card.md").read_text()):
        assert sentence in text
    assert f'<p class="banner" role="alert">{sentence}' in (out / "report.html").read_text()
    marks = [row["trained_as"] for row in csv.DictReader((out / "predictions.csv").read_text().splitlines())]
    assert marks.count("train") == 9
    (tmp_path / "second").mkdir()
    other = shutil.copytree(known, tmp_path / "second" / "run")
    shutil.copy(out / "predictions.csv", other)
    call("evaluate", known, "--data", tmp_path / "mixed", "--rounds", 20)
    compared = call("compare", known, other, "--rounds", 20)
    assert compared.exit_code == 0, (compared.output, compared.exception)
    assert "second: 12 images left out" in compared.stderr
    facts = json.loads((other / "comparison.json").read_text())
    assert (facts["images"], facts["trained_images"][1]["recognised"]) == (60, {"train": 9, "val": 3})
    both = call("compare", other, other, "--with-trained", "--rounds", 20)
    assert json.loads((other / "comparison.json").read_text())["images"] == 72
    assert "no test" in both.stderr


def test_a_set_that_the_network_knows_whole_is_refused(known: Path, tmp_path: Path) -> None:
    moved = copies(tmp_path / "trained", tmp_path / "elsewhere")
    assert "All 12 images" in refused(InputRefused, "evaluate", known, "--data", moved)
    assert not (known / "metrics.json").exists()


@pytest.mark.parametrize("part", ["train", "all"])
def test_a_part_that_was_trained_on_is_scored_in_red(
    evaluated_run: Path, drawn_data: Path, tmp_path: Path, part: str
) -> None:
    before = (evaluated_run / "bundle" / "bundle.json").read_bytes()
    result = call("evaluate", evaluated_run, "--data", drawn_data, "--part", part, "-o", tmp_path, "--rounds", 20)
    assert result.exit_code == 0, (result.output, result.exception)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["trained_images"]["kept"]["train"] > 0
    assert "made this network" in metrics["banner"]
    assert "no test" in result.stderr
    assert (evaluated_run / "bundle" / "bundle.json").read_bytes() == before


@pytest.mark.parametrize(
    "subset", [["--label", "covid", "--label", "normal"], ["--where", "label!=virus"], ["-o", "x"]]
)
def test_a_subset_never_rewrites_the_figures_of_the_bundle(
    evaluated_run: Path, drawn_data: Path, tmp_path: Path, subset: list[str]
) -> None:
    run = shutil.copytree(evaluated_run, tmp_path / "run")
    before = (run / "bundle" / "bundle.json").read_bytes()
    words = [tmp_path / "x" if word == "x" else word for word in subset]
    result = call("evaluate", run, "--data", drawn_data, "--rounds", 30, *words)
    assert result.exit_code == 0, (result.output, result.exception)
    assert (run / "bundle" / "bundle.json").read_bytes() == before
    assert "the figures in the bundle stay" in result.stderr
