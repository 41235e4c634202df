"""Answers become a DataFrame, failures too."""

from pathlib import Path

import numpy as np
from PIL import Image

from covid_xray import Predictor, to_frame
from support.bundles import GREYS, make_bundle


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


def test_nothing_gives_an_empty_frame() -> None:
    assert list(to_frame([]).columns) == ["image", "label"]
