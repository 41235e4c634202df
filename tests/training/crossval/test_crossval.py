"""Cross-validation on drawn data: every image scored once, by a network that never saw it; resumed, refused; leaks."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from support.copies import copies, draw_classes, knowing
from support.datasets import CLASSES, picture

pytest.importorskip("tensorflow")

from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.errors import Busy, InputRefused, UsageError
from covid_xray.evaluation.metrics.metrics import compute
from covid_xray.evaluation.predictions import Predictions, read_predictions
from covid_xray.files import folder_lock
from covid_xray.training.crossval.crossval import _seen_before, crossval
from covid_xray.training.crossval.folds import Protocol

SETTINGS = Training(
    image_size=32,
    blocks=(8, 16),
    convolutions=1,
    dense=(32,),
    initializer="he_normal",
    epochs=25,
    dropout=0.0,
    batch_size=8,
    learning_rate=3e-3,
    early_stopping_patience=25,
    reduce_lr_patience=25,
    augment=False,
    precision="float32",
    deterministic=True,
    decode_workers=1,
)
TWO = Protocol(folds=2)


class Stopped(Exception):
    """Stands for a kill."""


def draw(root: Path, rows: list[tuple[str, str, str, np.ndarray]]) -> Manifest:
    """Rows of label, patient, source and pixels as a data set on disk."""
    lines = ["image,label,patient_id,source"]
    for number, (label, patient, source, pixels) in enumerate(rows):
        (root / "scans").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / "scans" / f"{number:03}.png")
        lines.append(f"scans/{number:03}.png,{label},{patient},{source}")
    (root / "all.csv").write_text("\n".join(lines) + "\n")
    return read_manifest(root / "all.csv")


def face(patient: int, image: int) -> np.ndarray:
    """32 x 32: a pattern that tells the patient, and nothing that tells the class."""
    pattern = np.random.default_rng(patient).integers(0, 2, (4, 4)) * 150 + 40
    noise = np.random.default_rng((patient, image)).normal(0, 10, (32, 32))
    return np.clip(np.kron(pattern, np.ones((8, 8))) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Fifteen patients of four images each; their class was drawn by lot."""
    rows = [(CLASSES[p % 3], f"p{p:02}", "one", face(p, i)) for p in range(15) for i in range(4)]
    return draw(tmp_path_factory.mktemp("faces"), rows)


@pytest.fixture(scope="module")
def by_patient(faces: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("by-patient") / "study"
    crossval(faces, settings=SETTINGS, protocol=TWO, out=out, rounds=50)
    return out


def figures(out: Path) -> dict[str, object]:
    return json.loads((out / "crossval.json").read_text(), parse_constant=pytest.fail)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_every_image_is_scored_once_by_a_network_that_never_saw_it(by_patient: Path, faces: Manifest) -> None:
    answers = rows(by_patient / "predictions.csv")
    assert [row["image"] for row in answers] == faces.table["image"].tolist()
    fold_of = {row["image"]: row["fold"] for row in rows(by_patient / "folds.csv")}
    assert {row["image"]: row["fold"] for row in answers} == fold_of
    for name in ("1", "2"):
        trained = {row["image"] for row in rows(by_patient / f"fold-{name}" / "split.csv")}
        held = {row["image"] for row in rows(by_patient / f"fold-{name}" / "predictions.csv")}
        assert held == {image for image, fold in fold_of.items() if fold == name}
        assert trained == set(fold_of) - held


def test_the_figures_are_those_of_the_answers(by_patient: Path) -> None:
    facts, found = figures(by_patient), read_predictions(by_patient / "predictions.csv")
    expected = compute(found.labels, found.probabilities, found.classes)
    assert {name: figure["value"] for name, figure in facts["figures"].items()} == pytest.approx(expected)
    assert facts["figures"]["accuracy"]["unit"] == "patients"
    assert facts["figures"]["accuracy"]["n"] == facts["n_patients"] == 15
    each = [fold["figures"]["accuracy"] for fold in facts["folds"]]
    assert facts["over_folds"]["accuracy"] == {
        "mean": pytest.approx(np.mean(each)), "sd": pytest.approx(np.std(each, ddof=1)), "folds": 2,
    }  # fmt: skip
    assert facts["banner"] is None
    assert facts["leaking"] == 0
    page = (by_patient / "crossval.md").read_text()
    assert f"{facts['figures']['macro_f1']['value']:.3f} (" in page
    assert f"| one | 60 | {facts['figures']['accuracy']['value']:.3f}" in page


def test_nothing_large_is_left(by_patient: Path) -> None:
    left = {path.name for path in by_patient.rglob("*")}
    assert not left & {"model.keras", "model.onnx", "cache", "checkpoint"}
    assert {"folds.png", "confusion_matrix.png", "config.yaml", "plan.json"} <= left
    assert sum(path.stat().st_size for path in by_patient.rglob("*") if path.is_file()) < 2_000_000


def test_folds_by_image_leak_and_say_so(by_patient: Path, faces: Manifest, tmp_path: Path) -> None:
    """Only the patient can be learnt here: by image the network scores high, by patient it is at chance."""
    facts = crossval(
        faces, settings=SETTINGS, protocol=Protocol(folds=2, group="image"), out=tmp_path / "study", rounds=50
    )
    assert facts["figures"]["accuracy"]["value"] >= 0.75
    assert figures(by_patient)["figures"]["accuracy"]["value"] <= 0.6
    assert facts["leaking"] > 50
    assert f"{facts['leaking']} of 60 images" in facts["banner"]
    assert facts["banner"] in (tmp_path / "study" / "crossval.md").read_text()
    assert facts["figures"]["accuracy"]["n"] == 15, "the interval is over patients all the same"


@pytest.mark.parametrize("stop_at", ["fold 2/2, epoch 16/25", "fold 2/2, score"])
def test_a_stopped_study_ends_where_the_whole_one_does(
    by_patient: Path, faces: Manifest, tmp_path: Path, stop_at: str
) -> None:
    out, stages = tmp_path / "study", []

    def stop(stage: str, done: int, total: int, note: str) -> None:
        if stage == stop_at and done >= 2:
            raise Stopped

    with pytest.raises(Stopped):
        crossval(faces, settings=SETTINGS, protocol=TWO, out=out, rounds=50, progress=stop)
    assert (out / "folds.csv").is_file()
    assert not (out / "crossval.json").exists()
    crossval(
        faces, settings=SETTINGS, protocol=TWO, out=out, rounds=50, resume=True, progress=lambda s, *_: stages.append(s)
    )
    assert (out / "predictions.csv").read_bytes() == (by_patient / "predictions.csv").read_bytes()
    assert figures(out)["figures"] == figures(by_patient)["figures"]
    assert not any(stage.startswith("fold 1/2") for stage in stages), "a finished fold stays"
    assert not any(stage.startswith("fold 2/2, epoch 15/") for stage in stages), "a finished epoch stays"


def test_a_finished_study_is_made_anew_from_its_answers(by_patient: Path, faces: Manifest) -> None:
    before, stages = figures(by_patient), []
    crossval(
        faces, settings=SETTINGS, protocol=TWO, out=by_patient, rounds=50, resume=True,
        progress=lambda stage, *_: stages.append(stage),
    )  # fmt: skip
    assert figures(by_patient) == before
    assert stages == []


def test_another_study_in_the_same_folder_is_refused(by_patient: Path, faces: Manifest, tmp_path: Path) -> None:
    def again(manifest: Manifest = faces, *, resume: bool = True, out: Path = by_patient, **changes: object) -> None:
        protocol = Protocol(folds=changes.pop("folds", 2), group=changes.pop("group", "patient"))
        settings = SETTINGS.model_copy(update=changes)
        crossval(manifest, settings=settings, protocol=protocol, out=out, resume=resume, rounds=50)

    before = {path: path.read_bytes() for path in by_patient.iterdir() if path.is_file()}
    with pytest.raises(UsageError, match="--resume"):
        again(resume=False)
    with pytest.raises(UsageError, match="epochs=26 differs from epochs=25"):
        again(epochs=26)
    with pytest.raises(UsageError, match="folds=3 differs from folds=2"):
        again(folds=3)
    with pytest.raises(UsageError, match="group=patient"):
        again(group="image")
    with pytest.raises(UsageError, match="seed"):
        again(seed=3)
    table = faces.table.assign(label=[*faces.table["label"][1:], "virus"])
    with pytest.raises(UsageError, match="other data"):
        again(Manifest(table, faces.root, faces.quarantine))
    table = faces.table.assign(patient_id=[f"p{i // 2}" for i in range(60)])
    with pytest.raises(UsageError, match="other folds"):
        again(Manifest(table, faces.root, faces.quarantine))
    with pytest.raises(UsageError, match="No unfinished cross-validation"):
        again(out=tmp_path / "new")
    with folder_lock(tmp_path / "held"), pytest.raises(Busy):
        again(out=tmp_path / "held", resume=False)
    assert {path: path.read_bytes() for path in by_patient.iterdir() if path.is_file()} == before


def test_answers_that_were_altered_are_refused(by_patient: Path, faces: Manifest) -> None:
    path = by_patient / "fold-1" / "predictions.csv"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole.replace(b",covid,", b",virus,", 1))
        with pytest.raises(InputRefused, match="altered"):
            crossval(faces, settings=SETTINGS, protocol=TWO, out=by_patient, resume=True, rounds=50)
    finally:
        path.write_bytes(whole)


def test_each_source_is_held_out_and_classes_it_has_alone_are_named(tmp_path: Path) -> None:
    drawn = [(label, f"{s}-{label}-{i}", s, picture(label, i + 50 * (s == "two"), size=32))
             for s in ("one", "two") for label in ("covid", "normal") for i in range(22)]  # fmt: skip
    drawn += [("virus", f"v{i}", "three", picture("virus", i, size=32)) for i in range(8)]
    manifest = draw(tmp_path / "data", drawn)
    out = tmp_path / "study"
    facts = crossval(
        manifest, settings=SETTINGS, protocol=Protocol(leave_out="source"), out=out, rounds=50, keep_models=True
    )
    assert [fold["name"] for fold in facts["folds"]] == ["one", "three", "two"]
    assert [fold["scored"] for fold in facts["folds"]] == [44, 0, 44]
    assert {row["code"] for row in facts["failures"]} == {"class-unseen"}
    assert len(facts["failures"]) == 8
    assert facts["folds"][1]["figures"] == {}
    assert "macro_f1" not in facts["folds"][0]["figures"], "of two classes in three it would be no macro-F1"
    assert facts["over_folds"]["accuracy"]["folds"] == 2
    assert set(facts["by_source"]) == {"one", "two"}
    assert facts["worst_source"]["name"] in ("one", "two")
    assert facts["by_source"]["one"]["figures"]["accuracy"]["value"] >= 0.8
    assert any("Without three no virus" in text for text in facts["warnings"])
    assert (out / "fold-1" / "bundle" / "model.onnx").is_file()
    assert (out / "fold-1" / "model.keras").is_file()
    found = read_predictions(out / "predictions.csv")
    assert found.classes == CLASSES
    assert len(found.table) + len(found.failures) == 96
    assert isinstance(found.table, pd.DataFrame)


def test_folds_that_begin_from_a_network_know_which_images_it_knew(tmp_path: Path) -> None:
    run = knowing(tmp_path / "run", draw_classes(tmp_path / "data", each=4))
    table = read_manifest(copies(tmp_path / "data", draw_classes(tmp_path / "mixed", each=4, first=40))).table
    pooled = Predictions(table, ("covid", "normal", "virus"), table.head(0))
    seen = _seen_before(pooled, Training(init=str(run)), with_trained=False)
    assert seen is not None
    assert table["image"][seen.counted].str.contains("copy").sum() == 0
    assert seen.facts["recognised"] == {"train": 12}
    kept = _seen_before(pooled, Training(init=str(run)), with_trained=True)
    assert kept is not None
    assert kept.counted.all()
    assert _seen_before(pooled, Training(), with_trained=False) is None
