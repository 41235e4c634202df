"""Folds that are trained elsewhere: the plan is that of crossval, and only answers for held-out images come back in."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pool_crossval
import publish_crossval
import pytest

from covid_xray.config import Training
from covid_xray.errors import BadManifest
from covid_xray.training.crossval.folds import Protocol, plan_folds
from support import drawing
from support.bundles import CLASSES, grey


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    rows = []
    for number in range(48):
        label = CLASSES[number % 3]
        (root / f"{number}.png").write_bytes(drawing.png(grey(label, seed=number)))
        rows.append((f"{number}.png", label, f"p{number // 2}"))
    pd.DataFrame(rows, columns=["image", "label", "patient_id"]).to_csv(root / "table.csv", index=False)
    return root / "table.csv"


def planned(data: Path, out: Path, group: str) -> pd.DataFrame:
    command = ["pool_crossval", "plan", str(data), str(out), "--folds", "3", "--group", group]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", command)
        pool_crossval.main()
    return pd.read_csv(out / "roles.csv", keep_default_na=False)


def answered(roles: pd.DataFrame, folder: Path) -> list[Path]:
    """Answers that are right in most cases, fold by fold, in an order of their own."""
    random = np.random.default_rng(0)
    files = []
    for fold in ("1", "2", "3"):
        held = roles[roles[f"fold_{fold}"] == "held"].sample(frac=1, random_state=1)
        p = random.dirichlet([1, 1, 1], len(held)) + 2 * np.eye(3)[[CLASSES.index(x) for x in held["label"]]]
        table = held[["image", "label"]].assign(**dict(zip([f"p_{n}" for n in CLASSES], (p / 3).T, strict=True)))
        files.append(folder / f"answers-{fold}.csv")
        table.assign(remark="kept out").to_csv(files[-1], index=False)
    return files


def pooled(data: Path, out: Path, files: list[Path], group: str, made: Path) -> dict:
    command = ["pool_crossval", "pool", data, out, *files, "--folds", 3, "--group", group, "--rounds", 20]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(part) for part in [*command, "--set", "model=vgg", "--made", made]])
        pool_crossval.main()
    return json.loads((out / "crossval.json").read_text(encoding="utf-8"))


def test_the_roles_are_the_folds_of_crossval(data: Path, tmp_path: Path) -> None:
    roles = planned(data, tmp_path, "patient").set_index("image")
    settings = Training()
    protocol = Protocol(folds=3, seed=settings.seed, val_fraction=settings.val_fraction)
    for fold in plan_folds(pool_crossval.chosen(data, None, [], None), protocol):
        column = roles[f"fold_{fold.name}"]
        assert set(column.index[column == "held"]) == set(fold.held.table["image"])
        for part in ("train", "val"):
            assert set(column.index[column == part]) == set(fold.split.index[fold.split == part])


def test_answers_come_back_as_one_study_that_can_be_published(data: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.json"
    about = {"precision": "float32", "machine": {"processor": "a chip", "cores": 4}, "packages": {}}
    folds = {name: {"epochs": 9, "best_epoch": 5, "seconds": 60} for name in "123"}
    made.write_text(json.dumps({**about, "folds": folds}))
    for group in ("image", "patient"):
        out = tmp_path / "runs" / group
        files = answered(planned(data, out, group), tmp_path)
        study = pooled(data, out, files, group, made)
        told = pd.concat([pd.read_csv(path) for path in files])
        best = told[[f"p_{n}" for n in CLASSES]].to_numpy().argmax(axis=1)
        assert study["figures"]["accuracy"]["value"] == np.mean(
            [CLASSES[b] == x for b, x in zip(best, told["label"], strict=True)]
        )
        assert study["n_images"] == 48
        assert [fold["best_epoch"] for fold in study["folds"]] == [5, 5, 5]
        assert study["seconds"] == 180
        assert bool(study["banner"]) == (group == "image")
        assert (out / "crossval.md").is_file()
    comparison = {
        "figures": {name: {"difference": 0.0, "ci_low": -0.1, "ci_high": 0.1} for name in publish_crossval.SHOWN}
    }
    (tmp_path / "runs" / "comparison.json").write_text(json.dumps(comparison))
    command = ["publish_crossval", "small", tmp_path / "runs", "--command", "x", "--results", tmp_path / "pages"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(part) for part in command])
        publish_crossval.main()
    page = (tmp_path / "pages" / "small.md").read_text(encoding="utf-8")
    for text in ("0.870", "0.869", "0.729", "a chip", "| `vgg`, trained from random weights |", "6 minutes"):
        assert text in page


def test_answers_for_other_images_wrong_labels_and_no_probabilities_are_refused(data: Path, tmp_path: Path) -> None:
    roles = planned(data, tmp_path, "patient")
    files = answered(roles, tmp_path)
    folds = plan_folds(pool_crossval.chosen(data, None, [], None), Protocol(folds=3))
    table = pd.read_csv(files[0])
    cases = {
        "images of no fold": table.iloc[1:],
        "or with another label": table.assign(label=[*list(table["label"])[1:], table["label"][0]]),
        "do not sum to 1": table.assign(p_covid=0.9),
        "has no column p_virus": table.drop(columns="p_virus"),
    }
    for words, wrong in cases.items():
        wrong.to_csv(files[0], index=False)
        with pytest.raises(BadManifest, match=words):
            pool_crossval.read_answers(files[0], folds)
    table.to_csv(files[0], index=False)
    some = {"protocol": Protocol(folds=3), "settings": Training(), "out": tmp_path, "rounds": 20}
    manifest = pool_crossval.chosen(data, None, [], None)
    with pytest.raises(BadManifest, match="No file answers fold 3"):
        pool_crossval.pooled(manifest, folds, files[:2], {}, **some)
    with pytest.raises(BadManifest, match="Two files answer fold 1"):
        pool_crossval.pooled(manifest, folds, [*files, files[0]], {}, **some)
