"""The commands one after the other on a drawn data set, as a user would run them."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from support.datasets import CLASSES, draw_folders

pytest.importorskip("tensorflow")

from covid_xray.cli import app
from covid_xray.errors import BadManifest, CovidXrayError, InputRefused, UsageError

SMALL = ["image_size=32", "blocks=[8,16]", "convolutions=1", "dense=[32]", "batch_size=8", "learning_rate=0.003"]
SETTINGS = [part for text in [*SMALL, "initializer=he_normal"] for part in ("--set", text)]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(kind: type[CovidXrayError], *arguments: object) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, kind), (result.exception, result.output)
    return result.exception.message


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = draw_folders(tmp_path_factory.mktemp("commands") / "data", each=20)
    (root / "covid" / "page.png").write_text("<!DOCTYPE html>")
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("commands-run") / "run"
    result = call("train", "--data", data, "-o", out, "--epochs", 12, *SETTINGS)
    assert result.exit_code == 0, result.output
    assert "60 indexed + 1 quarantined" in result.output
    assert "not-an-image" in result.output
    assert result.output.index("quarantined") < result.output.index("epoch 1/12")
    return out


@pytest.fixture(scope="module")
def study(run: Path, data: Path) -> Path:
    result = call("evaluate", run, "--data", data, "--rounds", 50)
    assert result.exit_code == 0, result.output
    assert "macro_f1" in result.output
    return run


def test_evaluate_fills_the_run_folder(study: Path) -> None:
    names = {path.name for path in study.iterdir()}
    assert {"metrics.json", "predictions.csv", "figures", "report.html", "model_card.md"} <= names
    metrics = json.loads((study / "metrics.json").read_text())
    assert metrics["figures"]["accuracy"]["value"] >= 0.8
    assert set(metrics["figures"]["macro_f1"]) >= {"value", "ci_low", "ci_high", "n"}


def test_evaluate_takes_the_test_part_and_pairs_by_image(study: Path) -> None:
    split = {row["image"]: row for row in csv.DictReader((study / "split.csv").read_text().splitlines())}
    rows = list(csv.DictReader((study / "predictions.csv").read_text().splitlines()))
    assert {row["image"] for row in rows} == {image for image, row in split.items() if row["split"] == "test"}
    assert all(row["label"] == split[row["image"]]["label"] for row in rows)
    assert all(Path(row["image"]).parent.name == row["label"] for row in rows)


def test_evaluate_records_its_figures_in_the_bundle(study: Path) -> None:
    facts = json.loads((study / "bundle" / "bundle.json").read_text())
    assert facts["metrics"]["part"] == "test"
    assert call("info", "--bundle", study / "bundle", "--json").exit_code == 0


def test_evaluate_chooses_parts_by_name(study: Path, data: Path, tmp_path: Path) -> None:
    result = call("evaluate", study, "--data", data, "--part", "val", "-o", tmp_path / "val", "--rounds", 20)
    assert result.exit_code == 0, result.output
    val = {r["image"] for r in csv.DictReader((study / "split.csv").read_text().splitlines()) if r["split"] == "val"}
    rows = csv.DictReader((tmp_path / "val" / "predictions.csv").read_text().splitlines())
    assert {row["image"] for row in rows} == val
    assert "none in" in refused(UsageError, "evaluate", study, "--data", data, "--part", "calibration")


def test_evaluate_refuses_a_mixed_set_and_foreign_labels(study: Path, data: Path, tmp_path: Path) -> None:
    mixed = draw_folders(tmp_path / "mixed", each=30)
    assert "say which part" in refused(InputRefused, "evaluate", study, "--data", mixed)
    (mixed / "normal").rename(mixed / "bacterial")
    assert "bacterial" in refused(InputRefused, "evaluate", study / "bundle", "--data", mixed)


def test_every_class_is_named_the_same_everywhere(study: Path, data: Path, tmp_path: Path) -> None:
    """The original mixed two orders of the classes: here train, predict and submit agree image by image."""
    answers = call("predict", data / "virus", "--bundle", study / "bundle", "--json")
    predicted = {Path(a["image"]).name: a["label"] for a in map(json.loads, answers.stdout.splitlines())}
    out = tmp_path / "submission.csv"
    assert call("submit", "--data", data / "virus", "-o", out, "--bundle", study / "bundle").exit_code == 0
    submitted = {row["Image"]: row["Label"] for row in csv.DictReader(out.read_text().splitlines())}
    assert submitted == predicted
    assert list(submitted.values()).count("virus") >= 15
    facts = json.loads((study / "bundle" / "bundle.json").read_text())
    assert facts["classes"] == list(CLASSES)


def test_explain_draws_every_class(study: Path, data: Path, tmp_path: Path) -> None:
    image = data / "covid" / "covid-00.png"
    result = call("explain", image, "-o", tmp_path, "--bundle", study / "bundle", "--all-classes")
    assert result.exit_code == 0, result.output
    assert sorted(p.name.rsplit("-", 1)[1] for p in tmp_path.iterdir()) == ["covid.png", "normal.png", "virus.png"]
    assert "expected a class of" in refused(
        UsageError, "explain", image, "-o", tmp_path, "--bundle", study / "bundle", "--class", "flu"
    )


def test_export_again_gives_the_same_answers(study: Path, data: Path, tmp_path: Path) -> None:
    assert call("export", study, "-o", tmp_path / "bundle").exit_code == 0
    first, second = (
        call("predict", data / "normal", "--bundle", bundle, "--json").stdout
        for bundle in (study / "bundle", tmp_path / "bundle")
    )
    for a, b in zip(first.splitlines(), second.splitlines(), strict=True):
        assert json.loads(a)["probabilities"] == pytest.approx(json.loads(b)["probabilities"], abs=1e-4)
    assert "finished run" in refused(InputRefused, "export", tmp_path)


def test_train_refuses_what_cannot_be_trained_on(data: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(BadManifest, "train", "--data", tmp_path / "empty", "-o", tmp_path / "r")
    one = draw_folders(tmp_path / "one", each=5, classes=("covid",))
    assert "At least 2 are needed" in refused(BadManifest, "train", "--data", one, "-o", tmp_path / "r")
    few = draw_folders(tmp_path / "few", each=2)
    refused(InputRefused, "train", "--data", few, "-o", tmp_path / "r")
    assert "--resume" in refused(UsageError, "train", "--data", data, "-o", run, *SETTINGS)
    assert "zooom" in refused(UsageError, "train", "--data", data, "-o", tmp_path / "r", "--set", "zooom=1")
    assert not (tmp_path / "r").exists()


def test_train_on_the_kaggle_layout(tmp_path: Path) -> None:
    """`train.csv` with `Image,Label` in rows of any order, images in class folders beside it."""
    root = draw_folders(tmp_path / "shai_dataset" / "train", each=8)
    names = [(path.name, path.parent.name) for path in sorted(root.rglob("*.png"), key=lambda p: p.name[::-1])]
    text = "Image,Label\n" + "".join(f"{name},{label}\n" for name, label in names)
    (tmp_path / "shai_dataset" / "train.csv").write_text(text)
    out = tmp_path / "run"
    result = call(
        "train",
        "--data",
        tmp_path / "shai_dataset" / "train.csv",
        "--images",
        root,
        "-o",
        out,
        "--epochs",
        1,
        *SETTINGS,
    )
    assert result.exit_code == 0, (result.output, result.exception)
    rows = list(csv.DictReader((out / "split.csv").read_text().splitlines()))
    assert len(rows) == 24
    assert all(Path(row["image"]).name.startswith(row["label"]) for row in rows)


def test_given_parts_are_kept(tmp_path: Path) -> None:
    for part, each, shift in (("train", 10, 0), ("val", 3, 10), ("test", 3, 13)):
        root = draw_folders(tmp_path / "all", each=16)
        for label in CLASSES:
            for number in range(shift, shift + each):
                target = tmp_path / "parts" / part / label / f"{label}-{number:02}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                (root / label / target.name).rename(target)
    out = tmp_path / "run"
    result = call("train", "--data", tmp_path / "parts", "-o", out, "--epochs", 1, *SETTINGS)
    assert result.exit_code == 0, (result.output, result.exception)
    rows = list(csv.DictReader((out / "split.csv").read_text().splitlines()))
    assert all(row["image"].startswith(row["split"]) for row in rows)
    assert len(rows) == 48


def test_evaluate_reports_a_bad_baselines_file(study: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("[1]")
    refused(InputRefused, "evaluate", study, "--data", data, "--baselines", tmp_path / "b.json", "-o", tmp_path / "o")
