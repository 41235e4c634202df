"""The commands train and export."""

import csv
import json
import shlex
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from covid_xray.errors import BadManifest, InputRefused, UsageError
from support.commands import SETTINGS, call, refused
from support.datasets import CLASSES, draw_folders


def test_export_again_gives_the_same_answers(evaluated_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    assert call("export", evaluated_run, "-o", tmp_path / "bundle").exit_code == 0
    first, second = (
        call("predict", drawn_data / "normal", "--bundle", bundle, "--json").stdout
        for bundle in (evaluated_run / "bundle", tmp_path / "bundle")
    )
    for a, b in zip(first.splitlines(), second.splitlines(), strict=True):
        assert json.loads(a)["probabilities"] == pytest.approx(json.loads(b)["probabilities"], abs=1e-4)
    assert "finished run" in refused(InputRefused, "export", tmp_path)


def test_train_refuses_what_cannot_be_trained_on(drawn_data: Path, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(BadManifest, "train", "--data", tmp_path / "empty", "-o", tmp_path / "r")
    one = draw_folders(tmp_path / "one", each=5, classes=("covid",))
    assert "At least 2 are needed" in refused(BadManifest, "train", "--data", one, "-o", tmp_path / "r")
    few = draw_folders(tmp_path / "few", each=2)
    refused(InputRefused, "train", "--data", few, "-o", tmp_path / "r")
    assert "--resume" in refused(UsageError, "train", "--data", drawn_data, "-o", trained_run, *SETTINGS)
    assert "zooom" in refused(UsageError, "train", "--data", drawn_data, "-o", tmp_path / "r", "--set", "zooom=1")
    assert not (tmp_path / "r").exists()


def test_settings_and_the_folder_are_checked_before_any_image_is_read(tmp_path: Path) -> None:
    nowhere, run = tmp_path / "nowhere", tmp_path / "r"
    for wrong, said in {
        ("--model", "resnet5O"): "Did you mean ResNet50?",
        ("--set", "model=vgg", "--set", "weights=imagenet"): "weights=null",
        ("--set", "crop=lungs"): "needs a lung network",
        ("--model", "resnet50", "--set", "image_size=32", "--set", "blok=1"): "Did you mean blocks?",
    }.items():
        assert said in refused(UsageError, "train", "--data", nowhere, "-o", run, *wrong)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.yaml").write_text("model: vgg\n")
    assert "--resume" in refused(UsageError, "train", "--data", nowhere, "-o", tmp_path / "old")
    refused(BadManifest, "train", "--data", nowhere, "-o", run, "--model", "VGG")
    assert not run.exists()


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


def test_the_printed_next_command_scores_the_test_part_only(tmp_path: Path) -> None:
    """A name of a CSV means something in its --images only: without it all images were scored."""
    root = draw_folders(tmp_path / "a set" / "train", each=20)
    names = [(path.name, path.parent.name) for path in sorted(root.rglob("*.png"))]
    table = tmp_path / "a set" / "train.csv"
    table.write_text("Image,Label\n" + "".join(f"{name},{label}\n" for name, label in names))
    settings = ["--epochs", 1, "--label", "covid", "--label", "normal", *SETTINGS]
    trained = call("train", "--data", table, "--images", root, "-o", tmp_path / "run", *settings)
    assert trained.exit_code == 0, (trained.output, trained.exception)
    last = trained.stdout.splitlines()[-1]
    command = shlex.split(last.removeprefix("next: covid-xray "))
    assert command == ["evaluate", str(tmp_path / "run"), "--data", str(table), "--images", str(root),
                       "--label", "covid", "--label", "normal"]  # fmt: skip
    scored = call(*command, "--rounds", 20)
    assert scored.exit_code == 0, (scored.output, scored.exception)
    parts = {
        row["image"]: row["split"] for row in csv.DictReader((tmp_path / "run" / "split.csv").read_text().splitlines())
    }
    answers = csv.DictReader((tmp_path / "run" / "predictions.csv").read_text().splitlines())
    assert {parts[row["image"]] for row in answers} == {"test"}
    # Without --images the names are others, and what was trained on is known by content all the same.
    two = ["--label", "covid", "--label", "normal"]
    report = call("evaluate", tmp_path / "run", "--data", table, *two, "--rounds", 20,
                  "-o", tmp_path / "other")  # fmt: skip
    assert report.exit_code == 0, (report.output, report.exception)
    known = json.loads((tmp_path / "other" / "metrics.json").read_text())
    assert known["n_images"] == list(parts.values()).count("test")
    assert sum(known["trained_images"]["recognised"].values()) == len(parts) - known["n_images"]
    assert known["trained_images"]["by"] == {"file": len(parts) - known["n_images"]}


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
