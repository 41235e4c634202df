"""`covid-xray calibrate` makes the gate of a run, and answers of its bundle say so from then on."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from covid_xray.bundle.bundle import load_bundle
from covid_xray.cli import app
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.predictor import Predictor
from support import drawing
from support.bundles import CLASSES, make_bundle
from support.gate_samples import chest

TRAIN, VAL = range(105), range(300, 324)
UNANSWERED = range(400, 403)  # one in val, two in train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on drawn chests, some with an illness that the network does not answer; its gate is made."""
    root = tmp_path_factory.mktemp("gating")
    rows = []
    for seed in (*TRAIN, *VAL, *UNANSWERED):
        label = "other" if seed in UNANSWERED else CLASSES[seed % 3]
        path = root / "data" / label / f"{seed:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawing.png(chest(seed).pixels))
        rows.append(
            {
                "image": f"{label}/{path.name}",
                "label": label,
                "split": "val" if seed in VAL or seed == UNANSWERED[0] else "train",
            }
        )
    make_bundle(root / "run" / "bundle", unanswered=["other"])
    pd.DataFrame(rows).to_csv(root / "run" / "split.csv", index=False)
    assert calibrate(root / "run", "--gate-rate", "0").exit_code == 0
    assert "gate" not in load_bundle(root / "run" / "bundle").facts
    return root / "run"


@pytest.fixture(scope="module")
def told(run: Path) -> dict:
    result = calibrate(run, "--json", "--gate-rate", "0.1")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["gate"]


def calibrate(run: Path, *words: str):
    return CliRunner().invoke(app, ["calibrate", str(run), "--data", str(run.parent / "data"), *words])


def predict(run: Path, path: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["predict", str(path), "--bundle", str(run / "bundle"), *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_calibrate_stores_it_and_says_its_rate(run, told):
    assert told["images"] == {"train": len(TRAIN), "fresh": len(VAL)}
    assert max(told["refused"].values()) <= told["rate"] == 0.1
    stored = load_bundle(run / "bundle").facts["gate"]
    assert stored["refused"] == told["refused"]
    assert "gate from 105 training images" in calibrate(run, "--gate-rate", "0.1").output


def test_the_answer_names_what_is_wrong_in_every_form(run, told, tmp_path):
    upside_down = tmp_path / "down.png"
    upside_down.write_bytes(drawing.png(np.ascontiguousarray(chest(620).pixels[::-1, ::-1])))
    answer = json.loads(predict(run, upside_down, "--json"))
    assert answer["label"] == CANNOT_SAY
    assert answer["reasons"][0] == "looks upside down"
    assert not answer["gate"]["orientation"]["ok"]
    (row,) = csv.DictReader(io.StringIO(predict(run, upside_down, "--csv")))
    assert json.loads(row["gate"]) == answer["gate"]
    assert "looks upside down" in " ".join(predict(run, upside_down).split())


def test_a_good_chest_is_answered_with_all_verdicts_beside_it(run, told, tmp_path):
    good = tmp_path / "good.png"
    good.write_bytes(drawing.png(chest(3).pixels))
    answer = json.loads(predict(run, good, "--json"))
    assert all(verdict["ok"] for verdict in answer["gate"].values())
    assert not any("look" in reason for reason in answer["reasons"])


def test_a_lateral_dicom_is_refused_by_what_it_says(run, told, tmp_path):
    (tmp_path / "side.dcm").write_bytes(drawing.dicom(chest(4).pixels, bits=8, ViewPosition="LL"))
    answer = json.loads(predict(run, tmp_path / "side.dcm", "--json"))
    assert answer["reasons"][0] == "the file says that the view is LL, not frontal (PA or AP)"


def test_one_by_one_in_a_stream_and_split_in_two_steps_the_verdicts_are_the_same(run, told):
    predictor = Predictor(run / "bundle", threads=1)
    films = [chest(seed) for seed in (5, 6, 7)] + [Radiograph(255 - chest(8).pixels)]
    single = [predictor.predict(film).gate for film in films]
    assert [answer.gate for answer in predictor.predict_many(films, batch=3)] == single
    pixels = np.stack([predictor.read(film) for film in films])
    answers = predictor.answers([""] * 4, [predictor.view(film) for film in films])
    assert [answer.gate for answer in answers] == single
    assert "inverted" in answers[3].reasons[0]
    # Without views the inputs themselves are judged: the gate is never left out.
    assert "inverted" in predictor.answers([""] * 4, pixels)[3].reasons[0]


def test_a_part_with_too_few_training_images_gets_none_and_says_so(run, told, tmp_path):
    other = tmp_path / "run"
    make_bundle(other / "bundle", unanswered=["other"])
    split = pd.read_csv(run / "split.csv")
    split[split["split"].eq("val") | (split.index < 40)].to_csv(other / "split.csv", index=False)
    result = CliRunner().invoke(app, ["calibrate", str(other), "--data", str(run.parent / "data")])
    assert result.exit_code == 0, result.output
    assert "no gate was stored: Too few training images" in result.output
    assert "gate" not in load_bundle(other / "bundle").facts
