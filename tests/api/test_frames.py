"""Answers become a DataFrame, failures too."""

from pathlib import Path

import numpy as np
from PIL import Image

from covid_xray import Predictor, to_frame
from support.bundles import GREYS, make_bundle, network


def test_one_row_for_each_answer(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    Image.fromarray(np.full((40, 40), GREYS["covid"], np.uint8)).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"nothing")
    frame = to_frame(Predictor(make_bundle(tmp_path / "bundle")).predict_many(folder))
    assert [Path(name).name for name in frame["image"]] == ["a.png", "b.png"]
    assert list(frame["label"]) == ["covid", ""]
    assert abs(frame.loc[0, ["p_covid", "p_normal", "p_virus"]].sum() - 1) < 1e-5
    assert frame.loc[1, "error"] == "not-an-image"


def test_of_several_bundles_the_spread_is_told(tmp_path: Path) -> None:
    folders = [make_bundle(tmp_path / "a"), make_bundle(tmp_path / "b", model=network(sharpness=0.1))]
    answers = list(Predictor(folders).predict_many([np.full((40, 40), GREYS["covid"], np.uint8)]))
    frame = to_frame(answers)
    assert frame.loc[0, "spread_covid"] == answers[0].spread["covid"] > 0
    assert "spread_covid" not in to_frame(Predictor(folders[0]).predict_many([np.zeros((40, 40), np.uint8)]))


def test_nothing_gives_an_empty_frame() -> None:
    assert list(to_frame([]).columns) == ["image", "label"]
