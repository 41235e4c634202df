"""The chart of rates is a picture that shows the chosen rule."""

import io

import numpy as np
import pandas as pd
from PIL import Image

from covid_xray.training.rates.rate_chart import draw_rates


def picture(chosen: str, rate: float | None) -> np.ndarray:
    rates = np.geomspace(1e-6, 1, 30)
    loss = np.linspace(1.2, 0.3, 30)
    curve = pd.DataFrame({"learning_rate": rates, "loss": loss, "smoothed": loss})
    data = draw_rates(curve, {"steepest": rate, "minimum": 3e-3}, chosen=chosen)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_suggestions_are_lines_and_the_chosen_one_is_thicker() -> None:
    orange = np.array([0xD5, 0x5E, 0x00])  # of the first rule

    def pixels(image: np.ndarray) -> int:
        return int((np.abs(image.astype(int) - orange).sum(axis=2) < 30).sum())

    thick, thin, absent = picture("steepest", 1e-3), picture("minimum", 1e-3), picture("minimum", None)
    assert pixels(thick) > pixels(thin) > pixels(absent) == 0
